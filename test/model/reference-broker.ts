// What a broker of MQTT 3.1.1 and 5 has to do, written to be read: one step at a time, no bytes, no store. The gateway is
// compared with it after every step. Where a crash leaves open what had been stored, there are several of these, one for each
// outcome, until what clients see tells which one happened.

import {
  agrees,
  dropWaiting,
  isQueued,
  isShared,
  type Message,
  matches,
  mayHaveBeenSent,
  type Observed,
  type Opening,
  type Orphan,
  type Owed,
  type ReferenceLimits,
  type ReferenceSession,
  type Retained,
  SHARED,
  type Subscription,
  show,
  showExpected,
  type Will,
} from './reference-state.js';

export class ReferenceBroker {
  /** By topic, the one that was set longest ago first. */
  #retained = new Map<string, Retained>();
  #versions = 0;
  #sessions = new Map<string, ReferenceSession>();
  /** Of one session each. */
  #orphans: Orphan[][] = [];
  /** In seconds. */
  #now = 0;

  constructor(readonly limits: ReferenceLimits) {}

  clone(): ReferenceBroker {
    const copy = new ReferenceBroker(this.limits);
    [copy.#retained, copy.#sessions, copy.#orphans] = structuredClone([this.#retained, this.#sessions, this.#orphans] as const);
    copy.#now = this.#now;
    copy.#versions = this.#versions;
    return copy;
  }

  /** Returns whether a session was present. */
  connect(client: string, { cleanStart, expiry, will, receiveMaximum }: Opening): boolean {
    if (this.isConnected(client)) this.lose(client);
    const kept = this.#sessions.get(client);
    const window = receiveMaximum === 0 ? this.limits.window : Math.min(receiveMaximum, this.limits.window);
    if (cleanStart || kept === undefined) {
      if (kept !== undefined) this.#drop(client, kept);
      const state = { filters: new Map(), owed: [], incoming: new Set<number>(), expected: [] };
      const times = { durable: expiry > 0, expiry, awaySince: Number.POSITIVE_INFINITY };
      this.#sessions.set(client, { ...times, connected: true, resumed: false, cutOff: false, window, will, delayed: null, ...state });
      return false;
    }
    kept.delayed = null;
    kept.window = window;
    kept.expiry = expiry;
    kept.awaySince = Number.POSITIVE_INFINITY;
    kept.connected = true;
    kept.cutOff = false;
    kept.resumed = true;
    kept.will = will;
    kept.owed = kept.owed.flatMap((owed) => this.#owedAgain(kept, owed));
    this.#send(kept);
    return true;
  }

  /** What is retained and not begun to be sent is as it is now, unless it has changed: that was news. */
  #owedAgain({ filters }: ReferenceSession, owed: Owed): Owed[] {
    if (owed.retained === null || owed.phase !== 'waiting') return [{ ...owed, due: true, unseen: false }];
    const { filter, version } = owed.retained;
    const message = this.#retained.get(owed.topic);
    if (message?.version !== version) return [];
    const { qos } = filters.get(filter) as Subscription;
    return [{ ...owed, due: true, unseen: false, dup: false, qos: Math.min(qos, message.qos), kept: owed.kept && qos > 0 }];
  }

  /** With DISCONNECT. */
  disconnect(client: string): void {
    this.#end(client);
  }

  /** Without. */
  lose(client: string): void {
    const { will } = this.#session(client);
    this.#end(client);
    if (will !== null) this.#leaveWill(client, will);
  }

  #leaveWill(client: string, will: Will): void {
    const session = this.#sessions.get(client);
    if (session === undefined || will.delay === 0) this.#distribute(client, will, null);
    else session.delayed = { will, due: this.#now + Math.min(will.delay, session.expiry) };
  }

  /** It has a will that was not published yet. */
  hasWill(client: string): boolean {
    const session = this.#sessions.get(client);
    return session !== undefined && (session.will !== null || session.delayed !== null);
  }

  /** The session is over. */
  #drop(client: string, session: ReferenceSession): void {
    if (session.delayed !== null) this.#distribute(client, session.delayed.will, null);
    this.#sessions.delete(client);
    const orphans = session.owed
      .filter(({ shared, kept, phase, qos, dup, deadline }) => {
        // Of QoS 2 nobody else may have what it was sent, or may have been.
        const perhapsHere = phase === 'received' || (qos === 2 && (phase === 'sent' || dup === null));
        return shared && kept && !perhapsHere && deadline > this.#now;
      })
      .map(({ topic, payload, level, retain, expiry, deadline }) => ({
        message: { topic, payload, qos: level, retain, expiry },
        deadline,
      }));
    if (orphans.length > 0) this.#orphans.push(orphans);
  }

  /** Worlds in which somebody else was given what sessions that ended had not received; this one if there is nothing of that. */
  rehomed(): ReferenceBroker[] {
    if (this.#orphans.length === 0) return [this];
    return this.#orphans.flatMap((_, i) => {
      const world = this.clone();
      const [orphans] = world.#orphans.splice(i, 1) as [Orphan[]];
      return orphans
        .reduce((worlds: ReferenceBroker[], orphan) => worlds.flatMap((one) => one.#homesOf(orphan)), [world])
        .flatMap((one) => one.rehomed());
    });
  }

  #homesOf({ message, deadline }: Orphan): ReferenceBroker[] {
    return this.candidates(message.topic).map((member) => {
      const copy = this.clone();
      if (member !== null) copy.#give(member, message, deadline);
      return copy;
    });
  }

  #end(client: string): void {
    const session = this.#session(client);
    session.connected = false;
    session.will = null;
    session.expected = [];
    session.owed = session.owed.filter(({ kept }) => kept);
    session.awaySince = this.#now;
    if (session.expiry === 0) this.#drop(client, session);
  }

  subscribe(client: string, subscription: Subscription): void {
    const session = this.#session(client);
    const { filter, qos, retainHandling } = subscription;
    const isNew = !session.filters.has(filter);
    session.filters.set(filter, subscription);
    if (filter.startsWith(SHARED) || retainHandling === 2 || (retainHandling === 1 && !isNew)) return;
    dropWaiting(session, filter);
    const topics = [...this.#retained.keys()].filter((topic) => matches(filter, topic)).sort();
    for (const topic of topics) {
      const { version, deadline, ...message } = this.#retained.get(topic) as Retained;
      const level = Math.min(qos, message.qos);
      session.owed.push(
        this.#owe({ ...message, qos: level }, { deadline, kept: session.durable && level > 0, retained: { filter, version } }),
      );
    }
    this.#send(session);
  }

  unsubscribe(client: string, filter: string): void {
    const session = this.#session(client);
    session.filters.delete(filter);
    dropWaiting(session, filter);
    // What waited behind it.
    this.#send(session);
  }

  /** Clients to one of whom a message goes by their shared subscription; null: there are none. */
  candidates(topic: string): readonly (string | null)[] {
    const members = [...this.#sessions].filter(([, { filters }]) => [...filters.keys()].some((filter) => isShared(filter, topic)));
    const here = members.filter(([, { connected }]) => connected);
    const chosen = here.length > 0 ? here : members;
    return chosen.length > 0 ? chosen.map(([client]) => client) : [null];
  }

  /** `id`: packet id of QoS 2. One that is known already is no new message. `member`: one of the candidates. */
  publish(client: string, message: Message, id: number, member: string | null = null): void {
    const { incoming } = this.#session(client);
    if (message.qos === 2) {
      if (incoming.has(id)) return;
      incoming.add(id);
    }
    this.#distribute(client, message, member);
  }

  /** PUBREL from the publisher. */
  release(client: string, id: number): void {
    this.#session(client).incoming.delete(id);
  }

  /** `from`: who does not hear it with no local; empty: nobody. */
  #distribute(from: string, message: Message, member: string | null): void {
    const deadline = message.expiry > 0 ? this.#now + message.expiry : Number.POSITIVE_INFINITY;
    if (message.retain) this.#retained.delete(message.topic);
    if (message.retain && message.payload !== '') {
      this.#retained.set(message.topic, { ...message, deadline, version: ++this.#versions });
    }
    for (const [client, session] of this.#sessions) {
      const matching = [...session.filters.values()].filter(({ filter, noLocal }) => {
        if (isShared(filter, message.topic)) return client === member;
        return matches(filter, message.topic) && !(noLocal && client === from);
      });
      if (matching.length > 0) this.#deliver(session, matching, message, deadline);
    }
  }

  /** What one member is given as one of several. */
  #give(client: string, message: Message, deadline: number): void {
    const session = this.#session(client);
    const matching = [...session.filters.values()].filter(({ filter }) => isShared(filter, message.topic));
    this.#deliver(session, matching, message, deadline);
  }

  #deliver(session: ReferenceSession, matching: readonly Subscription[], message: Message, deadline: number): void {
    const qos = Math.min(message.qos, Math.max(...matching.map((subscription) => subscription.qos)));
    const kept = session.durable && qos > 0;
    if (!session.connected && !kept) return;
    if (kept && session.owed.filter(isQueued).length >= this.limits.queue) return;
    const retain = message.retain && matching.some(({ retainAsPublished }) => retainAsPublished);
    const shared = matching.some(({ filter }) => isShared(filter, message.topic));
    session.owed.push(
      this.#owe({ ...message, qos, retain }, { deadline, kept, shared, level: message.qos, unseen: !session.connected && !session.cutOff }),
    );
    this.#send(session);
  }

  #owe({ topic, payload, qos, retain, expiry }: Message, how: Partial<Owed>): Owed {
    const begin = { phase: 'waiting', due: true, dup: false, id: 0 } as const;
    const plain = { level: qos, kept: false, shared: false, unseen: false, retained: null, deadline: Number.POSITIVE_INFINITY };
    return { topic, payload, qos, retain, expiry, ...begin, ...plain, ...how };
  }

  /** Wills whose delay is over are published; sessions, messages that were not sent and retained ones are over when their time is. */
  pass(seconds: number): void {
    this.#now += seconds;
    // In this order; the standard leaves that of different topics open.
    const over = [...this.#retained.values()].filter(({ deadline }) => deadline <= this.#now).sort((a, b) => a.deadline - b.deadline);
    for (const { topic } of over) this.#distribute('', { topic, payload: '', qos: 1, retain: true, expiry: 0 }, null);
    for (const [client, session] of this.#sessions) {
      const { delayed } = session;
      if (delayed === null || delayed.due > this.#now) continue;
      session.delayed = null;
      this.#distribute(client, delayed.will, null);
    }
    for (const [client, session] of [...this.#sessions]) {
      if (session.awaySince + session.expiry <= this.#now) this.#drop(client, session);
      // What a kept session has still to be sent of retained messages is looked at when it is its turn.
      session.owed = session.owed.filter((owed) => {
        const isLater = owed.retained !== null && session.durable;
        return isLater || mayHaveBeenSent(owed) || owed.deadline > this.#now;
      });
      this.#send(session);
    }
  }

  /** How many messages are retained. */
  get retained(): number {
    return this.#retained.size;
  }

  /** PUBREL, and all that the window allows, in order. */
  #send(session: ReferenceSession): void {
    if (!session.connected) return;
    for (const owed of session.owed.filter(({ due, phase }) => due && phase === 'received')) {
      session.expected.push({ owed, packet: 'pubrel', dup: owed.dup });
      owed.due = false;
    }
    for (const owed of session.owed.filter(({ due }) => due)) {
      const underWay = session.owed.filter((other) => !other.due).length;
      if (owed.qos > 0 && underWay >= session.window) return;
      if (owed.retained !== null && owed.phase === 'waiting' && owed.deadline <= this.#now) {
        session.owed.splice(session.owed.indexOf(owed), 1);
        continue;
      }
      session.expected.push({ owed, packet: 'publish', dup: owed.dup });
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

  /** The broker ends, and all connections with it. `killed`: it could not note when they did. */
  stop(killed: boolean): void {
    const connected = [...this.#sessions].filter(([, session]) => session.connected);
    const wills = connected.map(([client, { will }]) => ({ client, will }));
    for (const [client, session] of connected) {
      session.cutOff = killed;
      this.#end(client);
    }
    for (const session of this.#sessions.values()) if (session.cutOff) session.awaySince = this.#now;
    const before = new Set([...this.#sessions.values()].flatMap(({ owed }) => owed));
    for (const { client, will } of wills) if (will !== null) this.#leaveWill(client, will);
    for (const session of this.#sessions.values()) for (const one of session.owed) restarted(one, session.cutOff, before.has(one));
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
      let next = 0;
      for (const one of seen) {
        const wanted = due[next];
        if (wanted !== undefined && agrees(wanted, one)) next += 1;
        else if (!session.resumed || !this.#isRetained(one)) return false;
      }
      return next === due.length;
    });
    const ids = session.owed.filter(({ due, qos }) => !due && qos > 0).map(({ id }) => id);
    if (fits && new Set(ids).size === ids.length) return null;
    return `${client} was sent [${observed.map(show).join(' ')}] instead of [${expected.map(showExpected).join(' ')}]`;
  }

  #isRetained({ topic, payload, qos, retain, id }: Observed): boolean {
    return retain && qos === 0 && id === 0 && this.#retained.get(topic)?.payload === payload;
  }

  #session(client: string): ReferenceSession {
    const session = this.#sessions.get(client);
    if (session === undefined) throw new Error(`${client} has no session`);
    return session;
  }
}

/** It was owed when the broker ended. What comes in the moment in which its client is lost may count as sent, and what one had that was cut off. */
function restarted(owed: Owed, cutOff: boolean, wasThere: boolean): void {
  owed.unseen &&= wasThere;
  if (owed.unseen) return;
  if (owed.phase === 'sent') owed.dup = true;
  else if (cutOff || !wasThere) owed.dup = null;
}
