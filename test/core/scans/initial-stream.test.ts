// Initial values as a stream without a known end: from one moment while its scan is held, from where it was taken to when it is not.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Reply } from '../../../src/core/message.js';
import { SubscribeRequest } from '../../../src/core/message.js';
import type { Subscription } from '../../../src/core/routing/subscription.js';
import { OUTBOUND_LIMITS } from '../../../src/core/sessions/outbound-queue.js';
import { StoreFailure } from '../../../src/core/store/store.js';
import { type Harness, settled, startEngine, type TestSession, until } from '../../support/core-harness.js';

const RECORDS = 1_200;
const STREAM_MS = 10_000;
const pathOf = (n: number): string => `r/${String(n).padStart(5, '0')}`;
const every = Array.from({ length: RECORDS }, (_, n) => pathOf(n));

let house: Harness;
let writer: TestSession;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  house = await startEngine();
  writer = house.session();
  await Promise.all(every.map((path) => writer.set(path, 'old')));
});
afterEach(async () => {
  house.store.releaseScans();
  await house.stop();
  vi.useRealTimers();
});

/** Takes nothing of a stream of itself. */
function reader(): TestSession {
  const session = house.session(true, { ...OUTBOUND_LIMITS, streamMs: STREAM_MS });
  session.takesAll = false;
  return session;
}

interface Subscribed {
  readonly reply: Reply;
  readonly subscription: Subscription;
}

async function subscribe(session: TestSession, text = 'r/#'): Promise<Subscribed> {
  const subscription = session.subscription(text, 'mqtt');
  const request = new SubscribeRequest('subscribe', session, text, subscription, subscription.pattern, null, 'path', true);
  return { reply: await session.submit(request), subscription };
}

/** The paths of the next slices, until there were so many, or no more. */
async function take({ stream }: Reply, count = Number.POSITIVE_INFINITY): Promise<string[]> {
  const paths: string[] = [];
  while (paths.length < count) {
    const slice = stream?.take();
    if (slice?.length === 0) break;
    paths.push(...(slice ?? []).map(({ path, payload }) => `${path}${payload.value() === 'old' ? '' : '!'}`));
    await settled();
  }
  return paths;
}

function pass(ms: number): void {
  house.clock.mono += ms;
  vi.advanceTimersByTime(1_000);
}

describe('a stream of initial values', () => {
  it('begins with the first slice, without a look at the rest', async () => {
    const { reply } = await subscribe(reader());
    expect(reply.stream).not.toBeNull();
    expect(house.counters.counters.get('rows_scanned_total')?.value).toBeLessThan(600);
    expect(await take(reply)).toEqual(every);
    expect(house.store.openScans).toBe(0);
  });

  it('is none when there is nothing, and one record is no stream', async () => {
    const nothing = await subscribe(reader(), 'n/#');
    expect([nothing.reply.stream, nothing.reply.entries]).toEqual([null, []]);
    const session = reader();
    for (let n = 0; n < 300; n++) await subscribe(session, 'n/#');
    const { reply } = await subscribe(session, 'r/+');
    expect(house.store.openScans).toBe(1);
    reply.stream?.close();
    const one = await subscribe(reader(), pathOf(7));
    expect([one.reply.stream, one.reply.entries?.map(({ path }) => path)]).toEqual([null, [pathOf(7)]]);
  });

  it('is from one moment, and what happens meanwhile follows', async () => {
    const session = reader();
    const { reply } = await subscribe(session);
    await writer.set(pathOf(1_199), 'new');
    await writer.remove(pathOf(1_198));
    expect(await take(reply)).toEqual(every);
    expect(session.log).toEqual(['reply r/#', 'set r/01199 "new"', 'remove r/01198 null']);
  });

  it('does not hold up what its session asks meanwhile, also for other streams', async () => {
    const session = reader();
    const first = await subscribe(session);
    const second = await subscribe(session, 'r/+');
    expect((await session.get(pathOf(1))).entry?.path).toBe(pathOf(1));
    expect(await take(second.reply)).toEqual(every);
    expect(await take(first.reply)).toEqual(every);
  });

  it('that nobody takes is parked after its time: it holds no scan, and goes on without what has changed', async () => {
    const session = reader();
    const { reply } = await subscribe(session);
    const begun = await take(reply, 1);
    pass(1);
    await settled(20);
    expect(house.store.openScans).toBe(1);
    pass(STREAM_MS);
    pass(STREAM_MS);
    await settled(20);
    expect([house.store.openScans, session.closed]).toEqual([0, false]);
    await writer.set(pathOf(1_199), 'new');
    await writer.set('r/99999', 'new');
    expect([...begun, ...(await take(reply))]).toEqual(every.slice(0, -1));
    expect(session.heard.map(({ publication }) => publication.path)).toEqual([pathOf(1_199), 'r/99999']);
    expect(house.store.openScans).toBe(0);
  });

  it('that nobody has begun to take is parked, too, and begins with its first one', async () => {
    const { reply } = await subscribe(reader());
    pass(STREAM_MS);
    pass(STREAM_MS);
    await settled(20);
    expect(house.store.openScans).toBe(0);
    expect(await take(reply)).toEqual(every);
  });

  it('reads nothing before it is taken when very many wait', async () => {
    const session = reader();
    const all: Subscribed[] = [];
    for (let n = 0; n < 260; n++) all.push(await subscribe(session, n % 2 === 0 ? 'r/#' : 'r/+'));
    expect(house.store.openScans).toBeLessThan(257);
    const late = all[258] as Subscribed;
    await writer.set(pathOf(5), 'new');
    expect(await take(late.reply)).toEqual(every.filter((path) => path !== pathOf(5)));
    session.close(null);
    await settled(50);
    expect(house.store.openScans).toBe(0);
    const { reply } = await subscribe(reader());
    expect(house.store.openScans).toBe(1);
    reply.stream?.close();
  });

  it('leaves no scan open when its session goes, in the middle of a slice or not', async () => {
    const session = reader();
    const { reply } = await subscribe(session);
    house.store.scansHeld = true;
    reply.stream?.take();
    session.close(null);
    house.store.releaseScans();
    await reply.stream?.closed;
    await settled(50);
    expect(house.store.openScans).toBe(0);
    expect(reply.stream?.take()).toEqual([]);
  });

  it('that cannot be begun is a refusal, and one that cannot be read on ends the connection', async () => {
    const session = reader();
    const { reply } = await subscribe(session);
    house.store.scanFailure = new StoreFailure('the disk is gone');
    const refused = await subscribe(reader());
    expect(refused.reply.error?.code).toBe('STORE_FAILED');
    await until(() => {
      reply.stream?.take();
      return session.closed;
    });
    expect(session.closedWith?.code).toBe('STORE_FAILED');
    house.store.scanFailure = null;
    await settled(20);
    expect(house.store.openScans).toBe(0);
  });
});
