// The form on disk of what is kept of sessions. Every row ends with a seal (store/seal.ts); numbers are little-endian.
// Section `durableSession`: <number> → expiry f64, away since f64, key; <number>/<filter> and <number>&<group>/<filter> → QoS
// u8, flags u8, identifier u32, with its flag a remainder: revision f64, place f64, u8 (1: there is a path), path;
// <number>!<once id> → nothing; <number>@ → name of the user, if it is somebody's.
// Section `queue`: <number>/<message number> → QoS u8, flags u8, packet id u16, size u32, time f64, expires f64, of initial
// values place f64, identifiers u32 each, and when it came by shared subscriptions their keys, with NUL between them, and their
// length u32. Section `message`: <message number> → the body. Section `will`: <connection's session id>, or @<number> while it
// waits for its delay → number of the durable session f64, delay f64, due f64 (0: not yet), then as a message.
// Numbers in keys are 14 hexadecimal digits, so that keys sort as they count.

import type { Formats } from '../adapter.js';
import { Meta } from '../data/meta.js';
import { Payload } from '../data/payload.js';
import { type DataOptions, Publication, type Qos, STORED, UNSTORED, type Will } from '../message.js';
import { type Remainder, SUBSCRIBED, type Subscription, type SubscriptionOptions } from '../routing/subscription.js';
import { DIGITS, digits } from '../store/digits.js';
import { SEAL_BYTES, seal } from '../store/seal.js';
import { type Section, StoreDamage } from '../store/store.js';
import { DurableSession, type QueuedMessage } from './durable-session.js';

const EMPTY = new Uint8Array(0);

export function queueKey(durable: DurableSession, number: number): string {
  return `${digits(durable.number)}/${digits(number)}`;
}

/** Throws StoreDamage when there is no number at that place of the key. */
export function numberIn(section: Section, key: string, at: number): number {
  const number = Number.parseInt(key.slice(at, at + DIGITS), 16);
  if (Number.isNaN(number)) throw new StoreDamage(`the key ${JSON.stringify(key)} in section ${section} has no number`);
  return number;
}

const SESSION_HEAD_BYTES = 16;

export function encodeSession({ key, expiryMs, awaySince }: DurableSession): Buffer {
  const bytes = Buffer.allocUnsafe(SESSION_HEAD_BYTES + Buffer.byteLength(key) + SEAL_BYTES);
  bytes.writeDoubleLE(expiryMs, 0);
  bytes.writeDoubleLE(awaySince, 8);
  bytes.write(key, SESSION_HEAD_BYTES);
  return seal(bytes);
}

export function decodeSession(number: number, bytes: Buffer): DurableSession {
  const durable = new DurableSession(number, bytes.toString('utf8', SESSION_HEAD_BYTES));
  durable.expiryMs = bytes.readDoubleLE(0);
  durable.awaySince = bytes.readDoubleLE(8);
  return durable;
}

const NO_LOCAL = 1;
const AS_PUBLISHED = 2;
const REMAINDER = 4;
const SUBSCRIPTION_BYTES = 6;
const REMAINDER_BYTES = 17;

export function encodeSubscription({ options, remainder }: Subscription): Buffer {
  const { qos, noLocal, asPublished, identifier } = options;
  const path = remainder?.after ?? '';
  const length = SUBSCRIPTION_BYTES + (remainder === null ? 0 : REMAINDER_BYTES + Buffer.byteLength(path));
  const bytes = Buffer.allocUnsafe(length + SEAL_BYTES);
  bytes[0] = qos;
  bytes[1] = (noLocal ? NO_LOCAL : 0) | (asPublished ? AS_PUBLISHED : 0) | (remainder === null ? 0 : REMAINDER);
  bytes.writeUInt32LE(identifier, 2);
  if (remainder !== null) {
    bytes.writeDoubleLE(remainder.revision, SUBSCRIPTION_BYTES);
    bytes.writeDoubleLE(remainder.place, SUBSCRIPTION_BYTES + 8);
    bytes[SUBSCRIPTION_BYTES + 16] = remainder.after === null ? 0 : 1;
    bytes.write(path, SUBSCRIPTION_BYTES + REMAINDER_BYTES);
  }
  return seal(bytes);
}

/** What the row does not say is as in every durable subscription. */
export function decodeSubscription(bytes: Buffer, group: string | null): SubscriptionOptions {
  const flags = bytes[1] as number;
  return {
    ...SUBSCRIBED,
    qos: bytes[0] as Qos,
    noLocal: (flags & NO_LOCAL) !== 0,
    asPublished: (flags & AS_PUBLISHED) !== 0,
    identifier: bytes.readUInt32LE(2),
    group,
  };
}

export function decodeRemainder(bytes: Buffer): Remainder | null {
  if (((bytes[1] as number) & REMAINDER) === 0) return null;
  const hasPath = bytes[SUBSCRIPTION_BYTES + 16] === 1;
  return {
    after: hasPath ? bytes.toString('utf8', SUBSCRIPTION_BYTES + REMAINDER_BYTES) : null,
    revision: bytes.readDoubleLE(SUBSCRIPTION_BYTES),
    place: bytes.readDoubleLE(SUBSCRIPTION_BYTES + 8),
  };
}

const RELEASED = 1;
const INITIAL = 4;
const SHARED = 8;
const UNSENT = 16;
const QUEUED_HEAD_BYTES = 24;
const PLACE_BYTES = 8;
const NO_IDENTIFIERS: readonly number[] = Object.freeze([]);
export const NO_GROUPS: readonly string[] = Object.freeze([]);
const BETWEEN_GROUPS = '\0';

export function encodeQueued(message: QueuedMessage): Buffer {
  const { identifiers, initial, groups } = message;
  const identifiersAt = QUEUED_HEAD_BYTES + (initial ? PLACE_BYTES : 0);
  const groupsAt = identifiersAt + identifiers.length * 4;
  const isShared = groups.length > 0;
  const text = isShared ? groups.join(BETWEEN_GROUPS) : '';
  const end = isShared ? groupsAt + Buffer.byteLength(text) + 4 : groupsAt;
  const bytes = Buffer.allocUnsafe(end + SEAL_BYTES);
  bytes[0] = message.qos;
  bytes[1] =
    (message.state === 'released' ? RELEASED : 0) |
    (message.asPublished ? AS_PUBLISHED : 0) |
    (initial ? INITIAL : 0) |
    (isShared ? SHARED : 0) |
    (message.isUnsentNoted ? UNSENT : 0);
  if (isShared) bytes.writeUInt32LE(bytes.write(text, groupsAt), end - 4);
  bytes.writeUInt16LE(message.packetId, 2);
  bytes.writeUInt32LE(message.size, 4);
  bytes.writeDoubleLE(message.time, 8);
  bytes.writeDoubleLE(message.expires, 16);
  if (initial) bytes.writeDoubleLE(message.place, QUEUED_HEAD_BYTES);
  for (let i = 0; i < identifiers.length; i++) bytes.writeUInt32LE(identifiers[i] as number, identifiersAt + i * 4);
  return seal(bytes);
}

/**
 * `awaySince`: that of its session. What came later was handed to nobody, nor what is noted as such; of the rest that is not known, and of
 * nothing when the connection was cut off.
 */
export function decodeQueued(number: number, bytes: Buffer, awaySince: number): QueuedMessage {
  const flags = bytes[1] as number;
  const time = bytes.readDoubleLE(8);
  const initial = (flags & INITIAL) !== 0;
  const isShared = (flags & SHARED) !== 0;
  const isUnsentNoted = (flags & UNSENT) !== 0;
  const groupsEnd = bytes.length - 4;
  const groupsAt = isShared ? groupsEnd - bytes.readUInt32LE(groupsEnd) : bytes.length;
  const identifiers: number[] = [];
  for (let at = QUEUED_HEAD_BYTES + (initial ? PLACE_BYTES : 0); at < groupsAt; at += 4) identifiers.push(bytes.readUInt32LE(at));
  return {
    number,
    qos: bytes[0] as 1 | 2,
    packetId: bytes.readUInt16LE(2),
    state: (flags & RELEASED) === 0 ? 'queued' : 'released',
    size: bytes.readUInt32LE(4),
    time,
    expires: bytes.readDoubleLE(16),
    identifiers: identifiers.length === 0 ? NO_IDENTIFIERS : identifiers,
    asPublished: (flags & AS_PUBLISHED) !== 0,
    initial,
    place: initial ? bytes.readDoubleLE(QUEUED_HEAD_BYTES) : number,
    groups: isShared ? bytes.toString('utf8', groupsAt, groupsEnd).split(BETWEEN_GROUPS) : NO_GROUPS,
    sent: awaySince === 0 || (time <= awaySince && !isUnsentNoted),
    isUnsentNoted,
    publication: null,
  };
}

/** action u8, QoS u8, format u8, stored u8, time f64, lifetime f64, author length u16, path length u32, meta length u32. */
const MESSAGE_HEAD_BYTES = 30;

interface MessageParts {
  readonly remove: boolean;
  readonly options: DataOptions;
  readonly time: number;
  readonly author: string;
  readonly path: string;
  readonly payload: Payload | null;
}

function encodeParts({ remove, options, time, author, path, payload }: MessageParts, headBytes: number): Buffer {
  const body = payload === null ? EMPTY : payload.ownBytes();
  const meta = options.meta === null ? EMPTY : options.meta.bytes();
  const authorAt = headBytes + MESSAGE_HEAD_BYTES;
  const pathAt = authorAt + Buffer.byteLength(author);
  const metaAt = pathAt + Buffer.byteLength(path);
  const bodyAt = metaAt + meta.length;
  const bytes = Buffer.allocUnsafe(bodyAt + body.length + SEAL_BYTES);
  bytes[headBytes] = remove ? 1 : 0;
  bytes[headBytes + 1] = options.qos;
  bytes[headBytes + 2] = payload === null ? 0 : payload.format.id;
  bytes[headBytes + 3] = options.store ? 1 : 0;
  bytes.writeDoubleLE(time, headBytes + 4);
  bytes.writeDoubleLE(options.lifetimeMs, headBytes + 12);
  bytes.writeUInt16LE(pathAt - authorAt, headBytes + 20);
  bytes.writeUInt32LE(metaAt - pathAt, headBytes + 22);
  bytes.writeUInt32LE(meta.length, headBytes + 26);
  bytes.write(author, authorAt);
  bytes.write(path, pathAt);
  bytes.set(meta, metaAt);
  bytes.set(body, bodyAt);
  return bytes;
}

function decodeParts(bytes: Buffer, headBytes: number, formats: Formats): MessageParts {
  const format = formats.byId.get(bytes[headBytes + 2] as number);
  const authorAt = headBytes + MESSAGE_HEAD_BYTES;
  const pathAt = authorAt + bytes.readUInt16LE(headBytes + 20);
  const metaAt = pathAt + bytes.readUInt32LE(headBytes + 22);
  const bodyAt = metaAt + bytes.readUInt32LE(headBytes + 26);
  const options: DataOptions = {
    ...(bytes[headBytes + 3] === 1 ? STORED : UNSTORED),
    qos: bytes[headBytes + 1] as Qos,
    lifetimeMs: bytes.readDoubleLE(headBytes + 12),
    meta: bodyAt === metaAt ? null : Meta.fromBytes(bytes.subarray(metaAt, bodyAt)),
  };
  return {
    remove: bytes[headBytes] === 1,
    options,
    time: bytes.readDoubleLE(headBytes + 4),
    author: bytes.toString('utf8', authorAt, pathAt),
    path: bytes.toString('utf8', pathAt, metaAt),
    payload: format === undefined ? null : Payload.fromBytes(bytes.subarray(bodyAt), format),
  };
}

export function encodeMessage(publication: Publication): Buffer {
  const { action, expires, time, author, path, payload } = publication;
  // A record's deadline may be an earlier set's.
  const lifetimeMs = expires === 0 ? 0 : Math.max(1, expires - time);
  const options = { ...publication.options, lifetimeMs };
  return seal(encodeParts({ remove: action === 'remove', options, time, author, path, payload }, 0));
}

/** The body of a queued message, as its publication was. */
export function decodeMessage(number: number, bytes: Buffer, formats: Formats): Publication {
  const { remove, options, time, author, path, payload } = decodeParts(bytes, 0, formats);
  const action = remove ? 'remove' : 'set';
  const publication = new Publication(action, path, payload, payload, null, remove ? 1 : 0, 0, time, options, '', null, author, 'all');
  publication.number = number;
  return publication;
}

/** A will as it is kept, and what is to become of it. */
export interface KeptWill {
  readonly will: Will;
  readonly author: string;
  /** When it was left. */
  readonly time: number;
  /** Number of the durable session whose connection left it; 0: none. */
  readonly durable: number;
  /** It waits for its delay until then; 0: its connection is still there. */
  readonly due: number;
}

const WILL_HEAD_BYTES = 24;

export function encodeWill({ will, author, time, durable, due }: KeptWill): Buffer {
  const { options, path, payload, remove } = will;
  const bytes = encodeParts({ remove, options, time, author, path, payload }, WILL_HEAD_BYTES);
  bytes.writeDoubleLE(durable, 0);
  bytes.writeDoubleLE(will.delayMs, 8);
  bytes.writeDoubleLE(due, 16);
  return seal(bytes);
}

export function decodeWill(bytes: Buffer, formats: Formats): KeptWill {
  const { remove, options, time, author, path, payload } = decodeParts(bytes, WILL_HEAD_BYTES, formats);
  const will: Will = {
    path,
    payload: payload ?? Payload.fromBytes(EMPTY, formats.raw),
    options: { ...options, publishMissing: true },
    remove,
    delayMs: bytes.readDoubleLE(8),
  };
  return { will, author, time, durable: bytes.readDoubleLE(0), due: bytes.readDoubleLE(16) };
}
