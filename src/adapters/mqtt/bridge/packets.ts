// Packets: converts messages between the libraries' form and the bridge's own.

import { Buffer } from 'node:buffer';
import type { IPublishPacket } from 'mqtt-packet';
import type { MessageProperties, RemoteMessage } from './remote.js';

export function messageOf({ topic, payload, qos, retain, dup, messageId, properties }: IPublishPacket): RemoteMessage {
  return {
    topic,
    // The package hands out parts of what it read, which may be much more.
    payload: Buffer.from(payload as Buffer),
    qos,
    retain,
    dup,
    packetId: messageId ?? 0,
    properties: properties === undefined ? null : decodeProperties(properties),
  };
}

type Properties = NonNullable<IPublishPacket['properties']>;

function decodeProperties(properties: Properties): MessageProperties {
  const user: [string, string][] = [];
  for (const [name, value] of Object.entries(properties.userProperties ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) user.push([name, one]);
  }
  return {
    contentType: properties.contentType ?? null,
    responseTopic: properties.responseTopic ?? null,
    correlationData: properties.correlationData === undefined ? null : Buffer.from(properties.correlationData),
    isText: properties.payloadFormatIndicator === true,
    expirySeconds: properties.messageExpiryInterval ?? null,
    user,
  };
}

/** User properties of one name stay in order; the libraries know no order between names. */
export function encodeProperties({
  contentType,
  responseTopic,
  correlationData,
  isText,
  expirySeconds,
  user,
}: MessageProperties): Properties {
  const userProperties = new Map<string, string[]>();
  for (const [name, value] of user) userProperties.set(name, [...(userProperties.get(name) ?? []), value]);
  return {
    ...(contentType === null ? {} : { contentType }),
    ...(responseTopic === null ? {} : { responseTopic }),
    ...(correlationData === null ? {} : { correlationData: Buffer.from(correlationData) }),
    ...(isText ? { payloadFormatIndicator: true } : {}),
    ...(expirySeconds === null ? {} : { messageExpiryInterval: expirySeconds }),
    ...(user.length === 0 ? {} : { userProperties: Object.fromEntries(userProperties) }),
  };
}
