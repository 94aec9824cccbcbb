// An engine over a store whose writes can be held back or failed, and sessions that write down what they are given.

import { randomUUID } from 'node:crypto';
import type { AdapterContext, Clock, Formats, Log } from '../../src/core/adapter.js';
import { Counters } from '../../src/core/counters.js';
import type { Entry } from '../../src/core/data/entry.js';
import { binary, json, raw } from '../../src/core/data/formats.js';
import { Payload, type Value } from '../../src/core/data/payload.js';
import { QUEUE_LIMITS, type QueueLimits } from '../../src/core/durable/durable-session.js';
import { INBOUND_LIMITS, type InboundLimits } from '../../src/core/engine/inbound-queue.js';
import { Engine } from '../../src/core/engine.js';
import type { ConnectionError } from '../../src/core/errors.js';
import { type HistorySettings, NO_HISTORY } from '../../src/core/history/rules.js';
import {
  type DataOptions,
  DataRequest,
  type DurableCommand,
  DurableRequest,
  type Outbound,
  type Publication,
  type Reply,
  type Request,
  STORED,
  SubscribeRequest,
  UNSTORED,
} from '../../src/core/message.js';
import { PATH_INDEX_BYTES } from '../../src/core/paths/path-index.js';
import { type Dialect, parsePattern } from '../../src/core/paths/pattern.js';
import { SUBSCRIBED, Subscription, type SubscriptionOptions } from '../../src/core/routing/subscription.js';
import { SCAN_LIMITS, type ScanLimits } from '../../src/core/scans/scan-host.js';
import { type Access, OPEN_ACCESS } from '../../src/core/security/access.js';
import { Audit } from '../../src/core/security/audit.js';
import type { AuditLimits } from '../../src/core/security/audit-entries.js';
import { Directory } from '../../src/core/security/directory.js';
import { OUTBOUND_LIMITS, type OutboundLimits } from '../../src/core/sessions/outbound-queue.js';
import { Session } from '../../src/core/sessions/session.js';
import {
  type Durability,
  type Range,
  StoreFailure,
  type StoreKeyScan,
  type StoreScan,
  type StoreState,
  type WriteBatch,
} from '../../src/core/store/store.js';
import { MemoryStore } from './memory-store.js';

export const formats: Formats = {
  json,
  raw,
  binary,
  msgpack: { ...json, id: 2, name: 'msgpack' },
  byId: new Map([json, raw, binary].map((format) => [format.id, format])),
};

export const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };

/**
 * Writes wait while `held`, and scans while `scansHeld`; a `failure` makes the next write fail and `unopenable` as many
 * attempts to reopen.
 */
export class GateStore extends MemoryStore {
  held = false;
  scansHeld = false;
  failure: Error | null = null;
  /** Thrown by whatever reads a slice. */
  scanFailure: Error | null = null;
  unopenable = 0;
  /** Such attempts leave it open for reading. */
  isReadable = false;
  writes = 0;
  /** A write waits to be released. */
  isWriting = false;
  reopened = 0;
  /** Slices of scans that are being read now, and the most that ever were. */
  reading = 0;
  mostReading = 0;
  /** Scans that were not closed. */
  openScans = 0;
  #release: (() => void) | null = null;
  #waitingScans: (() => void)[] = [];

  override async write(batch: WriteBatch, state: StoreState): Promise<void> {
    this.writes += 1;
    if (this.held) {
      this.isWriting = true;
      await new Promise<void>((resolve) => (this.#release = resolve));
      this.isWriting = false;
    }
    if (this.failure !== null) {
      this.failure = null;
      this.failNextWrite();
    }
    await super.write(batch, state);
  }

  release(): void {
    this.held = false;
    this.#release?.();
    this.#release = null;
  }

  override async reopen(): Promise<StoreState> {
    this.reopened += 1;
    if (this.unopenable > 0) {
      this.unopenable -= 1;
      if (!this.isReadable) await this.close();
      throw new StoreFailure('there is still no space left on the device');
    }
    return super.reopen();
  }

  override scan(range: Range, sliceRows: number): StoreScan {
    return this.#counted(this.#gated(super.scan(range, sliceRows)));
  }

  override scanKeys(range: Range, sliceRows: number): StoreKeyScan {
    const scan = super.scanKeys(range, sliceRows);
    return { ...this.#counted(this.#gated(scan)), rows: () => this.#gated(scan.rows()) };
  }

  #gated<Item>(scan: StoreScan<Item>): StoreScan<Item> {
    return {
      seek: (key) => scan.seek(key),
      next: async (rows) => {
        this.reading += 1;
        this.mostReading = Math.max(this.mostReading, this.reading);
        if (this.scansHeld) await new Promise<void>((resolve) => this.#waitingScans.push(resolve));
        this.reading -= 1;
        if (this.scanFailure !== null) throw this.scanFailure;
        return scan.next(rows);
      },
      close: () => scan.close(),
    };
  }

  #counted<Item>(scan: StoreScan<Item>): StoreScan<Item> {
    let isOpen = true;
    this.openScans += 1;
    const close = (): Promise<void> => {
      if (isOpen) this.openScans -= 1;
      isOpen = false;
      return scan.close();
    };
    return { ...scan, close };
  }

  releaseScans(): void {
    this.scansHeld = false;
    for (const resolve of this.#waitingScans.splice(0)) resolve();
  }

  /** Lets the slice that has waited longest be read; the others go on waiting. */
  releaseSlice(): void {
    this.#waitingScans.shift()?.();
  }
}

export interface Heard {
  readonly publication: Publication;
  readonly subscription: Subscription;
}

/** Takes long answers as a session does that takes streams: the reply is there when it has all entries. */
export class StreamTaker {
  #reply: Reply | null = null;
  #entries: Entry[] = [];

  /** False: the reply is not complete, and nothing behind it may be looked at. */
  take(reply: Reply, done: (reply: Reply) => void): boolean {
    if (reply.stream === null) {
      done(reply);
      return true;
    }
    this.#reply = reply;
    this.#entries = [];
    return this.goOn(done);
  }

  /** True: there is nothing that is not complete. */
  goOn(done: (reply: Reply) => void): boolean {
    const reply = this.#reply;
    if (reply === null || reply.stream === null) return true;
    for (let slice = reply.stream.take(); ; slice = reply.stream.take()) {
      if (slice === null) return false;
      if (slice.length === 0) break;
      this.#entries.push(...slice);
    }
    reply.stream.close();
    reply.entries = this.#entries;
    this.#reply = null;
    done(reply);
    return true;
  }
}

export class TestSession extends Session {
  override takesStreams = false;
  override writesAhead = false;
  /** What it was asked to write ahead. */
  readonly ahead: string[][] = [];
  /** false: streams are left to the test. */
  takesAll = true;
  readonly replies: Reply[] = [];
  readonly heard: Heard[] = [];
  /** Replies and publications in the order in which they came. */
  readonly log: string[] = [];
  closedWith: ConnectionError | null | undefined;
  stalled = false;
  pauses = 0;
  resumes = 0;
  flushes = 0;
  /** Called at the end of every flush, as an adapter that goes on reading. */
  onFlush: (() => void) | null = null;
  /** Methods that throw, as those of a broken adapter. */
  readonly broken = new Set<'flush' | 'close' | 'pauseReading' | 'resumeReading' | 'writeAhead'>();
  readonly #taking = new StreamTaker();

  constructor(
    readonly context: AdapterContext,
    ordered: boolean,
    limits: OutboundLimits = OUTBOUND_LIMITS,
  ) {
    super(randomUUID(), 'test', ordered, limits);
    context.openSession(this);
  }

  override flush(): void {
    this.flushes += 1;
    this.#breakIn('flush');
    if (!this.stalled && this.#drain()) this.onFlush?.();
  }

  #drain(): boolean {
    const note = (reply: Reply): void => this.#note(reply, null);
    if (!this.#taking.goOn(note)) return false;
    for (let next = this.outbound.peek(); next !== undefined; next = this.outbound.peek()) {
      const subscription = this.outbound.peekSubscription();
      const run = this.outbound.peekRun();
      this.outbound.shift();
      if (run !== null) for (const reply of run.replies) this.#note(reply, null);
      else if (next.kind === 'publication' || !this.takesAll) this.#note(next, subscription);
      else if (!this.#taking.take(next, note)) return false;
    }
    return true;
  }

  /** Not what has entries. */
  override writeAhead(replies: readonly Reply[]): Buffer | null {
    this.#breakIn('writeAhead');
    this.ahead.push(replies.map(({ request }) => String(request.id)));
    return replies.some(({ entries, stream }) => entries !== null || stream !== null) ? null : Buffer.from('written');
  }

  #breakIn(method: 'flush' | 'close' | 'pauseReading' | 'resumeReading' | 'writeAhead'): void {
    if (this.broken.has(method)) throw new TypeError(`${method} is broken, as a test asked for`);
  }

  #note(message: Outbound, subscription: Subscription | null): void {
    if (message.kind === 'reply') {
      this.replies.push(message);
      this.log.push(`reply ${String(message.request.id)}${message.error === null ? '' : ` ${message.error.code}`}`);
    } else {
      this.heard.push({ publication: message, subscription: subscription as Subscription });
      this.log.push(`${message.action} ${message.path} ${JSON.stringify(message.payload?.value() ?? null)}`);
    }
  }

  override get bufferedBytes(): number {
    return 0;
  }
  override pauseReading(): void {
    this.pauses += 1;
    this.#breakIn('pauseReading');
  }
  override resumeReading(): void {
    this.resumes += 1;
    this.#breakIn('resumeReading');
  }
  override close(error: ConnectionError | null): void {
    this.closedWith = error;
    this.#breakIn('close');
    this.context.closeSession(this, error);
  }

  #nextId = 0;
  submit(request: Request): Promise<Reply> {
    this.context.submit(request);
    return until(() => this.replies.find((reply) => reply.request === request) ?? (STOPPED.has(this.context) ? NEVER : null));
  }
  set(path: string, value: Value, options: Partial<DataOptions> = {}, id: string | number = ++this.#nextId): Promise<Reply> {
    return this.submit(this.setRequest(path, value, options, id));
  }
  setRequest(
    path: string,
    value: Value,
    options: Partial<DataOptions> = {},
    id: string | number = ++this.#nextId,
    onceId = 0,
  ): DataRequest {
    const payload = Payload.fromValue(value, formats.json);
    return new DataRequest('set', this, id, path, null, payload, { ...STORED, ...options }, true, onceId, null);
  }
  emit(path: string, value: Value, options: Partial<DataOptions> = {}, id: string | number = ++this.#nextId): Promise<Reply> {
    return this.set(path, value, { ...UNSTORED, ...options }, id);
  }
  get(path: string, id: string | number = ++this.#nextId, options: Partial<DataOptions> = {}): Promise<Reply> {
    return this.submit(new DataRequest('get', this, id, path, null, null, { ...STORED, ...options }, true, 0, null));
  }
  find(pattern: string, options: Partial<DataOptions> = {}, id: string | number = ++this.#nextId): Promise<Reply> {
    return this.submit(this.patternRequest('get', pattern, options, id));
  }
  patternRequest(op: 'get' | 'remove', pattern: string, options: Partial<DataOptions>, id: string | number = ++this.#nextId): DataRequest {
    return new DataRequest(op, this, id, '', parsePattern(pattern, 'glob'), null, { ...STORED, ...options }, true, 0, null);
  }
  remove(path: string, id: string | number = ++this.#nextId, options: Partial<DataOptions> = {}): Promise<Reply> {
    return this.submit(new DataRequest('remove', this, id, path, null, null, { ...STORED, ...options }, true, 0, null));
  }
  removeAll(pattern: string, id: string | number = ++this.#nextId, options: Partial<DataOptions> = {}): Promise<Reply> {
    return this.submit(this.patternRequest('remove', pattern, options, id));
  }
  subscription(pattern: string, dialect: Dialect = 'glob', options: Partial<SubscriptionOptions> = {}): Subscription {
    const full: SubscriptionOptions = { ...SUBSCRIBED, ...options };
    const keep = full.qos > 0 ? this.durable : null;
    return new Subscription(this, keep, parsePattern(pattern, dialect), full, pattern);
  }
  subscribe(
    pattern: string,
    dialect: Dialect = 'glob',
    options: Partial<SubscriptionOptions> = {},
    initial = false,
    id: string | number = ++this.#nextId,
  ): Promise<Reply> {
    const subscription = this.subscription(pattern, dialect, options);
    return this.submit(new SubscribeRequest('subscribe', this, id, subscription, initial ? subscription.pattern : null, null));
  }
  unsubscribe(subscription: Subscription, id: string | number = ++this.#nextId): Promise<Reply> {
    return this.submit(new SubscribeRequest('unsubscribe', this, id, subscription, null, null));
  }
  durably(command: DurableCommand, id: string | number = ++this.#nextId): Promise<Reply> {
    return this.submit(this.durableRequest(command, id));
  }
  durableRequest(command: DurableCommand, id: string | number = ++this.#nextId): DurableRequest {
    return new DurableRequest(this, id, command, null);
  }
}

/** Houses that answer nothing any more. Who still waits for an answer waits for good, and in no other test. */
const STOPPED = new WeakSet<AdapterContext>();
const NEVER = new Promise<never>(() => {});

/** Waits turn by turn until `fact` is there. */
export async function until<T>(fact: () => T | Promise<never> | undefined | false | null, turns = 20_000): Promise<T> {
  for (let i = 0; i < turns; i++) {
    const value = fact();
    if (value !== undefined && value !== false && value !== null) return value;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  throw new Error(`did not come true in ${turns} turns: ${fact.toString()}`);
}

/** Lets everything that can happen without outside help happen. */
export async function settled(turns = 20): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

export interface Harness {
  readonly engine: Engine;
  readonly context: AdapterContext;
  readonly store: GateStore;
  readonly counters: Counters;
  readonly clock: { time: number; mono: number };
  readonly audit: Audit;
  session(ordered?: boolean, limits?: OutboundLimits): TestSession;
  stop(): Promise<void>;
}

export interface HarnessOptions {
  readonly store?: GateStore;
  readonly durability?: Durability;
  readonly access?: Access;
  readonly directory?: Directory;
  readonly auditLimits?: AuditLimits;
  readonly queue?: QueueLimits;
  readonly inbound?: InboundLimits;
  readonly scan?: Partial<ScanLimits>;
  readonly pathIndexBytes?: number;
  readonly history?: HistorySettings;
  readonly cacheBytes?: number;
  readonly log?: Log;
  /** What the clock shows when the engine starts. */
  readonly time?: number;
}

export async function startEngine(options: HarnessOptions = {}): Promise<Harness> {
  const store = options.store ?? new GateStore();
  const counters = new Counters();
  const clock = { time: options.time ?? 1_700_000_000_000, mono: 1 };
  const time: Clock = { now: () => clock.time, monotonic: () => clock.mono };
  const audit = new Audit(time, options.log ?? SILENT, counters, options.auditLimits);
  const engine = new Engine({
    store,
    durability: options.durability ?? 'sync',
    formats,
    access: options.access ?? OPEN_ACCESS,
    directory: options.directory ?? new Directory(),
    audit: audit,
    clock: time,
    log: options.log ?? SILENT,
    counters,
    limits: {
      inbound: options.inbound ?? INBOUND_LIMITS,
      queue: options.queue ?? QUEUE_LIMITS,
      scan: { ...SCAN_LIMITS, ...options.scan },
      cacheBytes: options.cacheBytes ?? 1024 * 1024,
      pathIndexBytes: options.pathIndexBytes ?? PATH_INDEX_BYTES,
      history: options.history ?? NO_HISTORY,
    },
  });
  await engine.start();
  const context = engine.context({
    node: { id: randomUUID(), name: 'test', version: '0', startedAt: 0 },
    log: SILENT,
    http: { upgrade() {}, request() {} },
  });
  return {
    engine,
    context,
    store,
    counters,
    clock,
    audit,
    session: (ordered = false, limits) => new TestSession(context, ordered, limits),
    stop: async () => {
      await engine.stop();
      STOPPED.add(context);
    },
  };
}
