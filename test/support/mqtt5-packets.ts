// Random packets of MQTT 5 as mqtt-packet describes them, only such as the standard and the gateway's own limits allow.

import fc from 'fast-check';

/** Text without U+0000, lone surrogates and control characters. */
const text = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'Z', '0', ' ', '/', '$', '*', 'ä', '日', '𪛔', '\ufeff'), maxLength: 12 }),
  fc.constantFrom('', 'x'.repeat(127), 'ä'.repeat(64), 'y'.repeat(300)),
);
const bytes = fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array));
const topic = fc
  .array(fc.constantFrom('a', 'b', '', 'ä', '*', '$x', 'x'.repeat(130)), { minLength: 1, maxLength: 5 })
  .map((levels) => levels.join('/'))
  .filter((joined) => joined !== '');
const plainFilter = fc.oneof(topic, fc.constantFrom('#', '+', '/#', 'a/+/b', '+/+', 'a/#'));
const filter = fc.oneof(
  plainFilter,
  fc.tuple(fc.constantFrom('g', 'ä', '$share'), plainFilter).map(([group, one]) => `$share/${group}/${one}`),
);
const number = (min: number, max: number): fc.Arbitrary<number> => fc.oneof(fc.integer({ min, max }), fc.constantFrom(min, max));
const byteNumber = (min = 0): fc.Arbitrary<number> => number(min, 0xffff);
const wordNumber = (min = 0): fc.Arbitrary<number> => number(min, 0xffff_ffff);
const qos = fc.constantFrom(0, 1, 2);
const packetId = number(1, 0xffff);
/** mqtt-packet keeps user properties by name (ones that are array indexes would change their order), and cannot write none. */
const userProperties = fc.dictionary(fc.constantFrom('n', 'name', 'ä', 'A b', '𪛔'), fc.array(text, { minLength: 1, maxLength: 3 }), {
  minKeys: 1,
  maxKeys: 3,
});

/** What is there sometimes. */
const some = <T extends Record<string, fc.Arbitrary<unknown>>>(fields: T): fc.Arbitrary<object> => fc.record(fields, { requiredKeys: [] });

export const messageProperties = {
  payloadFormatIndicator: fc.boolean(),
  messageExpiryInterval: wordNumber(),
  contentType: text,
  responseTopic: topic,
  correlationData: bytes,
  userProperties,
};

const authentication = fc.oneof(
  fc.constant({}),
  fc.record({ authenticationMethod: text, authenticationData: bytes }),
  fc.record({ authenticationMethod: text }),
);

const will = fc.record(
  {
    topic,
    payload: bytes,
    qos,
    retain: fc.boolean(),
    properties: some({ ...messageProperties, willDelayInterval: wordNumber() }),
  },
  { requiredKeys: ['topic', 'payload', 'qos', 'retain', 'properties'] },
);

const login = fc.oneof(fc.constant({}), fc.record({ username: text }), fc.record({ username: text, password: bytes }));

/** mqtt-packet writes no empty client id without a clean start. */
export const connectPacket = fc
  .record({
    base: fc.record({ keepalive: byteNumber(), clean: fc.boolean(), clientId: text }),
    login,
    will: fc.option(will, { nil: undefined }),
    properties: some({
      sessionExpiryInterval: wordNumber(),
      receiveMaximum: byteNumber(1),
      maximumPacketSize: wordNumber(1),
      topicAliasMaximum: byteNumber(),
      requestResponseInformation: fc.boolean(),
      requestProblemInformation: fc.boolean(),
      userProperties,
    }),
    authentication,
  })
  .map((parts) => ({
    cmd: 'connect' as const,
    protocolId: 'MQTT' as const,
    protocolVersion: 5 as const,
    ...parts.base,
    clean: parts.base.clean || parts.base.clientId === '',
    ...parts.login,
    ...(parts.will === undefined ? {} : { will: parts.will }),
    properties: { ...parts.properties, ...parts.authentication },
  }));

export const publishPacket = fc
  .record({
    topic,
    payload: fc.oneof(bytes, fc.constantFrom(Buffer.alloc(130, 1), Buffer.alloc(17_000, 2))),
    qos,
    retain: fc.boolean(),
    dup: fc.boolean(),
    messageId: packetId,
    properties: some({ ...messageProperties, topicAlias: byteNumber(1) }),
  })
  .map((packet) => ({ cmd: 'publish' as const, ...packet, dup: packet.dup && packet.qos > 0 }));

export const acknowledgePacket = fc
  .oneof(
    fc.record({ cmd: fc.constantFrom('puback', 'pubrec'), messageId: packetId, reasonCode: fc.constantFrom(0, 0x10, 0x80, 0x97) }),
    fc.record({ cmd: fc.constantFrom('pubrel', 'pubcomp'), messageId: packetId, reasonCode: fc.constantFrom(0, 0x92) }),
  )
  .chain((packet) => some({ reasonString: text, userProperties }).map((properties) => ({ ...packet, properties })));

export const subscribePacket = fc
  .record({
    messageId: packetId,
    subscriptions: fc.array(fc.record({ topic: filter, qos, nl: fc.boolean(), rap: fc.boolean(), rh: qos }), {
      minLength: 1,
      maxLength: 4,
    }),
    properties: some({ subscriptionIdentifier: number(1, 0x0fff_ffff), userProperties }),
  })
  .map((packet) => ({
    cmd: 'subscribe' as const,
    ...packet,
    subscriptions: packet.subscriptions.map((one) => ({ ...one, nl: one.nl && !one.topic.startsWith('$share/') })),
  }));

export const unsubscribePacket = fc
  .record({ messageId: packetId, unsubscriptions: fc.array(filter, { minLength: 1, maxLength: 4 }), properties: some({ userProperties }) })
  .map((packet) => ({ cmd: 'unsubscribe' as const, ...packet }));

export const disconnectPacket = fc
  .record({
    reasonCode: fc.constantFrom(0, 4, 0x80, 0x99),
    properties: some({ sessionExpiryInterval: wordNumber(), reasonString: text, userProperties }),
  })
  .map((packet) => ({ cmd: 'disconnect' as const, ...packet }));

export const authPacket = fc
  .record({
    reasonCode: fc.constantFrom(0x18, 0x19),
    method: text,
    properties: some({ authenticationData: bytes, reasonString: text, userProperties }),
  })
  .map(({ reasonCode, method, properties }) => ({
    cmd: 'auth' as const,
    reasonCode,
    properties: { authenticationMethod: method, ...properties },
  }));

/** Every packet that a client sends. */
export const clientPacket: fc.Arbitrary<object> = fc.oneof(
  connectPacket,
  publishPacket,
  acknowledgePacket,
  subscribePacket,
  unsubscribePacket,
  disconnectPacket,
  authPacket,
  fc.constant({ cmd: 'pingreq' }),
);

/** What this side may say in a CONNACK. */
export const connackProperties = some({
  sessionExpirySeconds: fc.oneof(wordNumber(), fc.constant(Number.POSITIVE_INFINITY)),
  receiveMaximum: byteNumber(1),
  maximumQos: fc.constantFrom(0, 1),
  retainAvailable: fc.boolean(),
  maximumPacketSize: wordNumber(1),
  assignedClientId: text,
  topicAliasMaximum: byteNumber(),
  reasonString: text,
  wildcardSubscriptionAvailable: fc.boolean(),
  subscriptionIdentifierAvailable: fc.boolean(),
  sharedSubscriptionAvailable: fc.boolean(),
  serverKeepAlive: byteNumber(),
  responseInformation: text,
  serverReference: text,
  authenticationMethod: text,
  authenticationData: bytes,
});

export { bytes as anyBytes, number as anyNumber, packetId as anyPacketId, text as anyText, topic as anyTopic };
