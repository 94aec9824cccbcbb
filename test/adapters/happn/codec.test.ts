// From frames to requests, and from replies and publications to texts, as pure functions.

import { describe, expect, test } from 'vitest';
import * as codec from '../../../src/adapters/happn/codec.js';
import { encodeEvent } from '../../../src/adapters/happn/events.js';
import { decodeGet, decodeSet } from '../../../src/adapters/happn/requests.js';
import { type MergeForm, UNCONFIGURED, versionNamed } from '../../../src/adapters/happn/versions.js';
import type { Frame } from '../../../src/adapters/happn/wire.js';
import { Entry } from '../../../src/core/data/entry.js';
import { Meta } from '../../../src/core/data/meta.js';
import { Payload, type Value } from '../../../src/core/data/payload.js';
import { DataRequest, Publication, Reply, STORED } from '../../../src/core/message.js';
import { Session } from '../../../src/core/sessions/session.js';
import { formats } from '../../support/core-harness.js';
import { costMs } from '../../support/processor-time.js';

class NoSession extends Session {
  constructor() {
    super('11111111-2222-4333-8444-555555555555', 'happn', false);
  }
  override flush(): void {}
  override get bufferedBytes(): number {
    return 0;
  }
  override pauseReading(): void {}
  override resumeReading(): void {}
  override close(): void {}
}

const session = new NoSession();
const version4 = versionNamed('happn_4') ?? UNCONFIGURED;
const asker: codec.Asker = { id: session.id, version: version4 };
const bytes = (text: string): Buffer => Buffer.from(text);

function entry(path: string, payload: Payload): Entry {
  return new Entry(path, payload, 1_700_000_000_000, 1_700_000_000_001, 7, '');
}

function stored(path: string, payload: Payload, of: Entry | null): Reply {
  const reply = new Reply(new DataRequest('set', session, 3, path, null, payload, STORED, true, 0, null));
  reply.entry = of;
  return reply;
}

function set(data: unknown, options: unknown = {}): ReturnType<typeof decodeSet> {
  return decodeSet({ action: 'set', eventId: 1, path: '/a', data, options }, session, formats);
}

describe('a set', () => {
  test('keeps what is no object as what it is', () => {
    for (const data of ['text', 0, false, null, [1, { b: 2 }], '']) {
      const { payload } = set(data);
      expect(payload?.value()).toEqual(data);
    }
  });

  test('keeps an object, even one that looks wrapped', () => {
    expect(set({ value: 5 }).payload?.value()).toEqual({ value: 5 });
  });

  test('without data is an empty object', () => {
    expect(set(undefined).payload?.value()).toEqual({});
  });

  test('drops top-level meta', () => {
    expect(set({ a: 1, _meta: { path: '/evil' } }).payload?.value()).toEqual({ a: 1 });
  });

  test('takes exactly the binary form as bytes', () => {
    const binary = { $binary: { base64: 'AAEC', subType: '00' } };
    expect(set(binary).payload?.value()).toEqual(Buffer.from([0, 1, 2]));
    for (const other of [
      { ...binary, more: 1 },
      { $binary: { base64: 'AAEC', subType: '01' } },
      { $binary: { base64: 'AAEC', subType: '00', more: 1 } },
      { $binary: { base64: 'A', subType: '00' } },
      { $binary: { base64: 1, subType: '00' } },
      { $binary: 'AAEC' },
      { $binary: null },
    ]) {
      expect(set(other).payload?.value()).toEqual(other);
    }
  });

  test('shares its options with every set of its kind', () => {
    expect(set(1).options).toBe(set(2, { timeout: 5 }).options);
    expect(set(1).options).toMatchObject({ store: true, publish: true, merge: false });
    expect(set(1, { noStore: true }).options).toMatchObject({ store: false, publish: true, qos: 0 });
    expect(set(1, { noPublish: true, merge: true }).options).toMatchObject({ store: true, publish: false, merge: true });
    expect(set(1, { upsertType: 3 }).options.publish).toBe(false);
  });

  test('keeps custom meta but for the reserved keys', () => {
    const meta = JSON.parse('{"custom":1,"path":"x","channel":"y","publicationId":"z","__proto__":{"a":1},"eventOrigin":1}') as object;
    expect(set(1, { meta }).options.meta?.values()).toEqual({ custom: 1 });
    expect(set(1, { meta: { path: 'x' } }).options.meta).toBeNull();
  });

  test.each([
    [{ increment: 1 }, 'invalid increment counter field name, must be a string'],
    [{ targetClients: 'x' }, 'options.targetClients must be an array of session ids'],
    [{ targetClients: [1] }, 'options.targetClients must be an array of session ids'],
    [{ consistency: 4 }, 'options.consistency must be 0, 1, 2 or 3'],
    [{ consistency: '3' }, 'options.consistency must be 0, 1, 2 or 3'],
    [{ meta: 'x' }, 'options.meta must be an object'],
  ])('with the options %j is refused', (options, message) => {
    expect(() => set(1, options)).toThrow(expect.objectContaining({ message }));
  });

  test('that counts names its counter and by how much', () => {
    expect(set('clicks', { increment: 2 }).options.increment).toEqual({ name: 'clicks', by: 2 });
    expect(set('clicks', { increment: 2, noStore: true }).options.increment).toBeNull();
    for (const increment of ['2', Number.NaN, {}, true]) {
      expect(() => set('clicks', { increment })).toThrow('increment option value must be a number');
    }
  });

  test('of a sibling goes below its path, each to a place of its own', () => {
    const paths = [1, 2].map((n) => set(n, { set_type: 'sibling' }).path);
    for (const path of paths) expect(path).toMatch(/^\/a\/[0-9a-f]{32}$/);
    expect(new Set(paths).size).toBe(2);
  });

  test('takes options that ask for nothing', () => {
    expect(() => set(1, { consistency: 2, tag: null, increment: undefined, targetClients: null, publishResults: false })).not.toThrow();
    expect(() => set(1, null)).not.toThrow();
  });

  test.each([
    [undefined, 'Bad path [undefined], must be a string'],
    [5, 'Bad path [5], must be a string'],
    [{}, 'Bad path [object], must be a string'],
    [
      'bad/^',
      'Bad path, can only contain characters a-z A-Z 0-9 / & + = : @ % * ( ) _ -, ie: factory1@I&J(western-cape)/plant1:conveyer_2/stats=true/capacity=10%/*',
    ],
    ['a/*', "Bad path, if the action is 'set' the path cannot contain the * wildcard character"],
  ])('on the path %j is refused with the text that clients know', (path, message) => {
    expect(() => decodeSet({ action: 'set', path, data: 1 }, session, formats)).toThrow(expect.objectContaining({ message }));
  });

  test('on a long wrong path is refused at once', () => {
    const path = `${'a'.repeat(60_000)}^`;
    const refused = (): void => expect(() => decodeSet({ action: 'set', path, data: 1 }, session, formats)).toThrow(/Bad path/);
    expect(costMs(refused)).toBeLessThan(50);
  });

  test('answers its event id as it came', () => {
    expect(codec.requestId({ eventId: 7 })).toBe(7);
    expect(codec.requestId({ eventId: 'x' })).toBe('x');
    for (const eventId of [undefined, null, {}, [], true]) expect(codec.requestId({ eventId })).toBeNull();
  });
});

describe('a get', () => {
  const get = (path: unknown, options: unknown = {}): ReturnType<typeof decodeGet> => decodeGet({ action: 'get', path, options }, session);

  test('has a pattern when its path has a wildcard', () => {
    expect(get('/a/b').pattern).toBeNull();
    expect(get('/a/*').pattern?.matches('/a/b/c')).toBe(true);
  });

  test('takes characters that a set does not', () => {
    expect(() => get('bad/path/^$!')).not.toThrow();
  });

  test('has a query when it asks for some of the records, or for a part of them', () => {
    expect(get('/a/*', {}).options.query).toBeNull();
    expect(get('/a/*', { criteria: null, options: {}, path_only: true }).options.query).toBeNull();
    expect(get('/a/*', { criteria: { n: 1 } }).options.query?.hasCriteria).toBe(true);
    expect(get('/a/*', { fields: { n: 1 } }).options.query?.hasFields).toBe(true);
    expect(get('/a/*', { options: { fields: { n: 1 } } }).options.query?.hasFields).toBe(true);
    expect(get('/a/*', { sort: { n: -1 } }).options.query?.isSorted).toBe(true);
    expect(get('/a/*', { options: { sort: { n: -1 }, limit: 5, skip: 2 } }).options.query).toMatchObject({
      limit: 5,
      skip: 2,
      isSorted: true,
    });
    expect(get('/a/*', { limit: 5 }).options.query).toBeNull();
    expect(decodeGet({ action: 'count', path: '/a' }, session).options.query?.count).toBe(true);
  });

  test.each(['aggregate', 'collation'])('with %s is refused with the text that clients know', (name) => {
    for (const options of [{ [name]: [] }, { options: { [name]: {} } }]) {
      expect(() => get('/a/*', options)).toThrow(`${name} feature not available for provider on path: /a/*`);
    }
  });

  test('takes options of the wrong shape as an error', () => {
    for (const options of ['x', 5, [], { options: 'x' }]) expect(() => get('/a', options)).toThrow(/must be an object/);
  });
});

describe('the text of a body', () => {
  const text = (payload: Payload): string => codec.documentText(payload, formats);
  const of = (value: Value): string => text(Payload.fromValue(value, formats.json));

  test('is an object, whatever the value is', () => {
    expect(of({ a: 1 })).toBe('{"a":1}');
    expect(of('hello')).toBe('{"value":"hello"}');
    expect(of([1, 2])).toBe('{"value":[1,2]}');
    expect(of(null)).toBe('{"value":null}');
  });

  test('of bytes that mean JSON, text or nothing of both', () => {
    expect(text(Payload.fromBytes(bytes('21.50'), formats.raw))).toBe('{"value":21.5}');
    expect(text(Payload.fromBytes(bytes('{"a": 1}'), formats.raw))).toBe('{"a":1}');
    expect(text(Payload.fromBytes(bytes('hello'), formats.raw))).toBe('{"value":"hello"}');
    expect(text(Payload.fromBytes(Buffer.from([0xff, 0x00]), formats.raw))).toBe('{"$binary":{"base64":"/wA=","subType":"00"}}');
    expect(text(Payload.fromBytes(bytes('abc'), formats.binary))).toBe('{"$binary":{"base64":"YWJj","subType":"00"}}');
  });

  test('escapes line separators', () => {
    expect(of({ a: '\u2028\u2029' })).toBe('{"a":"\\u2028\\u2029"}');
    const stored = Payload.fromBytes(bytes('{"a":"\u2028"}'), formats.json);
    expect(text(stored)).toBe('{"a":"\\u2028"}');
  });

  test('is made once', () => {
    const payload = Payload.fromValue({ a: 1 }, formats.json);
    expect(text(payload)).toBe(text(payload));
    expect(payload.text).toBe('{"a":1}');
  });

  test('hides a top-level key that answers need for themselves', () => {
    expect(text(Payload.fromBytes(bytes('{"a":1,"_meta":{"path":"/x"}}'), formats.raw))).toBe('{"a":1}');
  });
});

describe('answers', () => {
  const frame: Frame = { action: 'get', eventId: 3, path: '/a/*', sessionId: session.id };
  const payload = Payload.fromValue({ a: 1 }, formats.json);

  test('to a get by wildcard are lists that end with their meta', () => {
    const empty = Payload.fromValue({}, formats.json);
    const item = codec.itemEncoder(frame, null, formats);
    const items = [entry('/a/1', payload), entry('/a/2', empty)].map(item);
    expect(JSON.parse(`[${items.join()},${codec.listEnd(frame, asker)}`)).toEqual([
      { a: 1, _meta: { path: '/a/1', created: 1_700_000_000_000, modified: 1_700_000_000_001 } },
      { _meta: { path: '/a/2', created: 1_700_000_000_000, modified: 1_700_000_000_001 } },
      { type: 'response', status: 'ok', published: false, eventId: 3, sessionId: session.id, action: 'get' },
    ]);
  });

  test('name the record that a set stored', () => {
    const text = codec.encodeSet(
      { ...frame, action: 'set', path: '/a' },
      asker,
      stored('/a', payload, entry('/a', payload)),
      true,
      null,
      formats,
    );
    expect(JSON.parse(text)).toEqual({
      data: { a: 1 },
      _meta: {
        path: '/a',
        created: 1_700_000_000_000,
        modified: 1_700_000_000_001,
        published: true,
        type: 'response',
        status: 'ok',
        eventId: 3,
        sessionId: session.id,
        action: 'set',
      },
      protocol: 'happn_4',
    });
  });

  test('are short when no data is wanted, in protocol 4 only', () => {
    const short = { ...frame, action: 'set', path: '/a', options: { noDataResponse: true } };
    expect(JSON.parse(codec.encodeSet(short, asker, stored('/a', payload, null), true, null, formats))).toEqual({
      _meta: { path: '/a', eventId: 3, type: 'response', status: 'ok', published: true },
    });
    const older = { id: session.id, version: UNCONFIGURED };
    expect(JSON.parse(codec.encodeSet(short, older, stored('/a', payload, null), true, null, formats))).toMatchObject({
      data: { a: 1 },
      protocol: 'happn',
    });
  });

  test('echo any event id and session id without breaking their JSON', () => {
    const ids: unknown[] = [0, -1, 1e300, Number.POSITIVE_INFINITY, 'a"b\u2028', null, undefined, {}, [1], true];
    for (const eventId of ids) {
      for (const sessionId of [undefined, null, 5, 'x"y', session.id]) {
        const odd = { action: 'a"b', eventId, sessionId };
        expect(() => JSON.parse(codec.encodeOk(odd, asker, 'null'))).not.toThrow();
        expect(() => JSON.parse(codec.encodeNonce(odd, asker, 'n'))).not.toThrow();
      }
    }
  });

  test('of errors name what a client decides by', async () => {
    const { RequestError } = await import('../../../src/core/errors.js');
    const error = (code: 'ACCESS_DENIED' | 'NOT_AUTHENTICATED' | 'STORE_FAILED' | 'INVALID_PATH'): unknown =>
      (JSON.parse(codec.encodeError(frame, asker, new RequestError(code, 'why'))) as { _meta: { error: unknown } })._meta.error;
    expect(error('ACCESS_DENIED')).toEqual({ name: 'AccessDenied', message: 'unauthorized', code: 403 });
    expect(error('NOT_AUTHENTICATED')).toEqual({ name: 'AccessDenied', message: 'why', code: 401 });
    expect(error('STORE_FAILED')).toEqual({ name: 'SystemError', message: 'why', code: 500 });
    expect(error('INVALID_PATH')).toEqual({ name: 'Error', message: 'why' });
  });

  test('of errors say what a policy refuses, in the words of the real server', async () => {
    const { PolicyRefusal } = await import('../../../src/core/errors.js');
    const text = codec.encodeError(frame, asker, new PolicyRefusal('token permissions limited'));
    const { error } = (JSON.parse(text) as { _meta: { error: unknown } })._meta;
    expect(error).toEqual({ name: 'AccessDenied', code: 403, message: 'token permissions limited' });
  });
});

describe('events', () => {
  const given = Payload.fromValue({ delta: 1 }, formats.json);
  const merged = Payload.fromValue({ base: 1, delta: 1 }, formats.json);

  function publication(meta: Publication['meta'] = null, requestId: Publication['requestId'] = 9): Publication {
    return new Publication(
      'set',
      '/a',
      merged,
      given,
      entry('/a', merged),
      0,
      7,
      1_700_000_000_001,
      { ...STORED, meta },
      'origin',
      requestId,
      '',
      'all',
    );
  }

  const event = (
    of: Publication,
    depth = 0,
    form: MergeForm = 'record',
  ): { data: unknown; _meta: Record<string, unknown>; protocol: string } =>
    JSON.parse(encodeEvent(of, 'happn_4', '/ALL@/a', depth, form, formats)) as never;

  test('carry the record, where it came from and the channel', () => {
    expect(event(publication())).toEqual({
      data: { base: 1, delta: 1 },
      _meta: {
        action: '/SET@/a',
        type: 'data',
        sessionId: 'origin',
        consistency: 2,
        publicationId: 'origin-9',
        path: '/a',
        created: 1_700_000_000_000,
        modified: 1_700_000_000_001,
        channel: '/ALL@/a',
      },
      protocol: 'happn_4',
    });
  });

  test('name a depth when the channel has one', () => {
    expect(event(publication(), 3)._meta.depth).toBe(3);
    expect(event(publication(), 0)._meta).not.toHaveProperty('depth');
  });

  test('of merge subscriptions carry what the request said', () => {
    expect(event(publication(), 0, 'request').data).toEqual({ delta: 1 });
  });

  test('cannot be forged by custom meta', () => {
    const values = { custom: 'x', channel: '/other', eventOrigin: { username: 'root' }, consistency: 3, depth: 1, path: '/b' };
    const forged = Meta.fromValues(values);
    expect(event(publication(forged))._meta).toMatchObject({ custom: 'x', channel: '/ALL@/a', consistency: 2, path: '/a' });
    expect(event(publication(forged))._meta).not.toHaveProperty('eventOrigin');
  });

  test('of requests without an id still have a publication id', () => {
    expect(event(publication(null, null))._meta.publicationId).toBe('origin-r7');
    expect(event(publication(null, 'a"b'))._meta.publicationId).toBe('origin-a"b');
  });

  test('of removals say how many', () => {
    const removal = new Publication('remove', '/a/*', null, null, null, 4, 8, 1, STORED, 'origin', 2, '', 'each-request');
    expect(event(removal)).toMatchObject({ data: { removed: 4 }, _meta: { action: '/REMOVE@/a/*', path: '/a/*' } });
    expect(event(removal, 0, 'request').data).toBeNull();
  });
});
