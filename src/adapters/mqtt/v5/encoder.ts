// PropertyEncoder: how MQTT 5 writes deliveries to one client: properties, topic aliases, the client's limits.

import type { Entry, Format, Meta, Payload, Publication } from '../../../core/index.js';
import { type Encoder, NO_TERMS, type Terms } from '../encoder.js';
import type { Topics } from '../paths.js';
import { RETAIN } from '../wire.js';
import { WireMeta } from './meta.js';
import { encodePublish, NO_TOPIC_HEAD, type PublishProperties, remainingSeconds } from './publish.js';

const FRAME_KEY = 'mqtt5:0';
const RETAINED_FRAME_KEY = 'mqtt5:0r';
const META_KEY = 'mqtt5:meta';
const EMPTY = new Uint8Array(0);

/** What the encoders of all sessions share. */
export interface EncoderHost {
  readonly topics: Topics;
  readonly raw: Format;
  /** Milliseconds since 1970. */
  now(): number;
  /** No topic can name the path. */
  onUnforwardable(path: string): void;
  /** The client takes no packet of that size ([MQTT5-3.1.2-24]). */
  onTooLarge(): void;
  /** Properties that no packet can hold. */
  onLeftOut(count: number): void;
}

/** What is said of one message. */
interface Saying {
  readonly expires: number;
  readonly meta: WireMeta | null;
  readonly identifiers: readonly number[];
}

export class PropertyEncoder implements Encoder {
  /** Largest packet that the client takes. */
  maxBytes = Number.POSITIVE_INFINITY;
  /** Aliases by path; null: the client takes none. */
  #aliases: Map<string, number> | null = null;
  #aliasMax = 0;

  constructor(private readonly host: EncoderHost) {}

  /** Topics are written out once for each alias; when all aliases are taken, the rest of the topics always is. */
  takeAliases(max: number): void {
    this.#aliasMax = max;
    this.#aliases = max > 0 ? new Map() : null;
  }

  publication(publication: Publication, terms: Terms, flags: number, packetId: number): Uint8Array | null {
    const allFlags = terms.asPublished && publication.options.store ? flags | RETAIN : flags;
    const isAlike = flags === 0 && terms.identifiers.length === 0 && publication.expires === 0 && this.#aliases === null;
    if (!isAlike) return this.#encodePublication(publication, terms, allFlags, packetId);
    const key = allFlags === 0 ? FRAME_KEY : RETAINED_FRAME_KEY;
    let frame = (publication.frame(key) ?? null) as Uint8Array | null;
    if (frame === null) {
      frame = this.#encodePublication(publication, NO_TERMS, allFlags, 0);
      if (frame !== null) publication.keepFrame(key, frame);
    } else if (frame.length > this.maxBytes) {
      this.host.onTooLarge();
      return null;
    }
    return frame;
  }

  hasMessage({ payload }: Entry): boolean {
    return payload.bytes(this.host.raw).length > 0;
  }

  entry(entry: Entry, { identifiers }: Terms, flags: number, packetId: number): Uint8Array | null {
    const saying = { expires: entry.expires, meta: this.#wireMeta(entry.meta), identifiers };
    return this.#encode(entry.path, entry.payload, saying, flags, packetId);
  }

  #encodePublication(publication: Publication, { identifiers }: Terms, flags: number, packetId: number): Uint8Array | null {
    const saying = { expires: publication.expires, meta: this.#metaOf(publication), identifiers };
    return this.#encode(publication.path, publication.payload, saying, flags, packetId);
  }

  /** Measured once for all receivers. */
  #metaOf(publication: Publication): WireMeta | null {
    if (publication.meta === null) return null;
    let meta = publication.frame(META_KEY) as WireMeta | undefined;
    if (meta === undefined) {
      meta = this.#wireMeta(publication.meta) as WireMeta;
      publication.keepFrame(META_KEY, meta);
    }
    return meta;
  }

  #wireMeta(meta: Meta | null): WireMeta | null {
    if (meta === null) return null;
    const response = meta.responseTopic === null ? null : this.host.topics.topicOf(meta.responseTopic);
    const wire = new WireMeta(response === meta.responseTopic ? meta : meta.answeredOn(response));
    // An answer is expected where the client cannot say it.
    const unreachable = Number(response === null && meta.responseTopic !== null);
    if (wire.leftOut + unreachable > 0) this.host.onLeftOut(wire.leftOut + unreachable);
    return wire;
  }

  #encode(path: string, payload: Payload | null, saying: Saying, flags: number, packetId: number): Uint8Array | null {
    const head = this.host.topics.headOf(path);
    if (head === null) {
      this.host.onUnforwardable(path);
      return null;
    }
    const known = this.#aliases?.get(path) ?? 0;
    const body = payload === null ? EMPTY : payload.bytes(this.host.raw);
    let alias = known > 0 ? known : this.#freeAlias();
    let frame = encodePublish(known > 0 ? NO_TOPIC_HEAD : head, body, flags, packetId, this.#propertiesOf(saying, alias));
    if (frame.length > this.maxBytes && alias > 0) {
      // The number of its topic takes room.
      alias = 0;
      frame = encodePublish(head, body, flags, packetId, this.#propertiesOf(saying, 0));
    }
    if (frame.length > this.maxBytes) {
      this.host.onTooLarge();
      return null;
    }
    if (alias > known) this.#aliases?.set(path, alias);
    return frame;
  }

  /** 0: there is none. */
  #freeAlias(): number {
    const aliases = this.#aliases;
    return aliases === null || aliases.size >= this.#aliasMax ? 0 : aliases.size + 1;
  }

  #propertiesOf({ expires, meta, identifiers }: Saying, topicAlias: number): PublishProperties | null {
    if (expires === 0 && meta === null && identifiers.length === 0 && topicAlias === 0) return null;
    const expirySeconds = expires === 0 ? null : remainingSeconds(expires, this.host.now());
    return { topicAlias, expirySeconds, identifiers, meta };
  }
}
