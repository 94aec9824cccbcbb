// The codec beside a second implementation: what mqtt-packet writes is read with the same meaning, and what is written here
// mqtt-packet reads so.

import fc from 'fast-check';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import {
  type ConnackProperties,
  encodeAcknowledge,
  encodeAuth,
  encodeConnack,
  encodeDisconnect,
  encodePingresp,
  encodeSuback,
  encodeUnsuback,
} from '../../../../src/adapters/mqtt/v5/answers.js';
import { RETAIN_HANDLING, type RetainHandling } from '../../../../src/adapters/mqtt/v5/codec.js';
import { WireMeta } from '../../../../src/adapters/mqtt/v5/meta.js';
import { encodePublish } from '../../../../src/adapters/mqtt/v5/publish.js';
import { FIRST_BYTE } from '../../../../src/adapters/mqtt/wire.js';
import { Meta } from '../../../../src/core/index.js';
import * as packets from '../../../support/mqtt5-packets.js';
import { readPacket } from '../../../support/mqtt5-read.js';

type Fields = { readonly [name: string]: unknown };

const RUNS = process.env.TRIVIUM_TEST_LONG === '1' ? 20_000 : 200;
const FIRST_BYTES = [FIRST_BYTE.PUBACK, FIRST_BYTE.PUBREC, FIRST_BYTE.PUBREL, FIRST_BYTE.PUBCOMP] as const;

const write = (packet: object): Buffer => mqttPacket.generate(packet as Packet, { protocolVersion: 5 });

function parse(frame: Buffer): Fields {
  const parser = mqttPacket.parser({ protocolVersion: 5 });
  const found: Fields[] = [];
  parser.on('packet', (packet) => found.push(packet as unknown as Fields));
  parser.on('error', (error) => {
    throw error;
  });
  parser.parse(frame);
  expect(found).toHaveLength(1);
  return found[0] as Fields;
}

function check<T>(arbitrary: fc.Arbitrary<T>, predicate: (value: T) => void): void {
  fc.assert(fc.property(arbitrary, predicate), { numRuns: RUNS });
}

/** User properties of mqtt-packet as pairs. */
function pairsOf(userProperties: unknown): [string, string][] {
  return Object.entries((userProperties ?? {}) as { [name: string]: string[] }).flatMap(([name, values]) =>
    values.map((value): [string, string] => [name, value]),
  );
}

function metaOf(properties: Fields): object | null {
  const meta = {
    contentType: properties.contentType ?? null,
    responseTopic: properties.responseTopic ?? null,
    correlationData: bytesOf(properties.correlationData),
    isText: properties.payloadFormatIndicator ?? false,
    pairs: pairsOf(properties.userProperties),
  };
  const says =
    meta.isText || meta.pairs.length > 0 || [meta.contentType, meta.responseTopic, meta.correlationData].some((one) => one !== null);
  return says ? meta : null;
}

const bytesOf = (data: unknown): Uint8Array | null => (data === undefined ? null : Uint8Array.from(data as Buffer));
const secondsOf = (interval: unknown): unknown => (interval === 0xffff_ffff ? Number.POSITIVE_INFINITY : interval);
/** Without getters and private state. */
const plain = (meta: Meta | null): object | null =>
  meta === null ? null : { ...meta, pairs: meta.pairs.map(([name, value]) => [name, value]) };

describe('what mqtt-packet writes', () => {
  it('as CONNECT is read', () => {
    check(packets.connectPacket, (packet: Fields) => {
      const properties = packet.properties as Fields;
      const will = packet.will as (Fields & { properties: Fields }) | undefined;
      const found = readPacket<{ will: { meta: Meta | null } | null }>(write(packet));
      expect({ ...found, will: found.will === null ? null : { ...found.will, meta: plain(found.will.meta) } }).toEqual({
        cleanStart: packet.clean,
        keepAlive: packet.keepalive,
        clientId: packet.clientId,
        will:
          will === undefined
            ? null
            : {
                topic: will.topic,
                payload: will.payload,
                qos: will.qos,
                retain: will.retain,
                delaySeconds: will.properties.willDelayInterval ?? 0,
                expirySeconds: will.properties.messageExpiryInterval ?? null,
                meta: metaOf(will.properties),
              },
        username: packet.username ?? null,
        password: packet.password ?? null,
        sessionExpirySeconds: secondsOf(properties.sessionExpiryInterval ?? 0),
        receiveMaximum: properties.receiveMaximum ?? 65_535,
        maximumPacketSize: properties.maximumPacketSize ?? Number.POSITIVE_INFINITY,
        topicAliasMaximum: properties.topicAliasMaximum ?? 0,
        requestResponseInformation: properties.requestResponseInformation ?? false,
        requestProblemInformation: properties.requestProblemInformation ?? true,
        authenticationMethod: properties.authenticationMethod ?? null,
        authenticationData: bytesOf(properties.authenticationData),
      });
    });
  });

  it('as PUBLISH is read', () => {
    check(packets.publishPacket, (packet) => {
      const { properties } = packet as unknown as { properties: Fields };
      const { payload, ...found } = readPacket<{ meta: Meta | null; payload: Buffer }>(write(packet));
      expect(payload.equals(packet.payload)).toBe(true);
      expect({ ...found, meta: plain(found.meta) }).toMatchObject({
        qos: packet.qos,
        retain: packet.retain,
        dup: packet.dup,
        packetId: packet.qos === 0 ? 0 : packet.messageId,
        topic: packet.topic,
        topicAlias: properties.topicAlias ?? 0,
        expirySeconds: properties.messageExpiryInterval ?? null,
        meta: metaOf(properties),
      });
    });
  });

  it('as acknowledgement is read', () => {
    check(packets.acknowledgePacket, (packet: Fields) => {
      expect(readPacket(write(packet))).toEqual({ packetId: packet.messageId, reason: packet.reasonCode });
    });
  });

  it('as SUBSCRIBE is read', () => {
    check(packets.subscribePacket, (packet) => {
      const { subscriptionIdentifier } = packet.properties as Fields;
      expect(readPacket(write(packet))).toEqual({
        packetId: packet.messageId,
        identifier: subscriptionIdentifier ?? 0,
        asOf: null,
        filters: packet.subscriptions.map(({ topic, qos, nl, rap, rh }) => ({
          ...sharedOf(topic),
          qos,
          noLocal: nl,
          retainAsPublished: rap,
          retainHandling: rh as RetainHandling,
        })),
      });
      expect(Object.values(RETAIN_HANDLING)).toEqual([0, 1, 2]);
    });
  });

  it('as UNSUBSCRIBE is read', () => {
    check(packets.unsubscribePacket, (packet) => {
      expect(readPacket(write(packet))).toEqual({ packetId: packet.messageId, filters: packet.unsubscriptions.map(sharedOf) });
    });
  });

  it('as DISCONNECT is read', () => {
    check(packets.disconnectPacket, (packet) => {
      const { sessionExpiryInterval = null, reasonString = null } = packet.properties as Fields;
      expect(readPacket(write(packet))).toEqual({
        reason: packet.reasonCode,
        sessionExpirySeconds: secondsOf(sessionExpiryInterval),
        reasonString,
      });
    });
  });

  it('as AUTH is read', () => {
    check(packets.authPacket, (packet) => {
      const { authenticationMethod, authenticationData } = packet.properties as Fields;
      expect(readPacket(write(packet))).toEqual({
        reason: packet.reasonCode,
        method: authenticationMethod,
        data: bytesOf(authenticationData),
      });
    });
  });

  function sharedOf(filter: string): { text: string; group: string | null } {
    const [, group, text] = /^\$share\/([^/]*)\/(.*)$/s.exec(filter) ?? [];
    return group === undefined || text === undefined ? { text: filter, group: null } : { text, group };
  }
});

describe('mqtt-packet reads', () => {
  const NAMES: Readonly<Record<string, string>> = {
    sessionExpirySeconds: 'sessionExpiryInterval',
    maximumQos: 'maximumQoS',
    assignedClientId: 'assignedClientIdentifier',
    subscriptionIdentifierAvailable: 'subscriptionIdentifiersAvailable',
  };

  it('a CONNACK', () => {
    check(fc.tuple(fc.boolean(), fc.constantFrom(0, 0x80, 0x9f), packets.connackProperties), ([present, reason, properties]) => {
      const packet = parse(encodeConnack(present, reason as 0, properties as ConnackProperties));
      expect(packet).toMatchObject({ cmd: 'connack', sessionPresent: present, reasonCode: reason });
      const expected = Object.entries(properties).map(([name, value]) => [
        NAMES[name] ?? name,
        value === Number.POSITIVE_INFINITY ? 0xffff_ffff : value,
      ]);
      expect(packet.properties ?? {}).toEqual(Object.fromEntries(expected));
    });
  });

  it('a PUBLISH', () => {
    const arbitrary = fc.record({
      topic: packets.anyTopic,
      payload: packets.anyBytes,
      qos: fc.constantFrom(0, 1, 2),
      retain: fc.boolean(),
      packetId: packets.anyPacketId,
      topicAlias: packets.anyNumber(0, 0xffff),
      expirySeconds: fc.option(packets.anyNumber(0, 0xffff_ffff)),
      identifiers: fc.array(packets.anyNumber(1, 0x0fff_ffff), { maxLength: 3 }),
      meta: fc.option(
        fc.record({
          contentType: fc.option(packets.anyText),
          responseTopic: fc.option(packets.anyTopic),
          correlationData: fc.option(packets.anyBytes),
          isText: fc.boolean(),
          // mqtt-packet loses an empty value before another one of the same name.
          pairs: fc.array(
            fc.tuple(
              fc.constantFrom('n', 'ä', '𪛔'),
              packets.anyText.map((text) => `${text}.`),
            ),
            { maxLength: 4 },
          ),
        }),
      ),
    });
    check(arbitrary, ({ topic, payload, qos, retain, packetId, topicAlias, expirySeconds, identifiers, meta: said }) => {
      const head = Buffer.concat([Buffer.of(Buffer.byteLength(topic) >> 8, Buffer.byteLength(topic) & 0xff), Buffer.from(topic)]);
      const meta =
        said === null ? null : new WireMeta(new Meta(said.contentType, said.responseTopic, said.correlationData, said.isText, said.pairs));
      expect(meta?.leftOut ?? 0).toBe(0);
      const flags = (qos << 1) | (retain ? 1 : 0);
      const packet = parse(encodePublish(head, payload, flags, qos === 0 ? 0 : packetId, { topicAlias, expirySeconds, identifiers, meta }));
      expect(packet).toMatchObject({ cmd: 'publish', topic, payload, qos, retain, dup: false });
      if (qos > 0) expect(packet.messageId).toBe(packetId);
      const found = (packet.properties ?? {}) as Fields;
      expect(found.topicAlias ?? 0).toBe(topicAlias);
      expect(found.messageExpiryInterval ?? null).toBe(expirySeconds);
      expect([found.subscriptionIdentifier ?? []].flat()).toEqual(identifiers);
      expect({ ...(found.userProperties as object) }).toEqual(byName(said?.pairs ?? []));
      expect(found.contentType ?? null).toBe(said?.contentType ?? null);
      expect(found.responseTopic ?? null).toBe(said?.responseTopic ?? null);
      expect(found.correlationData ?? null).toEqual(said?.correlationData ?? null);
      expect(found.payloadFormatIndicator ?? false).toBe(said?.isText ?? false);
    });
  });

  it('acknowledgements', () => {
    const arbitrary = fc.tuple(fc.constantFrom(...FIRST_BYTES), packets.anyPacketId, fc.boolean(), fc.option(packets.anyText));
    check(arbitrary, ([first, packetId, fails, reasonString]) => {
      const failure = first === FIRST_BYTE.PUBACK || first === FIRST_BYTE.PUBREC ? 0x87 : 0x92;
      const packet = parse(encodeAcknowledge(first, packetId, fails ? failure : 0, reasonString));
      expect(packet).toMatchObject({ messageId: packetId, reasonCode: fails ? failure : 0 });
      expect((packet.properties as Fields | undefined)?.reasonString ?? null).toBe(reasonString);
    });
  });

  it('SUBACK and UNSUBACK', () => {
    const reasons = fc.array(fc.constantFrom(0, 0x87, 0x8f), { minLength: 1, maxLength: 200 });
    check(fc.tuple(packets.anyPacketId, reasons, fc.option(packets.anyText)), ([packetId, granted, reasonString]) => {
      for (const encode of [encodeSuback, encodeUnsuback]) {
        const packet = parse(encode(packetId, granted as 0[], reasonString));
        expect(packet).toMatchObject({ messageId: packetId, granted });
        expect((packet.properties as Fields | undefined)?.reasonString ?? null).toBe(reasonString);
      }
    });
  });

  it('DISCONNECT, AUTH and PINGRESP', () => {
    const option = fc.option(packets.anyText);
    check(fc.tuple(fc.constantFrom(0, 0x81, 0x9d), option, option, fc.option(packets.anyBytes)), ([reason, text, other, data]) => {
      const disconnect = parse(encodeDisconnect(reason as 0, text, other));
      expect(disconnect).toMatchObject({ cmd: 'disconnect', reasonCode: reason });
      expect((disconnect.properties as Fields | undefined)?.reasonString ?? null).toBe(text);
      expect((disconnect.properties as Fields | undefined)?.serverReference ?? null).toBe(other);
      const auth = parse(encodeAuth(0x18, other ?? 'm', data, text));
      expect(auth).toMatchObject({ cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod: other ?? 'm' } });
      expect((auth.properties as Fields).authenticationData ?? null).toEqual(data);
      expect((auth.properties as Fields).reasonString ?? null).toBe(text);
    });
    expect(parse(encodePingresp())).toMatchObject({ cmd: 'pingresp' });
  });

  function byName(pairs: readonly (readonly [string, string])[]): object {
    const values = new Map<string, string[]>();
    for (const [name, value] of pairs) values.set(name, [...(values.get(name) ?? []), value]);
    return Object.fromEntries([...values].map(([name, all]) => [name, all.length === 1 ? all[0] : all]));
  }
});
