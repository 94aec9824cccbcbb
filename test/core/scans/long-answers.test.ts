// Long answers as streams: from one moment, one a session at a time, and what becomes of those that nobody takes.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SubscribeRequest } from '../../../src/core/message.js';
import { parseQuery } from '../../../src/core/query/query.js';
import { OUTBOUND_LIMITS } from '../../../src/core/sessions/outbound-queue.js';
import { SECTION, StoreFailure } from '../../../src/core/store/store.js';
import { type Harness, type HarnessOptions, settled, startEngine, type TestSession, until } from '../../support/core-harness.js';

const RECORDS = 3_000;
const pathOf = (n: number): string => `r/${String(n).padStart(5, '0')}`;
const every = Array.from({ length: RECORDS }, (_, n) => n);

let house: Harness;
let writer: TestSession;

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(async () => {
  house.store.releaseScans();
  await house.stop();
  vi.useRealTimers();
});

async function begin(options: HarnessOptions = {}): Promise<void> {
  house = await startEngine({ scan: { headBytes: 1_000, windowBytes: 10_000 }, ...options });
  writer = house.session();
  await Promise.all(every.map((n) => writer.set(pathOf(n), { n, v: 'old' })));
}

/** `takesAll` false: takes nothing of a stream. */
function reader(takesAll = true, limits = OUTBOUND_LIMITS): TestSession {
  const session = house.session(false, limits);
  session.takesStreams = true;
  session.takesAll = takesAll;
  return session;
}

const numbers = (reply: { entries: readonly { payload: { value(): unknown } }[] | null }): number[] =>
  (reply.entries ?? []).map((entry) => (entry.payload.value() as { n: number }).n);

describe('a long answer', () => {
  it('is a stream for sessions that take streams, and a list for the others', async () => {
    await begin();
    const replies = await Promise.all([reader(false).find('r/*'), writer.find('r/*')]);
    expect(replies.map(({ stream, entries }) => [stream?.count, entries?.length])).toEqual([
      [RECORDS, undefined],
      [undefined, RECORDS],
    ]);
    expect(replies[0]?.entriesBytes).toBe(replies[1]?.entriesBytes);
    expect(replies.map(({ size }) => size > 10_000)).toEqual([false, true]);
    expect((await reader(false).find('r/0000*')).stream).toBeNull();
  });

  it('shows the store as of its beginning, in every order, whatever happens while it is taken', async () => {
    await begin();
    const sessions = [reader(), reader(), reader(), reader()];
    house.store.scansHeld = true;
    const [plain, sought, sorted, initial] = sessions as [TestSession, TestSession, TestSession, TestSession];
    const answers = Promise.all([
      plain.find('r/*'),
      sought.find('r/*', { query: parseQuery({ criteria: { n: { $mod: [2, 1] } }, skip: 10, limit: 1_000 }) }),
      sorted.find('r/*', { query: parseQuery({ sort: { n: -1 } }) }),
      initial.submit(
        new SubscribeRequest(
          'subscribe',
          initial,
          'on',
          initial.subscription('r/*'),
          initial.subscription('r/*').pattern,
          null,
          'revision',
        ),
      ),
    ]);
    await settled();
    const changes = Promise.all([writer.removeAll('r/1*'), writer.set(pathOf(5), { n: 5, v: 'new' }), writer.set('r/new', { n: -1 })]);
    for (let n = 0; n < 30; n++) {
      house.store.releaseSlice();
      await settled(3);
    }
    house.store.releaseScans();
    const replies = await answers;
    await changes;
    expect(numbers(replies[0])).toEqual(every);
    expect(numbers(replies[1])).toEqual(every.filter((n) => n % 2 === 1).slice(10, 1_010));
    expect(numbers(replies[2])).toEqual([...every].reverse());
    expect(numbers(replies[3])).toEqual(every);
    expect(replies.every(({ entries }) => entries?.every((entry) => (entry.payload.value() as { v: string }).v === 'old'))).toBe(true);
    expect(house.store.openScans).toBe(0);
  });

  it('is followed by what happened while it was taken', async () => {
    await begin();
    const hearer = reader();
    const subscription = hearer.subscription('r/*');
    house.store.scansHeld = true;
    const answered = hearer.submit(new SubscribeRequest('subscribe', hearer, 'on', subscription, subscription.pattern, null));
    await settled();
    await writer.set(pathOf(0), { n: 0, v: 'new' });
    house.store.releaseScans();
    await answered;
    await writer.set(pathOf(1), { n: 1, v: 'new' });
    await until(() => hearer.heard.length === 2);
    expect(hearer.log).toEqual(['reply on', 'set r/00000 {"n":0,"v":"new"}', 'set r/00001 {"n":1,"v":"new"}']);
  });

  it('is not begun when it is too long: that is told instead', async () => {
    await begin({ scan: { headBytes: 1_000, windowBytes: 10_000, answerBytes: 50_000 } });
    for (const query of [null, parseQuery({ criteria: { n: { $gte: 0 } } }), parseQuery({ sort: { n: 1 } })]) {
      const reply = await reader(false).find('r/*', { query });
      expect([reply.stream, reply.error?.code]).toEqual([null, 'LIMIT_EXCEEDED']);
    }
    expect(house.store.openScans).toBe(0);
  });

  it('is not begun when one of its records is damaged: that is told instead', async () => {
    await begin();
    await house.stop();
    house = await startEngine({ store: house.store, scan: { headBytes: 1_000, windowBytes: 10_000 } });
    const key = `${SECTION.record}${pathOf(RECORDS - 1)}`;
    const value = house.store.disk.rows.get(key) as Uint8Array;
    house.store.disk.rows.set(
      key,
      value.map((byte, at) => (at === 40 ? byte ^ 1 : byte)),
    );
    const reply = await reader(false).find('r/*');
    expect([reply.stream, reply.error?.code]).toEqual([null, 'STORE_FAILED']);
  });
});

describe('one session', () => {
  it('is given one stream at a time; others do not wait for it', async () => {
    await begin();
    const slow = reader(false);
    const first = await slow.find('r/*');
    const second = slow.find('r/*');
    expect((await slow.get(pathOf(1))).entry?.path).toBe(pathOf(1));
    const removed = slow.removeAll('r/01*');
    await settled(100);
    expect(slow.replies).toHaveLength(2);
    expect((await reader().find('r/*')).entries).toHaveLength(RECORDS);
    first.stream?.close();
    const { stream } = await second;
    expect(stream?.count).toBe(RECORDS);
    stream?.close();
    expect((await removed).count).toBe(1_000);
  });

  it('that goes leaves no scan open', async () => {
    await begin();
    const gone = reader(false);
    const reply = await gone.find('r/*');
    gone.context.submit(gone.patternRequest('get', 'r/*', {}));
    reply.stream?.take();
    await settled();
    expect(house.store.openScans).toBe(2);
    gone.close(null);
    await reply.stream?.closed;
    await settled(50);
    expect(house.store.openScans).toBe(0);
    expect(reply.stream?.take()).toEqual([]);
  });

  it('that takes nothing any more is ended after its time, and not before', async () => {
    await begin();
    const limits = { ...OUTBOUND_LIMITS, streamMs: 60_000 };
    const [stuck, slow] = [reader(false, limits), reader(false, limits)];
    const streams = [(await stuck.find('r/*')).stream, (await slow.find('r/*')).stream];
    const pass = (ms: number): void => {
      house.clock.mono += ms;
      vi.advanceTimersByTime(1_000);
    };
    pass(1);
    pass(1);
    for (let n = 0; n < 3; n++) {
      pass(30_000 - 1);
      streams[1]?.take();
      expect([stuck.closed, slow.closed]).toEqual([n === 2, false]);
    }
    expect(stuck.closedWith?.code).toBe('SLOW_CONSUMER');
    expect(house.counters.counters.get('slow_consumers_closed_total')?.value).toBe(1);
    await settled(20);
    expect(house.store.openScans).toBe(1);
    streams[1]?.close();
    await settled();
    pass(1_000_000);
    pass(1_000_000);
    expect(slow.closed).toBe(false);
  });

  it('is ended when the rest of its answer cannot be read, and nobody else is', async () => {
    await begin();
    const [struck, other] = [reader(false), reader()];
    const { stream } = await struck.find('r/*');
    house.store.scanFailure = new StoreFailure('the disk is gone');
    await until(() => {
      stream?.take();
      return struck.closed;
    });
    house.store.scanFailure = null;
    expect(struck.closedWith?.code).toBe('STORE_FAILED');
    expect((await other.find('r/*')).entries).toHaveLength(RECORDS);
    expect(house.store.openScans).toBe(0);
  });
});
