// Random lives of one durable session: it comes and goes, is taken over, acknowledges late or never, while others publish
// and the store fails or the gateway restarts. Nothing acknowledged to a publisher is lost, nothing refused is delivered.

import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Payload } from '../../../src/core/data/payload.js';
import { SESSION_EXPIRY_MS } from '../../../src/core/durable/durable-session.js';
import type { ConnectionError } from '../../../src/core/errors.js';
import { DataRequest, DurableRequest, type Reply, type Request, STORED, SubscribeRequest, UNSTORED } from '../../../src/core/message.js';
import { parsePattern } from '../../../src/core/paths/pattern.js';
import { SUBSCRIBED, Subscription } from '../../../src/core/routing/subscription.js';
import { Session } from '../../../src/core/sessions/session.js';
import { formats, GateStore, type Harness, startEngine, until } from '../../support/core-harness.js';
import { type Random, randomOf } from '../../support/random.js';

const LIVES = process.env.TRIVIUM_TEST_LONG === '1' ? 50_000 : 1_000;
const STEPS = 60;
const TOPICS = ['t/1', 't/2'];
const EVENT = Object.freeze({ ...UNSTORED, qos: 1 } as const);

interface Delivery {
  readonly number: number;
  readonly value: unknown;
}

interface Published {
  readonly value: number;
  readonly topic: string;
  reply: Reply | null;
}

/** A connection as an adapter would keep it: what the session kept is delivered first, then what happens. */
class Connection extends Session {
  /** Delivered here and not acknowledged yet. */
  readonly owed: number[] = [];
  #resumedTo = 0;

  constructor(
    readonly house: Harness,
    readonly life: Life,
  ) {
    super(randomUUID(), 'model', true);
    house.context.openSession(this);
  }

  submit(request: Request): void {
    this.house.context.submit(request);
  }

  override flush(): void {
    for (let next = this.outbound.shift(); next !== undefined; next = this.outbound.shift()) {
      if (next.kind === 'reply') this.#onReply(next);
      else if (next.number > this.#resumedTo) this.#deliver(next.number, next.payload?.value());
    }
  }

  #onReply(reply: Reply): void {
    for (const number of reply.durable?.queue.keys() ?? []) {
      this.#resumedTo = number;
      this.#deliver(number, this.house.context.queuedPublication(number, null)?.payload?.value());
    }
    this.life.onReply(reply);
  }

  #deliver(number: number, value: unknown): void {
    this.owed.push(number);
    this.life.deliveries.push({ number, value });
  }

  override get bufferedBytes(): number {
    return 0;
  }
  override pauseReading(): void {}
  override resumeReading(): void {}
  override close(error: ConnectionError | null): void {
    this.house.context.closeSession(this, error);
  }
}

class Life {
  readonly deliveries: Delivery[] = [];
  readonly published: Published[] = [];
  /** Numbers whose acknowledgement was answered, and how much had been delivered by then. */
  readonly acknowledged = new Map<number, number>();
  readonly #store = new GateStore();
  readonly #answers = new Map<Request, (reply: Reply) => void>();
  #house: Harness | null = null;
  #publisher: Connection | null = null;
  #keeper: Connection | null = null;

  constructor(readonly random: Random) {}

  get house(): Harness {
    return this.#house as Harness;
  }

  async live(): Promise<void> {
    await this.#start();
    const keeper = this.#connect();
    await this.#turns(5);
    const subscription = new Subscription(keeper, keeper.durable, parsePattern('t/#', 'mqtt'), SUBSCRIBED, null);
    keeper.submit(new SubscribeRequest('subscribe', keeper, null, subscription, null, null));
    await this.#turns(5);
    for (let i = 0; i < STEPS; i++) await this.#step();
    await this.#rest();
    this.#connect();
    await this.#turns(5);
    await this.house.stop();
  }

  onReply(reply: Reply): void {
    this.#answers.get(reply.request)?.(reply);
    this.#answers.delete(reply.request);
  }

  async #step(): Promise<void> {
    const dice = this.random(100);
    if (dice < 40) this.#publish();
    else if (dice < 55) this.#acknowledge();
    else if (dice < 75) await this.#turns(1 + this.random(3));
    else if (dice < 80) this.#store.held = true;
    else if (dice < 88) this.#store.release();
    else if (dice < 91) this.#store.failure = new Error('ENOSPC');
    else if (dice < 94) this.#keeper?.close(null);
    else if (dice < 98) this.#connect();
    else await this.#restart();
  }

  #publish(): void {
    const publisher = this.#publisher as Connection;
    const published: Published = { value: this.published.length, topic: TOPICS[this.random(TOPICS.length)] as string, reply: null };
    this.published.push(published);
    const payload = Payload.fromValue(published.value, formats.json);
    const options = this.random(2) === 0 ? STORED : EVENT;
    const request = new DataRequest('set', publisher, null, published.topic, null, payload, options, true, 0, null);
    this.#answers.set(request, (reply) => (published.reply = reply));
    publisher.submit(request);
  }

  #acknowledge(): void {
    const keeper = this.#keeper;
    const number = keeper?.owed.shift();
    if (keeper === null || keeper.closed || number === undefined) return;
    const request = new DurableRequest(keeper, null, { type: 'acknowledge', number }, null);
    this.#answers.set(request, ({ error }) => {
      if (error === null) this.acknowledged.set(number, this.deliveries.length);
    });
    keeper.submit(request);
  }

  #connect(): Connection {
    const keeper = new Connection(this.house, this);
    this.#keeper = keeper;
    keeper.submit(new DurableRequest(keeper, null, { type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS }, null));
    return keeper;
  }

  async #start(): Promise<void> {
    this.#house = await startEngine({ store: this.#store });
    this.#publisher = new Connection(this.#house, this);
    this.#keeper = null;
  }

  async #restart(): Promise<void> {
    await this.#rest();
    await this.house.stop();
    await this.#start();
  }

  async #rest(): Promise<void> {
    this.#store.release();
    this.#store.failure = null;
    await until(() => this.house.engine.writable && this.published.every(({ reply }) => reply !== null));
  }

  async #turns(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

function judge({ deliveries, published, acknowledged }: Life): void {
  const first = new Map<unknown, number>();
  for (const { number, value } of deliveries) {
    expect(first.get(value) ?? number, 'one number a message').toBe(number);
    first.set(value, number);
  }
  expect([...first.values()], 'first deliveries in order').toEqual([...first.values()].sort((a, b) => a - b));
  for (const { value, reply } of published) {
    expect(first.has(value), `message ${value} is delivered`).toBe(reply?.error === null);
  }
  for (const topic of TOPICS) {
    const values = published.filter((one) => one.topic === topic && one.reply?.error === null).map(({ value }) => value);
    expect(
      [...first.keys()].filter((value) => values.includes(value as number)),
      'each topic in order',
    ).toEqual(values);
  }
  for (const [number, by] of acknowledged) {
    expect(
      deliveries.slice(by).some((delivery) => delivery.number === number),
      'acknowledged is done with',
    ).toBe(false);
  }
}

describe('random lives of a durable session', () => {
  it(`lose nothing, and deliver nothing that was refused (${LIVES} lives)`, { timeout: 120_000 + LIVES * 60 }, async () => {
    for (let seed = 1; seed <= LIVES; seed++) {
      const life = new Life(randomOf(seed));
      await life.live();
      try {
        judge(life);
      } catch (error) {
        throw new Error(`life ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
  });
});
