// Bridge: one bridge from start to stop: its session in the core, which stays, and connections to the remote, which come and
// go. What they carry is for traffic.ts.

import { setTimeout as delay } from 'node:timers/promises';
import {
  type AdapterContext,
  type ConnectionError,
  DurableRequest,
  type DurableSession,
  type Log,
  type Publication,
  type Qos,
  SUBSCRIBED,
  SubscribeRequest,
  Subscription,
} from '../../../core/index.js';
import { bridgeKey } from '../durable-keys.js';
import { Backoff } from './backoff.js';
import { catchUp } from './catch-up.js';
import type { BridgeConfig } from './config.js';
import { Connection } from './connection.js';
import { readCredentials } from './credentials.js';
import type { ConnectionOwner, Loss, RemoteFacts, RemoteMessage } from './remote.js';
import { Rules } from './rules.js';
import { BridgeSession, type SessionOwner } from './session.js';
import { Traffic } from './traffic.js';

/** Messages of QoS 1 and 2 that the remote may have unacknowledged towards here (version 5). */
const RECEIVE_MAXIMUM = 1_000;
/** A connection that lasted so long was a success. */
const STABLE_MS = 10_000;
const ANSWERED_POLL_MS = 5;

export interface BridgeOptions extends BridgeConfig {
  /** Larger messages of the remote are not taken. */
  readonly maxPacketBytes: number;
}

/** starting: the session in the core is being opened. waiting: for the next attempt. */
type State = 'starting' | 'connecting' | 'connected' | 'waiting' | 'stopped';

/** What health says of a bridge. */
export interface BridgeHealth {
  readonly state: State;
  readonly url: string;
  /** Why it is not connected; null when it is. */
  readonly reason: string | null;
  readonly queued: number;
  readonly in: number;
  readonly out: number;
  readonly dropped: number;
}

export class Bridge implements SessionOwner, ConnectionOwner {
  readonly #options: BridgeOptions;
  readonly #context: AdapterContext;
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #log: Log;
  readonly #rules: Rules;
  readonly #traffic: Traffic;
  readonly #backoff: Backoff;
  #state: State = 'starting';
  #session: BridgeSession | null = null;
  /** The session is as the rules want it. */
  #isOpen = false;
  #connection: Connection | null = null;
  #facts: RemoteFacts | null = null;
  #timer: NodeJS.Timeout | null = null;
  #acceptedAt = 0;
  /** Why there is no connection. */
  #reason: string | null = null;
  /** The remote does not take the level that says that this is a bridge; known once it has taken the other one. */
  #plain: 'no' | 'trying' | 'yes' = 'no';
  #stopping = false;
  #onEnded: (() => void) | null = null;

  constructor(options: BridgeOptions, context: AdapterContext, env: Readonly<Record<string, string | undefined>>) {
    const { name, rules } = options;
    this.#options = options;
    this.#context = context;
    this.#env = env;
    this.#log = context.log.child({ bridge: name });
    this.#rules = new Rules(rules);
    this.#traffic = new Traffic(options, this.#rules, context, this.#log);
    this.#backoff = new Backoff(options);
    context.counters.gauge(`bridge_connected{bridge="${name}"}`, 'Whether a bridge is connected', () =>
      Number(this.#state === 'connected'),
    );
  }

  get health(): BridgeHealth {
    const { url } = this.#options;
    return { state: this.#state, url, reason: this.#reason, queued: this.#traffic.queued, ...this.#traffic.counts };
  }

  /** Begins; whether the remote is there or not makes no difference. */
  start(): void {
    this.#open().catch((error: unknown) => this.#onOpenFailed(error));
  }

  /** What is in flight is answered, then the remote is told goodbye. */
  async stop(deadlineMs: number, reason: ConnectionError): Promise<void> {
    this.#stopping = true;
    this.#clearTimer();
    this.#connection?.pause();
    const until = performance.now() + deadlineMs / 2;
    while (performance.now() < until && (this.#session?.inFlight ?? 0) > 0) await delay(ANSWERED_POLL_MS);
    if (this.#connection !== null) {
      const ended = new Promise<void>((resolve) => (this.#onEnded = resolve));
      this.#connection.flush();
      this.#connection.close();
      const cutOff = setTimeout(() => this.#connection?.destroy(), deadlineMs / 4);
      await ended;
      clearTimeout(cutOff);
    }
    this.#session?.close(reason);
    this.#state = 'stopped';
  }

  // The session in the core.

  async #open(): Promise<void> {
    const { name, cleanSession } = this.#options;
    const session = new BridgeSession(this.#context, this);
    this.#session = session;
    this.#traffic.session = session;
    const expiryMs = cleanSession ? 0 : Number.POSITIVE_INFINITY;
    const open = { type: 'open', key: bridgeKey(name), clean: cleanSession, expiryMs } as const;
    const { error, durable } = await session.ask((tag) => new DurableRequest(session, null, open, tag));
    if (error !== null) throw error;
    await this.#subscribeHere(session, durable);
    if (this.#session !== session) return;
    this.#isOpen = true;
    this.#connectSoon(0);
  }

  /** Subscriptions that the rules do not ask for any more end, missing ones begin. */
  async #subscribeHere(session: BridgeSession, durable: DurableSession | null): Promise<void> {
    const wanted = new Map<string, Subscription>();
    for (const { local, qos } of this.#rules.out) {
      const known = wanted.get(local.text);
      if (known !== undefined && known.options.qos >= qos) continue;
      wanted.set(local.text, new Subscription(session, durable, local, { ...SUBSCRIBED, qos, noLocal: true }, null));
    }
    for (const known of [...(durable?.subscriptions.values() ?? [])]) {
      const { text } = known.pattern;
      const same = wanted.get(text);
      if (same === undefined) await this.#ask(session, 'unsubscribe', known);
      else if (same.options.qos === known.options.qos) wanted.delete(text);
    }
    for (const subscription of wanted.values()) await this.#ask(session, 'subscribe', subscription);
  }

  async #ask(session: BridgeSession, op: 'subscribe' | 'unsubscribe', subscription: Subscription): Promise<void> {
    const { error } = await session.ask((tag) => new SubscribeRequest(op, session, null, subscription, null, tag));
    if (error !== null) throw error;
  }

  #onOpenFailed(error: unknown): void {
    this.#log.warn({ err: error }, 'the queue of the bridge could not be opened');
    this.#session?.close(null);
  }

  onSessionClosed(error: ConnectionError | null): void {
    this.#session = null;
    this.#isOpen = false;
    if (this.#stopping) return;
    this.#state = 'starting';
    this.#connection?.fail(error?.message ?? 'the session of the bridge has ended');
    this.#clearTimer();
    this.#timer = setTimeout(() => this.start(), this.#backoff.next());
  }

  onPublication(publication: Publication, qos: Qos): void {
    this.#traffic.onPublication(publication, qos);
  }

  onFlushed(): void {
    this.#traffic.outgoing.pump();
    this.#connection?.flush();
  }

  onPause(): void {
    this.#connection?.pause();
  }

  onResume(): void {
    if (!this.#stopping) this.#connection?.resume();
  }

  // Connections.

  #connectSoon(afterMs: number): void {
    if (this.#stopping || !this.#isOpen || this.#connection !== null) return;
    this.#clearTimer();
    this.#state = afterMs === 0 ? 'connecting' : 'waiting';
    this.#timer = setTimeout(() => {
      this.#connect().catch((error: unknown) => this.#retry((error as Error).message));
    }, afterMs);
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #connect(): Promise<void> {
    const session = this.#session;
    const { name, clientId, version, bridgeMode } = this.#options;
    this.#state = 'connecting';
    const credentials = await readCredentials(this.#options, this.#env);
    if (session === null || session !== this.#session || this.#stopping || this.#connection !== null) return;
    const options = {
      ...this.#options,
      ...credentials,
      clientId: clientId ?? `trivium-${this.#context.node.id}-${name}`,
      bridgeMode: bridgeMode && version === '3.1.1' && this.#plain === 'no',
      receiveMaximum: RECEIVE_MAXIMUM,
      unreleased: this.#traffic.outgoing.unreleased,
      isKept: (packetId: number) => session.durable?.packetIds.has(packetId) === true,
    };
    this.#connection = new Connection(options, this);
    if (session.paused) this.#connection.pause();
  }

  onAccepted(facts: RemoteFacts): void {
    const { session } = this.#traffic;
    if (this.#plain === 'trying') this.#plain = 'yes';
    this.#facts = facts;
    this.#acceptedAt = this.#context.clock.monotonic();
    // What the remote has forgotten it cannot release.
    if (!facts.sessionPresent) for (const onceId of [...this.#traffic.received]) session?.submitDurable({ type: 'forget', onceId }, null);
    this.#traffic.accept(this.#connection as Connection, facts);
  }

  onReady(): void {
    const { name, url, version } = this.#options;
    const { sessionPresent, noEcho, node } = this.#facts as RemoteFacts;
    const [session, connection, facts] = [this.#session, this.#connection, this.#facts];
    if (session === null || connection === null || facts === null) return;
    this.#state = 'connected';
    this.#reason = null;
    this.#log.info({ url, version, sessionPresent, noEcho, ...(node === null ? {} : { node }) }, 'connected to the remote');
    const { formats } = this.#context;
    catchUp({ name, url, rules: this.#rules, session, traffic: this.#traffic, connection, facts, formats, log: this.#log }).catch(
      (error: Error) => connection.fail(`the bridge could not catch up: ${error.message}`),
    );
  }

  onMessage(message: RemoteMessage): void {
    this.#traffic.incoming.onMessage(message);
    this.#connection?.flush();
  }

  onReleased(packetId: number, done: () => void): void {
    this.#traffic.forget(packetId, done);
  }

  onReceived(packetId: number, done: () => void): void {
    this.#traffic.outgoing.onReceived(packetId, done);
  }

  onCompleted(packetId: number, refusal: string | null): void {
    this.#traffic.outgoing.onCompleted(packetId, refusal);
  }

  onDrain(): void {
    this.#traffic.outgoing.pump();
  }

  onLost(loss: Loss): void {
    const usedBridgeMode = this.#options.bridgeMode && this.#options.version === '3.1.1' && this.#plain === 'no';
    this.#connection = null;
    this.#facts = null;
    this.#traffic.end();
    this.#onEnded?.();
    if (this.#stopping) return;
    if (usedBridgeMode && loss.levelRefused && !loss.accepted) {
      this.#plain = 'trying';
      this.#log.info({}, 'the remote does not know bridges: connecting as a client; see docs/bridge.md');
      this.#connectSoon(0);
      return;
    }
    if (this.#plain === 'trying') this.#plain = 'no';
    if (loss.accepted && this.#context.clock.monotonic() - this.#acceptedAt >= STABLE_MS) this.#backoff.succeeded();
    this.#retry(loss.reason);
  }

  /** Told when something else is wrong than before. */
  #retry(reason: string): void {
    const retryInMs = this.#backoff.next();
    const level = reason === this.#reason ? 'debug' : 'warn';
    this.#reason = reason;
    if (this.#isOpen) this.#log[level]({ url: this.#options.url, retryInMs }, `not connected to the remote: ${reason}`);
    this.#connectSoon(retryInMs);
  }
}
