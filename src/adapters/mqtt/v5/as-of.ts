// SUBSCRIBE with the user property `trivium-as-of`, a time in milliseconds since 1970: the client is sent what was retained under its
// filters at that time, where history is kept, instead of what is retained now. At QoS 0: it is an answer, not news.

import { type AsOf, DataRequest, Entry, type Reply, RequestError, type Session, STORED } from '../../../core/index.js';
import { isSystemTopic, type SharedFilter, type Topics } from '../paths.js';
import { protocolError } from './reason-codes.js';

export const AS_OF_PROPERTY = 'trivium-as-of';

/** What one SUBSCRIBE may be sent of the past. */
const MESSAGES_MAX = 1_000;
const BYTES_MAX = 1024 * 1024;

/** Throws ProtocolFault: what is no time cannot be answered in a SUBACK, which has a reason for each filter alone. */
export function timeIn(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw protocolError(`${AS_OF_PROPERTY} must be a time in milliseconds since 1970`);
  return Number(text);
}

/** `onReply` gets the core's answer. Throws RequestError for a filter of which there is no past. */
export function pastRequest(
  session: Session,
  filter: SharedFilter,
  topics: Topics,
  time: number,
  onReply: (reply: Reply) => void,
): DataRequest {
  if (filter.group !== null || isSystemTopic(filter.text)) {
    throw new RequestError('UNSUPPORTED', `${AS_OF_PROPERTY} is for retained messages that are kept`);
  }
  const pattern = topics.patternOf(filter.text);
  const asOf: AsOf = { revision: null, time };
  const options = { ...STORED, asOf, limit: MESSAGES_MAX + 1 };
  const [path, wildcards] = pattern.exact === null ? [pattern.text, pattern] : [pattern.exact, null];
  return new DataRequest('get', session, null, path, wildcards, null, options, true, 0, onReply);
}

/** What one SUBSCRIBE is sent, in the order of its filters. */
export class PastMessages {
  readonly #entries: Entry[] = [];
  #bytes = 0;

  constructor(private readonly topics: Topics) {}

  /** Takes what `filter` found. Throws RequestError LIMIT_EXCEEDED when it is more than is sent. */
  take({ entry, entries }: Pick<Reply, 'entry' | 'entries'>, filter: string): void {
    const found = (entries ?? (entry === null ? [] : [entry])).filter(({ path }) => !this.topics.isHidden(filter, path));
    const bytes = found.reduce((sum, { path, payload }) => sum + path.length + payload.size, 0);
    if (this.#entries.length + found.length > MESSAGES_MAX || (entries !== null && this.#bytes + bytes > BYTES_MAX)) {
      throw new RequestError('LIMIT_EXCEEDED', `that is more than ${MESSAGES_MAX} messages or ${BYTES_MAX} bytes`);
    }
    this.#bytes += bytes;
    this.#entries.push(...found.map(asSent));
  }

  [Symbol.iterator](): Iterator<Entry> {
    return this.#entries.values();
  }
}

/** It was there then, also when its time has ended since. */
function asSent({ path, payload, created, modified, revision, author, qos, meta }: Entry): Entry {
  return new Entry(path, payload, created, modified, revision, author, qos, 0, meta);
}
