// Meta: data about a message beside its body, and how it is stored. Protocols with headers (MQTT 5) and protocols
// with a map of custom meta (happn, Haven) see the same.

import { json, jsonText } from './formats.js';
import { estimatedSize, type Payload, type Value } from './payload.js';
import { binaryFromDocument } from './value.js';

/** One custom property. Names may repeat. */
export type MetaPair = readonly [name: string, value: Value];

/** Name under which a map shows `isText`; its value there is 1, as MQTT 5 counts it (3.3.2.3.2). */
const PAYLOAD_FORMAT = 'payloadFormat';

/** Immutable. Custom properties keep their order and their repetitions. */
export class Meta {
  #values: { readonly [name: string]: Value } | null = null;
  #bytes: Uint8Array | null = null;
  #size = -1;

  constructor(
    /** What the body is, for example a MIME type. */
    readonly contentType: string | null,
    /** The path on which an answer is expected. */
    readonly responseTopic: string | null,
    /** What the answer has to carry. */
    readonly correlationData: Uint8Array | null,
    /** The publisher says that the body is UTF-8 text; nobody checks it. */
    readonly isText: boolean,
    readonly pairs: readonly MetaPair[],
  ) {}

  /**
   * From a map, as `values` gives it: a text `contentType`, a text `responseTopic`, bytes (also as JSON has them) or a text as
   * `correlationData` and `payloadFormat` 1 are what they say, everything else is custom. null: the map is empty.
   */
  static fromValues(values: { readonly [name: string]: Value }): Meta | null {
    const names = Object.keys(values);
    if (names.length === 0) return null;
    const { contentType, responseTopic, correlationData, payloadFormat } = values;
    const correlation = bytesIn(correlationData ?? null);
    const known = {
      contentType: typeof contentType === 'string' ? contentType : null,
      responseTopic: typeof responseTopic === 'string' ? responseTopic : null,
      correlationData: correlation,
      [PAYLOAD_FORMAT]: payloadFormat === 1 ? payloadFormat : null,
    };
    const pairs: MetaPair[] = [];
    for (const name of names) {
      if (!Object.hasOwn(known, name) || known[name as keyof typeof known] === null) pairs.push([name, values[name] as Value]);
    }
    return new Meta(known.contentType, known.responseTopic, known.correlationData, known[PAYLOAD_FORMAT] !== null, pairs);
  }

  /** The same, but that an answer is expected there. */
  answeredOn(responseTopic: string | null): Meta {
    return new Meta(this.contentType, responseTopic, this.correlationData, this.isText, this.pairs);
  }

  /** As a map: a property that repeats is a list of its values. Nobody may change it. */
  values(): { readonly [name: string]: Value } {
    this.#values ??= this.#makeValues();
    return this.#values;
  }

  #makeValues(): { readonly [name: string]: Value } {
    const values = new Map<string, Value>();
    const repeated = new Set<string>();
    for (const [name, value] of this.pairs) {
      const known = values.get(name);
      if (known === undefined) values.set(name, value);
      else if (repeated.has(name)) (known as Value[]).push(value);
      else {
        values.set(name, [known, value]);
        repeated.add(name);
      }
    }
    if (this.contentType !== null) values.set('contentType', this.contentType);
    if (this.responseTopic !== null) values.set('responseTopic', this.responseTopic);
    if (this.correlationData !== null) values.set('correlationData', this.correlationData);
    if (this.isText) values.set(PAYLOAD_FORMAT, 1);
    return Object.fromEntries(values);
  }

  /** As it is stored: a JSON list. Custom values are kept as JSON keeps them. */
  bytes(): Uint8Array {
    if (this.#bytes === null) {
      const correlation = this.correlationData === null ? null : Buffer.from(this.correlationData).toString('base64');
      const pairs = this.pairs.map(([name, value]): Value => [name, value]);
      this.#bytes = Buffer.from(jsonText([this.contentType, this.responseTopic, correlation, this.isText, pairs]));
    }
    return this.#bytes;
  }

  /** What `bytes` wrote. */
  static fromBytes(bytes: Uint8Array): Meta {
    type Kept = [string | null, string | null, string | null, boolean, MetaPair[]];
    const [contentType, responseTopic, correlation, isText, pairs] = json.toValue(bytes) as unknown as Kept;
    return new Meta(contentType, responseTopic, correlation === null ? null : Buffer.from(correlation, 'base64'), isText, pairs);
  }

  /** Bytes for the accounting of queues and caches: about what is kept in memory. */
  get size(): number {
    if (this.#size < 0) {
      this.#size = (this.contentType?.length ?? 0) + (this.responseTopic?.length ?? 0) + (this.correlationData?.length ?? 0);
      for (const [name, value] of this.pairs) this.#size += name.length + estimatedSize(value);
    }
    return this.#size;
  }
}

/** What a path, its body and what is said beside it count in queues, credits and answers. */
export function contentBytes(path: string, payload: Payload | null, meta: Meta | null): number {
  return path.length + (payload === null ? 0 : payload.size) + (meta === null ? 0 : meta.size);
}

function bytesIn(value: Value): Uint8Array | null {
  if (typeof value === 'string') return Buffer.from(value);
  return value instanceof Uint8Array ? value : binaryFromDocument(value);
}
