// What a publication says about itself (content type, response topic, correlation data, payload format, user properties),
// between the properties of MQTT 5 and the data space.

import { type Value, jsonText } from '../../../core/index.js';
import { topicFault } from '../paths.js';
import { PROPERTY, type PropertyReader, writeBinary, writeText } from './properties.js';
import { checkResponseTopic } from './topics.js';

export interface Meta {
  readonly contentType: string | null;
  readonly responseTopic: string | null;
  readonly correlationData: Uint8Array | null;
  /** The payload is UTF-8 text. */
  readonly isText: boolean;
  /** In order; a name may stand more than once. */
  readonly pairs: readonly (readonly [name: string, value: Value])[];
}

const FIELD_BYTES_MAX = 0xffff;
/** Identifier and length. */
const FIELD_OVERHEAD = 3;
const FLAG_BYTES = 2;
/** Identifier, and a length each for name and value. */
const PAIR_OVERHEAD = 5;
const NO_PAIRS: readonly [string, string][] = [];

/** Collects the properties that a PUBLISH and a will have in common. */
export class MessageProperties {
  /** null: the message does not expire. 0: no time is left to it. */
  expirySeconds: number | null = null;
  #contentType: string | null = null;
  #responseTopic: string | null = null;
  #correlationData: Uint8Array | null = null;
  #isText = false;
  #pairs: [string, string][] = NO_PAIRS as [string, string][];

  /** The property that was read last; others than those in common are left to the caller. */
  take(properties: PropertyReader): void {
    switch (properties.id) {
      case PROPERTY.PAYLOAD_FORMAT_INDICATOR:
        this.#isText = properties.number === 1;
        return;
      case PROPERTY.MESSAGE_EXPIRY_INTERVAL:
        this.expirySeconds = properties.number;
        return;
      case PROPERTY.CONTENT_TYPE:
        this.#contentType = properties.text;
        return;
      case PROPERTY.RESPONSE_TOPIC:
        this.#responseTopic = checkResponseTopic(properties.text);
        return;
      case PROPERTY.CORRELATION_DATA:
        // Memory of its own: it outlives the packet.
        this.#correlationData = new Uint8Array(properties.binary);
        return;
      case PROPERTY.USER_PROPERTY:
        if (this.#pairs.length === 0) this.#pairs = [];
        this.#pairs.push([properties.name, properties.text]);
    }
  }

  /** null: nothing is said. */
  meta(): Meta | null {
    const meta = {
      contentType: this.#contentType,
      responseTopic: this.#responseTopic,
      correlationData: this.#correlationData,
      isText: this.#isText,
      pairs: this.#pairs,
    };
    return isEmpty(meta) ? null : meta;
  }
}

function isEmpty({ contentType, responseTopic, correlationData, isText, pairs }: Meta): boolean {
  return contentType === null && responseTopic === null && correlationData === null && !isText && pairs.length === 0;
}

/**
 * A `Meta` ready to be written: measured once, written into as many packets as needed. Values of pairs that are no text are
 * written as JSON. What MQTT cannot carry is left out and counted: text above 65,535 bytes, with U+0000 or lone surrogates
 * ([MQTT5-1.5.4-1], [MQTT5-1.5.4-2]), and a response topic that is none.
 */
export class WireMeta {
  /** Bytes of the properties. */
  readonly length: number;
  /** Properties that are left out. */
  readonly leftOut: number;
  readonly #isText: boolean;
  readonly #contentType: string | null;
  readonly #responseTopic: string | null;
  readonly #correlationData: Uint8Array | null;
  /** Name, value, name, value … */
  readonly #pairs: readonly string[];

  constructor(meta: Meta) {
    const { contentType, responseTopic, correlationData } = meta;
    this.#isText = meta.isText;
    this.#contentType = contentType !== null && bytesOf(contentType) >= 0 ? contentType : null;
    this.#responseTopic = responseTopic !== null && isWritableTopic(responseTopic) ? responseTopic : null;
    this.#correlationData = correlationData !== null && correlationData.length <= FIELD_BYTES_MAX ? correlationData : null;
    let length = this.#isText ? FLAG_BYTES : 0;
    if (this.#contentType !== null) length += FIELD_OVERHEAD + bytesOf(this.#contentType);
    if (this.#responseTopic !== null) length += FIELD_OVERHEAD + bytesOf(this.#responseTopic);
    if (this.#correlationData !== null) length += FIELD_OVERHEAD + this.#correlationData.length;
    const pairs: string[] = [];
    for (const [name, value] of meta.pairs) {
      const text = typeof value === 'string' ? value : jsonText(value);
      const [nameBytes, textBytes] = [bytesOf(name), bytesOf(text)];
      if (nameBytes < 0 || textBytes < 0) continue;
      pairs.push(name, text);
      length += PAIR_OVERHEAD + nameBytes + textBytes;
    }
    this.#pairs = pairs;
    this.length = length;
    this.leftOut =
      Number(this.#contentType !== contentType) +
      Number(this.#responseTopic !== responseTopic) +
      Number(this.#correlationData !== correlationData) +
      (meta.pairs.length - pairs.length / 2);
  }

  /** Says where the properties end. */
  write(frame: Buffer, start: number): number {
    let at = start;
    if (this.#isText) {
      frame[at++] = PROPERTY.PAYLOAD_FORMAT_INDICATOR;
      frame[at++] = 1;
    }
    if (this.#contentType !== null) {
      frame[at] = PROPERTY.CONTENT_TYPE;
      at = writeText(frame, at + 1, this.#contentType);
    }
    if (this.#responseTopic !== null) {
      frame[at] = PROPERTY.RESPONSE_TOPIC;
      at = writeText(frame, at + 1, this.#responseTopic);
    }
    if (this.#correlationData !== null) {
      frame[at] = PROPERTY.CORRELATION_DATA;
      at = writeBinary(frame, at + 1, this.#correlationData);
    }
    for (let i = 0; i < this.#pairs.length; i += 2) {
      frame[at] = PROPERTY.USER_PROPERTY;
      at = writeText(frame, at + 1, this.#pairs[i] as string);
      at = writeText(frame, at, this.#pairs[i + 1] as string);
    }
    return at;
  }
}

/** Bytes of `text` on the wire; -1: it cannot stand there. */
function bytesOf(text: string): number {
  if (!text.isWellFormed() || text.includes('\0')) return -1;
  const bytes = Buffer.byteLength(text);
  return bytes <= FIELD_BYTES_MAX ? bytes : -1;
}

/** [MQTT5-3.3.2-14] */
function isWritableTopic(topic: string): boolean {
  return bytesOf(topic) >= 0 && topicFault(topic) === null;
}
