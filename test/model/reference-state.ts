// What the reference broker knows of its clients, and what it reads in that.

export interface Message {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
  /** It is good for so many seconds (version 5); 0: for ever. */
  readonly expiry: number;
}

export interface Subscription {
  readonly filter: string;
  readonly qos: number;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0: retained messages are sent, 1: for a new subscription, 2: never. */
  readonly retainHandling: number;
}

export interface Opening {
  /** Begins with nothing of the session before. */
  readonly cleanStart: boolean;
  /** How many seconds the session outlives its connection. */
  readonly expiry: number;
  readonly will: Will | null;
  /** Messages of QoS 1 and 2 that the client takes before it acknowledges one (version 5); 0: it does not say. */
  readonly receiveMaximum: number;
}

export interface Will extends Message {
  /** It is published so many seconds after the connection was lost, unless the session is resumed or ends before. */
  readonly delay: number;
}

/** A PUBLISH or a PUBREL that a client was sent. */
export interface Observed extends Omit<Message, 'expiry'> {
  readonly packet: 'publish' | 'pubrel';
  readonly dup: boolean;
  readonly id: number;
}

/** A message on its way to one client, until the client has acknowledged it. */
export interface Owed extends Message {
  /** `received`: by a client that has still to be sent PUBREL, or to answer it with PUBCOMP. */
  phase: 'waiting' | 'sent' | 'received';
  /** It goes out on this connection when the window allows it; false: it has. */
  due: boolean;
  /** Of the next PUBLISH; null: either, since a crash makes forget whether there was one. */
  dup: boolean | null;
  /** It came while the client was away, which has not been back: it was never sent. */
  unseen: boolean;
  /** Packet id; 0: not seen yet. */
  id: number;
  /** It outlives the connection. */
  readonly kept: boolean;
  /** It was retained when a filter was subscribed to; null: it was published since. */
  readonly retained: { readonly filter: string; readonly version: number } | null;
  /** The level at which it was published. */
  readonly level: number;
  /** It came by the shared subscription, and goes to another member should the session end. */
  readonly shared: boolean;
  /** When it is of no use any more, unless it was sent; Infinity: never. */
  readonly deadline: number;
}

export interface Expected {
  readonly owed: Owed;
  readonly packet: 'publish' | 'pubrel';
  readonly dup: boolean | null;
}

export interface ReferenceSession {
  /** It is one that outlives its connection, or was when it was resumed. */
  readonly durable: boolean;
  /** In seconds. */
  expiry: number;
  /** Infinity: it has a connection. */
  awaySince: number;
  connected: boolean;
  /** It is the resumed one of an earlier connection: what was retained and of QoS 0 may come, or come again. */
  resumed: boolean;
  /** It was connected when the broker was killed, and has not been back: when it left is not known. */
  cutOff: boolean;
  /** Messages of QoS 1 and 2 that it may have unacknowledged. */
  window: number;
  will: Will | null;
  /** The will of a connection that was lost, until its delay is over. */
  delayed: { readonly will: Will; readonly due: number } | null;
  readonly filters: Map<string, Subscription>;
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

/** What a session that ended had been given as one of several, and had not received. */
export interface Orphan {
  readonly message: Message;
  readonly deadline: number;
}

export interface Retained extends Message {
  readonly deadline: number;
  readonly version: number;
}

/** What is retained is queued when it is sent. */
export function isQueued({ kept, retained, phase }: Owed): boolean {
  return kept && (retained === null || phase !== 'waiting');
}

export function mayHaveBeenSent({ phase, dup }: Owed): boolean {
  return phase !== 'waiting' || dup === null;
}

/** What is retained under the filter is not wanted any more. */
export function dropWaiting(session: ReferenceSession, filter: string): void {
  session.owed = session.owed.filter(({ retained, phase }) => retained?.filter !== filter || phase !== 'waiting');
}

export const SHARED = '$share/';

/** Whether the filter is a shared one that matches. */
export function isShared(filter: string, topic: string): boolean {
  return filter.startsWith(SHARED) && matches(filter.split('/').slice(2).join('/'), topic);
}

export function agrees({ owed, packet, dup }: Expected, seen: Observed): boolean {
  if (packet !== seen.packet || (owed.id !== 0 && owed.id !== seen.id)) return false;
  const isSame = owed.topic === seen.topic && owed.payload === seen.payload && owed.qos === seen.qos && owed.retain === seen.retain;
  if (packet === 'publish' && !(isSame && (dup === null || dup === seen.dup) && owed.qos > 0 === seen.id > 0)) return false;
  owed.id = seen.id;
  return true;
}

export function show({ packet, topic, payload, qos, retain, dup, id }: Observed): string {
  return packet === 'pubrel' ? `PUBREL:${id}` : `${topic}=${payload}/${qos}${retain ? 'r' : ''}${dup ? 'd' : ''}:${id}`;
}

export function showExpected({ owed, packet, dup }: Expected): string {
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
