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
import { REASON } from '../../../../src/adapters/mqtt/v5/reason-codes.js';
import { FIRST_BYTE } from '../../../../src/adapters/mqtt/wire.js';
import { bytesOf } from '../../../support/mqtt-vectors.js';

const hex = (words: string): string => bytesOf(words).toString('hex');

describe('CONNACK', () => {
  it('is as short as it can be', () => {
    expect(encodeConnack(true, REASON.SUCCESS).toString('hex')).toBe(hex('20 r3 01 00 00'));
    expect(encodeConnack(false, REASON.SERVER_BUSY).toString('hex')).toBe(hex('20 r3 00 89 00'));
  });

  it.each<[ConnackProperties, string]>([
    [{ sessionExpirySeconds: Number.POSITIVE_INFINITY }, 'v5 11 FFFFFFFF'],
    [{ receiveMaximum: 20 }, 'v3 21 H20'],
    [{ maximumQos: 1 }, 'v2 24 01'],
    [{ retainAvailable: true }, 'v2 25 01'],
    [{ maximumPacketSize: 2_000_000 }, 'v5 27 L2000000'],
    [{ assignedClientId: 'ä' }, "v5 12 s2 'ä'"],
    [{ topicAliasMaximum: 10 }, 'v3 22 H10'],
    [{ reasonString: 'r' }, "v4 1F s1 'r'"],
    [{ wildcardSubscriptionAvailable: false }, 'v2 28 00'],
    [{ subscriptionIdentifierAvailable: false }, 'v2 29 00'],
    [{ sharedSubscriptionAvailable: false }, 'v2 2A 00'],
    [{ serverKeepAlive: 60 }, 'v3 13 H60'],
    [{ responseInformation: 'i' }, "v4 1A s1 'i'"],
    [{ serverReference: 's' }, "v4 1C s1 's'"],
    [{ authenticationMethod: 'm' }, "v4 15 s1 'm'"],
    [{ authenticationData: Uint8Array.of(7) }, 'v4 16 s1 07'],
    [{ receiveMaximum: 20, topicAliasMaximum: 10 }, 'v6 21 H20 22 H10'],
  ])('says %j', (properties, words) => {
    const body = bytesOf(`00 00 ${words}`);
    expect(encodeConnack(false, REASON.SUCCESS, properties).toString('hex')).toBe(`20${hex(`r${body.length}`)}${body.toString('hex')}`);
  });
});

describe('acknowledgements', () => {
  it.each([
    [FIRST_BYTE.PUBACK, '40'],
    [FIRST_BYTE.PUBREC, '50'],
    [FIRST_BYTE.PUBREL, '62'],
    [FIRST_BYTE.PUBCOMP, '70'],
  ] as const)('0x%x are as short as they can be', (first, byte) => {
    expect(encodeAcknowledge(first, 258, REASON.SUCCESS).toString('hex')).toBe(hex(`${byte} r2 m258`));
    expect(encodeAcknowledge(first, 65_535, REASON.PACKET_IDENTIFIER_NOT_FOUND).toString('hex')).toBe(hex(`${byte} r3 m65535 92`));
  });

  it('say a reason', () => {
    const frame = encodeAcknowledge(FIRST_BYTE.PUBACK, 258, REASON.NOT_AUTHORIZED, 'no');
    expect(frame.toString('hex')).toBe(hex("40 r9 m258 87 v5 1F s2 'no'"));
  });

  it('leave out a reason that cannot be written', () => {
    const frame = encodeAcknowledge(FIRST_BYTE.PUBACK, 258, REASON.NOT_AUTHORIZED, 'a\0');
    expect(frame.toString('hex')).toBe(hex('40 r4 m258 87 v0'));
  });
});

describe('SUBACK and UNSUBACK', () => {
  it('[MQTT5-3.9.3-1] [MQTT5-3.11.3-1] have a reason code for each filter, in order', () => {
    expect(encodeSuback(258, [0, 2, 0x87, 1]).toString('hex')).toBe(hex('90 r7 m258 v0 00 02 87 01'));
    expect(encodeUnsuback(258, [0, 0x11]).toString('hex')).toBe(hex('b0 r5 m258 v0 00 11'));
  });

  it('say a reason', () => {
    expect(encodeSuback(1, [0x87], 'no').toString('hex')).toBe(hex("90 r9 m1 v5 1F s2 'no' 87"));
    expect(encodeUnsuback(1, [0x87], 'no').toString('hex')).toBe(hex("b0 r9 m1 v5 1F s2 'no' 87"));
  });

  it('have room for many filters', () => {
    const frame = encodeSuback(1, new Array(1_000).fill(0));
    expect(frame.toString('hex', 0, 6)).toBe(hex('90 r1003 m1 v0'));
    expect(frame).toHaveLength(1_006);
  });
});

describe('DISCONNECT', () => {
  it('is as short as it can be', () => {
    expect(encodeDisconnect(REASON.SUCCESS).toString('hex')).toBe('e000');
    expect(encodeDisconnect(REASON.SESSION_TAKEN_OVER).toString('hex')).toBe('e0018e');
  });

  it('says a reason and another server', () => {
    expect(encodeDisconnect(REASON.SERVER_MOVED, 'go', 'x').toString('hex')).toBe(hex("e0 r11 9D v9 1F s2 'go' 1C s1 'x'"));
  });
});

it('PINGRESP has no body', () => {
  expect(encodePingresp().toString('hex')).toBe('d000');
});

it('AUTH says method, data and reason', () => {
  expect(encodeAuth(REASON.CONTINUE_AUTHENTICATION, 'm', null).toString('hex')).toBe(hex("f0 r6 18 v4 15 s1 'm'"));
  expect(encodeAuth(REASON.SUCCESS, 'm', Uint8Array.of(7), 'r').toString('hex')).toBe(hex("f0 r14 00 v12 1F s1 'r' 15 s1 'm' 16 s1 07"));
});
