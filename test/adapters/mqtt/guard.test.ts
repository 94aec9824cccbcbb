import { describe, expect, it } from 'vitest';
import { headerFault, headerFault31 } from '../../../src/adapters/mqtt/codec.js';
import { Guard, type HeaderFault } from '../../../src/adapters/mqtt/guard.js';
import { headerFault as headerFault5 } from '../../../src/adapters/mqtt/v5/codec.js';
import type { ConnectionError } from '../../../src/core/index.js';
import { encode } from '../../support/mqtt-wire.js';
import { growth } from '../../support/processor-time.js';

const CONNECT = encode({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'c', keepalive: 10 });
const PUBLISH = encode({ cmd: 'publish', topic: 'a/b', payload: 'x'.repeat(300), qos: 0, retain: false, dup: false });
const PING = encode({ cmd: 'pingreq' });

interface Taken {
  readonly guard: Guard;
  readonly packets: string[];
  error: ConnectionError | null;
  onPacket: (() => void) | null;
}

function guarded(maxBytes = 64 * 1024, fault: HeaderFault = headerFault): Taken {
  const packets: string[] = [];
  const taken: Taken = {
    guard: new Guard(
      {
        onPacket: (_first, bytes, start, _body, end) => {
          packets.push(bytes.toString('hex', start, end));
          taken.onPacket?.();
        },
        onViolation: (error) => {
          taken.error = error;
        },
      },
      fault,
      maxBytes,
    ),
    packets,
    error: null,
    onPacket: null,
  };
  return taken;
}

const hex = (...packets: Buffer[]): string[] => packets.map((packet) => packet.toString('hex'));
const STREAM = Buffer.concat([CONNECT, PUBLISH, PING, PUBLISH, PING]);
const WHOLE = hex(CONNECT, PUBLISH, PING, PUBLISH, PING);

describe('guard', () => {
  it('F3 cuts the stream into the same packets wherever it is split in two', () => {
    for (let cut = 0; cut <= STREAM.length; cut++) {
      const { guard, packets } = guarded();
      guard.push(Buffer.from(STREAM.subarray(0, cut)));
      guard.push(Buffer.from(STREAM.subarray(cut)));
      expect(packets).toEqual(WHOLE);
    }
  });

  it('F3 cuts the stream into the same packets byte by byte', () => {
    const { guard, packets } = guarded();
    for (const byte of STREAM) guard.push(Buffer.of(byte));
    expect(packets).toEqual(WHOLE);
    expect(guard.waiting).toBe(0);
  });

  it('takes a large packet in single bytes in linear time', () => {
    const taking = (bytes: number) => {
      const packet = encode({ cmd: 'publish', topic: 'a', payload: 'x'.repeat(bytes), qos: 0, retain: false, dup: false });
      return () => {
        const { guard, packets } = guarded(2_000_000);
        guard.push(CONNECT);
        for (let i = 0; i < packet.length; i++) guard.push(packet.subarray(i, i + 1));
        expect(packets.length).toBe(2);
      };
    };
    // Sixteen times as much where it grows with the length, 256 times where with its square.
    expect(growth(taking(5_000), taking(80_000))).toBeLessThan(32);
  });

  it('keeps packets back while held and goes on where it was', () => {
    const taken = guarded();
    taken.onPacket = () => taken.guard.hold();
    taken.guard.push(STREAM);
    expect(taken.packets).toEqual(WHOLE.slice(0, 1));
    taken.guard.push(PING);
    for (let i = 2; i <= 6; i++) {
      taken.guard.release();
      expect(taken.packets.length).toBe(i);
    }
    expect(taken.packets).toEqual([...WHOLE, PING.toString('hex')]);
  });

  it('B1 refuses a declared length above the limit before the body comes', () => {
    const taken = guarded();
    taken.guard.push(Buffer.of(0x10, 0xff, 0xff, 0xff, 0x7f));
    expect(taken.error?.code).toBe('FRAME_TOO_LARGE');
    expect(taken.guard.waiting).toBe(0);
  });

  it('C8 refuses a remaining length of five bytes', () => {
    const taken = guarded();
    taken.guard.push(Buffer.of(0x10, 0x80, 0x80, 0x80, 0x80, 0x01));
    expect(taken.error?.code).toBe('MALFORMED_FRAME');
  });

  it('takes a packet of exactly the limit and none that is one byte larger', () => {
    const exact = guarded(PUBLISH.length);
    exact.guard.push(Buffer.concat([CONNECT, PUBLISH]));
    expect(exact.packets.length).toBe(2);
    const over = guarded(PUBLISH.length - 1);
    over.guard.push(Buffer.concat([CONNECT, PUBLISH]));
    expect(over.error?.code).toBe('FRAME_TOO_LARGE');
  });

  it.each([
    ['reserved type 0', [0x00, 0]],
    ['reserved type 15', [0xf0, 0]],
    ['CONNACK', [0x20, 2]],
    ['SUBACK', [0x90, 3]],
    ['UNSUBACK', [0xb0, 2]],
    ['PINGRESP', [0xd0, 0]],
    ['PUBLISH of QoS 3', [0x36, 5]],
    ['PUBLISH of QoS 0 with DUP', [0x38, 5]],
    ['PUBACK with flags', [0x42, 2]],
    ['PUBACK of three bytes', [0x40, 3]],
    ['PUBREL without its flag', [0x60, 2]],
    ['PUBREL of one byte', [0x62, 1]],
    ['SUBSCRIBE without its flag', [0x80, 6]],
    ['SUBSCRIBE with DUP', [0x8a, 6]],
    ['UNSUBSCRIBE with retain', [0xa3, 6]],
    ['PINGREQ with a body', [0xc0, 1]],
    ['DISCONNECT with flags', [0xe1, 0]],
  ])('C8 refuses %s', (_what, bytes) => {
    const taken = guarded();
    taken.guard.push(Buffer.concat([CONNECT, Buffer.from(bytes)]));
    expect(taken.error?.code).toBe('MALFORMED_FRAME');
  });

  it('lets DUP through on SUBSCRIBE, UNSUBSCRIBE and PUBREL of version 3.1', () => {
    const taken = guarded(64 * 1024, headerFault31);
    taken.guard.push(Buffer.concat([CONNECT, Buffer.of(0x6a, 2, 0, 1)]));
    expect(taken.error).toBeNull();
    expect(taken.packets.length).toBe(2);
  });

  it('[MQTT5-1.5.5-1] refuses a remaining length that is longer than it need be in version 5 alone', () => {
    const long = Buffer.of(0xc0, 0x80, 0x00);
    const taken = guarded(64 * 1024, headerFault5);
    taken.guard.push(long);
    expect(taken.error).toMatchObject({ code: 'MALFORMED_FRAME', reason: 0x81 });
    const older = guarded();
    older.guard.push(long);
    expect(older.packets).toEqual(hex(long));
  });

  it('takes nothing more after a violation', () => {
    const taken = guarded();
    taken.guard.push(Buffer.concat([CONNECT, Buffer.of(0x00, 0), PING]));
    taken.guard.push(PING);
    expect(taken.packets.length).toBe(1);
  });
});
