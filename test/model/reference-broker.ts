// What an MQTT 3.1.1 broker has to do, written to be read: one step at a time, no time, no bytes, no store. The gateway is
// compared with it after every step. Where a crash leaves open what had been stored, there are several of these, one for each
// outcome, until what clients see tells which one happened.

export interface Message {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
}

/** A PUBLISH or a PUBREL that a client was sent. */
export interface Observed extends Message {
  readonly packet: 'publish' | 'pubrel';
  readonly dup: boolean;
  readonly id: number;
}

/** A message on its way to one client, until the client has acknowledged it. */
interface Owed extends Message {
  /** `received`: by a client that has still to be sent PUBREL, or to answer it with PUBCOMP. */
  phase: 'waiting' | 'sent' | 'received';
  /** It goes out on this connection when the window allows it; false: it has. */
  due: boolean;
  /** Of the next PUBLISH; null: either, since a crash makes forget whether there was one. */
  dup: boolean | null;
  /** Packet id; 0: not seen yet. */
  id: number;
  /** It outlives the connection. */
  readonly kept: boolean;
}

interface Expected {
  readonly owed: Owed;
  readonly packet: 'publish' | 'pubrel';
  readonly dup: boolean | null;
}

interface ReferenceSession {
  readonly clean: boolean;
  connected: boolean;
  will: Message | null;
  /** Level by filter. */
  readonly filters: Map<string, number>;
  /** Oldest first. */
  owed: Owed[];
  /** QoS 2 ids that came and were not released. */
  readonly incoming: Set<number>;
  /** What the client has been sent and the test has not looked at. */
  expected: Expected[];
}

export interface ReferenceLimits {
  /** Messages of QoS 1 and 2 that one client may have unacknowledged. */
  readonly window: number;
  /** Messages of QoS 1 and 2 that a session which is kept may hold. */
  readonly queue: number;
}

export class ReferenceBroker {
  /** By topic. */
  #retained = new Map<string, Message>();
  #sessions = new Map<string, ReferenceSession>();

  constructor(readonly limits: ReferenceLimits) {}

  clone(): ReferenceBroker {
    const copy = new ReferenceBroker(this.limits);
    [copy.#retained, copy.#sessions] = structuredClone([this.#retained, this.#sessions] as const);
    return copy;
  }

  /** Returns whether a session was present. */
  connect(client: string, clean: boolean, will: Message | null): boolean {
    if (this.isConnected(client)) this.lose(client);
    const kept = this.#sessions.get(client);
    if (clean || kept === undefined) {
      const session = { clean, connected: true, will, filters: new Map(), owed: [], incoming: new Set<number>(), expected: [] };
      this.#sessions.set(client, session);
      return false;
    }
    kept.connected = true;
    kept.will = will;
    for (const owed of kept.owed) owed.due = true;
    this.#send(kept);
    return true;
  }

  /** With DISCONNECT. */
  disconnect(client: string): void {
    this.#end(client);
  }

  /** Without. */
  lose(client: string): void {
    const { will } = this.#session(client);
    this.#end(client);
    if (will !== null) this.#distribute(will);
  }

  #end(client: string): void {
    const session = this.#session(client);
    session.connected = false;
    session.will = null;
    session.expected = [];
    session.owed = session.owed.filter(({ kept }) => kept);
    if (session.clean) this.#sessions.delete(client);
  }

  subscribe(client: string, filter: string, qos: number): void {
    const session = this.#session(client);
    session.filters.set(filter, qos);
    const topics = [...this.#retained.keys()].filter((topic) => matches(filter, topic)).sort();
    for (const topic of topics) {
      const message = this.#retained.get(topic) as Message;
      session.owed.push(owedOf({ ...message, qos: Math.min(qos, message.qos) }, false));
    }
    this.#send(session);
  }

  unsubscribe(client: string, filter: string): void {
    this.#session(client).filters.delete(filter);
  }

  /** `id`: packet id of QoS 2. One that is known already is no new message. */
  publish(client: string, message: Message, id: number): void {
    const { incoming } = this.#session(client);
    if (message.qos === 2) {
      if (incoming.has(id)) return;
      incoming.add(id);
    }
    this.#distribute(message);
  }

  /** PUBREL from the publisher. */
  release(client: string, id: number): void {
    this.#session(client).incoming.delete(id);
  }

  #distribute(message: Message): void {
    if (message.retain && message.payload === '') this.#retained.delete(message.topic);
    else if (message.retain) this.#retained.set(message.topic, message);
    for (const session of this.#sessions.values()) {
      const levels = [...session.filters].filter(([filter]) => matches(filter, message.topic)).map(([, qos]) => qos);
      if (levels.length === 0) continue;
      const qos = Math.min(message.qos, Math.max(...levels));
      const kept = !session.clean && qos > 0;
      if (!session.connected && !kept) continue;
      if (kept && session.owed.filter((owed) => owed.kept).length >= this.limits.queue) continue;
      session.owed.push(owedOf({ ...message, qos, retain: false }, kept));
      this.#send(session);
    }
  }

  /** All that the window allows, in order. */
  #send(session: ReferenceSession): void {
    if (!session.connected) return;
    for (const owed of session.owed.filter(({ due }) => due)) {
      const underWay = session.owed.filter((other) => !other.due).length;
      if (owed.qos > 0 && underWay >= this.limits.window) return;
      session.expected.push({ owed, packet: owed.phase === 'received' ? 'pubrel' : 'publish', dup: owed.dup });
      owed.due = false;
      if (owed.qos === 0) session.owed.splice(session.owed.indexOf(owed), 1);
      else if (owed.phase === 'waiting') owed.phase = 'sent';
      if (owed.phase === 'sent') owed.dup = true;
    }
  }

  /** What the client may acknowledge: packet ids of messages that it was sent, and the packet that is due. */
  acknowledgeable(client: string): { readonly id: number; readonly packet: 'puback' | 'pubrec' | 'pubcomp' }[] {
    return this.#session(client)
      .owed.filter(({ due, qos }) => !due && qos > 0)
      .map(({ id, qos, phase }) => ({ id, packet: qos === 1 ? 'puback' : phase === 'sent' ? 'pubrec' : 'pubcomp' }));
  }

  /** PUBACK, PUBREC or PUBCOMP from the client. */
  acknowledge(client: string, id: number): void {
    const session = this.#session(client);
    const owed = session.owed.find((one) => one.id === id && !one.due) as Owed;
    if (owed.qos === 2 && owed.phase === 'sent') {
      owed.phase = 'received';
      session.expected.push({ owed, packet: 'pubrel', dup: false });
      return;
    }
    session.owed.splice(session.owed.indexOf(owed), 1);
    this.#send(session);
  }

  /** The broker ends, and all connections with it. */
  stop(): void {
    const connected = [...this.#sessions].filter(([, session]) => session.connected);
    const wills = connected.map(([, { will }]) => will);
    for (const [client] of connected) this.#end(client);
    for (const will of wills) if (will !== null) this.#distribute(will);
    for (const { owed } of this.#sessions.values()) for (const one of owed) one.dup = one.phase === 'sent' ? true : null;
  }

  isConnected(client: string): boolean {
    return this.#sessions.get(client)?.connected === true;
  }

  expectedCount(client: string): number {
    return this.#session(client).expected.length;
  }

  /** Compares what the client was sent with what it has to be sent; null: it fits. Learns the packet ids. */
  difference(client: string, observed: readonly Observed[]): string | null {
    const session = this.#session(client);
    const { expected } = session;
    session.expected = [];
    // A PUBREL waits for the store, a PUBLISH for nothing: the order of the one and the other is open.
    const fits = (['publish', 'pubrel'] as const).every((packet) => {
      const seen = observed.filter((one) => one.packet === packet);
      const due = expected.filter((one) => one.packet === packet);
      return due.length === seen.length && due.every((one, i) => agrees(one, seen[i] as Observed));
    });
    const ids = session.owed.filter(({ due, qos }) => !due && qos > 0).map(({ id }) => id);
    if (fits && new Set(ids).size === ids.length) return null;
    return `${client} was sent [${observed.map(show).join(' ')}] instead of [${expected.map(showExpected).join(' ')}]`;
  }

  #session(client: string): ReferenceSession {
    const session = this.#sessions.get(client);
    if (session === undefined) throw new Error(`${client} has no session`);
    return session;
  }
}

function owedOf(message: Message, kept: boolean): Owed {
  return { ...message, phase: 'waiting', due: true, dup: false, id: 0, kept };
}

function agrees({ owed, packet, dup }: Expected, seen: Observed): boolean {
  if (packet !== seen.packet || (owed.id !== 0 && owed.id !== seen.id)) return false;
  owed.id = seen.id;
  if (packet === 'pubrel') return true;
  const isSame = owed.topic === seen.topic && owed.payload === seen.payload && owed.qos === seen.qos && owed.retain === seen.retain;
  return isSame && (dup === null || dup === seen.dup) && owed.qos > 0 === seen.id > 0;
}

function show({ packet, topic, payload, qos, retain, dup, id }: Observed): string {
  return packet === 'pubrel' ? `PUBREL:${id}` : `${topic}=${payload}/${qos}${retain ? 'r' : ''}${dup ? 'd' : ''}:${id}`;
}

function showExpected({ owed, packet, dup }: Expected): string {
  return `${show({ ...owed, packet, dup: dup === true })}${dup === null ? '?' : ''}`;
}

/** Section 4.7, level by level. */
export function matches(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && (filter.startsWith('#') || filter.startsWith('+'))) return false;
  const levels = topic.split('/');
  const wanted = filter.split('/');
  for (const [i, level] of wanted.entries()) {
    if (level === '#') return true;
    if (i >= levels.length || (level !== '+' && level !== levels[i])) return false;
  }
  return wanted.length === levels.length;
}
