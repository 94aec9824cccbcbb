import fc from 'fast-check';
import mqttPacket from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import {
  encodeAcknowledge,
  encodeConnack,
  encodePublish,
  readAcknowledge,
  readConnect,
  readSubscribe,
  readText,
  readUnsubscribe,
} from '../../../src/adapters/mqtt/codec.js';
import { Topics } from '../../../src/adapters/mqtt/paths.js';
import { encode } from '../../support/mqtt-wire.js';

/** Bytes of a packet without its fixed header (of two bytes). */
function bodyOf(packet: object): Buffer {
  return encode(packet).subarray(2);
}

function connect(fields: object): ReturnType<typeof readConnect> {
  const body = bodyOf({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'c', keepalive: 10, ...fields });
  return readConnect(body, 0, body.length, 4);
}

describe('text of the wire', () => {
  const read = (bytes: Buffer): string | null => readText(bytes, 0, bytes.length);

  it('is read as it is written', () => {
    for (const text of ['', 'a/b', 'ä/ö', '日本/𪛔', '\ufeffbom', 'a'.repeat(70_000)]) expect(read(Buffer.from(text))).toBe(text);
  });

  it.each([
    ['NUL', [0x61, 0x00]],
    ['a control character', [0x01]],
    ['DEL', [0x7f]],
    ['a control character of two bytes', [0xc2, 0x9f]],
    ['a control character behind others', [0xc3, 0xa4, 0x1f]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['an overlong form', [0xc0, 0xaf]],
    ['an overlong NUL', [0xc0, 0x80]],
    ['a cut off character', [0xe2, 0x82]],
    ['a lone continuation', [0x80]],
    ['a code point above U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
  ])('is refused with %s', (_what, bytes) => {
    expect(read(Buffer.from(bytes))).toBeNull();
  });
});

describe('CONNECT', () => {
  it('is read with all its fields', () => {
    const will = { topic: 'w', payload: Buffer.from([0, 1]), qos: 2, retain: true };
    expect(connect({ clean: false, username: 'u', password: Buffer.from('p'), will })).toEqual({
      clean: false,
      keepAlive: 10,
      clientId: 'c',
      will: { topic: 'w', payload: Buffer.from([0, 1]), qos: 2, retain: true },
      username: 'u',
      password: Buffer.from('p'),
    });
  });

  it.each([
    ['an empty client id without a clean session', '00044d5154540400000a0000', 4],
    ['an empty client id in 3.1', '00064d51497364700302000a0000', 3],
    ['a client id of 24 characters in 3.1', `00064d51497364700302000a0018${'61'.repeat(24)}`, 3],
    ['a client id of more than a kilobyte', `00044d5154540402000a0401${'61'.repeat(1025)}`, 4],
  ] as const)('with %s is answered with return code 2', (_what, hex, version) => {
    const body = Buffer.from(hex, 'hex');
    expect(readConnect(body, 0, body.length, version)).toMatchObject({ returnCode: 2 });
  });

  it.each([
    ['no flags', '00044d51545404'],
    ['no keep alive', '00044d515454040200'],
    ['no client id', '00044d5154540402000a'],
    ['a cut off client id', '00044d5154540402000a000563'],
    ['the reserved flag', '00044d5154540403000a000163'],
    ['a will QoS without will', '00044d515454040a000a000163'],
    ['will retain without will', '00044d5154540422000a000163'],
    ['will QoS 3', '00044d515454041e000a000163000177000178'],
    ['a will without topic', '00044d5154540406000a000163'],
    ['a will without message', '00044d5154540406000a000163000177'],
    ['an empty will topic', '00044d5154540406000a0001630000000178'],
    ['a wildcard in the will topic', '00044d5154540406000a00016300012b000178'],
    ['a password without user name', '00044d5154540442000a000163000170'],
    ['no user name', '00044d5154540482000a000163'],
    ['no password', '00044d51545404c2000a000163000175'],
    ['bytes at its end', '00044d5154540402000a00016300'],
    ['NUL in its client id', '00044d5154540402000a00026100'],
    ['a surrogate in its user name', '00044d5154540482000a0001630003eda080'],
  ])('with %s breaks the connection', (_what, hex) => {
    const body = Buffer.from(hex, 'hex');
    expect(() => readConnect(body, 0, body.length, 4)).toThrow(expect.objectContaining({ code: 'MALFORMED_FRAME' }));
  });

  it('may have the reserved flag in 3.1 alone', () => {
    const old = Buffer.from('00064d51497364700303000a000163', 'hex');
    expect(readConnect(old, 0, old.length, 3)).toMatchObject({ clientId: 'c', clean: true });
  });
});

describe('SUBSCRIBE and UNSUBSCRIBE', () => {
  it('are read filter by filter', () => {
    const subscribe = bodyOf({
      cmd: 'subscribe',
      messageId: 7,
      subscriptions: [
        { topic: 'a/+', qos: 1 },
        { topic: '#', qos: 2 },
      ],
    });
    expect(readSubscribe(subscribe, 0, subscribe.length)).toEqual({
      packetId: 7,
      filters: [
        { text: 'a/+', qos: 1 },
        { text: '#', qos: 2 },
      ],
    });
    const unsubscribe = bodyOf({ cmd: 'unsubscribe', messageId: 7, unsubscriptions: ['a/+', '#'] });
    expect(readUnsubscribe(unsubscribe, 0, unsubscribe.length)).toEqual(['a/+', '#']);
  });

  it.each([
    ['nothing', ''],
    ['packet id 0', '000000016100'],
    ['no filter', '0001'],
    ['an empty filter', '0001000000'],
    ['a cut off filter', '00010005'],
    ['no QoS', '0001000161'],
    ['QoS 3', '000100016103'],
    ['reserved bits', '000100016104'],
    ['bytes at its end', '00010001610000'],
    ['NUL in a filter', '00010002610000'],
    ['a wildcard within a level', '00010002612300'],
    ['# before the end', '00010004232f612f00'],
  ])('with %s break the connection', (_what, hex) => {
    const body = Buffer.from(hex, 'hex');
    expect(() => readSubscribe(body, 0, body.length)).toThrow(expect.objectContaining({ code: 'MALFORMED_FRAME' }));
  });
});

describe('packets of our own', () => {
  it('PUBLISH is what another implementation reads', () => {
    const topics = new Topics('');
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', 'ä', '𪛔', '/', ' '), minLength: 1, maxLength: 40 }),
        fc.uint8Array({ maxLength: 40_000 }),
        fc.constantFrom(0, 1, 2),
        fc.boolean(),
        fc.integer({ min: 1, max: 65_535 }),
        (topic, payload, qos, retain, id) => {
          const frame = encodePublish(topics.headOf(topic) as Buffer, payload, (qos << 1) | (retain ? 1 : 0), qos === 0 ? 0 : id);
          const parser = mqttPacket.parser();
          const packets: object[] = [];
          parser.on('packet', (packet) => packets.push(packet));
          expect(parser.parse(frame)).toBe(0);
          expect(packets).toEqual([
            expect.objectContaining({
              cmd: 'publish',
              topic,
              payload: Buffer.from(payload),
              qos,
              retain,
              dup: false,
              ...(qos > 0 && { messageId: id }),
            }),
          ]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])('PUBLISH of remaining length %i has the shortest header', (length) => {
    const head = Buffer.of(0, 1, 0x61);
    const frame = encodePublish(head, Buffer.alloc(Math.max(0, length - 3)), 0, 0);
    const parser = mqttPacket.parser();
    let seen = -1;
    parser.on('packet', (packet) => (seen = packet.length as number));
    parser.parse(frame);
    expect(seen).toBe(Math.max(3, length));
  });

  it('acknowledgements and CONNACK are what the standard draws', () => {
    expect(encodeAcknowledge(0x40, 0x1234).toString('hex')).toBe('40021234');
    expect(readAcknowledge(encodeAcknowledge(0x40, 0x1234), 2, 4)).toBe(0x1234);
    expect(encodeConnack(true, 0).toString('hex')).toBe('20020100');
    expect(encodeConnack(false, 2).toString('hex')).toBe('20020002');
  });
});
