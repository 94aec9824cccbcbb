// Topics and filters as they stand in packets of MQTT 5, shared subscriptions included (section 4.8.2).

import { readText } from '../codec.js';
import { filterFault, isTooDeep, type SharedFilter, splitShared, topicFault } from '../paths.js';
import { malformed, ProtocolFault, protocolError, REASON } from './reason-codes.js';

/** A topic to publish to. Throws ProtocolFault. */
export function readTopic(bytes: Buffer, start: number, end: number, what: string): string {
  const topic = readText(bytes, start, end);
  if (topic === null) throw malformed(`${what} is not UTF-8 text without control characters`);
  const fault = topicFault(topic);
  if (fault === null) return topic;
  throw new ProtocolFault(isTooDeep(topic) ? REASON.TOPIC_NAME_INVALID : REASON.MALFORMED_PACKET, `${what} ${fault}`);
}

/** [MQTT5-3.3.2-14]; a topic like any other. Throws ProtocolFault. */
export function checkResponseTopic(topic: string): string {
  if (/\p{Cc}/u.test(topic)) throw malformed('response topic has control characters');
  const fault = topicFault(topic);
  if (fault === null) return topic;
  throw new ProtocolFault(isTooDeep(topic) ? REASON.TOPIC_NAME_INVALID : REASON.PROTOCOL_ERROR, `response topic ${fault}`);
}

/** `field` is the filter as it stands in SUBSCRIBE or UNSUBSCRIBE. Throws ProtocolFault. */
export function readFilter(field: Buffer): SharedFilter {
  const whole = readText(field, 0, field.length);
  if (whole === null) throw malformed('topic filter is not UTF-8 text without control characters');
  const filter = splitShared(whole);
  // [MQTT5-4.8.2-1], [MQTT5-4.8.2-2]
  if (filter === null) {
    throw new ProtocolFault(REASON.TOPIC_FILTER_INVALID, 'a shared subscription needs a name without wildcards, and a filter');
  }
  checkFilter(filter.text);
  return filter;
}

function checkFilter(filter: string): void {
  const fault = filterFault(filter);
  if (fault === null) return;
  throw new ProtocolFault(isTooDeep(filter) ? REASON.TOPIC_FILTER_INVALID : REASON.MALFORMED_PACKET, `topic filter ${fault}`);
}

/** [MQTT5-3.8.3-4] */
export function checkNoLocal(filter: SharedFilter, noLocal: boolean): void {
  if (noLocal && filter.group !== null) throw protocolError('no local on a shared subscription');
}
