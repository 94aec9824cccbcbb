// Topics and filters: what MQTT can name, and the conversion to paths and patterns of the core and back.

import { Buffer } from 'node:buffer';
import { type Pattern, parsePattern } from '../../core/index.js';
import { FILTER_BYTES_MAX, TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX } from './wire.js';

const HASH = 0x23;
const DOLLAR = 0x24;
const PLUS = 0x2b;
const SLASH = 0x2f;
const HEADS_MAX = 4_096;
/** Longer topics are encoded each time: the cache stays small. */
const HEAD_CACHED_MAX = 256;

/** Why `topic` cannot be published to; null: it can. Its text was checked before (UTF-8, no control characters). */
export function topicFault(topic: string): string | null {
  if (topic.length === 0) return 'is empty';
  let levels = 1;
  for (let i = 0; i < topic.length; i++) {
    const code = topic.charCodeAt(i);
    if (code === PLUS || code === HASH) return 'has a wildcard';
    if (code === SLASH) levels += 1;
  }
  return levels > TOPIC_LEVELS_MAX ? `has more than ${TOPIC_LEVELS_MAX} levels` : null;
}

/** Why `filter` breaks the standard (4.7.1) or is too deep; null: it does not. Ones that are merely long are refused singly. */
export function filterFault(filter: string): string | null {
  if (filter.length === 0) return 'is empty';
  let levels = 1;
  for (let i = 0; i < filter.length; i++) {
    const code = filter.charCodeAt(i);
    if (code === SLASH) levels += 1;
    if (code !== PLUS && code !== HASH) continue;
    if (i > 0 && filter.charCodeAt(i - 1) !== SLASH) return 'has a wildcard that is not a whole level';
    if (code === HASH && i !== filter.length - 1) return 'has # before its end';
    if (code === PLUS && i < filter.length - 1 && filter.charCodeAt(i + 1) !== SLASH) return 'has a wildcard that is not a whole level';
  }
  return levels > TOPIC_LEVELS_MAX ? `has more than ${TOPIC_LEVELS_MAX} levels` : null;
}

/** Whether a topic or filter has more levels than the gateway's limit; such a one does not break the standard. */
export function isTooDeep(text: string): boolean {
  let levels = 1;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) === SLASH) levels += 1;
  return levels > TOPIC_LEVELS_MAX;
}

/** Whether a filter that obeys the standard is within the gateway's limit too. */
export function isFilterServed(filter: string): boolean {
  return Buffer.byteLength(filter) <= FILTER_BYTES_MAX;
}

/** A filter without the words that make it a shared one (MQTT 5, 4.8.2). */
export interface SharedFilter {
  readonly text: string;
  /** ShareName; null: not shared. */
  readonly group: string | null;
}

const SHARE = '$share/';

/** null: a shared filter whose name or filter is missing, or whose name has a wildcard. */
export function splitShared(whole: string): SharedFilter | null {
  if (!whole.startsWith(SHARE)) return { text: whole, group: null };
  const groupEnd = whole.indexOf('/', SHARE.length);
  if (groupEnd <= SHARE.length || groupEnd === whole.length - 1) return null;
  const group = whole.slice(SHARE.length, groupEnd);
  return /[+#]/.test(group) ? null : { text: whole.slice(groupEnd + 1), group };
}

/** `$SYS` and below: the broker's own topics; they stay in the adapter. */
export function isSystemTopic(text: string): boolean {
  return text === '$SYS' || text.startsWith('$SYS/');
}

/** Topics below which nobody publishes: they would be the broker's own, or could be taken for a shared filter. */
export function isForbiddenTopic(topic: string): boolean {
  return topic.charCodeAt(0) === DOLLAR && (isSystemTopic(topic) || topic.startsWith(SHARE));
}

export class Topics {
  /** Encoded topics by path; null: no topic. Emptied when full. */
  #heads = new Map<string, Buffer | null>();

  constructor(
    /** Put before every topic to make its path; no wildcards. */
    readonly mountPoint: string,
  ) {}

  pathOf(topic: string): string {
    return this.mountPoint === '' ? topic : this.mountPoint + topic;
  }

  /** null: it lies outside the mount point. Whether it can be a topic is not looked at. */
  topicOf(path: string): string | null {
    return path.startsWith(this.mountPoint) ? path.slice(this.mountPoint.length) : null;
  }

  /** Throws RequestError INVALID_PATH. */
  patternOf(filter: string): Pattern {
    return parsePattern(this.mountPoint + filter, 'mqtt');
  }

  /** Of a `$SYS` topic. */
  isSystemPath(path: string): boolean {
    const { length } = this.mountPoint;
    return path.charCodeAt(length) === DOLLAR && isSystemTopic(path.slice(length));
  }

  /** Below a mount point the core does not see that a topic begins with `$`: [MQTT-4.7.2-1] is kept here. */
  isHidden(filter: string, path: string): boolean {
    if (this.mountPoint === '' || path.charCodeAt(this.mountPoint.length) !== DOLLAR) return false;
    const first = filter.charCodeAt(0);
    return first === PLUS || first === HASH;
  }

  /** The topic of a path as it stands in a PUBLISH, its length before it; null: no topic can name the path. */
  headOf(path: string): Buffer | null {
    let head = this.#heads.get(path);
    if (head === undefined) {
      head = encodeHead(path.slice(this.mountPoint.length));
      if (path.length <= HEAD_CACHED_MAX) {
        if (this.#heads.size >= HEADS_MAX) this.#heads.clear();
        this.#heads.set(path, head);
      }
    }
    return head;
  }
}

function encodeHead(topic: string): Buffer | null {
  if (topicFault(topic) !== null) return null;
  const bytes = Buffer.byteLength(topic);
  if (bytes > TOPIC_BYTES_MAX) return null;
  const head = Buffer.allocUnsafeSlow(2 + bytes);
  head.writeUInt16BE(bytes, 0);
  head.write(topic, 2);
  return head;
}
