// Traffic: the messages of one bridge in both directions, whatever connection carries them: joins outgoing and incoming with
// the session in the core, and counts.

import type { AdapterContext, Counter, DataRequest, DurableSession, Entry, Log, Publication, Qos, Reply } from '../../../core/index.js';
import type { Connection } from './connection.js';
import { type DropReason, Drops } from './drops.js';
import { Incoming, type IncomingHost } from './incoming.js';
import { type Draft, Messages } from './messages.js';
import { Outgoing, type OutgoingHost } from './outgoing.js';
import type { RemoteFacts, RemoteMessage } from './remote.js';
import type { Rules } from './rules.js';
import type { Awaiting, BridgeSession } from './session.js';

const NOTHING: ReadonlySet<number> = new Set();

export interface TrafficOptions {
  readonly name: string;
  readonly outgoingWindow: number;
  readonly maxHops: number;
  readonly version: '5' | '3.1.1';
  /** Larger messages of the remote are not taken. */
  readonly maxPacketBytes: number;
}

export class Traffic implements OutgoingHost, IncomingHost {
  readonly outgoing: Outgoing;
  readonly incoming: Incoming;
  readonly drops: Drops;
  /** Filters that the remote sends by, and their levels. */
  subscribed: ReadonlyMap<string, number> = new Map();
  session: BridgeSession | null = null;
  readonly #context: AdapterContext;
  readonly #rules: Rules;
  readonly #messages: Messages;
  readonly #in: Counter;
  readonly #out: Counter;
  #connection: Connection | null = null;
  #noEcho = true;
  #remoteNode: string | null = null;

  constructor(options: TrafficOptions, rules: Rules, context: AdapterContext, log: Log) {
    const { counters, clock, formats, node } = context;
    const { maxPacketBytes: maxBytes, maxHops, version } = options;
    const label = `{bridge="${options.name}"}`;
    this.#context = context;
    this.#rules = rules;
    this.#messages = new Messages(rules, { raw: formats.raw, maxBytes, node: node.id, maxHops, version, now: () => clock.now() });
    this.#in = counters.counter(`bridge_messages_in_total${label}`, 'Messages of the remote that a bridge took');
    this.#out = counters.counter(`bridge_messages_out_total${label}`, 'Messages that a bridge sent to its remote');
    this.drops = new Drops(options.name, counters, clock, log);
    this.outgoing = new Outgoing(this, options.outgoingWindow);
    this.incoming = new Incoming(this, () => clock.monotonic());
    counters.gauge(`bridge_queued_messages${label}`, 'Messages that wait for the remote of a bridge', () => this.queued);
  }

  get durable(): DurableSession | null {
    return this.session?.durable ?? null;
  }

  get queued(): number {
    return this.durable?.queue.size ?? 0;
  }

  get counts(): { readonly in: number; readonly out: number; readonly dropped: number } {
    return { in: this.#in.value, out: this.#out.value, dropped: this.drops.total };
  }

  // Connections.

  accept(connection: Connection, facts: RemoteFacts): void {
    this.#connection = connection;
    this.#noEcho = facts.noEcho;
    this.#remoteNode = facts.node;
    this.outgoing.accept(facts);
    this.incoming.begin(connection, facts);
  }

  end(): void {
    this.#connection = null;
    this.subscribed = new Map();
    this.outgoing.end();
    this.incoming.end();
  }

  // What goes out.

  onPublication(publication: Publication, qos: Qos): void {
    this.outgoing.deliver(publication, qos);
  }

  draftOf(publication: Publication, qos: Qos, facts: RemoteFacts): Draft | DropReason | null {
    return this.#messages.ofPublication(publication, qos, facts);
  }

  draftOfEntry(entry: Entry, qos: Qos, facts: RemoteFacts): Draft | DropReason | null {
    return this.#messages.ofEntry(entry, qos, facts);
  }

  queuedPublication(number: number): Publication | null {
    return this.#context.queuedPublication(number, this.session);
  }

  acknowledge(number: number): void {
    this.session?.submitDurable({ type: 'acknowledge', number }, null);
  }

  release(number: number, done: () => void): void {
    this.session?.submitDurable({ type: 'release', number }, this.#whenStored(done));
  }

  onSent({ topic, payload, qos }: Draft, number: number): void {
    this.#out.add();
    if (this.#noEcho) return;
    const level = this.#levelOf(topic);
    if (level >= 0) this.incoming.echoes.expect(topic, payload, Math.min(qos, level), number);
  }

  /** At which the remote sends the topic here; -1: it does not. */
  #levelOf(topic: string): number {
    let level = -1;
    for (const { remote } of this.#rules.in) {
      const subscribed = this.subscribed.get(remote.text) ?? -1;
      if (subscribed > level && remote.matches(topic)) level = subscribed;
    }
    return level;
  }

  // What comes in.

  get received(): ReadonlySet<number> {
    return this.durable?.received ?? this.session?.received ?? NOTHING;
  }

  requestOf(message: RemoteMessage, awaiting: Awaiting): DataRequest | DropReason | null {
    return this.#messages.requestOf(message, this.#remoteNode, this.session as BridgeSession, awaiting);
  }

  submit(request: DataRequest): void {
    this.session?.submit(request);
  }

  onTaken(): void {
    this.#in.add();
  }

  /** PUBREL: the packet id may carry another message once that is stored. */
  forget(onceId: number, done: () => void): void {
    this.session?.submitDurable({ type: 'forget', onceId }, this.#whenStored(done));
  }

  drop(reason: DropReason, about: string): void {
    this.drops.add(reason, about);
  }

  #whenStored(done: () => void): Awaiting {
    return {
      settle: ({ error }: Reply) => {
        if (error === null) done();
        else this.#connection?.fail(`the state of a message could not be stored here: ${error.message}`);
      },
    };
  }
}
