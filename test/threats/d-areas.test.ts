// The areas of the gateway itself and what only administrators may do, tried over every road by somebody who may do all the rest.

import type { IClientOptions } from 'mqtt';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type GatewayProcess, until } from '../support/gateway-process.js';
import type { HappnWire, WireFrame } from '../support/happn-wire.js';
import type { HavenClient } from '../support/haven-client.js';
import { ALL, by, happnAs, havenAs, isOk, mqttAs, type SecureGateway, type Shown, startSecureGateway } from '../support/secure-roads.js';

const AREAS = ['$SYS/broker/uptime', '$x', '/_SYSTEM/a', '_SYSTEM/a', '/_SYSTEM/_SECURITY/_USER/eve', '/_HAVEN/control/roles/x'];
const EVERYTHING = { '*': ALL, '$SYS/*': ALL, '$*': ALL, '/_SYSTEM/*': ALL, '_SYSTEM/*': ALL, '/_HAVEN/*': ALL };

let house: SecureGateway;
let gateway: GatewayProcess;
let happn: HappnWire;
let haven: HavenClient;
let eve: Shown;

beforeAll(async () => {
  house = await startSecureGateway({ flags: ['--mqtt-sys-interval-ms', '100'] });
  gateway = house.process;
  await house.user('eve', EVERYTHING);
  await house.user('root', {}, { groups: ['_ADMIN'] });
  eve = { token: (await house.token('eve')).token };
});
beforeEach(async () => {
  [happn, haven] = [await happnAs(gateway, eve), await havenAs(gateway, eve)];
});
afterEach(async () => {
  happn.socket.terminate();
  await haven.close();
});
afterAll(async () => void (await gateway.stop()));

const outcome = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'done',
    (error: Error & { errorName?: string }) => error.errorName ?? 'refused',
  );

async function asked(wire: HappnWire, action: string, fields: Record<string, unknown>): Promise<string> {
  return isOk((await wire.request(action, fields)) as WireFrame) ? 'done' : 'refused';
}

describe('D12 areas of the gateway are for administrators', () => {
  const VERSIONS = [4, 5] as const;

  it.each(AREAS)('%s is written, removed, read and heard by nobody else over happn and Haven', async (path) => {
    // What happn cannot say is refused for another reason.
    const options = { criteria: {} };
    for (const at of [path, `${path}*`, `${path.slice(0, -1)}*`]) {
      const isPattern = at.includes('*');
      const tries = [
        isPattern ? Promise.resolve('refused') : asked(happn, 'set', { path: at, data: { a: 1 } }),
        isPattern ? Promise.resolve('refused') : asked(happn, 'set', { path: at, data: { a: 1 }, options: { noStore: true } }),
        asked(happn, 'get', { path: at }),
        asked(happn, 'count', { path: at, options }),
        asked(happn, 'remove', { path: at, options }),
        asked(happn, 'on', { path: `/ALL@${at}` }),
      ];
      expect(new Set(await Promise.all(tries)), at).toEqual(new Set(['refused']));
      const over = [
        isPattern ? Promise.resolve('ACCESS_DENIED') : outcome(haven.write(at, 1)),
        isPattern ? Promise.resolve('ACCESS_DENIED') : outcome(haven.data('create', at, { value: 1 })),
        outcome(haven.read(at)),
        outcome(haven.delete(at)),
        outcome(haven.watch(at)),
      ];
      expect(new Set(await Promise.all(over)), at).toEqual(new Set(['ACCESS_DENIED']));
    }
    const ops = [{ type: 'write', path, value: 1 }];
    expect(await outcome(haven.request({ action: 'query', type: 'transaction', ops }))).toBe('ACCESS_DENIED');
  });

  it.each(VERSIONS)(
    'and over MQTT %i, also as a will and retained',
    async (protocolVersion) => {
      for (const topic of AREAS) {
        const device = await mqttAs(gateway, eve, { protocolVersion });
        const [grant] = await device.subscribeAsync(topic, { qos: 0 }).catch(() => []);
        expect([undefined, 128, 135], topic).toContain(grant?.qos);
        const [wide] = await device.subscribeAsync(`${topic.split('/').slice(0, -1).join('/') || topic}/#`, { qos: 0 }).catch(() => []);
        expect([undefined, 128, 135], topic).toContain(wide?.qos);
        for (const retain of [false, true]) {
          const writer = await mqttAs(gateway, eve, { protocolVersion });
          const gone = new Promise<string>((resolve) => writer.once('close', () => resolve('refused')));
          const written = await Promise.race([gone, outcome(writer.publishAsync(topic, 'x', { qos: 1, retain }))]);
          expect(written, topic).toBe('refused');
          await writer.endAsync(true);
        }
        const will: IClientOptions = { protocolVersion, will: { topic, payload: Buffer.from('x'), qos: 1, retain: true } };
        expect(await outcome(mqttAs(gateway, eve, will).then((client) => client.endAsync(true))), topic).toBe('refused');
        await device.endAsync(true);
      }
      expect((await readAsRoot('/_SYSTEM/a')) ?? null).toBeNull();
    },
    60_000,
  );

  it('of what is there nothing comes to who listens to everything', async () => {
    const device = await mqttAs(gateway, eve);
    const root = await mqttAs(gateway, by('root'));
    const [heard, system]: [string[], string[]] = [[], []];
    device.on('message', (topic) => heard.push(topic));
    root.on('message', (topic) => system.push(topic));
    await device.subscribeAsync(['#', '+/broker/uptime', '+/#'], { qos: 0 });
    await root.subscribeAsync('$SYS/#', { qos: 0 });
    await happn.request('on', { path: '/ALL@*' });
    const watch = await haven.watch('*');
    await until('what the gateway says of itself, twice', () => system.filter((topic) => topic === '$SYS/broker/uptime').length >= 2);
    await root.publishAsync('/_SYSTEM/b', 'x', { qos: 1, retain: true });
    await root.publishAsync('open/fence', 'x', { qos: 1 });
    await until('the fence', () => heard.includes('open/fence'));
    expect(heard.filter((topic) => topic.includes('SYS'))).toEqual([]);
    const events = await haven.events(1);
    expect(events.filter((event) => event.watch === watch).map(({ path }) => path)).toEqual(['open/fence']);
    expect(happn.events().map(({ _meta }) => _meta?.['path'])).toEqual(['open/fence']);
    const found = (await haven.read('*')) as { items: { path: string }[] };
    expect(found.items.filter(({ path }) => /^\/?(_SYSTEM|_HAVEN|\$)/.test(path))).toEqual([]);
    await Promise.all([device.endAsync(), root.endAsync()]);
  });

  async function readAsRoot(path: string): Promise<unknown> {
    const root = await havenAs(gateway, by('root'));
    const value = await root.read(path).then(
      (answer) => (answer as { value: unknown }).value,
      () => null,
    );
    await root.close();
    return value;
  }
});

describe('D13 somebody who is no administrator', () => {
  it('acts for nobody else, whatever is asked', async () => {
    await house.user('victim', { '/v/*': ALL });
    for (const onBehalfOf of ['victim', 'root', 'nobody at all']) {
      const options = { onBehalfOf };
      const tries = [
        asked(happn, 'set', { path: '/v/1', data: { a: 1 }, options }),
        asked(happn, 'set', { path: '/v/1', data: { a: 1 }, options: { ...options, noStore: true } }),
        asked(happn, 'set', { path: '/v/1', data: 'n', options: { ...options, increment: 1 } }),
        asked(happn, 'get', { path: '/v/1', options }),
        asked(happn, 'count', { path: '/v/*', options }),
        asked(happn, 'remove', { path: '/v/*', options }),
        asked(happn, 'on', { path: '/ALL@/v/*', options }),
      ];
      expect(new Set(await Promise.all(tries)), onBehalfOf).toEqual(new Set(['refused']));
    }
    // Whom nothing forbids _ADMIN's name, and who is herself all the same.
    expect(await asked(happn, 'set', { path: '/_SYSTEM/x', data: {}, options: { onBehalfOf: '_ADMIN' } })).toBe('refused');
  });

  it('a delegate speaks for no administrator', async () => {
    await house.user('agent', {}, { groups: ['_MESH_DELEGATE'] });
    const agent = await happnAs(gateway, by('agent'));
    expect(await asked(agent, 'set', { path: '/v/2', data: {}, options: { onBehalfOf: 'victim' } })).toBe('done');
    expect(await asked(agent, 'set', { path: '/v/2', data: {}, options: { onBehalfOf: 'root' } })).toBe('refused');
    expect(await asked(agent, 'set', { path: '/_SYSTEM/x', data: {}, options: { onBehalfOf: 'victim' } })).toBe('refused');
    agent.socket.terminate();
  });

  it('changes no roles of the node, and ends nothing by force', async () => {
    for (const type of ['location', 'processor', 'leader', 'follower', 'join', 'leave', 'destroy', 'exit', 'proxy', 'router']) {
      const { result } = await haven.ask({ action: 'control', type, path: '/x', uuid: 'x', force: true });
      expect(result, type).toBe(false);
    }
    // The right for it, and for nothing else, can be given.
    const { body } = await house.api.ask('GET', '/audit?action=control.change');
    expect(JSON.stringify(body)).not.toContain('"refusal":null');
  });

  it('is refused every operation of the administration, with every kind of token', async () => {
    const { description, url } = house.api;
    const tokens = [(await house.token('eve')).token, (await house.token('victim')).token, '', 'x', undefined];
    const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => [method, path] as const),
    );
    expect(operations.length).toBeGreaterThan(20);
    const before = JSON.stringify((await house.api.ask('GET', '/users')).body);
    for (const [method, template] of operations) {
      if (/\/(login|openapi\.json)$/.test(template)) continue;
      for (const token of tokens) {
        const response = await fetch(url + template.replaceAll(/\{\w+\}/g, 'victim'), {
          method: method.toUpperCase(),
          headers: { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
          ...(method === 'get' ? {} : { body: '{"groups":["_ADMIN"],"user":"root"}' }),
        });
        expect([401, 403], `${method} ${template}`).toContain(response.status);
        await response.body?.cancel();
      }
    }
    expect(JSON.stringify((await house.api.ask('GET', '/users')).body)).toBe(before);
  }, 60_000);

  it('does not end the sessions of others, nor their tokens, over happn', async () => {
    const other = await happnAs(gateway, by('victim'));
    const { id, token } = await house.token('victim');
    const data = { id, token, tokenId: id, sessionId: other.sessionId, username: 'victim', session: { id: other.sessionId } };
    for (const action of ['revoke-session', 'revoke-token', 'disconnect-child-sessions', 'disconnect', 'session-end', 'kick', 'security']) {
      const mine = await happnAs(gateway, { token: (await house.token('eve')).token });
      await mine.request(action, { data, options: data, sessionId: other.sessionId }).catch(() => null);
      mine.socket.terminate();
    }
    expect(await asked(other, 'set', { path: '/v/3', data: {} })).toBe('done');
    const again = await happnAs(gateway, { token });
    for (const { socket } of [other, again]) socket.terminate();
  }, 60_000);
});
