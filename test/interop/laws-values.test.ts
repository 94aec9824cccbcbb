// Laws 2 and 3: the retained message is the record, and nobody's bytes are changed, through every pair of roads.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Value } from '../../src/core/data/payload.js';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { HappnWire } from '../support/happn-wire.js';
import { HavenClient } from '../support/haven-client.js';
import { HAPPN, HAPPN_2, HAVEN, MQTT, ROADS, type Road, type RoadClient } from '../support/roads.js';

let gateway: GatewayProcess;
const clients = new Map<Road, { writer: RoadClient; reader: RoadClient }>();

beforeAll(async () => {
  gateway = await startGateway({ flags: ['--durability', 'os'] });
  for (const road of ROADS) {
    clients.set(road, { writer: await road.connect(gateway.ports), reader: await road.connect(gateway.ports) });
  }
});
afterAll(async () => {
  for (const { writer, reader } of clients.values()) await Promise.all([writer.close(), reader.close()]);
  await gateway.stop();
});

const writerOf = (road: Road): RoadClient => (clients.get(road) as { writer: RoadClient }).writer;
const readerOf = (road: Road): RoadClient => (clients.get(road) as { reader: RoadClient }).reader;

/** Writes over one road; every road reads and hears what it is expected to show. */
async function expectShown(path: string, write: () => Promise<void>, shown: (road: Road) => unknown): Promise<void> {
  const ears = await Promise.all(ROADS.map((road) => readerOf(road).listen(path)));
  await write();
  const read = await Promise.all(ROADS.map((road) => readerOf(road).get(path)));
  const heard = await Promise.all(ears.map((ear) => ear.until(() => true)));
  for (const [i, road] of ROADS.entries()) {
    expect([road.name, read[i]]).toEqual([road.name, shown(road)]);
    expect([road.name, heard[i]]).toEqual([road.name, [{ action: 'set', path, body: shown(road) }]]);
  }
}

const deepList = (depth: number): Value => (depth === 1 ? [1] : [deepList(depth - 1)]);

describe('law 3: values through every pair of roads', () => {
  const values: [what: string, value: Value, except?: readonly Road[]][] = [
    ['a whole number', 42],
    ['zero', 0],
    ['a negative fraction', -0.5],
    ['the largest exact integer', Number.MAX_SAFE_INTEGER],
    ['the smallest exact integer', Number.MIN_SAFE_INTEGER],
    ['a number that needs all digits', 0.1 + 0.2],
    ['a very large number', 1.5e300],
    ['true', true],
    ['false', false],
    // The happn 2 client leaves null out of its frames.
    ['null', null, [HAPPN_2]],
    ['a text', 'hello'],
    ['the empty text', ''],
    ['a text that looks like a number', '42'],
    ['a text that looks like true', 'true'],
    ['a text that looks like null', 'null'],
    ['a text that looks like an object', '{"a":1}'],
    ['a text that looks like a JSON text', '"quoted"'],
    ['a text that is nearly JSON', '{"a":1'],
    ['a text with spaces around a number', ' 42 '],
    ['a text beyond Latin', 'größe \u{1f600} \u2028\u2029 \u0000\u001f'],
    ['a list', [1, 'two', null, false, [3], { four: 4 }]],
    ['the empty list', []],
    ['a list as deep as allowed', deepList(31)],
    ['an object', { a: 1, b: 'two', c: null, d: [true], e: { f: 'g' } }],
    ['the empty object', {}],
    ['an object that looks like a wrapped number', { value: 5 }],
    ['an object that looks like a wrapped object', { value: { value: 1 } }],
    ['an object with keys of prototypes', JSON.parse('{"constructor":1,"hasOwnProperty":{"prototype":2}}') as Value],
    ['bytes that are no text', new Uint8Array([0xff, 0xfe, 0x00, 0x80])],
    ['bytes that are a text', new Uint8Array([0x68, 0x69]), [MQTT]],
  ];
  describe.each(ROADS)('written over $name', (road) => {
    const own = values.filter(([, , except]) => except === undefined || !except.includes(road));
    it.each(own)('%s', async (what, value) => {
      const path = `values/${ROADS.indexOf(road)}/${values.findIndex(([name]) => name === what)}`;
      await expectShown(
        path,
        () => writerOf(road).set(path, road.says(value)),
        (reader) => reader.shows(value),
      );
    });
  });
});

describe('law 3: MQTT bytes mean what they say, and come back as the same bytes', () => {
  const nested = (depth: number): string => `${'['.repeat(depth)}1${']'.repeat(depth)}`;
  const rows: [bytes: string | Buffer, meaning: Value][] = [
    ['42', 42],
    [' 42\n', 42],
    ['4.20e1', 42],
    ['1.0', 1],
    ['0.1', 0.1],
    ['9007199254740993', '9007199254740993'],
    ['0.1234567890123456789', '0.1234567890123456789'],
    ['1e400', '1e400'],
    ['{"n":9007199254740993}', '{"n":9007199254740993}'],
    ['NaN', 'NaN'],
    ['01', '01'],
    ['"a\\u0041"', 'aA'],
    ['{"a":1,"a":2}', { a: 2 }],
    ['{"a" : [ 1 , 2 ] }', { a: [1, 2] }],
    ['{a:1}', '{a:1}'],
    ['{"a":1}x', '{"a":1}x'],
    ['\u{feff}1', '\u{feff}1'],
    [nested(32), JSON.parse(nested(32)) as Value],
    [nested(33), nested(33)],
    ['   ', '   '],
    [Buffer.from([0xc3, 0x28]), new Uint8Array([0xc3, 0x28])],
    [Buffer.from([0xed, 0xa0, 0x80]), new Uint8Array([0xed, 0xa0, 0x80])],
    [Buffer.from([0]), '\u0000'],
  ];
  it.each(rows)('%j', async (given, meaning) => {
    const bytes = Buffer.from(given as string);
    const path = `bytes/${bytes.toString('hex').slice(0, 40)}`;
    await expectShown(
      path,
      () => writerOf(MQTT).set(path, bytes),
      (reader) => (reader === MQTT ? bytes : reader.shows(meaning)),
    );
  });

  it('an empty payload without retain is the empty text', async () => {
    const ears = await Promise.all([HAPPN, HAPPN_2, HAVEN].map((road) => readerOf(road).listen('bytes/empty')));
    await writerOf(MQTT).emit('bytes/empty', '');
    for (const [i, road] of [HAPPN, HAPPN_2, HAVEN].entries()) {
      const [heard] = await (ears[i] as (typeof ears)[number]).until(() => true);
      expect(heard).toEqual({ action: 'set', path: 'bytes/empty', body: road.shows('') });
    }
  });
});

describe('law 3: what only one protocol can say', () => {
  it('a time of Haven is a text in ISO form for the others', async () => {
    const time = new Date('2024-02-29T12:34:56.789Z');
    await expectShown(
      'only/time',
      () => writerOf(HAVEN).set('only/time', time),
      (reader) => {
        if (reader === HAVEN) return time;
        return reader === MQTT ? Buffer.from(JSON.stringify(time)) : reader.shows(time.toISOString());
      },
    );
  });

  it('no bytes at all are bytes for happn and Haven, and for MQTT the empty payload, as a removal is', async () => {
    const none = new Uint8Array(0);
    const ear = await readerOf(MQTT).listen('only/none');
    await writerOf(HAVEN).set('only/none', Buffer.from(none));
    for (const road of [HAPPN, HAPPN_2, HAVEN]) expect(await readerOf(road).get('only/none')).toEqual(road.shows(none));
    expect(await ear.until(() => true)).toEqual([{ action: 'remove', path: 'only/none', body: null }]);
  });

  it('C3 refuses integers of Haven that no double holds, and numbers that are none', async () => {
    const client = await HavenClient.connect(gateway.ports.haven);
    for (const value of [2n ** 53n + 1n, -(2n ** 60n), Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(await client.ask({ action: 'query', type: 'write', path: 'only/number', value })).toMatchObject({ result: false });
    }
    await expect(client.read('only/number')).rejects.toMatchObject({ errorName: 'NOT_FOUND' });
    await client.close();
  });

  it('a merge sees the document form, and its result is an object everywhere', async () => {
    const wire = await happnWire();
    const merge = async (path: string, data: Value) => wire.request('set', { path, data, options: { merge: true } });
    await writerOf(MQTT).set('merge/number', '5');
    await merge('merge/number', { a: 1 });
    for (const road of ROADS) expect(await readerOf(road).get('merge/number')).toEqual(road.shows({ value: 5, a: 1 }));
    await writerOf(HAVEN).set('merge/object', { a: { x: 1 }, b: 2 });
    await merge('merge/object', { a: { y: 2 } });
    for (const road of ROADS) expect(await readerOf(road).get('merge/object')).toEqual(road.shows({ a: { y: 2 }, b: 2 }));
    await wire.close();
  });
});

describe('law 2: the retained message is the record', () => {
  interface Stamp {
    readonly created: number;
    readonly modified: number;
  }
  async function stamps(path: string): Promise<{ happn: Stamp; haven: Stamp & { revision: number } }> {
    const wire = await happnWire();
    const client = await HavenClient.connect(gateway.ports.haven);
    const { _meta } = await wire.request('get', { path, data: null, options: {} });
    const { created, modified, revision } = (await client.read(path)) as Stamp & { revision: number };
    await Promise.all([wire.close(), client.close()]);
    const meta = _meta as unknown as Stamp;
    return { happn: { created: meta.created, modified: meta.modified }, haven: { created, modified, revision } };
  }

  it.each(ROADS)('written over $name: every protocol reads the same times, and revisions grow', async (road) => {
    const path = `record/${ROADS.indexOf(road)}`;
    const writer = writerOf(road);
    const before = Date.now();
    await writer.set(path, road.says({ n: 1 }));
    const first = await stamps(path);
    const { revision, ...times } = first.haven;
    expect(first.happn).toEqual(times);
    expect(times.created).toBe(times.modified);
    expect(times.created).toBeGreaterThanOrEqual(before);
    await writer.set(path, road.says({ n: 2 }));
    const second = await stamps(path);
    expect(second.happn).toEqual({ created: times.created, modified: second.haven.modified });
    expect(second.haven.created).toBe(times.created);
    expect(second.haven.revision).toBeGreaterThan(revision);
    if (road.hasEvents) {
      await writer.emit(path, road.says({ n: 3 }));
      expect(await stamps(path)).toEqual(second);
    }
    await writer.remove(path);
    await writer.set(path, road.says({ n: 4 }));
    const third = await stamps(path);
    expect(third.haven.revision).toBeGreaterThan(second.haven.revision + 1);
    expect(third.haven.created).toBe(third.haven.modified);
  });

  it.each(ROADS)('a removal over $name is the same removal for all', async (road) => {
    const path = `removed/${ROADS.indexOf(road)}`;
    await writerOf(HAVEN).set(path, { n: 1 });
    const ears = await Promise.all(ROADS.map((reader) => readerOf(reader).listen(path)));
    await writerOf(road).remove(path);
    for (const ear of ears) expect(await ear.until(() => true)).toEqual([{ action: 'remove', path, body: null }]);
    for (const reader of ROADS) expect(await readerOf(reader).get(path)).toBeUndefined();
  });
});

async function happnWire(): Promise<HappnWire> {
  const wire = await HappnWire.connect(`ws://127.0.0.1:${gateway.ports.happn}/primus`);
  return await wire.login();
}
