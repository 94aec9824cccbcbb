// Credentials on any message, in both shapes, both framings and over websocket: on CONNECT they open the session, on a later message
// they authorise that message alone, in the order of the messages (reference, part B.1).

import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { HavenAdapter } from '../../../src/adapters/haven/index.js';
import { MAGIC } from '../../../src/adapters/haven/wire.js';
import { INBOUND_LIMITS } from '../../../src/core/engine/inbound-queue.js';
import { type Credentials, identityNamed, NOBODY, RequestError } from '../../../src/core/index.js';
import { type Access, denied } from '../../../src/core/security/access.js';
import { accessOf } from '../../support/access.js';
import { type Address, ContractHouse, passwordOf, secureHouse } from '../../support/contract-house.js';
import { type Answer, HavenClient, type HavenClientOptions, pack, prefixed } from '../../support/haven-client.js';

const ANN = { username: 'ann', password: 'a' };
const BOB = { token: 'bob' };
const WRONG = { username: 'ann', password: 'b' };

/** ann may do everything, bob what lies below /bob, nobody nothing. */
let house: ContractHouse;
let at: Address;
/** Logins that were begun, and what lets them go on. */
let logins: (() => void)[];
let loginsHeld: boolean;
/** Who was judged for what, in the order of the decisions. */
let judged: string[];
let anonymous: boolean;
/** What goes wrong in the gateway at every login; null: nothing. */
let failure: Error | null;

const access: Access = {
  ...accessOf(),
  authenticate: async (credentials: Credentials) => {
    const name = nameIn(credentials);
    if (loginsHeld) await new Promise<void>((resolve) => logins.push(resolve));
    if (failure !== null) throw failure;
    if (name === null) throw new RequestError('NOT_AUTHENTICATED', 'Invalid credentials');
    return name === '' ? NOBODY : identityNamed(name);
  },
  authorize: ({ identity: { name, principal } }, _actor, action, path) => {
    // The gateway itself.
    if (principal !== null) return null;
    judged.push(`${name} ${action} ${path}`);
    if (name === '') throw new RequestError('NOT_AUTHENTICATED', 'log in first');
    if (name !== 'ann' && !path.startsWith(`/${name}`)) throw denied(action, path);
    return null;
  },
};

function nameIn({ username, password, token }: Credentials): string | null {
  if (token === 'bob') return 'bob';
  if (username === 'ann') return password === 'a' ? 'ann' : null;
  return username === undefined && token === undefined && anonymous ? 'guest' : null;
}

beforeEach(async () => {
  logins = [];
  loginsHeld = false;
  judged = [];
  anonymous = false;
  failure = null;
  house = new ContractHouse(INBOUND_LIMITS, access);
  await house.start();
  at = await house.add(new HavenAdapter({ port: 0, heartbeatMinMs: 1 }));
});
afterEach(() => house.stop());

/** Waits for a fact about this process; the test's own time limit bounds it. */
async function become(fact: () => boolean): Promise<void> {
  while (!fact()) await new Promise<void>((resolve) => setImmediate(resolve));
}

type Shape = 'map' | 'array';

/** Requests in a shape, each with or without credentials. */
const SHAPES: { readonly [shape in Shape]: (credentials: object | null) => { readonly [what: string]: (path: string) => unknown } } = {
  map: (credentials) => {
    const also = credentials === null ? {} : { credentials };
    return {
      connect: () => ({ action: 'connect', version: '1', ...also }),
      write: (path) => ({ action: 'query', type: 'write', path, value: 1, ...also }),
      read: (path) => ({ action: 'query', type: 'read', path, ...also }),
      delete: (path) => ({ action: 'query', type: 'delete', path, ...also }),
      watch: (path) => ({ action: 'query', type: 'watch', path, ...also }),
      unwatch: (path) => ({ action: 'query', type: 'unwatch', path, ...also }),
      transaction: (path) => ({ action: 'query', type: 'transaction', ops: [{ type: 'write', path, value: 2 }], ...also }),
      control: (path) => ({ action: 'become', type: 'leader', path, ...also }),
      discover: (path) => ({ action: 'discover', type: 'quorum', path, ...also }),
      heartbeat: () => ({ action: 'heartbeat', type: 'ping', ...also }),
    };
  },
  array: (credentials) => ({
    connect: () => [1, MAGIC, 1, credentials],
    write: (path) => [2, 3, null, null, path, 1, null, credentials],
    read: (path) => [2, 1, null, null, path, null, null, credentials],
    delete: (path) => [2, 6, null, null, path, null, null, credentials],
    watch: (path) => [2, 7, null, null, path, null, null, credentials],
    unwatch: (path) => [2, 5, null, null, path, null, null, credentials],
    transaction: (path) => [2, 4, null, null, null, null, { ops: [{ type: 'write', path, value: 2 }] }, credentials],
    control: (path) => [3, 7, null, path, credentials],
    discover: (path) => [6, 'quorum', path, null, credentials],
    heartbeat: () => [7, credentials],
  }),
};

/** 0: it was done. */
function codeOf(answer: Answer): number {
  if (Array.isArray(answer)) return answer[1] as number;
  return answer.result === false ? (answer.error.code as number) : 0;
}

const ROADS = ['prefixed', 'bare', 'websocket'] as const;
type Road = (typeof ROADS)[number];

function open(road: Road): Promise<HavenClient> {
  const options: HavenClientOptions = road === 'websocket' ? { url: `ws://127.0.0.1:${at.httpPort}/haven` } : { framing: road };
  return HavenClient.connect(at.port, { ...options, hello: false });
}

describe.each((['map', 'array'] as const).flatMap((shape) => ROADS.map((road) => [shape, road] as const)))('%s, %s', (shape, road) => {
  const by = SHAPES[shape];
  const ask = (client: HavenClient, what: string, path: string, credentials: object | null = null): Promise<number> =>
    client.ask((by(credentials)[what] as (path: string) => unknown)(path)).then(codeOf);

  it('CONNECT opens the session with good ones; after wrong ones it may be tried again', async () => {
    const client = await open(road);
    expect(await ask(client, 'connect', '', WRONG)).toBe(5);
    expect(await ask(client, 'write', '/a')).toBe(4);
    expect(await ask(client, 'connect', '', ANN)).toBe(0);
    expect(await ask(client, 'write', '/a')).toBe(0);
    expect(judged).toEqual(['ann set /a']);
  });

  it('a second CONNECT changes nothing, whatever it brings', async () => {
    const client = await open(road);
    await ask(client, 'connect', '', BOB);
    expect(await ask(client, 'connect', '', ANN)).toBe(1);
    expect(await ask(client, 'write', '/ann/1')).toBe(6);
  });

  it('without them everything but CONNECT and heartbeats is refused', async () => {
    const client = await open(road);
    expect(await ask(client, 'connect', '')).toBe(0);
    for (const what of ['write', 'read', 'delete', 'watch', 'transaction', 'control', 'discover']) {
      expect(await ask(client, what, '/a'), what).toBe(5);
    }
    expect(await ask(client, 'heartbeat', '')).toBe(0);
    expect(client.closed).toBe(false);
  });

  it('every message may bring its own, which are good for it alone', async () => {
    const client = await open(road);
    await ask(client, 'connect', '');
    for (const what of ['write', 'read', 'transaction', 'watch', 'unwatch', 'delete', 'heartbeat', 'control', 'discover']) {
      expect(await ask(client, what, '/a', ANN), what).toBe(0);
      expect(await ask(client, 'write', '/a'), `after ${what}`).toBe(5);
    }
  });

  it('they take the place of those of the session, rights and authorship included, in order', async () => {
    const watcher = await open('prefixed');
    await watcher.request(by(ANN).connect?.(''));
    await watcher.watch('/*');
    const client = await open(road);
    await ask(client, 'connect', '', ANN);
    const codes = await Promise.all([
      ask(client, 'write', '/bob/1'),
      ask(client, 'write', '/bob/2', BOB),
      ask(client, 'write', '/ann/3', BOB),
      ask(client, 'write', '/bob/4'),
      ask(client, 'write', '/bob/5', WRONG),
      ask(client, 'transaction', '/bob/6', BOB),
      ask(client, 'write', '/bob/7'),
    ]);
    expect(codes).toEqual([0, 0, 6, 0, 5, 0, 0]);
    const events = await watcher.events(5);
    expect(events.map((event) => [event.path, event.by])).toEqual([
      ['/bob/1', 'ann'],
      ['/bob/2', 'bob'],
      ['/bob/4', 'ann'],
      ['/bob/6', 'bob'],
      ['/bob/7', 'ann'],
    ]);
  });

  it('a watch that they allow belongs to the session', async () => {
    const client = await open(road);
    await ask(client, 'connect', '', BOB);
    expect(await ask(client, 'watch', '/ann/*')).toBe(6);
    expect(await ask(client, 'watch', '/ann/*', ANN)).toBe(0);
    expect(await ask(client, 'write', '/ann/1', ANN)).toBe(0);
    const pong = await client.ask(by(null).heartbeat?.(''));
    expect(shape === 'map' ? pong.result : pong[2]).toMatchObject([{ path: '/ann/1', type: 'write', by: 'ann' }]);
  });

  it('somebody who shows nothing is whom the gateway takes nobody for', async () => {
    anonymous = true;
    const client = await open(road);
    await ask(client, 'connect', '');
    expect(await ask(client, 'write', '/guest/1')).toBe(0);
    expect(await ask(client, 'write', '/ann/1')).toBe(6);
    expect(await ask(client, 'discover', '/')).toBe(7);
  });
});

it('a failure of the gateway itself is answered as one, and told in the log', async () => {
  failure = new Error('the provider is broken');
  const client = await HavenClient.connect(at.port, { hello: false });
  const told = { errorName: 'INTERNAL' };
  await expect(client.request({ action: 'connect', version: '1' })).rejects.toMatchObject(told);
  await expect(client.request({ action: 'connect', version: '1', credentials: ANN })).rejects.toMatchObject(told);
  const errors = house.lines.filter(({ level }) => level === 'error');
  expect(errors.map(({ fields }) => fields['err'])).toEqual([failure, failure]);
  await client.close();
});

describe('what is under way', () => {
  it('is judged by its own, however long those of a later message take', async () => {
    const client = await HavenClient.connect(at.port, { connect: { credentials: ANN } });
    house.store.held = true;
    loginsHeld = true;
    const answers = [
      client.write('/ann/1', 1).then(codeOf),
      client.write('/ann/1', 2).then(codeOf),
      client.ask({ action: 'query', type: 'write', path: '/ann/1', value: 3, credentials: BOB }).then(codeOf),
      client.write('/ann/1', 4).then(codeOf),
    ];
    await become(() => logins.length === 1);
    logins[0]?.();
    await become(() => house.store.writes > 0);
    house.store.release();
    expect(await Promise.all(answers)).toEqual([0, 0, 6, 0]);
    expect(judged.map((line) => line.split(' ')[0])).toEqual(['ann', 'ann', 'bob', 'ann']);
    expect((await client.read('/ann/1')).value).toBe(4);
  });

  it('is done although the peer says no more', async () => {
    loginsHeld = true;
    const client = await HavenClient.connect(at.port, { hello: false });
    const answers = [
      client.ask({ action: 'connect', version: '1', credentials: ANN }),
      client.write('/a', 1),
      client.ask({ action: 'query', type: 'write', path: '/b', value: 1, credentials: BOB }),
      client.read('/a'),
    ];
    const closed = client.close();
    await become(() => logins.length === 1);
    logins[0]?.();
    await become(() => logins.length === 2);
    logins[1]?.();
    expect((await Promise.all(answers)).map(codeOf)).toEqual([0, 0, 6, 0]);
    await closed;
  });

  it('comes to nothing when the session has ended meanwhile', async () => {
    const client = await HavenClient.connect(at.port, { connect: { credentials: ANN, heartbeat: 1 } });
    loginsHeld = true;
    client.send({ action: 'query', type: 'write', path: '/gone', value: 1, credentials: ANN });
    await become(() => logins.length === 1);
    // It was silent for too long.
    await client.ended;
    logins[0]?.();
    loginsHeld = false;
    const other = await HavenClient.connect(at.port, { connect: { credentials: ANN } });
    await expect(other.read('/gone')).rejects.toMatchObject({ code: 7 });
    expect(judged).toEqual(['ann get /gone']);
  });

  it('holds no more than one login of a connection at a time', async () => {
    loginsHeld = true;
    const client = await HavenClient.connect(at.port, { hello: false });
    const message = (fields: object): Buffer => prefixed(pack(fields));
    client.raw(
      Buffer.concat([
        message({ action: 'connect', version: '1', credentials: ANN }),
        ...Array.from({ length: 100 }, () => message({ action: 'heartbeat', credentials: ANN })),
      ]),
    );
    for (let n = 0; n < 101; n++) {
      await become(() => logins.length === n + 1);
      logins[n]?.();
    }
    await become(() => client.strays.length === 101);
  });
});

describe('the session of somebody who is deleted', () => {
  it('D11 ends, also while it asks in the name of somebody else and does not take the answer', async () => {
    const secure = secureHouse();
    await secure.start();
    onTestFinished(() => secure.stop());
    const adapter = new HavenAdapter({ port: 0 });
    const { port } = await secure.add(adapter);
    const put = { type: 'putUser', when: 'any', merge: false, fields: { permissions: { '/*': { actions: ['*'] } } } } as const;
    for (const name of ['ann', 'bob']) await secure.administer({ ...put, name, id: `${name}-id` });
    const as = (username: string): object => ({ credentials: { username, password: passwordOf(username) } });
    const writer = await HavenClient.connect(port, { connect: { ...as('bob') } });
    const client = await HavenClient.connect(port, { connect: { ...as('ann') } });
    for (let n = 0; n < 30; n++) await writer.write(`/l/${n}`, 'x'.repeat(1_000_000));
    client.stall();
    const before = secure.counter('haven_messages_total');
    const read = client.read('/l/*', { ...as('bob') }).catch(() => 'ended');
    await become(() => secure.counter('haven_messages_total') > before && secure.gauge('sessions') === 2);
    await writer.heartbeat();
    await secure.administer({ type: 'deleteUser', name: 'ann' });
    await become(() => secure.gauge('sessions') === 1);
    client.resume();
    await Promise.all([read, client.ended]);
    expect((await writer.read('/l/1')).value).toHaveLength(1_000_000);
  });
});
