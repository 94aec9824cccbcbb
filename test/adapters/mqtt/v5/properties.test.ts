// Every property in every packet: where it may stand, how often, what of it may be cut off, and which numbers it may have.

import { describe, expect, it } from 'vitest';
import { PROPERTIES, PROPERTY, PropertyWriter } from '../../../../src/adapters/mqtt/v5/properties.js';
import { REASON } from '../../../../src/adapters/mqtt/v5/reason-codes.js';
import { PACKET } from '../../../../src/adapters/mqtt/wire.js';
import { bytesOf } from '../../../support/mqtt-vectors.js';
import { faultIn, packetOf } from '../../../support/mqtt5-read.js';

const MALFORMED = REASON.MALFORMED_PACKET;
const PROTOCOL_ERROR = REASON.PROTOCOL_ERROR;

/** A packet with such properties. Authentication data needs its method beside it where it may stand. */
const PLACES: Readonly<Record<string, (properties: string) => Buffer>> = {
  CONNECT: (properties) => packetOf(0x10, `s4 'MQTT' 05 02 k10 ${properties} s1 'p'`),
  WILL: (properties) => packetOf(0x10, `s4 'MQTT' 05 06 k10 v0 s1 'p' ${properties} s1 'w' s0`),
  PUBLISH: (properties) => packetOf(0x30, `s1 't' ${properties}`),
  PUBACK: (properties) => packetOf(0x40, `m1 00 ${properties}`),
  PUBREC: (properties) => packetOf(0x50, `m1 00 ${properties}`),
  PUBREL: (properties) => packetOf(0x62, `m1 00 ${properties}`),
  PUBCOMP: (properties) => packetOf(0x70, `m1 00 ${properties}`),
  SUBSCRIBE: (properties) => packetOf(0x82, `m1 ${properties} s1 'p' 00`),
  UNSUBSCRIBE: (properties) => packetOf(0xa2, `m1 ${properties} s1 'p'`),
  DISCONNECT: (properties) => packetOf(0xe0, `00 ${properties}`),
  AUTH: (properties) => packetOf(0xf0, `18 ${properties}`),
};

/** Where a known property that does not belong is malformed, as the standard has it; elsewhere it is a protocol error. */
const STRICT = new Set(['SUBSCRIBE', 'UNSUBSCRIBE', 'AUTH']);
const MESSAGE = 'WILL PUBLISH';
const ANSWERS = 'PUBACK PUBREC PUBREL PUBCOMP DISCONNECT AUTH';

/** Table 2-4 for the packets of clients: identifier, an example of its value, and where it may stand. */
const TABLE: readonly (readonly [id: string, value: string, places: string])[] = [
  ['01', '01', MESSAGE],
  ['02', 'L1', MESSAGE],
  ['03', "s1 'c'", MESSAGE],
  ['08', "s1 'r'", MESSAGE],
  ['09', "s1 'd'", MESSAGE],
  // In a PUBLISH it comes from servers alone.
  ['0B', 'v1', 'SUBSCRIBE'],
  ['11', 'L1', 'CONNECT DISCONNECT'],
  ['12', "s1 'a'", ''],
  ['13', 'H1', ''],
  ['15', "s1 'm'", 'CONNECT AUTH'],
  ['16', "s1 'd'", 'CONNECT AUTH'],
  ['17', '01', 'CONNECT'],
  ['18', 'L1', 'WILL'],
  ['19', '01', 'CONNECT'],
  ['1A', "s1 'i'", ''],
  ['1C', "s1 's'", 'DISCONNECT'],
  ['1F', "s1 'r'", ANSWERS],
  ['21', 'H1', 'CONNECT'],
  ['22', 'H1', 'CONNECT'],
  ['23', 'H1', 'PUBLISH'],
  ['24', '01', ''],
  ['25', '01', ''],
  ['26', "s1 'n' s1 'v'", `${MESSAGE} ${ANSWERS} CONNECT SUBSCRIBE UNSUBSCRIBE`],
  ['27', 'L1', 'CONNECT'],
  ['28', '01', ''],
  ['29', '01', ''],
  ['2A', '01', ''],
];

/** Properties with their length before them; `cut` bytes are missing at the end. */
function properties(words: string, cut = 0): string {
  const bytes = bytesOf(words);
  return `v${bytes.length - cut} ${bytes.toString('hex', 0, bytes.length - cut)}`;
}

const METHOD = "15 s1 'm'";

/** What a packet needs beside the property, so that nothing else is wrong with it. */
function companions(place: string, id: string): string {
  const needsMethod = id !== '15' && (place === 'AUTH' || (place === 'CONNECT' && id === '16'));
  return needsMethod ? METHOD : '';
}

const pairs = Object.keys(PLACES).flatMap((place) =>
  TABLE.map(([id, value, places]) => ({ place, id, value, legal: isIn(places, place) })),
);

function isIn(places: string, place: string): boolean {
  return places.split(' ').includes(place);
}

it('the table has all 27 properties', () => {
  expect(PROPERTIES.map(({ id }) => id)).toEqual(TABLE.map(([id]) => Number.parseInt(id, 16)));
});

describe.each(Object.keys(PLACES))('in %s', (place) => {
  const packet = PLACES[place] as (words: string) => Buffer;
  const here = pairs.filter((one) => one.place === place);
  const misplaced = STRICT.has(place) ? MALFORMED : PROTOCOL_ERROR;

  it.each(here)('property $id may stand: $legal', ({ id, value, legal }) => {
    expect(faultIn(packet(properties(`${companions(place, id)} ${id} ${value}`)))).toBe(legal ? null : misplaced);
  });

  it.each(here.filter(({ legal, id }) => legal && id !== '26'))('property $id stands once', ({ id, value }) => {
    expect(faultIn(packet(properties(`${companions(place, id)} ${id} ${value} ${id} ${value}`)))).toBe(PROTOCOL_ERROR);
  });

  it('user properties repeat', () => {
    const pair = "26 s1 'n' s1 'v'";
    expect(faultIn(packet(properties(`${companions(place, '26')} ${pair} ${pair} ${pair}`)))).toBeNull();
  });

  it.each(here)('property $id is malformed when it is cut off', ({ id, value }) => {
    const length = bytesOf(value).length;
    for (let cut = 1; cut <= length; cut++) expect(faultIn(packet(properties(`${id} ${value}`, cut)))).toBe(MALFORMED);
  });

  it('an unknown property is malformed', () => {
    const known = new Set<number>(Object.values(PROPERTY));
    for (let id = 0; id < 300; id++) if (!known.has(id)) expect(faultIn(packet(properties(`v${id} 01`)))).toBe(MALFORMED);
  });
});

describe('numbers', () => {
  it.each([
    ['[MQTT5-3.1.2-24] maximum packet size 0', 'CONNECT', '27 L0', PROTOCOL_ERROR],
    ['maximum packet size 1', 'CONNECT', '27 L1', null],
    ['receive maximum 0', 'CONNECT', '21 H0', PROTOCOL_ERROR],
    ['receive maximum 65,535', 'CONNECT', '21 FFFF', null],
    ['topic alias maximum 0', 'CONNECT', '22 H0', null],
    ['request problem information 2', 'CONNECT', '17 02', PROTOCOL_ERROR],
    ['request response information 2', 'CONNECT', '19 02', PROTOCOL_ERROR],
    ['payload format 2', 'PUBLISH', '01 02', PROTOCOL_ERROR],
    ['payload format 2 of a will', 'WILL', '01 02', PROTOCOL_ERROR],
    ['subscription identifier 0', 'SUBSCRIBE', '0B v0', PROTOCOL_ERROR],
    ['subscription identifier 268,435,455', 'SUBSCRIBE', '0B v268435455', null],
    ['subscription identifier of five bytes', 'SUBSCRIBE', '0B v268435456', MALFORMED],
    ['[MQTT5-1.5.5-1] subscription identifier 1 in two bytes', 'SUBSCRIBE', '0B 8100', MALFORMED],
    ['[MQTT5-3.3.2-8] topic alias 0', 'PUBLISH', '23 H0', REASON.TOPIC_ALIAS_INVALID],
    ['message expiry interval 0', 'PUBLISH', '02 L0', null],
  ] as const)('%s', (_what, place, words, reason) => {
    expect(faultIn((PLACES[place] as (words: string) => Buffer)(properties(words)))).toBe(reason);
  });

  it('[MQTT5-1.5.5-1] a property identifier of two bytes is malformed where one does', () => {
    expect(faultIn(packetOf(0x30, "s1 't' v3 8100 01"))).toBe(MALFORMED);
  });
});

describe('the writer', () => {
  const writer = (): PropertyWriter => new PropertyWriter(PACKET.CONNACK);

  it('writes nothing as a length of 0', () => {
    const frame = Buffer.alloc(1, 9);
    expect(writer().size).toBe(1);
    expect(writer().write(frame, 0)).toBe(1);
    expect(frame[0]).toBe(0);
  });

  it('writes each type', () => {
    const written = writer()
      .put(PROPERTY.MAXIMUM_QOS, 1)
      .put(PROPERTY.RECEIVE_MAXIMUM, 258)
      .put(PROPERTY.MAXIMUM_PACKET_SIZE, 0xffff_ffff)
      .put(PROPERTY.REASON_STRING, 'ä')
      .put(PROPERTY.AUTHENTICATION_DATA, Uint8Array.of(1, 2));
    const frame = Buffer.alloc(written.size);
    expect(written.write(frame, 0)).toBe(frame.length);
    expect(frame.toString('hex')).toBe(bytesOf("v20 24 01 21 0102 27 FFFFFFFF 1F s2 'ä' 16 s2 0102").toString('hex'));
  });

  it.each([
    ['a property of another packet', PROPERTY.TOPIC_ALIAS, 1],
    ['a number below its range', PROPERTY.RECEIVE_MAXIMUM, 0],
    ['a number above its range', PROPERTY.MAXIMUM_QOS, 2],
    ['a number that its bytes do not hold', PROPERTY.SERVER_KEEP_ALIVE, 65_536],
    ['a negative number', PROPERTY.TOPIC_ALIAS_MAXIMUM, -1],
    ['part of a number', PROPERTY.TOPIC_ALIAS_MAXIMUM, 1.5],
    ['a number for a text', PROPERTY.REASON_STRING, 1],
    ['a text for a number', PROPERTY.RECEIVE_MAXIMUM, '1'],
    ['bytes for a text', PROPERTY.REASON_STRING, Uint8Array.of(1)],
    ['a text of more than 65,535 bytes', PROPERTY.REASON_STRING, 'ä'.repeat(32_768)],
    ['a text that UTF-8 does not hold', PROPERTY.REASON_STRING, '\ud800'],
    ['[MQTT5-1.5.4-2] U+0000', PROPERTY.REASON_STRING, 'a\0'],
  ] as const)('refuses %s', (_what, id, value) => {
    expect(() => writer().put(id, value)).toThrow(RangeError);
  });

  it('refuses a second one', () => {
    expect(() => writer().put(PROPERTY.REASON_STRING, 'a').put(PROPERTY.REASON_STRING, 'b')).toThrow(RangeError);
  });
});
