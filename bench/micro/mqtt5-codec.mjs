// What MQTT 5 packets cost to read and to write, with the gateway's own codec and with mqtt-packet: a PUBLISH of 64 bytes at
// QoS 0, the same with properties, and a CONNECT with properties.
// Usage: npm run build && node bench/micro/mqtt5-codec.mjs

import { bench, group, run } from 'mitata';
import mqttPacket from 'mqtt-packet';
import { encodeConnack } from '../../dist/adapters/mqtt/v5/answers.js';
import { readConnect } from '../../dist/adapters/mqtt/v5/codec.js';
import { WireMeta } from '../../dist/adapters/mqtt/v5/meta.js';
import { encodePublish, PublishReader } from '../../dist/adapters/mqtt/v5/publish.js';

const OPTIONS = { protocolVersion: 5 };
const TOPIC = '/bench/line/1/temp';
const PAYLOAD = Buffer.alloc(64, 'x');
const PROPERTIES = { contentType: 'application/json', messageExpiryInterval: 60, userProperties: { trace: '0123456789abcdef', unit: 'C' } };

const publish = { cmd: 'publish', topic: TOPIC, payload: PAYLOAD, qos: 0, retain: false, dup: false };
const publishWithProperties = { ...publish, properties: PROPERTIES };
const connect = {
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: 5,
  clean: true,
  clientId: 'bench-client-0001',
  keepalive: 60,
  username: 'bench',
  password: Buffer.from('secret'),
  properties: { sessionExpiryInterval: 3600, receiveMaximum: 100, maximumPacketSize: 1_000_000, topicAliasMaximum: 10 },
  will: { topic: '/bench/will', payload: Buffer.from('gone'), qos: 1, retain: true, properties: { willDelayInterval: 10 } },
};

const HEAD = Buffer.concat([Buffer.of(0, TOPIC.length), Buffer.from(TOPIC)]);

/** The body of a packet with a remaining length of one or two bytes. */
const bodyOf = (packet) => (packet[1] < 0x80 ? 2 : 3);

/** mqtt-packet reads from a list of chunks; one parser for all packets, as a connection has it. */
function parserOf() {
  const parser = mqttPacket.parser(OPTIONS);
  let last = null;
  parser.on('packet', (packet) => {
    last = packet;
  });
  return (bytes) => {
    parser.parse(bytes);
    return last;
  };
}

function readingOf(name, packet, own) {
  const bytes = mqttPacket.generate(packet, OPTIONS);
  const body = bodyOf(bytes);
  const parse = parserOf();
  group(`read ${name}`, () => {
    bench('own codec', () => own(bytes, body));
    bench('mqtt-packet', () => parse(bytes));
  });
}

function writingOf(name, packet, own) {
  group(`write ${name}`, () => {
    bench('own codec', own);
    bench('mqtt-packet', () => mqttPacket.generate(packet, OPTIONS));
  });
}

const reader = new PublishReader();
const readPublish = (bytes, body) => {
  reader.read(bytes[0], bytes, body, bytes.length);
  return reader.topic;
};

readingOf('PUBLISH', publish, readPublish);
readingOf('PUBLISH with properties', publishWithProperties, readPublish);
readingOf('CONNECT with properties', connect, (bytes, body) => readConnect(bytes, body, bytes.length));

reader.read(0x30, mqttPacket.generate(publishWithProperties, OPTIONS), 3, mqttPacket.generate(publishWithProperties, OPTIONS).length);
const { meta } = reader;
writingOf('PUBLISH', publish, () => encodePublish(HEAD, PAYLOAD, 0, 0, null));
writingOf('PUBLISH with properties', publishWithProperties, () =>
  encodePublish(HEAD, PAYLOAD, 0, 0, { topicAlias: 0, expirySeconds: 60, identifiers: [], meta: new WireMeta(meta) }),
);
writingOf(
  'CONNACK with properties',
  { cmd: 'connack', reasonCode: 0, sessionPresent: false, properties: { receiveMaximum: 100, topicAliasMaximum: 10 } },
  () => encodeConnack(false, 0, { receiveMaximum: 100, topicAliasMaximum: 10 }),
);

await run();
