import { describe, expect, it } from 'vitest';
import * as codec from '../../../src/adapters/haven/codec.js';
import { HavenMessage } from '../../../src/adapters/haven/codec.js';
import { beginPushed, type EventTail, encodeEventTail, encodePong } from '../../../src/adapters/haven/events.js';
import { msgpack } from '../../../src/adapters/haven/index.js';
import { Scanner } from '../../../src/adapters/haven/scanner.js';
import { WatchList } from '../../../src/adapters/haven/watchlist.js';
import { ERROR, type HavenErrorName, havenError, MAGIC } from '../../../src/adapters/haven/wire.js';
import { Constant, Writer } from '../../../src/adapters/haven/writer.js';
import {
  Entry,
  Payload,
  Publication,
  REQUEST_ERRORS,
  RequestError,
  type RequestErrorCode,
  STORED,
  type Value,
} from '../../../src/core/index.js';
import { pack, unpack } from '../../support/haven-client.js';
import { hex, LIMITS } from './support.js';

/** As the listener does it: scanned, then read. */
function decode(bytes: Buffer): HavenMessage {
  const scanner = new Scanner(LIMITS);
  expect(scanner.scan(bytes, 0, bytes.length)).toBe(bytes.length);
  const message = codec.decodeMessage(bytes, 0, bytes.length);
  if (message === null) throw new Error('no message');
  return message;
}

const request = (fields: unknown): HavenMessage => decode(pack(fields));

function encode(write: (writer: Writer) => void): Buffer {
  const writer = new Writer();
  write(writer);
  return writer.take();
}

const answer = (write: (writer: Writer) => void): unknown => unpack(encode(write));
const entry = (value: Value, revision = 7): Entry => new Entry('a/b', Payload.fromValue(value, msgpack), 1_000, 2_000, revision, 'ann');
const shaped = (shape: 'map' | 'array', id: Buffer | null = null): HavenMessage =>
  Object.assign(new HavenMessage(shape), { idIn: id, idTo: id?.length ?? 0, action: 'data' });

describe('requests of the map shape', () => {
  it('CONNECT', () => {
    expect(request({ action: 'connect', version: '1', heartbeat: 5_000 })).toMatchObject({
      shape: 'map',
      action: 'connect',
      details: { version: '1', heartbeatMs: 5_000 },
      fault: null,
    });
    expect(request({ action: 'connect', version: 1, magic: MAGIC }).details).toMatchObject({ version: 1, magic: MAGIC });
  });

  it.each(['create', 'read', 'write', 'update', 'delete', 'watch', 'unwatch', 'transaction'])('DATA %s', (type) => {
    expect(request({ action: 'query', type, path: '/a/b' })).toMatchObject({ action: 'data', type, path: '/a/b', fault: null });
    expect(request({ action: 'query', type, key: '/a/b' })).toMatchObject({ path: '/a/b' });
  });

  it('options of DATA', () => {
    const details = { expect: 0, limit: 5, after: 'x', merge: true, initial: true, push: true, watch: 3 };
    const message = request({ action: 'query', type: 'read', path: 'a', mode: 'ro', ...details });
    expect(message).toMatchObject({ details, mode: 'ro', fault: null });
  });

  it('operations of a transaction, in both shapes', () => {
    const ops = [
      { type: 'create', path: 'a', value: [1], expect: 0, credentials: 7 },
      { type: 'delete', key: 'b' },
      { type: 'write', path: 'c', value: null, merge: true },
    ];
    const wanted = [
      { type: 'create', path: 'a', details: { expect: 0, merge: false }, credentials: null, fault: null },
      { type: 'delete', path: 'b', value: null },
      { type: 'write', path: 'c', details: { merge: true, expect: null } },
    ];
    for (const message of [request({ action: 'query', type: 'transaction', ops }), request([2, 4, null, null, null, null, { ops }])]) {
      expect(message.fault).toBeNull();
      const { operations } = message.details;
      expect(operations).toMatchObject(wanted);
      expect(operations?.map(({ value }) => value?.value())).toEqual([[1], undefined, null]);
    }
    expect(request({ action: 'query', type: 'transaction', ops: [{}, 5] }).fault).toMatchObject({ code: 'INVALID_REQUEST', operation: 1 });
    expect(request({ action: 'query', type: 'transaction', ops: {} }).fault).toMatchObject({ code: 'INVALID_REQUEST' });
  });

  it.each(['criteria', 'fields', 'sort'] as const)('%s is kept as it came, in both shapes', (field) => {
    const sought = { a: 1, 'b.c': { $in: [1, 'x'] } };
    expect(request({ action: 'query', type: 'read', path: '*', [field]: sought }).details[field]).toEqual(sought);
    expect(request([2, 1, null, null, '*', null, { [field]: sought }]).details[field]).toEqual(sought);
    expect(request({ action: 'query', type: 'read', path: '*', [field]: null }).details[field]).toBeNull();
  });

  it.each([
    ['become', 'control'],
    ['discover', 'discover'],
    ['heartbeat', 'heartbeat'],
  ])('%s', (action, name) => {
    expect(request({ action, type: 'ping' })).toMatchObject({ action: name, type: 'ping', fault: null });
  });

  it('text may come as bytes', () => {
    const bytes = Buffer.concat([
      hex('84'),
      ...['action', 'query', 'type', 'write', 'path', 'a/ä'].map((text) => pack(Buffer.from(text))),
      hex('a5 76616c7565 01'),
    ]);
    expect(decode(bytes)).toMatchObject({ action: 'data', type: 'write', path: 'a/ä', fault: null });
  });

  it('keeps a value and an id as the bytes that came', () => {
    const value = hex('82 a161 d10001 a161 ca3fc00000');
    const id = hex('c403 fffefd');
    const bytes = Buffer.concat([
      hex('85'),
      pack('action'),
      pack('query'),
      pack('type'),
      pack('write'),
      pack('value'),
      value,
      pack('id'),
      id,
      pack('path'),
      pack('p'),
    ]);
    const message = decode(bytes);
    expect(Buffer.from(message.value?.bytes(msgpack) as Uint8Array)).toEqual(value);
    expect(message.value?.format).toBe(msgpack);
    expect(message.idIn?.subarray(message.idFrom, message.idTo)).toEqual(id);
  });

  it('of equal keys the last one counts', () => {
    const bytes = Buffer.concat([
      hex('84'),
      pack('action'),
      pack('heartbeat'),
      pack('action'),
      pack('query'),
      pack('type'),
      pack('read'),
      pack('path'),
      pack('a'),
    ]);
    expect(decode(bytes)).toMatchObject({ action: 'data', type: 'read' });
  });

  it('credentials of any message', () => {
    const credentials = { username: 'ann', password: 'secret' };
    expect(request({ action: 'heartbeat', type: 'ping', credentials }).credentials).toEqual(credentials);
    expect(request({ action: 'connect', version: '1', credentials: { token: Buffer.from('t') } }).credentials).toEqual({ token: 't' });
  });

  it.each<[string, unknown, RequestErrorCode]>([
    ['no action', { type: 'read' }, 'INVALID_REQUEST'],
    ['an unknown action', { action: 'dance' }, 'UNKNOWN_OPERATION'],
    ['an action that is no text', { action: 7 }, 'INVALID_REQUEST'],
    ['a query without a type', { action: 'query', path: 'a' }, 'INVALID_REQUEST'],
    ['an unknown type of query', { action: 'query', type: 'upsert', path: 'a' }, 'UNKNOWN_OPERATION'],
    ['a path that is no text', { action: 'query', type: 'read', path: ['a'] }, 'INVALID_REQUEST'],
    ['a path that is no UTF-8', { action: 'query', type: 'read', path: hex('ff') }, 'INVALID_REQUEST'],
    ['a negative expect', { action: 'query', type: 'write', path: 'a', value: 1, expect: -1 }, 'INVALID_REQUEST'],
    ['a limit that is no whole number', { action: 'query', type: 'read', path: '*', limit: 1.5 }, 'INVALID_REQUEST'],
    ['a merge that is no flag', { action: 'query', type: 'update', path: 'a', value: {}, merge: 1 }, 'INVALID_REQUEST'],
    ['an unknown mode', { action: 'query', type: 'read', path: 'a', mode: 'wo' }, 'INVALID_REQUEST'],
    ['credentials that are no map', { action: 'heartbeat', credentials: 'me' }, 'INVALID_REQUEST'],
    ['a huge id', { action: 'heartbeat', id: 'x'.repeat(2_000) }, 'LIMIT_EXCEEDED'],
  ])('%s is a fault of the request', (_name, fields, code) => {
    expect(request({ ...(fields as object), ...('id' in (fields as object) ? {} : { id: 9 }) }).fault?.code).toBe(code);
  });
});

describe('requests of the array shape, as havenctl packs them', () => {
  it('CONNECT', () => {
    expect(decode(hex('93 01 ce decafbad 01'))).toMatchObject({
      shape: 'array',
      action: 'connect',
      details: { magic: MAGIC, version: 1 },
      fault: null,
    });
    expect(request([1, MAGIC, 1, { username: 'ann' }]).credentials).toEqual({ username: 'ann' });
  });

  it.each([
    [1, 'read'],
    [3, 'write'],
    [4, 'transaction'],
    [5, 'unwatch'],
    [6, 'delete'],
    [7, 'watch'],
  ])('DATA verb %i is %s', (verb, type) => {
    expect(request([2, verb, 0x0c, null, '/a', null])).toMatchObject({ action: 'data', type, mode: 'rw', path: '/a', fault: null });
  });

  it.each([
    [0x0c, 'rw'],
    [0x0d, 'ro'],
    [0x1d, 'rb'],
    [0x1c, 'rt'],
    [null, null],
  ])('DATA mode %s is %s', (mode, name) => {
    expect(request([2, 1, mode, null, 'a'])).toMatchObject({ mode: name, fault: null });
  });

  it('a value, nil too, and options', () => {
    expect(request([2, 3, null, null, 'a', { x: 1 }]).value?.value()).toEqual({ x: 1 });
    expect(request([2, 3, null, null, 'a', null]).value?.value()).toBeNull();
    expect(request([2, 3, null, null, 'a']).value).toBeNull();
    const message = request([2, 3, null, null, 'a', 1, { expect: 4, merge: true, path: 'other', credentials: {} }, { token: 't' }]);
    expect(message).toMatchObject({ details: { expect: 4, merge: true }, path: 'a', credentials: { token: 't' } });
  });

  it('old-spec raw', () => {
    expect(decode(hex('96 02 03 0c c0 da0003 612f62 da0002 fffe'))).toMatchObject({ path: 'a/b', fault: null });
  });

  it.each([
    [[3, 7, null, '/location', { token: 't' }], 'control'],
    [[6, 'location', null, null, { token: 't' }], 'discover'],
    [[7, { token: 't' }], 'heartbeat'],
  ])('%j is %s with credentials', (fields, action) => {
    expect(request(fields)).toMatchObject({ action, credentials: { token: 't' }, fault: null });
  });

  it.each<[unknown[], RequestErrorCode]>([
    [[], 'INVALID_REQUEST'],
    [[99], 'UNKNOWN_OPERATION'],
    [['connect'], 'UNKNOWN_OPERATION'],
    [[2], 'INVALID_REQUEST'],
    [[2, 99, null, null, 'a'], 'UNKNOWN_OPERATION'],
    [[2, 1, 99, null, 'a'], 'INVALID_REQUEST'],
    [[2, 1, null, null, 5], 'INVALID_REQUEST'],
    [[2, 1, null, null, 'a', null, 'options'], 'INVALID_REQUEST'],
  ])('%j is a fault', (fields, code) => {
    expect(request(fields).fault?.code).toBe(code);
  });
});

it('a message that is neither map nor array has no shape', () => {
  for (const text of ['c0', '07', 'a161', 'c40100', 'ce00000001']) expect(codec.decodeMessage(hex(text), 0, hex(text).length)).toBeNull();
});

describe('answers, to the byte', () => {
  const times = 'a7 63726561746564 cd03e8 a8 6d6f646966696564 cd07d0';
  const revision = 'a8 7265766973696f6e 07';
  const ok = 'a6 726573756c74 c3';

  it.each<[string, 'map' | 'array', (writer: Writer, message: HavenMessage) => void, string]>([
    ['written', 'map', (w, m) => codec.encodeWritten(w, m, entry(1)), `84 ${ok} ${revision} ${times}`],
    ['written', 'array', (w, m) => codec.encodeWritten(w, m, entry(1)), `93 14 00 83 ${revision} ${times}`],
    ['read', 'map', (w, m) => codec.encodeRead(w, m, entry('x'), null, msgpack), `85 ${ok} a5 76616c7565 a178 ${revision} ${times}`],
    ['read', 'array', (w, m) => codec.encodeRead(w, m, entry('x'), null, msgpack), '93 14 00 a178'],
    ['removed', 'map', (w, m) => codec.encodeRemoved(w, m, 3), `82 ${ok} a7 72656d6f766564 03`],
    ['removed', 'array', (w, m) => codec.encodeRemoved(w, m, 3), '93 14 00 81 a7 72656d6f766564 03'],
    ['watching', 'map', (w, m) => codec.encodeWatching(w, m, 2, 7, false), `83 ${ok} a5 7761746368 02 ${revision}`],
    ['watching', 'array', (w, m) => codec.encodeWatching(w, m, 2, 7, true), `93 14 00 83 a5 7761746368 02 ${revision} a6 6d6973736564 c3`],
    ['done', 'map', (w, m) => codec.encodeDone(w, m), `81 ${ok}`],
    ['done', 'array', (w, m) => codec.encodeDone(w, m), '93 14 00 80'],
  ])('%s (%s)', (_name, shape, write, expected) => {
    expect(encode((writer) => write(writer, shaped(shape))).toString('hex')).toBe(hex(expected).toString('hex'));
  });

  it('an id is echoed as it came', () => {
    expect(encode((writer) => codec.encodeDone(writer, shaped('map', hex('cd0007')))).toString('hex')).toBe(
      hex(`82 ${ok} a26964 cd0007`).toString('hex'),
    );
  });

  it('connected', () => {
    const welcome = { session: 's', nodeId: 'n', nodeName: 'name', heartbeatMs: 60_000 };
    expect(encode((writer) => codec.encodeConnected(writer, shaped('array'), welcome))).toEqual(hex('93 01 00 01'));
    expect(answer((writer) => codec.encodeConnected(writer, shaped('map', hex('05')), welcome))).toEqual({
      result: true,
      version: '1',
      session: 's',
      node: { uuid: 'n', name: 'name' },
      heartbeat: 60_000,
      id: 5,
    });
  });

  it('items', () => {
    const entries = [entry(1), new Entry('a/c', Payload.fromValue('x', msgpack), 1, 2, 3, '')];
    const items = [
      { path: 'a/b', value: 1, revision: 7, created: 1_000, modified: 2_000 },
      { path: 'a/c', value: 'x', revision: 3, created: 1, modified: 2 },
    ];
    expect(answer((writer) => codec.encodeItems(writer, shaped('map'), entries, true, null, msgpack))).toEqual({
      result: true,
      items,
      more: true,
    });
    expect(answer((writer) => codec.encodeItems(writer, shaped('array'), entries, false, null, msgpack))).toEqual([0x14, 0, { items }]);
  });

  it('pong', () => {
    const list = new WatchList({ maxEvents: 1, maxBytes: 1_000 });
    const writer = new Writer();
    const news = (path: string, value: Value | null): Publication => {
      const payload = value === null ? null : Payload.fromValue(value, msgpack);
      return new Publication(
        value === null ? 'remove' : 'set',
        path,
        payload,
        payload,
        null,
        1,
        9,
        5,
        STORED,
        'origin',
        null,
        'ann',
        'all',
      );
    };
    list.push(1, encodeEventTail(writer, news('a', null), msgpack));
    list.push(2, encodeEventTail(writer, news('b', { n: 1 }), msgpack));
    const state = pack({ uuid: 'u' });
    const events = [{ watch: 2, path: 'b', type: 'write', value: { n: 1 }, revision: 9, time: 5, by: 'ann' }];
    expect(list.missed).toBe(1);
    expect(answer((w) => encodePong(w, shaped('map'), list, state, 9))).toEqual({
      action: 'heartbeat',
      type: 'pong',
      result: events,
      missed: 1,
      state: { uuid: 'u' },
      revision: 9,
    });
    list.clear();
    list.push(1, encodeEventTail(writer, news('a', null), msgpack));
    const removal = [{ watch: 1, path: 'a', type: 'delete', revision: 9, time: 5, by: 'ann' }];
    expect(answer((w) => encodePong(w, shaped('array'), list, state, 9))).toEqual([1, 0, removal, { uuid: 'u' }]);
    expect(writer.length).toBe(0);
  });

  it('pushed events', () => {
    expect(answer((writer) => beginPushed(writer, 0))).toEqual({ action: 'heartbeat', type: 'pong', push: true, result: [] });
  });
});

describe('errors', () => {
  const error = { name: 'CONFLICT', message: 'why' } as const;

  it('map', () => {
    expect(answer((writer) => codec.encodeError(writer, shaped('map', hex('a178')), error, false))).toEqual({
      result: false,
      error: { code: 8, name: 'CONFLICT', message: 'why' },
      id: 'x',
    });
  });

  it.each([
    ['data', false, [0x34, 8, { name: 'CONFLICT', message: 'why' }]],
    ['connect', true, [0, 8, 1, { name: 'CONFLICT', message: 'why' }]],
    ['control', false, [0x1d, 8, { name: 'CONFLICT', message: 'why' }]],
    ['discover', false, [0x1d, 8, { name: 'CONFLICT', message: 'why' }]],
    ['heartbeat', false, [0, 8, { name: 'CONFLICT', message: 'why' }]],
    [null, true, [0, 8, 1, { name: 'CONFLICT', message: 'why' }]],
    [null, false, [0x34, 8, { name: 'CONFLICT', message: 'why' }]],
  ] as const)('array, for %s', (action, connecting, expected) => {
    const message = Object.assign(new HavenMessage('array'), { action });
    expect(answer((writer) => codec.encodeError(writer, message, error, connecting))).toEqual(expected);
  });

  it('one table: every code of the core has a name, names have the documented numbers', () => {
    const names: HavenErrorName[] = [
      'MALFORMED',
      'UNSUPPORTED_VERSION',
      'BAD_MAGIC',
      'NOT_CONNECTED',
      'UNAUTHORIZED',
      'ACCESS_DENIED',
      'NOT_FOUND',
      'CONFLICT',
      'UNSUPPORTED',
      'LIMIT_EXCEEDED',
      'INVALID_PATH',
      'TIMEOUT',
      'INTERNAL',
      'OVERLOADED',
    ];
    expect(Object.keys(ERROR)).toEqual([...names, 'OUT_OF_HISTORY']);
    expect(Object.values(ERROR)).toEqual([...names.map((_, i) => i + 1), ERROR.UNSUPPORTED]);
    for (const code of Object.keys(REQUEST_ERRORS)) {
      expect(ERROR[havenError(new RequestError(code as RequestErrorCode, 'x')).name]).toBeGreaterThan(0);
    }
  });
});

describe('writer', () => {
  it('writes what msgpackr reads, across its buffers', () => {
    const writer = new Writer();
    const long = 'ä'.repeat(50_000);
    writer.array(9);
    writer.number(127);
    writer.number(65_535);
    writer.number(4_294_967_295);
    writer.number(2 ** 40);
    writer.number(-1);
    writer.text(long);
    writer.text('x'.repeat(40));
    writer.nil();
    writer.map(0);
    expect(unpack(writer.take())).toEqual([127, 65_535, 4_294_967_295, 2 ** 40, -1, long, 'x'.repeat(40), null, {}]);
  });

  it('writes constants of every length to their last byte and not beyond, across its buffers too', () => {
    const writer = new Writer();
    const written: Buffer[] = [];
    const wanted: Buffer[] = [];
    for (let n = 0; n < 20_000; n++) {
      const bytes = Buffer.alloc(n % 14, n);
      writer.constant(new Constant(bytes));
      wanted.push(bytes);
      if (n % 5 === 0) written.push(writer.take());
    }
    written.push(writer.take());
    expect(Buffer.concat(written).equals(Buffer.concat(wanted))).toBe(true);
  });

  it('what was taken is never written again', () => {
    const writer = new Writer();
    const taken: Buffer[] = [];
    for (let n = 0; n < 5_000; n++) {
      const mark = writer.beginPrefixed();
      writer.text(`message ${n}`);
      writer.endPrefixed(mark);
      if (n % 3 === 0) taken.push(writer.take());
    }
    taken.push(writer.take());
    const stream = Buffer.concat(taken);
    let at = 0;
    for (let n = 0; n < 5_000; n++) {
      const end = at + 4 + stream.readUInt32BE(at);
      expect(unpack(stream.subarray(at + 4, end))).toBe(`message ${n}`);
      at = end;
    }
  });
});

describe('watchlist', () => {
  const tail = (bytes: number): EventTail => ({ entries: 0, bytes: Buffer.alloc(bytes) });

  it('keeps the newest within both bounds and counts what had to go', () => {
    const list = new WatchList({ maxEvents: 3, maxBytes: 200 });
    for (let n = 0; n < 5; n++) list.push(n, tail(10));
    expect([list.length, list.missed]).toEqual([3, 2]);
    expect(list.push(5, tail(150))).toBe(2);
    expect([list.length, list.missed]).toEqual([2, 4]);
    expect(list.push(6, tail(500))).toBe(3);
    expect([list.length, list.bytes, list.missed]).toEqual([0, 0, 7]);
    list.clear();
    expect(list.missed).toBe(0);
  });
});
