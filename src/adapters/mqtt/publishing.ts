// Publishing: a client's PUBLISH and its will as requests to the core.

import {
  checkPath,
  type DataOptions,
  DataRequest,
  type Format,
  Payload,
  type Qos,
  type Session,
  STORED,
  UNSTORED,
  type Will,
} from '../../core/index.js';
import { lengthBytes, malformed, readText, type WillFacts } from './codec.js';
import { isForbiddenTopic, type Topics, topicFault } from './paths.js';
import { FIRST_BYTE, QOS_SHIFT, RETAIN } from './wire.js';

/** Smaller payloads are copied out of a chunk that is this many times larger, so that they do not keep it in memory. */
const PINNING_FACTOR = 4;
/** Node makes small copies in pieces of memory of this size. */
const POOL_BYTES = Buffer.poolSize;

/** By QoS. An empty retained message is news to subscribers also when there was nothing to remove. */
const RETAINED: readonly DataOptions[] = [0, 1, 2].map((qos) => Object.freeze({ ...STORED, qos: qos as Qos, publishMissing: true }));
const PLAIN: readonly DataOptions[] = [0, 1, 2].map((qos) => Object.freeze({ ...UNSTORED, qos: qos as Qos }));

/** How a message of that level is published. Shared: it is no copy. */
export function optionsOf(qos: Qos, retain: boolean): DataOptions {
  return (retain ? RETAINED : PLAIN)[qos] as DataOptions;
}

export class Publishing {
  /** Bytes of the topic of the last PUBLISH, and its path: a client publishes to the same topic again and again. */
  #topicBytes: Buffer | null = null;
  #path = '';

  constructor(
    private readonly session: Session,
    private readonly topics: Topics,
    private readonly raw: Format,
  ) {}

  /** Throws ConnectionError for what breaks the standard, RequestError for what can be no path. */
  read(first: number, bytes: Buffer, start: number, body: number, end: number): DataRequest {
    const qos = ((first >> QOS_SHIFT) & 3) as Qos;
    const topicAt = body + 2;
    if (topicAt > end) throw malformed('the topic is missing');
    const topicEnd = topicAt + bytes.readUInt16BE(body);
    const payloadAt = qos === 0 ? topicEnd : topicEnd + 2;
    if (payloadAt > end) throw malformed('PUBLISH is cut off');
    const path = this.#pathOf(bytes, topicAt, topicEnd);
    const packetId = qos === 0 ? 0 : bytes.readUInt16BE(topicEnd);
    if (qos > 0 && packetId === 0) throw malformed('packet id 0');
    const retain = (first & RETAIN) !== 0;
    const removes = retain && payloadAt === end;
    const payload = removes ? null : this.#payloadOf(first, bytes, start, body, payloadAt, end);
    return new DataRequest(
      removes ? 'remove' : 'set',
      this.session,
      packetId,
      path,
      null,
      payload,
      optionsOf(qos, retain),
      qos > 0,
      qos === 2 ? packetId : 0,
      null,
    );
  }

  /** Throws as `read` does. */
  will({ topic, payload, qos, retain }: WillFacts): Will {
    const remove = retain && payload.length === 0;
    const options = optionsOf(qos, retain);
    return { path: this.#checkedPath(topic), payload: Payload.fromBytes(payload, this.raw), options, remove, delayMs: 0 };
  }

  #payloadOf(first: number, bytes: Buffer, start: number, body: number, payloadAt: number, end: number): Payload {
    const frame = frameOf(first, bytes, start, body, end);
    if (frame === null) return Payload.fromBytes(unpinned(bytes, payloadAt, end), this.raw);
    return Payload.fromFrame(frame, payloadAt - start, this.raw);
  }

  #pathOf(bytes: Buffer, start: number, end: number): string {
    const known = this.#topicBytes;
    if (known !== null && isSame(known, bytes, start, end)) return this.#path;
    const topic = readText(bytes, start, end);
    if (topic === null) throw malformed('the topic is not UTF-8 text without control characters');
    const fault = topicFault(topic);
    if (fault !== null) throw malformed(`the topic ${fault}`);
    this.#path = this.#checkedPath(topic);
    this.#topicBytes = Buffer.from(bytes.subarray(start, end));
    return this.#path;
  }

  #checkedPath(topic: string): string {
    if (isForbiddenTopic(topic)) throw malformed('nobody publishes below $SYS and $share');
    return checkPath(this.topics.pathOf(topic));
  }
}

/** Whether `bytes` from `start` to `end` are those of `known`. */
export function isSame(known: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}

/** A part of a chunk that may live long must not keep much more than itself in memory. */
export function unpinned(bytes: Buffer, start: number, end: number): Buffer {
  const part = bytes.subarray(start, end);
  return isPinning(bytes, part.length) ? Buffer.from(part) : part;
}

/** What lies in no more memory than a small copy would lie in keeps no more than that one would. */
function isPinning({ buffer }: Buffer, length: number): boolean {
  return buffer.byteLength > POOL_BYTES && length * PINNING_FACTOR < buffer.byteLength;
}

/** The packet, if it is just what a receiver of QoS 0 is sent; `first` is its first byte. */
function frameOf(first: number, bytes: Buffer, start: number, body: number, end: number): Buffer | null {
  const isPlain = first === FIRST_BYTE.PUBLISH && body - start - 1 === lengthBytes(end - body);
  if (!isPlain || isPinning(bytes, end - start)) return null;
  return end - start === bytes.length ? bytes : bytes.subarray(start, end);
}
