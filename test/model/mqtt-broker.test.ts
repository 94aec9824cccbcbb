// Random lives of a broker with several clients, compared with the reference step by step: in this process with a store in
// memory, many of them, and as a process on a disk, with kill -9, under each durability that keeps what it acknowledges.
// TRIVIUM_MODEL_LIVES and TRIVIUM_MODEL_SEED say how many, and which is the first.

import { describe, expect, it } from 'vitest';
import { QUEUE_LIMITS } from '../../src/core/durable/durable-session.js';
import { randomOf } from '../support/random.js';
import { BrokerLife } from './broker-life.js';
import { type House, MemoryHouse, ProcessHouse } from './houses.js';
import { matches, type ReferenceLimits } from './reference-state.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
const LIVES = Number(process.env.TRIVIUM_MODEL_LIVES ?? (LONG ? 2_000 : 8));
const SEED = Number(process.env.TRIVIUM_MODEL_SEED ?? 1);
/** A restart of a process takes as long as many lives in memory. */
const LIVES_ON_DISK = Math.ceil(LIVES / 20);
const STEPS = 100;
const TIMEOUT_MS = LONG ? 6 * 3_600_000 : 120_000;

const WIDE: ReferenceLimits = { window: 100, queue: QUEUE_LIMITS.maxMessages };
const NARROW: ReferenceLimits = { window: 3, queue: 8 };

async function live(start: () => Promise<House>, limits: ReferenceLimits, version: 3 | 4 | 5, seed: number): Promise<void> {
  const house = await start();
  const life = new BrokerLife(house, limits, version, randomOf(seed));
  try {
    await life.live(STEPS);
  } catch (error) {
    throw new Error(`life ${seed}: ${(error as Error).message}\n${life.log.slice(-10).join('\n')}`, { cause: error });
  } finally {
    await house.stop();
  }
}

describe.each([3, 4, 5] as const)('MQTT of protocol level %i', (version) => {
  it.each([
    ['wide', WIDE],
    ['narrow', NARROW],
  ])(`does what the reference does, in memory, with %s limits (${LIVES} lives)`, { timeout: TIMEOUT_MS }, async (_name, limits) => {
    const queue = { ...QUEUE_LIMITS, maxMessages: limits.queue };
    const start = (): Promise<House> => MemoryHouse.start({ queue, limits: { outgoingWindow: limits.window } });
    for (let n = 0; n < LIVES; n++) await live(start, limits, version, SEED + n);
  });

  /** In a short run one is enough for each version. */
  const durabilities = LONG ? ['sync', 'os'] : [version === 3 ? 'os' : 'sync'];
  it.each(durabilities)(
    `does what the reference does, on a disk, with durability %s (${LIVES_ON_DISK} lives)`,
    { timeout: TIMEOUT_MS },
    async (durability) => {
      const start = (): Promise<House> => ProcessHouse.start({ flags: ['--durability', durability] });
      for (let n = 0; n < LIVES_ON_DISK; n++) await live(start, WIDE, version, SEED + n);
    },
  );
});

it('the reference matches filters as the standard says', () => {
  const table: readonly (readonly [string, string, boolean])[] = [
    ['#', 'a', true],
    ['#', '/', true],
    ['#', '$a', false],
    ['+/a', '$s/a', false],
    ['$s/#', '$s', true],
    ['a/#', 'a', true],
    ['a/+', 'a', false],
    ['a/+', 'a/', true],
    ['+', '/a', false],
    ['+/+', '/a', true],
    ['/+', '/a', true],
    ['a', 'a/', false],
  ];
  for (const [filter, topic, expected] of table) expect(matches(filter, topic), `${filter} ${topic}`).toBe(expected);
});
