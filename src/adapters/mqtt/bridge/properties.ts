// Properties: the meta of a message, between the data space and version 5; response topics are renamed as the rules
// rename topics. The user properties include the gateways that the message came through, one for each, oldest first: they
// keep it from going where it has been, in whatever rings bridges are connected.

import { jsonText, Meta, type MetaPair } from '../../../core/index.js';
import { topicFault } from '../paths.js';
import { FIELD_BYTES_MAX, textBytes } from '../v5/fields.js';
import type { DropReason } from './drops.js';
import type { MessageProperties } from './remote.js';
import type { Rules } from './rules.js';

/** User property: the id of a gateway that the message came from over a bridge. */
const VIA_PROPERTY = 'trivium-via';

const EXPIRY_MAX_SECONDS = 0xffff_ffff;

export class Properties {
  constructor(
    private readonly rules: Rules,
    /** This gateway's id. */
    private readonly node: string,
    private readonly maxHops: number,
  ) {}

  /**
   * For the remote, whose id as a gateway is `remoteNode`. `remainingMs`: what is left of its time; Infinity: it does not
   * expire. null: the message came from there.
   */
  toRemote(meta: Meta | null, remainingMs: number, remoteNode: string | null): MessageProperties | DropReason | null {
    const via = viaOf(meta?.pairs ?? []);
    if (remoteNode !== null && via.includes(remoteNode)) return null;
    // It came in over a bridge, which noted it.
    const isNoted = via.at(-1) === this.node;
    // It came back as that of a client.
    if (!isNoted && via.includes(this.node)) return 'loop';
    if (via.length - Number(isNoted) >= this.maxHops) return 'hops';
    const response = meta?.responseTopic ?? null;
    const user: (readonly [string, string])[] = [];
    for (const [name, value] of meta?.pairs ?? []) {
      const text = typeof value === 'string' ? value : jsonText(value);
      if (isText(name) && isText(text)) user.push([name, text]);
    }
    if (!isNoted) user.push([VIA_PROPERTY, this.node]);
    return {
      contentType: textOrNull(meta?.contentType ?? null),
      responseTopic: response === null ? null : topicOrNull(this.rules.responseThere(response)),
      correlationData: binaryOrNull(meta?.correlationData ?? null),
      isText: meta?.isText ?? false,
      expirySeconds: remainingMs === Number.POSITIVE_INFINITY ? null : Math.min(EXPIRY_MAX_SECONDS, Math.ceil(remainingMs / 1_000)),
      user,
    };
  }

  /** The remote had it of a bridge of this gateway. */
  isOurs(properties: MessageProperties | null): boolean {
    return properties !== null && viaOf(properties.user).at(-1) === this.node;
  }

  /** Of a message of the remote. null: it says nothing. */
  fromRemote(properties: MessageProperties | null, remoteNode: string | null): Meta | DropReason | null {
    if (properties === null) return null;
    const { contentType, responseTopic, correlationData, isText: text, user } = properties;
    const via = viaOf(user);
    if (via.includes(this.node)) return 'loop';
    const pairs: MetaPair[] = [...user];
    if (remoteNode !== null && via.at(-1) !== remoteNode) pairs.push([VIA_PROPERTY, remoteNode]);
    // Bridges of other gateways may take it from here without noting anything.
    pairs.push([VIA_PROPERTY, this.node]);
    return new Meta(contentType, responseTopic === null ? null : this.rules.responseHere(responseTopic), correlationData, text, pairs);
  }
}

/** Ids of the gateways that it came through, oldest first. */
function viaOf(pairs: readonly MetaPair[]): string[] {
  const via: string[] = [];
  for (const [name, value] of pairs) if (name === VIA_PROPERTY && typeof value === 'string') via.push(value);
  return via;
}

/** What the wire cannot carry is left out. */
function isText(text: string): boolean {
  return textBytes(text) >= 0;
}

function textOrNull(text: string | null): string | null {
  return text !== null && isText(text) ? text : null;
}

/** [MQTT5-3.3.2-14] */
function topicOrNull(topic: string): string | null {
  return isText(topic) && topicFault(topic) === null ? topic : null;
}

function binaryOrNull(bytes: Uint8Array | null): Uint8Array | null {
  return bytes !== null && bytes.length <= FIELD_BYTES_MAX ? bytes : null;
}
