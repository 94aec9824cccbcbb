// The meta of a publication (content type, response topic, correlation data, payload format, user properties),
// between the properties of MQTT 5 and the data space.

import { jsonText, Meta } from '../../../core/index.js';
import { topicFault } from '../paths.js';
import { FIELD_BYTES_MAX, textBytes, writeBinary, writeText } from './fields.js';
import { PROPERTY, type PropertyReader } from './properties.js';
import { checkResponseTopic } from './topics.js';

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
    const isSilent = this.#contentType === null && this.#responseTopic === null && this.#correlationData === null && !this.#isText;
    if (isSilent && this.#pairs.length === 0) return null;
    return new Meta(this.#contentType, this.#responseTopic, this.#correlationData, this.#isText, this.#pairs);
  }
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
    this.#contentType = contentType !== null && textBytes(contentType) >= 0 ? contentType : null;
    this.#responseTopic = responseTopic !== null && isWritableTopic(responseTopic) ? responseTopic : null;
    this.#correlationData = correlationData !== null && correlationData.length <= FIELD_BYTES_MAX ? correlationData : null;
    let length = this.#isText ? FLAG_BYTES : 0;
    if (this.#contentType !== null) length += FIELD_OVERHEAD + textBytes(this.#contentType);
    if (this.#responseTopic !== null) length += FIELD_OVERHEAD + textBytes(this.#responseTopic);
    if (this.#correlationData !== null) length += FIELD_OVERHEAD + this.#correlationData.length;
    const pairs: string[] = [];
    for (const [name, value] of meta.pairs) {
      const text = typeof value === 'string' ? value : jsonText(value);
      const [nameLength, textLength] = [textBytes(name), textBytes(text)];
      if (nameLength < 0 || textLength < 0) continue;
      pairs.push(name, text);
      length += PAIR_OVERHEAD + nameLength + textLength;
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

/** [MQTT5-3.3.2-14] */
function isWritableTopic(topic: string): boolean {
  return textBytes(topic) >= 0 && topicFault(topic) === null;
}
