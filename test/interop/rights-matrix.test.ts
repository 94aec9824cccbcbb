// One right, whatever the road: users, actions and paths over every protocol, and what each subscriber is given, against the naive
// meaning of the permissions.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HappnAdapter } from '../../src/adapters/happn/index.js';
import { HAVEN_DEFAULTS, HavenAdapter } from '../../src/adapters/haven/index.js';
import { MqttAdapter } from '../../src/adapters/mqtt/index.js';
import { ADMIN, type Permission, type PermittedAction } from '../../src/core/index.js';
import type { ContractClient } from '../contract/contract-client.js';
import { type Address, type ContractHouse, passwordOf, secureHouse } from '../support/contract-house.js';
import { HappnContractClient } from '../support/happn-contract-client.js';
import { HavenContractClient } from '../support/haven-contract-client.js';
import { MqttContractClient } from '../support/mqtt-contract-client.js';
import { PlainAdapter } from '../support/plain-adapter/index.js';
import { PlainClient } from '../support/plain-client.js';
import { pick, randomOf } from '../support/random.js';
import { type Rules, rulesAllow } from '../support/rights-oracle.js';

const USERS = process.env.TRIVIUM_TEST_LONG === '1' ? 60 : 4;
const PATHS = ['m/a', 'm/b/c', '/m/a', 'm/secret/1', '$x/y', '/_SYSTEM/x'];
const PATTERNS = ['*', 'm/*', 'm/a', '/m/*', '*a', 'm/secret/*', 'm/*/c', '$x/*', '/_SYSTEM/*'];
const LISTS: readonly (readonly PermittedAction[])[] = [['*'], ['get'], ['set'], ['on'], ['remove'], ['get', 'on'], ['set', 'remove']];
const FENCE: Rules = [['fence/*', { actions: ['*'] }]];

interface Protocol {
  readonly name: string;
  readonly connect: (username: string, password: string) => Promise<ContractClient>;
  /** Everything below `m`, as the protocol writes it. */
  readonly below: string;
  /** Reading is subscribing, and what is kept comes along. */
  readonly readsBySubscribing: boolean;
}

let house: ContractHouse;
let root: PlainClient;
let protocols: readonly Protocol[];
const users = new Map<string, Rules>();

beforeAll(async () => {
  house = secureHouse();
  await house.start();
  const happn = await house.add(new HappnAdapter());
  const mqtt = await house.add(new MqttAdapter({ host: '127.0.0.1', port: 0 }));
  const haven = await house.add(new HavenAdapter({ ...HAVEN_DEFAULTS, port: 0 }));
  const plain: Address = await house.add(new PlainAdapter());
  protocols = [
    {
      name: 'happn',
      connect: (username, password) => HappnContractClient.connect(happn, 'happn_4', { username, password }),
      below: 'm/**',
      readsBySubscribing: false,
    },
    {
      name: 'mqtt',
      connect: (username, password) => MqttContractClient.connect(mqtt, { username, password: Buffer.from(password) }),
      below: 'm/#',
      readsBySubscribing: true,
    },
    {
      name: 'haven',
      connect: (username, password) => HavenContractClient.connectAs(haven, username, password),
      below: 'm/*',
      readsBySubscribing: false,
    },
    {
      name: 'plain',
      connect: (username, password) => PlainClient.connect(plain, 1, { username, password }),
      below: 'm/*',
      readsBySubscribing: false,
    },
  ];
  const next = randomOf(61_127);
  const someRules = (): Rules =>
    Array.from({ length: 1 + next(4) }, () => {
      const permission: Permission = next(4) === 0 ? { prohibit: [...pick(LISTS, next)] } : { actions: [...pick(LISTS, next)] };
      return [pick(PATTERNS, next), permission] as const;
    });
  for (let n = 0; n < USERS; n++) users.set(`user-${n}`, [...FENCE, ...(n === 0 ? [['*', { actions: ['*'] }] as const] : someRules())]);
  for (const [name, rules] of users) await putUser(name, rules);
  await house.administer({ type: 'putUser', name: 'root', id: 'root', fields: { groups: [ADMIN] }, when: 'absent', merge: false });
  root = await PlainClient.connect(plain, 1, { username: 'root', password: passwordOf('root') });
});
afterAll(() => house.stop());

/** Of rules for the same pattern the last one counts, as in any map. */
async function putUser(name: string, rules: Rules): Promise<void> {
  const fields = { permissions: Object.fromEntries(rules) };
  users.set(name, Object.entries(fields.permissions));
  await house.administer({ type: 'putUser', name, id: name, fields, when: 'absent', merge: false });
}

const connect = ({ connect: open }: Protocol, user: string): Promise<ContractClient> => open(user, passwordOf(user));

/** On a connection of its own, since some protocols end one that does what it may not. */
async function attempt(protocol: Protocol, user: string, act: (client: ContractClient) => Promise<unknown>): Promise<string> {
  const client = await connect(protocol, user);
  const outcome = await act(client).then(
    (value) => (value === null || value === undefined ? 'done' : 'found'),
    () => 'refused',
  );
  await client.close();
  return outcome;
}

describe('what a user may do', () => {
  it('D9 is the same over every protocol', async () => {
    for (const path of PATHS) await root.set(path, { path });
    for (const [user, rules] of users) {
      const may = (action: 'set' | 'get' | 'on' | 'remove', path: string): boolean => rulesAllow(rules, action, path);
      await Promise.all(
        protocols.map(async (protocol) => {
          for (const path of PATHS) {
            const where = `${user} over ${protocol.name} on ${path} by ${JSON.stringify(rules)}`;
            const act = (what: (client: ContractClient) => Promise<unknown>): Promise<string> => attempt(protocol, user, what);
            const { readsBySubscribing } = protocol;
            // What is below $ is nobody's among MQTT's retained messages but the broker's own.
            if (!(readsBySubscribing && path.startsWith('$'))) {
              const isShown = may('get', path);
              const read = readsBySubscribing
                ? may('on', path)
                  ? isShown
                    ? 'found'
                    : 'done'
                  : 'refused'
                : isShown
                  ? 'found'
                  : 'refused';
              expect(await act((client) => client.get(path)), `get: ${where}`).toBe(read);
              const heard = await act(async (client) => void (await client.watch(path)));
              expect(heard, `on: ${where}`).toBe(may('on', path) ? 'done' : 'refused');
            }
            const isSet = await act(async (client) => void (await client.set(path, { path, user })));
            expect(isSet, `set: ${where}`).toBe(may('set', path) ? 'done' : 'refused');
            const isEmitted = await act(async (client) => void (await client.emit(path, { path, user })));
            expect(isEmitted, `emit: ${where}`).toBe(may('set', path) ? 'done' : 'refused');
          }
        }),
      );
      for (const path of PATHS) {
        for (const protocol of protocols) {
          const removed = await attempt(protocol, user, async (client) => void (await client.remove(path)));
          expect(removed, `remove: ${user} over ${protocol.name} on ${path}`).toBe(may('remove', path) ? 'done' : 'refused');
        }
        await root.set(path, { path });
      }
    }
  }, 300_000);

  it('D9 is what a user is told, from every protocol to every other', async () => {
    for (const [user, rules] of users) {
      for (const reader of protocols) {
        const client = await connect(reader, user);
        const isCovered = rules.some(([pattern]) => pattern === '*' || pattern === 'm/*');
        const watch = await client.watch(reader.below).catch(() => null);
        if (watch === null) {
          await client.close();
          continue;
        }
        expect(isCovered, `${user} over ${reader.name}`).toBe(true);
        const expected: string[] = [];
        for (const writer of protocols) {
          for (const path of ['m/a', 'm/b/c', 'm/secret/1', '/m/a', 'm']) {
            const by = await connect(writer, 'user-0');
            await by.set(path, { by: writer.name });
            await by.close();
            // happn's other spelling, and MQTT's parent level.
            const isEdge = path === (reader.name === 'happn' ? '/m/a' : reader.name === 'mqtt' ? 'm' : null);
            const isBelow = path.startsWith('m/') || isEdge;
            if (isBelow && rulesAllow(rules, 'on', path)) expected.push(path);
          }
        }
        const fence = await client.watch('fence/here');
        await root.emit('fence/here', { over: true });
        await fence.count(1);
        expect(
          watch.heard.map(({ path }) => path),
          `${user} over ${reader.name} by ${JSON.stringify(rules)}`,
        ).toEqual(expected);
        await client.close();
      }
    }
  }, 300_000);
});
