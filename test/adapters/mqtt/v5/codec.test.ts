// What the standard says about the bytes that clients send, statement by statement. Reason codes that it leaves open are those
// of the sequences in vectors.test.ts.

import { describe, expect, it } from 'vitest';
import type { Auth, Connect, Disconnect, Subscribe, Unsubscribe } from '../../../../src/adapters/mqtt/v5/codec.js';
import { Fields } from '../../../../src/adapters/mqtt/v5/fields.js';
import { type ProtocolFault, REASON } from '../../../../src/adapters/mqtt/v5/reason-codes.js';
import { bytesOf } from '../../../support/mqtt-vectors.js';
import { faultIn, packetOf, readPacket } from '../../../support/mqtt5-read.js';

const MALFORMED = REASON.MALFORMED_PACKET;
const PROTOCOL_ERROR = REASON.PROTOCOL_ERROR;
const FIRST = { CONNECT: 0x10, PUBLISH: 0x30, PUBACK: 0x40, PUBREC: 0x50, PUBREL: 0x62, PUBCOMP: 0x70, SUBSCRIBE: 0x82, UNSUBSCRIBE: 0xa2 };
const ACKNOWLEDGEMENTS = [FIRST.PUBACK, FIRST.PUBREC, FIRST.PUBREL, FIRST.PUBCOMP];

type Case = readonly [what: string, body: string, reason: number | null];

/** One test for each statement; `reason` null: the packet is right. */
function judges(first: number, cases: readonly Case[]): void {
  it.each(cases)('%s', (_what, body, reason) => {
    expect(faultIn(packetOf(first, body))).toBe(reason);
  });
}

describe('variable byte integer', () => {
  it.each([
    ['00', 0],
    ['7F', 127],
    ['8001', 128],
    ['FF7F', 16_383],
    ['808001', 16_384],
    ['FFFF7F', 2_097_151],
    ['80808001', 2_097_152],
    ['FFFFFF7F', 268_435_455],
  ])('%s is read as %i', (hex, value) => {
    const bytes = bytesOf(hex);
    expect(new Fields(bytes, 0, bytes.length).variableInteger('it')).toBe(value);
  });

  it.each(['8000', '808000', '80808000', 'FF00', '8080808001', '8080808000', 'FFFFFFFF', '80', '8080', '808080', ''])(
    '[MQTT5-1.5.5-1] %s is malformed',
    (hex) => {
      const bytes = bytesOf(hex);
      expect(() => new Fields(bytes, 0, bytes.length).variableInteger('it')).toThrow(expect.objectContaining({ reason: MALFORMED }));
    },
  );

  it('[MQTT5-1.5.5-1] is in its shortest form as remaining length and property length', () => {
    expect(faultIn(bytesOf('C0 8000'))).toBe(MALFORMED);
    expect(faultIn(packetOf(FIRST.PUBLISH, "s1 't' 8000 'x'"))).toBe(MALFORMED);
    expect(faultIn(packetOf(FIRST.SUBSCRIBE, "m1 8000 s1 't' 00"))).toBe(MALFORMED);
  });
});

describe('text', () => {
  const topic = (hex: string): Buffer => packetOf(FIRST.PUBLISH, `s${hex.length / 2} ${hex} v0`);
  const value = (hex: string): Buffer => packetOf(FIRST.PUBLISH, `s1 't' v${hex.length / 2 + 6} 26 s1 'n' s${hex.length / 2} ${hex}`);

  it.each([
    ['[MQTT5-1.5.4-1] a surrogate', '61EDA080'],
    ['[MQTT5-1.5.4-1] an overlong form', 'C0AF'],
    ['[MQTT5-1.5.4-1] a cut off character', 'E282'],
    ['[MQTT5-1.5.4-1] a code point above U+10FFFF', 'F4908080'],
    ['[MQTT5-1.5.4-2] U+0000', '6100'],
  ])('is malformed with %s', (_what, hex) => {
    expect(faultIn(topic(hex))).toBe(MALFORMED);
    expect(faultIn(value(hex))).toBe(MALFORMED);
  });

  it.each(['0A', '7F', 'C29F'])('with the control character %s stands in user properties, not in topics', (hex) => {
    expect(faultIn(value(hex))).toBeNull();
    expect(faultIn(topic(hex))).toBe(MALFORMED);
  });

  it('[MQTT5-1.5.4-3] keeps a byte order mark', () => {
    expect(readPacket<{ topic: string }>(topic('EFBBBF61'))).toMatchObject({ topic: '\ufeffa' });
    expect(readPacket<{ meta: object }>(value('EFBBBF61')).meta).toMatchObject({ pairs: [['n', '\ufeffa']] });
  });

  it('[MQTT5-1.5.7-1] is checked on both sides of a pair', () => {
    expect(faultIn(packetOf(FIRST.PUBLISH, "s1 't' v7 26 s1 00 s1 'v'"))).toBe(MALFORMED);
    expect(faultIn(packetOf(FIRST.PUBLISH, "s1 't' v7 26 s1 'n' s1 FF"))).toBe(MALFORMED);
  });
});

describe('flags of the first byte', () => {
  const BODY = { CONNECT: "s4 'MQTT' 05 02 k10 v0 s1 'p'", ACK: 'm1', SUBSCRIBE: "m1 v0 s1 'p' 00", UNSUBSCRIBE: "m1 v0 s1 'p'" };

  it.each([
    ['[MQTT5-2.1.3-1] CONNECT', 0x10, BODY.CONNECT],
    ['[MQTT5-2.1.3-1] PUBACK', 0x40, BODY.ACK],
    ['[MQTT5-2.1.3-1] PUBREC', 0x50, BODY.ACK],
    ['[MQTT5-3.6.1-1] PUBREL', 0x62, BODY.ACK],
    ['[MQTT5-2.1.3-1] PUBCOMP', 0x70, BODY.ACK],
    ['[MQTT5-3.8.1-1] SUBSCRIBE', 0x82, BODY.SUBSCRIBE],
    ['[MQTT5-3.10.1-1] UNSUBSCRIBE', 0xa2, BODY.UNSUBSCRIBE],
    ['[MQTT5-2.1.3-1] PINGREQ', 0xc0, ''],
    ['[MQTT5-3.14.1-1] DISCONNECT', 0xe0, ''],
    ['[MQTT5-3.15.1-1] AUTH', 0xf0, "18 v4 15 s1 'm'"],
  ])('%s has one right form', (_what, right, body) => {
    for (let flags = 0; flags < 16; flags++) {
      const first = (right & 0xf0) | flags;
      const reason = right >> 4 === 14 ? PROTOCOL_ERROR : MALFORMED;
      expect(faultIn(packetOf(first, body))).toBe(first === right ? null : reason);
    }
  });

  it.each([
    ['[MQTT5-3.3.1-4] QoS 3', 0x36, MALFORMED],
    ['[MQTT5-3.3.1-4] QoS 3 with DUP', 0x3e, MALFORMED],
    ['[MQTT5-3.3.1-2] DUP at QoS 0', 0x38, MALFORMED],
    ['DUP at QoS 1', 0x3a, null],
    ['DUP and retain at QoS 2', 0x3d, null],
  ])('of PUBLISH: %s', (_what, first, reason) => {
    expect(faultIn(packetOf(first, "s1 't' m1 v0"))).toBe(reason);
  });

  it.each([0x00, 0x20, 0x90, 0xb0, 0xd0])('packet type of 0x%x does not come from clients', (first) => {
    expect(faultIn(packetOf(first, ''))).toBe(PROTOCOL_ERROR);
  });

  it('PINGREQ has no body', () => {
    expect(faultIn(bytesOf('C0 00'))).toBeNull();
    expect(faultIn(bytesOf('C0 01 00'))).toBe(MALFORMED);
  });
});

describe('CONNECT', () => {
  const connect = (body: string): Connect => readPacket<Connect>(packetOf(FIRST.CONNECT, body));

  it('is read with defaults where it says nothing', () => {
    expect(connect("s4 'MQTT' 05 00 k10 v0 s0")).toEqual({
      cleanStart: false,
      keepAlive: 10,
      clientId: '',
      will: null,
      username: null,
      password: null,
      sessionExpirySeconds: 0,
      receiveMaximum: 65_535,
      maximumPacketSize: Number.POSITIVE_INFINITY,
      topicAliasMaximum: 0,
      requestResponseInformation: false,
      requestProblemInformation: true,
      authenticationMethod: null,
      authenticationData: null,
    });
  });

  it('is read with all that it can say', () => {
    const properties = "v36 11 L100 21 H7 27 L2000 22 H9 19 01 17 00 15 s1 'm' 16 s2 0001 26 s1 'n' s1 'v'";
    const will = "v32 18 L5 01 01 02 L60 03 s1 'c' 08 s1 'r' 09 s2 0102 26 s1 'n' s1 'v' s1 'w' s2 00FF";
    expect(connect(`s4 'MQTT' 05 F6 k65535 ${properties} s2 'id' ${will} s1 'u' s1 'p'`)).toEqual({
      cleanStart: true,
      keepAlive: 65_535,
      clientId: 'id',
      will: {
        topic: 'w',
        payload: Buffer.of(0, 0xff),
        qos: 2,
        retain: true,
        delaySeconds: 5,
        expirySeconds: 60,
        meta: expect.objectContaining({
          contentType: 'c',
          responseTopic: 'r',
          correlationData: Uint8Array.of(1, 2),
          isText: true,
          pairs: [['n', 'v']],
        }),
      },
      username: 'u',
      password: Buffer.from('p'),
      sessionExpirySeconds: 100,
      receiveMaximum: 7,
      maximumPacketSize: 2_000,
      topicAliasMaximum: 9,
      requestResponseInformation: true,
      requestProblemInformation: false,
      authenticationMethod: 'm',
      authenticationData: Uint8Array.of(0, 1),
    });
  });

  it('with the longest session expiry interval makes a session that never ends', () => {
    expect(connect("s4 'MQTT' 05 02 k10 v5 11 FFFFFFFF s1 'p'").sessionExpirySeconds).toBe(Number.POSITIVE_INFINITY);
    expect(connect("s4 'MQTT' 05 02 k10 v5 11 FFFFFFFE s1 'p'").sessionExpirySeconds).toBe(0xffff_fffe);
  });

  it('may have a password without user name', () => {
    expect(connect("s4 'MQTT' 05 42 k10 v0 s1 'p' s1 'x'")).toMatchObject({ username: null, password: Buffer.from('x') });
  });

  judges(FIRST.CONNECT, [
    ['[MQTT5-3.1.2-1] another protocol name', "s6 'MQIsdp' 05 02 k10 v0 s1 'p'", REASON.UNSUPPORTED_PROTOCOL_VERSION],
    ['[MQTT5-3.1.2-2] another level', "s4 'MQTT' 06 02 k10 v0 s1 'p'", REASON.UNSUPPORTED_PROTOCOL_VERSION],
    ['[MQTT5-3.1.2-3] the reserved flag', "s4 'MQTT' 05 03 k10 v0 s1 'p'", MALFORMED],
    ['[MQTT5-3.1.2-9] a will flag without will', "s4 'MQTT' 05 06 k10 v0 s1 'p'", MALFORMED],
    ['[MQTT5-3.1.2-9] a will without topic', "s4 'MQTT' 05 06 k10 v0 s1 'p' v0", MALFORMED],
    ['[MQTT5-3.1.2-9] a will without payload', "s4 'MQTT' 05 06 k10 v0 s1 'p' v0 s1 'w'", MALFORMED],
    ['[MQTT5-3.1.2-11] will QoS without will', "s4 'MQTT' 05 0A k10 v0 s1 'p'", MALFORMED],
    ['[MQTT5-3.1.2-12] will QoS 3', "s4 'MQTT' 05 1E k10 v0 s1 'p' v0 s1 'w' s0", MALFORMED],
    ['[MQTT5-3.1.2-13] will retain without will', "s4 'MQTT' 05 22 k10 v0 s1 'p'", MALFORMED],
    ['[MQTT5-3.1.2-16] a user name without its flag', "s4 'MQTT' 05 02 k10 v0 s1 'p' s1 'u'", MALFORMED],
    ['[MQTT5-3.1.2-17] a user name flag without one', "s4 'MQTT' 05 82 k10 v0 s1 'p'", MALFORMED],
    ['[MQTT5-3.1.2-18] a password without its flag', "s4 'MQTT' 05 82 k10 v0 s1 'p' s1 'u' s1 'x'", MALFORMED],
    ['[MQTT5-3.1.2-19] a password flag without one', "s4 'MQTT' 05 C2 k10 v0 s1 'p' s1 'u'", MALFORMED],
    ['[MQTT5-3.1.3-3] no client id', "s4 'MQTT' 05 02 k10 v0", MALFORMED],
    ['[MQTT5-3.1.3-4] a client id that is no text', "s4 'MQTT' 05 02 k10 v0 s1 FF", REASON.CLIENT_IDENTIFIER_NOT_VALID],
    ['[MQTT5-3.1.3-4] a control character in the client id', "s4 'MQTT' 05 02 k10 v0 s1 0A", REASON.CLIENT_IDENTIFIER_NOT_VALID],
    ['[MQTT5-3.1.3-5] a client id of 1,024 bytes', `s4 'MQTT' 05 02 k10 v0 s1024 ${'61'.repeat(1024)}`, null],
    ['[MQTT5-3.1.3-8] one byte more', `s4 'MQTT' 05 02 k10 v0 s1025 ${'61'.repeat(1025)}`, REASON.CLIENT_IDENTIFIER_NOT_VALID],
    ['[MQTT5-3.1.3-6] an empty client id', "s4 'MQTT' 05 02 k10 v0 s0", null],
    ['[MQTT5-3.1.3-11] a will topic that is no text', "s4 'MQTT' 05 06 k10 v0 s1 'p' v0 s1 FF s0", MALFORMED],
    ['an empty will topic', "s4 'MQTT' 05 06 k10 v0 s1 'p' v0 s0 s0", MALFORMED],
    ['a wildcard in the will topic', "s4 'MQTT' 05 06 k10 v0 s1 'p' v0 s3 'a/+' s0", MALFORMED],
    ['a will topic of too many levels', `s4 'MQTT' 05 06 k10 v0 s1 'p' v0 s100 '${'/'.repeat(100)}' s0`, REASON.TOPIC_NAME_INVALID],
    ['[MQTT5-3.1.3-12] a user name that is no text', "s4 'MQTT' 05 82 k10 v0 s1 'p' s1 FF", MALFORMED],
    ['a control character in the user name', "s4 'MQTT' 05 82 k10 v0 s1 'p' s1 0A", MALFORMED],
    ['bytes behind its end', "s4 'MQTT' 05 02 k10 v0 s1 'p' 00", MALFORMED],
    ['no properties', "s4 'MQTT' 05 02 k10", MALFORMED],
    ['properties longer than the packet', "s4 'MQTT' 05 02 k10 v9 11 L1 s1 'p'", MALFORMED],
    ['authentication data without method', "s4 'MQTT' 05 02 k10 v4 16 s1 'd' s1 'p'", PROTOCOL_ERROR],
    ['an empty response topic of the will', "s4 'MQTT' 05 06 k10 v0 s1 'p' v3 08 s0 s1 'w' s0", PROTOCOL_ERROR],
  ]);
});

describe('PUBLISH', () => {
  judges(FIRST.PUBLISH, [
    ['[MQTT5-3.3.2-1] no topic', '', MALFORMED],
    ['[MQTT5-3.3.2-1] half a length of the topic', '00', MALFORMED],
    ['[MQTT5-3.3.2-1] a topic that is cut off', "s9 'topic'", MALFORMED],
    ['[MQTT5-2.2.2-1] no property length', "s1 't'", MALFORMED],
    ['[MQTT5-3.3.2-2] + in the topic', "s3 'a/+' v0", MALFORMED],
    ['[MQTT5-3.3.2-2] # in the topic', "s3 'a/#' v0", MALFORMED],
    ['a topic of 100 levels', `s99 '${'/'.repeat(99)}' v0`, null],
    ['a topic of 101 levels', `s100 '${'/'.repeat(100)}' v0`, REASON.TOPIC_NAME_INVALID],
    ['[MQTT5-4.7.3-1] neither topic nor alias', 's0 v0', MALFORMED],
    ['an alias instead of a topic', 's0 v3 23 H1', null],
    ['[MQTT5-3.3.2-8] topic alias 0', "s1 't' v3 23 H0", REASON.TOPIC_ALIAS_INVALID],
    ['[MQTT5-3.3.2-13] a response topic that is no text', "s1 't' v4 08 s1 FF", MALFORMED],
    ['a control character in the response topic', "s1 't' v4 08 s1 0A", MALFORMED],
    ['[MQTT5-3.3.2-14] a wildcard in the response topic', "s1 't' v4 08 s1 '#'", PROTOCOL_ERROR],
    ['a response topic of too many levels', `s1 't' v103 08 s100 '${'/'.repeat(100)}'`, REASON.TOPIC_NAME_INVALID],
    ['[MQTT5-3.3.2-19] a content type that is no text', "s1 't' v4 03 s1 FF", MALFORMED],
    ['[MQTT5-3.3.4-6] a subscription identifier', "s1 't' v2 0B v1", PROTOCOL_ERROR],
    ['properties longer than the packet', "s1 't' v9 23 H1", MALFORMED],
    ['a property that ends with the packet', "s1 't' v3 23 H1", null],
  ]);

  it('[MQTT5-2.2.1-3] has a packet id other than 0 at QoS 1 and 2', () => {
    for (const first of [0x32, 0x34]) {
      expect(faultIn(packetOf(first, "s1 't' m0 v0"))).toBe(PROTOCOL_ERROR);
      expect(faultIn(packetOf(first, "s1 't' 00"))).toBe(MALFORMED);
      expect(faultIn(packetOf(first, "s1 't' m65535 v0"))).toBeNull();
    }
  });

  it('[MQTT5-2.2.1-2] has no packet id at QoS 0', () => {
    expect(readPacket(packetOf(0x30, "s1 't' v0 'xy'"))).toMatchObject({ packetId: 0, payload: Buffer.from('xy') });
  });
});

describe('acknowledgements', () => {
  it.each(ACKNOWLEDGEMENTS)('0x%x are read in each of their forms', (first) => {
    expect(readPacket(packetOf(first, 'm258'))).toEqual({ packetId: 258, reason: 0 });
    expect(readPacket(packetOf(first, 'm258 00'))).toEqual({ packetId: 258, reason: 0 });
    expect(readPacket(packetOf(first, 'm258 00 v0'))).toEqual({ packetId: 258, reason: 0 });
    expect(readPacket(packetOf(first, "m258 00 v11 1F s1 'r' 26 s1 'n' s1 'v'"))).toEqual({ packetId: 258, reason: 0 });
  });

  it.each([FIRST.PUBACK, FIRST.PUBREC])('[MQTT5-3.4.2-1] [MQTT5-3.5.2-1] 0x%x keep their reason code', (first) => {
    expect(readPacket(packetOf(first, 'm1 97'))).toEqual({ packetId: 1, reason: REASON.QUOTA_EXCEEDED });
    expect(faultIn(packetOf(first, 'm1 92'))).toBe(PROTOCOL_ERROR);
  });

  it.each([FIRST.PUBREL, FIRST.PUBCOMP])('[MQTT5-3.6.2-1] [MQTT5-3.7.2-1] 0x%x keep their reason code', (first) => {
    expect(readPacket(packetOf(first, 'm1 92'))).toEqual({ packetId: 1, reason: REASON.PACKET_IDENTIFIER_NOT_FOUND });
    expect(faultIn(packetOf(first, 'm1 10'))).toBe(PROTOCOL_ERROR);
  });

  it.each(ACKNOWLEDGEMENTS)('0x%x are refused', (first) => {
    expect(faultIn(packetOf(first, ''))).toBe(MALFORMED);
    expect(faultIn(packetOf(first, '00'))).toBe(MALFORMED);
    expect(faultIn(packetOf(first, 'm0'))).toBe(PROTOCOL_ERROR);
    expect(faultIn(packetOf(first, 'm1 00 v0 00'))).toBe(MALFORMED);
    expect(faultIn(packetOf(first, 'm1 00 v1'))).toBe(MALFORMED);
  });
});

describe('SUBSCRIBE', () => {
  it('is read filter by filter', () => {
    const body = "m258 v11 0B FF7F 26 s1 'n' s2 'vv' s3 'a/#' 2E s12 '$share/g/b/+' 11";
    expect(readPacket<Subscribe>(packetOf(FIRST.SUBSCRIBE, body))).toEqual({
      packetId: 258,
      identifier: 16_383,
      asOf: null,
      filters: [
        { text: 'a/#', group: null, qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 },
        { text: 'b/+', group: 'g', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 1 },
      ],
    });
  });

  it('names a time of the past', () => {
    const body = (time: string): string => `m1 v${18 + time.length} 26 s13 'trivium-as-of' s${time.length} '${time}' s1 'a' 00`;
    expect(readPacket<Subscribe>(packetOf(FIRST.SUBSCRIBE, body('1763676000000'))).asOf).toBe(1_763_676_000_000);
    for (const time of ['x', '-1', '1.5', '9999999999999999']) expect(faultIn(packetOf(FIRST.SUBSCRIBE, body(time)))).toBe(PROTOCOL_ERROR);
  });

  judges(FIRST.SUBSCRIBE, [
    ['[MQTT5-2.2.1-3] packet id 0', "m0 v0 s1 'p' 00", MALFORMED],
    ['[MQTT5-3.8.3-1] a filter that is no text', 'm1 v0 s1 FF 00', MALFORMED],
    ['a control character in a filter', 'm1 v0 s1 0A 00', MALFORMED],
    ['[MQTT5-3.8.3-2] no filter', 'm1 v0', MALFORMED],
    ['no options', "m1 v0 s1 'p'", MALFORMED],
    ['[MQTT5-3.8.3-4] no local on a shared subscription', "m1 v0 s10 '$share/g/p' 04", PROTOCOL_ERROR],
    ['[MQTT5-3.8.3-5] the first reserved option', "m1 v0 s1 'p' 40", MALFORMED],
    ['[MQTT5-3.8.3-5] the second reserved option', "m1 v0 s1 'p' 80", MALFORMED],
    ['QoS 3', "m1 v0 s1 'p' 03", MALFORMED],
    ['retain handling 3', "m1 v0 s1 'p' 30", MALFORMED],
    ['[MQTT5-4.7.3-1] an empty filter', 'm1 v0 s0 00', MALFORMED],
    ['[MQTT5-4.7.1-1] # before the end', "m1 v0 s3 '#/a' 00", MALFORMED],
    ['[MQTT5-4.7.1-1] # that is no whole level', "m1 v0 s2 'a#' 00", MALFORMED],
    ['[MQTT5-4.7.1-2] + that is no whole level', "m1 v0 s2 'a+' 00", MALFORMED],
    ['a filter of 100 levels', `m1 v0 s99 '${'/'.repeat(99)}' 00`, null],
    ['a filter of 101 levels', `m1 v0 s100 '${'/'.repeat(100)}' 00`, REASON.TOPIC_FILTER_INVALID],
    ['[MQTT5-4.8.2-1] a share without name', "m1 v0 s9 '$share//p' 00", REASON.TOPIC_FILTER_INVALID],
    ['[MQTT5-4.8.2-1] a share without anything', "m1 v0 s7 '$share/' 00", REASON.TOPIC_FILTER_INVALID],
    ['[MQTT5-4.8.2-2] + in the name of a share', "m1 v0 s10 '$share/+/p' 00", REASON.TOPIC_FILTER_INVALID],
    ['[MQTT5-4.8.2-2] # in the name of a share', "m1 v0 s10 '$share/#/p' 00", REASON.TOPIC_FILTER_INVALID],
    ['[MQTT5-4.8.2-2] a share without filter', "m1 v0 s8 '$share/g' 00", REASON.TOPIC_FILTER_INVALID],
    ['[MQTT5-4.8.2-2] a share with an empty filter', "m1 v0 s9 '$share/g/' 00", REASON.TOPIC_FILTER_INVALID],
    ['a share of a filter that breaks the rules', "m1 v0 s11 '$share/g/a#' 00", MALFORMED],
    ['a share of the root', "m1 v0 s10 '$share/g//' 00", null],
    ['a filter that only looks like a share', "m1 v0 s8 '$shareg/' 00", null],
    ['bytes that are no further filter', "m1 v0 s1 'p' 00 00", MALFORMED],
  ]);
});

describe('UNSUBSCRIBE', () => {
  it('is read filter by filter', () => {
    expect(readPacket<Unsubscribe>(packetOf(FIRST.UNSUBSCRIBE, "m258 v0 s3 'a/#' s12 '$share/g/b/+'"))).toEqual({
      packetId: 258,
      filters: [
        { text: 'a/#', group: null },
        { text: 'b/+', group: 'g' },
      ],
    });
  });

  judges(FIRST.UNSUBSCRIBE, [
    ['[MQTT5-2.2.1-3] packet id 0', "m0 v0 s1 'p'", MALFORMED],
    ['[MQTT5-3.10.3-1] a filter that is no text', 'm1 v0 s1 FF', MALFORMED],
    ['[MQTT5-3.10.3-2] no filter', 'm1 v0', MALFORMED],
    ['no properties', 'm1', MALFORMED],
    ['# before the end', "m1 v0 s3 '#/a'", MALFORMED],
    ['a share without name', "m1 v0 s9 '$share//p'", REASON.TOPIC_FILTER_INVALID],
    ['bytes that are no further filter', "m1 v0 s1 'p' 00", MALFORMED],
    ['user properties', "m1 v7 26 s1 'n' s1 'v' s1 'p'", null],
  ]);
});

describe('DISCONNECT', () => {
  it.each([
    ['', { reason: 0, sessionExpirySeconds: null, reasonString: null }],
    ['04', { reason: 4, sessionExpirySeconds: null, reasonString: null }],
    ['04 v0', { reason: 4, sessionExpirySeconds: null, reasonString: null }],
    ["00 v9 11 L7 1F s1 'r'", { reason: 0, sessionExpirySeconds: 7, reasonString: 'r' }],
    ['00 v5 11 FFFFFFFF', { reason: 0, sessionExpirySeconds: Number.POSITIVE_INFINITY, reasonString: null }],
  ])('of the bytes "%s" is read', (body, facts) => {
    expect(readPacket<Disconnect>(packetOf(0xe0, body))).toEqual(facts);
  });

  judges(0xe0, [
    ['[MQTT5-3.14.2-1] a reason code that only servers have', '8E', PROTOCOL_ERROR],
    ['bytes behind its end', '00 v0 00', MALFORMED],
    ['properties longer than the packet', '00 v5 11', MALFORMED],
  ]);
});

describe('AUTH', () => {
  it('is read', () => {
    expect(readPacket<Auth>(packetOf(0xf0, "18 v8 15 s1 'm' 16 s1 'd'"))).toEqual({ reason: 0x18, method: 'm', data: Uint8Array.of(0x64) });
    expect(readPacket<Auth>(packetOf(0xf0, "19 v4 15 s1 'm'"))).toEqual({ reason: 0x19, method: 'm', data: null });
  });

  judges(0xf0, [
    ['[MQTT5-3.15.2-1] success, which only servers say', "00 v4 15 s1 'm'", PROTOCOL_ERROR],
    ['[MQTT5-3.15.2-1] nothing, which means success', '', PROTOCOL_ERROR],
    ['no authentication method', '18 v0', PROTOCOL_ERROR],
    ['bytes behind its end', "18 v4 15 s1 'm' 00", MALFORMED],
  ]);
});

it('a fault says in words what is wrong', () => {
  expect(() => readPacket(packetOf(FIRST.SUBSCRIBE, "m1 v0 s1 'p' 03"))).toThrow(
    expect.objectContaining({
      name: 'ProtocolFault',
      code: 'MALFORMED_FRAME',
      message: 'requested QoS 3',
    } satisfies Partial<ProtocolFault>),
  );
});
