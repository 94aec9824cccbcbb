// Layers: what they see, in which order, what they may change, and what their mistakes cost.

import { afterEach, describe, expect, it } from 'vitest';
import { LayerLine } from '../../../src/adapters/happn/layers.js';
import {
  createGateway,
  type EmbeddedGateway,
  type EventMessage,
  type HappnLayers,
  type InboundMessage,
  type Layer,
  type OutboundMessage,
  type ResponseMessage,
} from '../../../src/index.js';
import { temporaryDirectory, until } from '../../support/gateway-process.js';
import { HappnWire, type WireFrame } from '../../support/happn-wire.js';
import { keptLog } from '../../support/silent-log.js';

const running: EmbeddedGateway[] = [];
let log = keptLog();

afterEach(async () => {
  await Promise.all(running.splice(0).map((gateway) => gateway.stop()));
  log = keptLog();
});

async function start(happn: HappnLayers): Promise<() => Promise<HappnWire>> {
  const ports = { happn: { port: 0 }, mqtt: { port: 0 }, haven: { port: 0 }, admin: { port: 0 } };
  const gateway = createGateway({ ...ports, data: { dir: temporaryDirectory() } }, { log, happn });
  running.push(gateway);
  const port = (await gateway.start()).get('happn')?.port;
  return async () => await (await HappnWire.connect(`ws://127.0.0.1:${port}/primus`)).login();
}

const isEvent = (message: OutboundMessage): message is EventMessage => 'publication' in message.request && !('response' in message);

describe('inbound layers', () => {
  it('see every request before it is decoded, one after the other, with its session and number', async () => {
    const seen: [string, InboundMessage][] = [];
    const note =
      (name: string): Layer<InboundMessage> =>
      (message, callback) => {
        seen.push([name, message]);
        callback(null, message);
      };
    const connect = await start({ inboundLayers: [note('first'), note('second')] });
    const wire = await connect();
    await wire.request('set', { path: '/a', data: { x: 1 } });
    expect(seen.map(([name, { raw, id }]) => `${name} ${String(raw['action'])} ${id}`)).toEqual([
      'first configure-session 1',
      'second configure-session 1',
      'first describe 2',
      'second describe 2',
      'first login 3',
      'second login 3',
      'first set 4',
      'second set 4',
    ]);
    const last = seen.at(-1)?.[1] as InboundMessage;
    expect(last.raw).toMatchObject({ action: 'set', path: '/a', data: { x: 1 } });
    expect(last.session).toEqual({ id: wire.sessionId, protocol: 'happn_4', user: '' });
  });

  it('change what is asked, and what they keep is not what is stored', async () => {
    const kept: InboundMessage[] = [];
    const connect = await start({
      inboundLayers: [
        (message, callback) => {
          if (message.raw['action'] !== 'set') return callback();
          message.raw['path'] = '/changed';
          message.raw['data'] = { stamped: new Date(0), leftOut: undefined };
          kept.push(message);
          setImmediate(callback, null, message);
        },
      ],
    });
    const wire = await connect();
    const answer = await wire.request('set', { path: '/asked', data: {} });
    expect(answer).toMatchObject({ data: { stamped: '1970-01-01T00:00:00.000Z' }, _meta: { path: '/changed', status: 'ok' } });
    (kept[0] as InboundMessage).raw['data'] = null;
    expect((await wire.request('get', { path: '/changed' })).data).toEqual({ stamped: '1970-01-01T00:00:00.000Z' });
  });

  it('refuse a request with an error, which alone is answered with it', async () => {
    const connect = await start({
      inboundLayers: [
        ({ raw }, callback) => {
          if (raw['path'] === '/closed') callback(new Error('not today'));
          else if (raw['path'] === '/forbidden') callback(Object.assign(new Error('no'), { code: 403 }));
          else callback();
        },
      ],
    });
    const wire = await connect();
    const refused = await wire.request('set', { path: '/closed', data: {} });
    expect(refused).toMatchObject({ data: null, _meta: { status: 'error', error: { name: 'Error', message: 'not today' } } });
    const forbidden = await wire.request('set', { path: '/forbidden', data: {} });
    expect(forbidden._meta).toMatchObject({ error: { name: 'AccessDenied', message: 'unauthorized', code: 403 } });
    expect((await wire.request('get', { path: '/closed' }))._meta).toMatchObject({ status: 'error' });
    expect((await wire.request('set', { path: '/open', data: {} }))._meta).toMatchObject({ status: 'ok' });
  });

  it('that throw, reject, call back twice, or make no request of it cost that request', async () => {
    const connect = await start({
      inboundLayers: [
        (message, callback) => {
          const { path } = message.raw;
          if (path === '/throws') throw new Error('secret of the program');
          if (path === '/rejects') return Promise.reject(new Error('secret of the program')) as never;
          if (path === '/nothing') message.raw = [] as never;
          callback(null, message);
          if (path === '/twice') callback(new Error('second'));
        },
      ],
    });
    const wire = await connect();
    for (const path of ['/throws', '/rejects']) {
      const { _meta } = await wire.request('set', { path, data: {} });
      expect(_meta?.['error']).toEqual({ name: 'SystemError', message: 'a layer failed on this message', code: 500 });
    }
    expect((await wire.request('set', { path: '/nothing', data: {} }))._meta).toMatchObject({ status: 'error' });
    expect((await wire.request('set', { path: '/twice', data: { x: 1 } }))._meta).toMatchObject({ status: 'ok' });
    expect((await wire.request('get', { path: '/twice' })).data).toEqual({ x: 1 });
    expect(log.lines.filter((line) => line.text.startsWith('a layer failed'))).toHaveLength(1);
  });

  it('that never call back end with a time-out, and what waits behind goes on', async () => {
    const connect = await start({
      layerTimeoutMs: 50,
      inboundLayers: [({ raw }, callback) => void (raw['path'] === '/never' || callback())],
    });
    const wire = await connect();
    const late = wire.request('set', { path: '/never', data: {} });
    const behind = wire.request('set', { path: '/behind', data: {} });
    expect((await late)._meta).toMatchObject({ status: 'error', error: { name: 'SystemError', code: 504 } });
    expect((await behind)._meta).toMatchObject({ status: 'ok' });
  });

  it('that take their time keep the order of a connection, and hold up no other', async () => {
    const held: (() => void)[] = [];
    const connect = await start({
      inboundLayers: [
        ({ raw }, callback) => {
          if (raw['path'] === '/slow') held.push(callback);
          else callback();
        },
      ],
    });
    const [slow, other] = [await connect(), await connect()];
    const first = slow.request('set', { path: '/slow', data: {} });
    const more = Array.from({ length: 300 }, (_, i) => slow.request('set', { path: '/order', data: { i } }));
    expect((await other.request('set', { path: '/free', data: {} }))._meta).toMatchObject({ status: 'ok' });
    expect((await other.request('get', { path: '/order' })).data).toBeNull();
    held[0]?.();
    await first;
    await Promise.all(more);
    expect((await other.request('get', { path: '/order' })).data).toEqual({ i: 299 });
  });
});

describe('outbound layers', () => {
  it('see answers with their requests, and events with their publication', async () => {
    const seen: OutboundMessage[] = [];
    const connect = await start({
      outboundLayers: [
        (message, callback) => {
          seen.push(message);
          callback(null, message);
        },
      ],
    });
    const wire = await connect();
    await wire.request('on', { path: '/SET@/did/both', options: { event_type: 'set' } });
    seen.length = 0;
    await wire.request('set', { path: '/did/both', data: { test: 'data' } });
    await wire.request('get', { path: '/did/*' });
    const [event, answer, list] = seen as [EventMessage, ResponseMessage, ResponseMessage];
    expect(event.session).toMatchObject({ id: wire.sessionId, protocol: 'happn_4' });
    expect(event.request).toMatchObject({ action: 'emit', options: { consistency: 2 } });
    expect(event.request.publication).toMatchObject({ data: { test: 'data' }, _meta: { path: '/did/both', channel: '/SET@/did/both' } });
    expect(answer.request).toMatchObject({ action: 'set', path: '/did/both', data: { test: 'data' } });
    expect(answer.response).toMatchObject({ data: { test: 'data' }, _meta: { status: 'ok', action: 'set' } });
    expect(list.request).toMatchObject({ action: 'get', path: '/did/*' });
    expect(list.response).toMatchObject([{ test: 'data' }, { status: 'ok' }]);
  });

  it('see the request of each answer, whatever it calls itself', async () => {
    const seen: unknown[] = [];
    const connect = await start({
      outboundLayers: [
        (message, callback) => {
          seen.push((message as ResponseMessage).request['path']);
          callback();
        },
      ],
    });
    const wire = await connect();
    const ids = [7_001, '7002', null, undefined, true, { of: 'mine' }, [1]];
    seen.length = 0;
    for (const [n, eventId] of ids.entries()) {
      wire.send({ action: 'set', path: `/called/${n}`, data: {}, eventId });
      await until('the answer', () => seen.length === n + 1);
    }
    expect(seen).toEqual(ids.map((_, n) => `/called/${n}`));
  });

  it('change what each subscriber gets, and nobody else’s data', async () => {
    const connect = await start({
      outboundLayers: [
        (message, callback) => {
          if (isEvent(message)) (message.request.publication['data'] as { to: string }).to = message.session.id;
          callback(null, message);
        },
      ],
    });
    const wires = [await connect(), await connect()];
    for (const wire of wires) await wire.request('on', { path: '/SET@/to', options: {} });
    await wires[0]?.request('set', { path: '/to', data: { to: 'all' } });
    for (const wire of wires) {
      await until('the event', () => wire.events().length === 1);
      expect((wire.events()[0] as WireFrame).data).toEqual({ to: wire.sessionId });
    }
    expect((await wires[0]?.request('get', { path: '/to' }))?.data).toEqual({ to: 'all' });
  });

  it('turn an answer into an error, and an event into nothing', async () => {
    const connect = await start({
      layerTimeoutMs: 50,
      outboundLayers: [
        (message, callback) => {
          const path = isEvent(message) ? (message.request.publication['_meta'] as { path: string }).path : message.request['path'];
          if (path === '/refused') callback(new Error('kept back'));
          else if (path === '/circle' && !isEvent(message)) {
            const circle: { self?: unknown } = {};
            circle.self = circle;
            callback(null, { ...message, response: circle });
          } else if (path !== '/late') callback();
        },
      ],
    });
    const wire = await connect();
    await wire.request('on', { path: '/ALL@*', options: {} });
    const refused = await wire.request('set', { path: '/refused', data: {} });
    expect(refused._meta).toMatchObject({ status: 'error', action: 'set', error: { message: 'kept back' } });
    expect((await wire.request('set', { path: '/circle', data: {} }))._meta).toMatchObject({ error: { code: 500 } });
    expect((await wire.request('set', { path: '/late', data: {} }))._meta).toMatchObject({ error: { code: 504 } });
    expect((await wire.request('set', { path: '/fine', data: {} }))._meta).toMatchObject({ status: 'ok' });
    expect(wire.events().map((event) => event._meta?.['path'])).toEqual(['/circle', '/fine']);
  });

  it('keep the order of what a connection is sent, however long each takes', async () => {
    let turn = 0;
    const connect = await start({
      outboundLayers: [(_message, callback) => void (turn++ % 3 === 0 ? setTimeout(callback, 1) : callback())],
    });
    const wire = await connect();
    await wire.request('on', { path: '/SET@/n', options: {} });
    await Promise.all(Array.from({ length: 100 }, (_, n) => wire.request('set', { path: '/n', data: { n } })));
    expect(wire.events().map((event) => (event.data as { n: number }).n)).toEqual(Array.from({ length: 100 }, (_, n) => n));
  });
});

describe('a line of layers', () => {
  it('lets nothing pass after it was closed', () => {
    const passed: unknown[] = [];
    let callback = (): void => {};
    const keep: Layer<{ n: number }> = (_message, next) => {
      callback = next;
    };
    const line = new LayerLine([keep], 1_000);
    line.push({ n: 1 }, (...result) => void passed.push(result));
    line.push({ n: 2 }, (...result) => void passed.push(result));
    expect(line.length).toBe(2);
    line.close();
    callback();
    line.push({ n: 3 }, (...result) => void passed.push(result));
    expect(passed).toEqual([]);
  });

  it('takes a hundred thousand messages at once without growing the stack', () => {
    let passed = 0;
    const line = new LayerLine<number>([(message, next) => next(null, message), (message, next) => next(null, message)], 1_000);
    let first = (): void => {};
    const hold: Layer<number> = (message, next) => {
      if (message === 0) first = next;
      else next();
    };
    const gate = new LayerLine([hold], 1_000);
    for (let i = 0; i < 100_000; i++) {
      gate.push(i, () => {
        line.push(i, () => {
          passed += 1;
        });
      });
    }
    expect(passed).toBe(0);
    first();
    expect(passed).toBe(100_000);
  });
});
