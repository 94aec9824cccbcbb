// Messages: converts changes here to messages for the remote, and messages of the remote to requests here. Pure but
// for the request's session.

import { Buffer } from 'node:buffer';
import {
  checkPath,
  DataRequest,
  type Entry,
  type Format,
  type Meta,
  Payload,
  type Publication,
  type Qos,
  RequestError,
  reservedArea,
  type Session,
} from '../../../core/index.js';
import { topicFault } from '../paths.js';
import { optionsOf } from '../publishing.js';
import { TOPIC_BYTES_MAX } from '../wire.js';
import type { DropReason } from './drops.js';
import { Properties } from './properties.js';
import type { MessageProperties, RemoteFacts, RemoteMessage } from './remote.js';
import type { Rules } from './rules.js';
import type { Awaiting } from './session.js';

/** A message for the remote, but for what depends on the connection. */
export interface Draft {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly properties: MessageProperties;
}

/** A change of this gateway, or a record. */
interface Change {
  readonly path: string;
  readonly payload: Payload | null;
  readonly retain: boolean;
  readonly meta: Meta | null;
  /** Milliseconds since 1970; 0: never. */
  readonly expires: number;
}

const EMPTY = new Uint8Array(0);
/** 3.1.1 knows none. */
const NO_PROPERTIES: MessageProperties = Object.freeze({
  contentType: null,
  responseTopic: null,
  correlationData: null,
  isText: false,
  expirySeconds: null,
  user: [],
});
/** More than a PUBLISH has beside topic, payload and what meta holds: lengths, packet id, expiry, this gateway's id. */
const OVERHEAD_BYTES = 128;

export interface MessagesOptions {
  readonly raw: Format;
  /** Larger messages of the remote are not taken. */
  readonly maxBytes: number;
  /** Of this gateway. */
  readonly node: string;
  readonly maxHops: number;
  readonly version: '5' | '3.1.1';
  /** Milliseconds since 1970. */
  now(): number;
}

export class Messages {
  readonly #rules: Rules;
  readonly #options: MessagesOptions;
  readonly #properties: Properties;

  constructor(rules: Rules, options: MessagesOptions) {
    this.#rules = rules;
    this.#options = options;
    this.#properties = new Properties(rules, options.node, options.maxHops);
  }

  /** What is stored here is retained there; a removal is an empty retained message. null: it came from there. */
  ofPublication(publication: Publication, qos: Qos, facts: RemoteFacts): Draft | DropReason | null {
    const { action, path, payload, options, meta, expires } = publication;
    return this.#draft({ path, payload, retain: action === 'remove' || options.store, meta, expires }, qos, facts);
  }

  ofEntry({ path, payload, meta, expires }: Entry, qos: Qos, facts: RemoteFacts): Draft | DropReason | null {
    return this.#draft({ path, payload, retain: true, meta, expires }, qos, facts);
  }

  #draft({ path, payload, retain, meta, expires }: Change, qos: Qos, facts: RemoteFacts): Draft | DropReason | null {
    const topic = this.#rules.remoteOf(path);
    if (topic === null) return 'no-rule';
    const topicBytes = Buffer.byteLength(topic);
    if (topicFault(topic) !== null || topicBytes > TOPIC_BYTES_MAX) return 'no-topic';
    const bytes = payload === null ? EMPTY : payload.bytes(this.#options.raw);
    const remainingMs = expires === 0 ? Number.POSITIVE_INFINITY : expires - this.#options.now();
    if (remainingMs <= 0) return 'expired';
    const properties = this.#options.version === '5' ? this.#properties.toRemote(meta, remainingMs, facts.node) : NO_PROPERTIES;
    if (properties === null || typeof properties === 'string') return properties;
    if (OVERHEAD_BYTES + topicBytes + bytes.length + (meta?.size ?? 0) > facts.maximumPacketBytes) return 'too-large';
    const level = Math.min(qos, facts.maximumQos) as Qos;
    return { topic, payload: bytes, qos: level, retain: retain && facts.retainAvailable, properties };
  }

  /** What comes retained is stored, everything else is an event. */
  requestOf(message: RemoteMessage, node: string | null, session: Session, awaiting: Awaiting): DataRequest | DropReason | null {
    const { topic, payload, qos, retain, packetId, properties } = message;
    if (payload.length + topic.length > this.#options.maxBytes) return 'too-large';
    const path = this.#rules.localOf(topic);
    if (path === null) return 'no-rule';
    if (!isPath(path) || isGatewaysOwn(path)) return 'no-topic';
    // In version 5 a message that says nothing has none, and is noted all the same.
    const said = properties ?? (this.#options.version === '5' ? NO_PROPERTIES : null);
    // What is retained there comes with each new subscription, also what this gateway sent there.
    if (retain && this.#properties.isOurs(said)) return null;
    const meta = this.#properties.fromRemote(said, node);
    if (typeof meta === 'string') return meta;
    const expirySeconds = properties?.expirySeconds ?? null;
    if (expirySeconds === 0) return 'expired';
    const removes = retain && payload.length === 0;
    const options = optionsOf(qos, retain);
    const isPlain = meta === null && expirySeconds === null;
    return new DataRequest(
      removes ? 'remove' : 'set',
      session,
      packetId,
      path,
      null,
      removes ? null : Payload.fromBytes(payload, this.#options.raw),
      isPlain ? options : { ...options, meta, lifetimeMs: (expirySeconds ?? 0) * 1_000 },
      qos > 0,
      qos === 2 ? packetId : 0,
      awaiting,
    );
  }
}

function isPath(path: string): boolean {
  try {
    checkPath(path);
    return true;
  } catch (error) {
    if (error instanceof RequestError) return false;
    throw error;
  }
}

/** `$SYS`, and the records that the gateway keeps for itself. */
function isGatewaysOwn(path: string): boolean {
  const area = reservedArea(path);
  return area !== null && (area === '$SYS' || !area.startsWith('$'));
}
