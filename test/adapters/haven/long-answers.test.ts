// Answers of many records: encoded in steps, whole on the wire, in their place among the others.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HavenMessage } from '../../../src/adapters/haven/codec.js';
import { HavenAdapter } from '../../../src/adapters/haven/index.js';
import type { Link } from '../../../src/adapters/haven/link.js';
import { InitialEvents, ItemsAnswer, type LongAnswer, type Outlet } from '../../../src/adapters/haven/long-answers.js';
import { msgpack } from '../../../src/adapters/haven/msgpack.js';
import { Writer } from '../../../src/adapters/haven/writer.js';
import { Entry } from '../../../src/core/data/entry.js';
import { EntryList, type EntrySource } from '../../../src/core/data/entry-source.js';
import { Payload } from '../../../src/core/data/payload.js';
import { type Address, ContractHouse } from '../../support/contract-house.js';
import { formats } from '../../support/core-harness.js';
import { type Answer, HavenClient, type HavenClientOptions, unpack } from '../../support/haven-client.js';

const STEP_RECORDS = 512;
const STEP_BYTES = 64 * 1024;

function entries(count: number, text = 'what is kept'): Entry[] {
  return Array.from({ length: count }, (_, n) => {
    const payload = Payload.fromBytes(Buffer.from(JSON.stringify({ n, text })), formats.json);
    return new Entry(`r/${n}`, payload, 1, 2, n + 1, '');
  });
}

class FullLink implements Link {
  readonly byMessage = true;
  readonly peer = 'test';
  readonly localAddress = '';
  bufferedBytes = 0;
  readonly parts: { readonly bytes: Buffer; readonly last: boolean }[] = [];
  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {}
  send(bytes: Buffer, last = true): void {
    this.parts.push({ bytes, last });
    this.bufferedBytes += bytes.length;
  }
}

function outletOf(link: FullLink, isPrefixed = false): Outlet {
  return { writer: new Writer(), link, format: msgpack, isPrefixed, isFull: () => link.bufferedBytes > STEP_BYTES };
}

function message(limit: number): HavenMessage {
  const asked = new HavenMessage('map');
  asked.ownDetails().limit = limit;
  return asked;
}

/** Steps on; a full link is emptied. Returns how many steps there were. */
function work(answer: LongAnswer, link: FullLink, look: () => void = () => {}): number {
  for (let steps = 1; ; steps++) {
    const progress = answer.step();
    look();
    if (progress === 'done') return steps;
    if (progress === 'full') link.bufferedBytes = 0;
  }
}

describe('the items of a read', () => {
  it('are encoded in steps, and sent as the link takes them', () => {
    const link = new FullLink();
    const outlet = outletOf(link);
    const answer = new ItemsAnswer(new EntryList(entries(5_000)), message(10_000), 10_000, null, outlet);
    const steps = work(answer, link, () => {
      expect(outlet.writer.length).toBe(0);
      expect(link.bufferedBytes).toBeLessThan(3 * STEP_BYTES);
    });
    expect(steps).toBeGreaterThan(5_000 / STEP_RECORDS + 2);
    const { items, more } = unpack(Buffer.concat(link.parts.map(({ bytes }) => bytes)));
    expect(items.map(({ value }: Answer) => value.n)).toEqual(Array.from({ length: 5_000 }, (_, n) => n));
    expect(more).toBeUndefined();
    expect(link.parts.map(({ last }) => last)).toEqual(link.parts.map((_, at) => at === link.parts.length - 1));
    expect(Math.max(...link.parts.map(({ bytes }) => bytes.length))).toBeLessThan(STEP_BYTES + 1024);
  });

  it('stop at the limit, and say that there are more', () => {
    const link = new FullLink();
    work(new ItemsAnswer(new EntryList(entries(1_001)), message(1_000), 1_000, null, outletOf(link)), link);
    expect(unpack(Buffer.concat(link.parts.map(({ bytes }) => bytes)))).toMatchObject({ more: true, items: { length: 1_000 } });
  });

  it('have their length in front where messages have it', () => {
    const link = new FullLink();
    work(new ItemsAnswer(new EntryList(entries(700)), message(1_000), 1_000, null, outletOf(link, true)), link);
    const bytes = Buffer.concat(link.parts.map((part) => part.bytes));
    expect(bytes.readUInt32BE(0)).toBe(bytes.length - 4);
    expect(unpack(bytes.subarray(4)).items).toHaveLength(700);
  });

  it('are waited for', () => {
    const list = new EntryList(entries(600));
    let late = true;
    const source: EntrySource = { count: 600, take: () => (late ? null : list.take()), rewind: () => {}, close: () => {} };
    const link = new FullLink();
    const answer = new ItemsAnswer(source, message(600), 600, null, outletOf(link));
    expect([answer.step(), answer.step()]).toEqual(['waiting', 'waiting']);
    late = false;
    work(answer, link);
    expect(unpack(Buffer.concat(link.parts.map(({ bytes }) => bytes))).items).toHaveLength(600);
  });

  it('that cannot be encoded leave nothing on the link', () => {
    const broken = Payload.fromBytes(Buffer.from('{"a":'), formats.json);
    const link = new FullLink();
    const answer = new ItemsAnswer(new EntryList([new Entry('r', broken, 1, 1, 1, '')]), message(1), 1, null, outletOf(link));
    expect(() => answer.step()).toThrow();
    expect(answer.message).not.toBeNull();
    expect(link.parts).toEqual([]);
  });
});

describe('the records that a watch begins with', () => {
  it('are taken in steps, while the link has room', () => {
    const link = new FullLink();
    let taken = 0;
    const events = new InitialEvents(new EntryList(entries(2_000)), '', outletOf(link), () => {
      taken += 1;
      return true;
    });
    link.bufferedBytes = STEP_BYTES + 1;
    expect([events.step(), taken]).toEqual(['full', 0]);
    link.bufferedBytes = 0;
    let before = 0;
    work(events, link, () => {
      expect(taken - before).toBeLessThanOrEqual(STEP_RECORDS);
      before = taken;
    });
    expect(taken).toBe(2_000);
  });

  it('are few at a time when they are large, and end with the watch', () => {
    const link = new FullLink();
    let taken = 0;
    const events = new InitialEvents(new EntryList(entries(10, 'x'.repeat(STEP_BYTES))), '', outletOf(link), () => {
      taken += 1;
      return taken < 3;
    });
    expect([events.step(), taken]).toEqual(['more', 1]);
    expect([events.step(), events.step(), taken]).toEqual(['more', 'done', 3]);
  });
});

describe('on a connection', () => {
  const RECORDS = 5_000;
  let house: ContractHouse;
  let at: Address;

  beforeEach(async () => {
    house = new ContractHouse();
    await house.start();
    at = await house.add(new HavenAdapter({ port: 0 }));
    const writer = await connect();
    const pathOf = (n: number): string => `r/${String(n).padStart(5, '0')}`;
    await Promise.all(Array.from({ length: RECORDS }, (_, n) => writer.write(pathOf(n), { n, text: 'what is kept here' })));
    await writer.close();
    house.shifts = 0;
  });
  afterEach(() => house.stop());

  const connect = (options: HavenClientOptions = {}): Promise<HavenClient> => HavenClient.connect(at.port, options);
  const roads = (): HavenClientOptions[] => [{}, { framing: 'bare' }, { url: `ws://127.0.0.1:${at.httpPort}/haven` }];
  const numbers = (list: Answer[]): number[] => list.map(({ value }) => value.n);
  const all = Array.from({ length: RECORDS }, (_, n) => n);

  it('a long read is whole, in its place, and leaves the event loop to others', async () => {
    for (const options of roads()) {
      const client = await connect(options);
      house.shifts = 0;
      const answers = await Promise.all([
        client.heartbeat(),
        client.read('r/*', { id: 1 }),
        client.heartbeat(),
        client.read('r/00001', { id: 2 }),
        client.read('r/*', { id: 3, limit: 3_000 }),
        client.ask({ action: 'query', type: 'read', id: 4 }),
      ]);
      expect(answers.map(({ id, type, result }) => id ?? type ?? result)).toEqual(['pong', 1, 'pong', 2, 3, 4]);
      expect(numbers(answers[1].items)).toEqual(all);
      expect(numbers(answers[4].items)).toEqual(all.slice(0, 3_000));
      expect(house.shifts).toBeGreaterThan((2 * RECORDS) / STEP_RECORDS / 2);
      await client.close();
    }
  });

  it('a long read that is read slowly is whole, and what happens meanwhile follows', async () => {
    const [client, other] = await Promise.all([connect(), connect()]);
    await client.watch('heard', { push: true });
    client.stall();
    const read = client.read('r/*');
    await other.write('heard', 1);
    client.resume();
    expect(numbers((await read).items)).toEqual(all);
    await new Promise<void>((resolve) => {
      if (client.pushed.length > 0) resolve();
      else client.onPushed = () => resolve();
    });
    expect(client.pushed).toMatchObject([{ path: 'heard', value: 1 }]);
  });

  it('a peer that goes in the middle of a long read harms nobody', async () => {
    const [client, other] = await Promise.all([connect(), connect()]);
    const reads = [client.read('r/*'), client.read('r/*')].map((read) => read.catch(() => 'gone'));
    await client.close();
    await Promise.all(reads);
    expect(numbers((await other.read('r/*')).items)).toEqual(all);
  });

  it('pushed records of a watch come in small pongs, then what happens; a pong waits for them', async () => {
    const client = await connect();
    const order: string[] = [];
    client.onPushed = (event) => order.push(event.path === 'r/late' ? 'late' : String(event.revision));
    await Promise.all([
      client.watch('r/*', { initial: true, push: true }),
      client.write('r/late', { n: -1 }),
      client.heartbeat().then(() => order.push('pong')),
    ]);
    while (order.length < RECORDS + 2) await new Promise<void>((resolve) => setImmediate(resolve));
    expect(order.indexOf('late')).toBe(RECORDS);
    expect(order.indexOf('pong')).toBeGreaterThanOrEqual(RECORDS);
    expect(numbers(client.pushed.slice(0, RECORDS) as unknown as Answer[])).toEqual(all);
    expect(house.shifts).toBeGreaterThanOrEqual(Math.floor(RECORDS / STEP_RECORDS));
  });

  it('records of a watch are all in the next pong, when they have room there', async () => {
    const client = await connect();
    const [, pong] = await Promise.all([client.watch('r/*', { initial: true }), client.heartbeat()]);
    expect(numbers(pong.result)).toEqual(all);
  });

  it('a watch that ends while its records are on their way is quiet then', async () => {
    const client = await connect();
    house.store.scansHeld = true;
    const asked = house.counter('haven_messages_total');
    const both = Promise.all([client.watch('r/*', { initial: true, push: true }), client.data('unwatch', 'r/*')]);
    while (house.counter('haven_messages_total') < asked + 2) await new Promise<void>((resolve) => setImmediate(resolve));
    house.store.releaseScans();
    const [watch] = await both;
    const seen = client.pushed.length;
    expect(seen).toBe(0);
    await client.write('r/late', { n: -1 });
    await client.heartbeat();
    expect(client.pushed.length).toBe(seen);
    expect(watch).toBe(1);
  });
});
