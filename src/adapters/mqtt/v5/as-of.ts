// SUBSCRIBE with the user property `trivium-as-of`, a time in milliseconds since 1970: in place of what is retained under its filters, each
// of which must be one topic, the client is sent what was retained there then, where history is kept. At QoS 0: it is an answer, not news.

import { type AsOf, DataRequest, Entry, type Reply, RequestError, type Session, STORED } from '../../../core/index.js';
import { isSystemTopic, type SharedFilter, type Topics } from '../paths.js';
import { protocolError } from './reason-codes.js';

export const AS_OF_PROPERTY = 'trivium-as-of';

/** Throws ProtocolFault: what is no time cannot be answered in a SUBACK, which has a reason for each filter alone. */
export function timeIn(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw protocolError(`${AS_OF_PROPERTY} must be a time in milliseconds since 1970`);
  return Number(text);
}

/** `onReply` gets the core's answer. Throws RequestError for a filter that is not one topic. */
export function pastRequest(
  session: Session,
  filter: SharedFilter,
  topics: Topics,
  time: number,
  onReply: (reply: Reply) => void,
): DataRequest {
  const path = filter.group === null && !isSystemTopic(filter.text) ? topics.patternOf(filter.text).exact : null;
  if (path === null) throw new RequestError('UNSUPPORTED', `${AS_OF_PROPERTY} is for topics, not for filters with wildcards`);
  const asOf: AsOf = { revision: null, time };
  return new DataRequest('get', session, null, path, null, null, { ...STORED, asOf }, true, 0, onReply);
}

/** As it is sent: it was there then, also when its time has ended since. */
export function pastEntry({ path, payload, created, modified, revision, author, qos, meta }: Entry): Entry {
  return new Entry(path, payload, created, modified, revision, author, qos, 0, meta);
}
