// Encoder: how a version of the protocol writes what deliveries send. PlainEncoder is that of 3.1 and 3.1.1, whose PUBLISH is
// the same: one for all their sessions.

import type { Entry, Format, Payload, Publication } from '../../core/index.js';
import { encodePublish } from './codec.js';
import type { Topics } from './paths.js';

const FRAME_KEY = 'mqtt:0';
const EMPTY = new Uint8Array(0);

/** What the subscriptions behind a delivery ask of it, beside its level. */
export interface Terms {
  /** Numbers that they were given. */
  readonly identifiers: readonly number[];
  /** It says whether what it carries was stored. */
  readonly asPublished: boolean;
}

export const NO_TERMS: Terms = Object.freeze({ identifiers: Object.freeze([]), asPublished: false });

/**
 * `flags` are those of a PUBLISH: DUP, QoS, retain; `packetId` is 0 at QoS 0. null: there is nothing to send, because no
 * packet of this receiver can hold it; the encoder has counted that.
 */
export interface Encoder {
  /** A removal is an empty message. What many receivers get alike is encoded once and kept with the publication. */
  publication(publication: Publication, terms: Terms, flags: number, packetId: number): Uint8Array | null;
  /** Whether a new subscription is sent the record. One without bytes is not: to MQTT an empty retained message is none. */
  hasMessage(entry: Entry): boolean;
  /** A record that has one, for a new subscription. */
  entry(entry: Entry, terms: Terms, flags: number, packetId: number): Uint8Array | null;
}

export class PlainEncoder implements Encoder {
  constructor(
    private readonly topics: Topics,
    private readonly raw: Format,
    /** No topic can name the path. */
    private readonly onUnforwardable: (path: string) => void,
  ) {}

  publication(publication: Publication, _terms: Terms, flags: number, packetId: number): Uint8Array | null {
    const { payload } = publication;
    if (flags !== 0) return this.#encode(publication.path, payload, flags, packetId);
    if (payload !== null && payload.frame !== null) return payload.frame;
    const kept = publication.frame(FRAME_KEY) as Uint8Array | undefined;
    if (kept !== undefined) return kept;
    const frame = this.#encode(publication.path, payload, 0, 0);
    if (frame !== null) publication.keepFrame(FRAME_KEY, frame);
    return frame;
  }

  hasMessage({ payload }: Entry): boolean {
    return payload.bytes(this.raw).length > 0;
  }

  entry({ path, payload }: Entry, _terms: Terms, flags: number, packetId: number): Uint8Array | null {
    return this.#encode(path, payload, flags, packetId);
  }

  #encode(path: string, payload: Payload | null, flags: number, packetId: number): Uint8Array | null {
    const head = this.topics.headOf(path);
    if (head !== null) return encodePublish(head, payload === null ? EMPTY : payload.bytes(this.raw), flags, packetId);
    this.onUnforwardable(path);
    return null;
  }
}
