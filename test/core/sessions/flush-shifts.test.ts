// Very many receivers: their sockets are served in several turns of the event loop, in order, and nothing new is begun before all are.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Harness, startEngine, type TestSession, until } from '../../support/core-harness.js';

const RECEIVERS = 300;
/** What a flush of one session takes, and how many are flushed in one go when each takes so long. */
const FLUSH_COST_MS = 1;
const AT_A_TIME = 64;

let harness: Harness;
let publisher: TestSession;
let receivers: TestSession[];
/** Sessions in the order in which they were flushed, a mark between the turns of the event loop. */
let flushed: (TestSession | 'turn')[];

beforeEach(async () => {
  harness = await startEngine();
  publisher = harness.session();
  receivers = Array.from({ length: RECEIVERS }, () => harness.session());
  for (const receiver of receivers) await receiver.subscribe('/news');
  flushed = [];
  for (const session of [publisher, ...receivers]) {
    session.onFlush = () => {
      harness.clock.mono += FLUSH_COST_MS;
      flushed.push(session);
    };
  }
});

afterEach(async () => await harness.stop());

function markTurns(): () => void {
  let isOver = false;
  const mark = (): void => {
    flushed.push('turn');
    if (!isOver) setImmediate(mark);
  };
  setImmediate(mark);
  return () => {
    isOver = true;
  };
}

/** How many sessions were flushed between two turns of the event loop. */
function perTurn(): number[] {
  const counts = [0];
  for (const one of flushed) {
    if (one === 'turn') counts.push(0);
    else counts[counts.length - 1] = (counts.at(-1) as number) + 1;
  }
  return counts.filter((count) => count > 0);
}

test('they are served some at a time, in the order in which they were reached, before the answer', async () => {
  const stop = markTurns();
  await publisher.emit('/news', 1);
  stop();
  expect(Math.max(...perTurn())).toBe(AT_A_TIME);
  expect(flushed.filter((one) => one !== 'turn')).toEqual([...receivers, publisher]);
});

test('each hears everything once and in order, whatever comes while they are served', async () => {
  const numbers = Array.from({ length: 40 }, (_, n) => n);
  const others = Array.from({ length: 5 }, () => harness.session());
  const asked = numbers.map(async (n) => {
    if (n % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
    const stored = n % 2 === 0;
    return stored ? publisher.set('/news', n) : publisher.emit('/news', n);
  });
  const answers = others.map((other, n) => other.set(`/other/${n}`, n));
  await Promise.all([...asked, ...answers]);
  const [first, ...rest] = receivers.map(({ heard }) => heard.map(({ publication }) => publication.payload?.value()));
  expect([...(first as number[])].sort((a, b) => a - b)).toEqual(numbers);
  for (const other of rest) expect(other).toEqual(first);
});

test('nothing is begun before all of them are served', async () => {
  const first = publisher.emit('/news', 1);
  await until(() => flushed.length > 0);
  const executed = publisher.executed;
  const second = publisher.emit('/news', 2);
  while (flushed.length < RECEIVERS) {
    expect(publisher.executed).toBe(executed);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all([first, second]);
  expect(receivers.every(({ heard }) => heard.length === 2)).toBe(true);
});

test('who leaves meanwhile is passed over, and a stop waits until all are served', async () => {
  const gone = receivers[RECEIVERS - 1] as TestSession;
  harness.context.submit(publisher.setRequest('/news', 1, { store: false }));
  await until(() => flushed.length > 0);
  gone.close(null);
  await harness.engine.stop();
  expect(receivers.filter(({ heard }) => heard.length === 1)).toHaveLength(RECEIVERS - 1);
  expect(gone.heard).toEqual([]);
  expect(publisher.replies).toHaveLength(1);
});

test('a few are served in one go, and so are many when that is quick', async () => {
  for (const receiver of receivers) receiver.onFlush = () => void flushed.push(receiver);
  const quick = markTurns();
  await publisher.emit('/news', 0);
  quick();
  expect(perTurn()).toEqual([RECEIVERS + 1]);
  flushed = [];
  for (const receiver of receivers.slice(5)) receiver.close(null);
  const stop = markTurns();
  await publisher.emit('/news', 1);
  stop();
  expect(perTurn()).toEqual([6]);
});
