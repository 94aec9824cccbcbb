import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Deframer, type Framing, framingOf } from '../../../src/adapters/haven/framing.js';
import { ConnectionError } from '../../../src/core/index.js';
import { pack, prefixed, unpack } from '../../support/haven-client.js';
import { hex, LIMITS, peerValue, RUNS } from './support.js';

interface Cut {
  readonly framing: Framing | null;
  readonly messages: unknown[];
  readonly ended: string | null;
}

/** Everything that comes out when the pieces go in. */
function cut(pieces: readonly Buffer[], limits = LIMITS, framing: 'message' | null = null): Cut {
  const deframer = new Deframer(framing, limits);
  const messages: unknown[] = [];
  try {
    for (const piece of pieces) {
      deframer.push(piece);
      while (deframer.next()) messages.push(unpack(Buffer.from(deframer.bytes.subarray(deframer.from, deframer.to))));
    }
  } catch (error) {
    if (!(error instanceof ConnectionError)) throw error;
    return { framing: deframer.framing, messages, ended: error.code };
  }
  return { framing: deframer.framing, messages, ended: null };
}

const bytewise = (bytes: Buffer): Buffer[] => Array.from(bytes, (byte) => Buffer.of(byte));

describe('the first byte decides', () => {
  it('C10 over all 256', () => {
    for (let first = 0; first < 256; first++) {
      const bare = (first >= 0x80 && first <= 0x9f) || (first >= 0xdc && first <= 0xdf);
      expect(framingOf(first), first.toString(16)).toBe(first === 0 ? 'prefixed' : bare ? 'bare' : null);
    }
  });

  it('once: a length in a bare stream is an integer, a map in a prefixed one a length', () => {
    const hello = pack({ action: 'connect' });
    expect(cut([hello, prefixed(hello)])).toMatchObject({
      framing: 'bare',
      messages: [{ action: 'connect' }, 0, 0, 0, expect.anything(), { action: 'connect' }],
    });
    expect(cut([prefixed(hello), hello])).toMatchObject({
      framing: 'prefixed',
      messages: [{ action: 'connect' }],
      ended: 'FRAME_TOO_LARGE',
    });
  });

  it('and what begins with neither ends', () => {
    expect(cut([Buffer.from('GET / HTTP/1.1\r\n')])).toMatchObject({ framing: null, ended: 'MALFORMED_FRAME' });
    expect(cut([hex('c0')])).toMatchObject({ framing: null, ended: 'MALFORMED_FRAME' });
  });
});

describe('prefixed frames', () => {
  it.each([
    ['without a value', '00000000'],
    ['that end within their value', '00000002 9201'],
    ['that go on behind it', '00000002 0102'],
    ['of two values', '00000006 8190 8190 8190'],
  ])('%s are refused', (_name, text) => {
    expect(cut([hex(text)]).ended).toBe('MALFORMED_FRAME');
  });

  it('a length beyond the limit is refused before a byte of the body came', () => {
    expect(cut([hex('00100001')]).ended).toBe('FRAME_TOO_LARGE');
    expect(cut([hex('00100000')]).ended).toBeNull();
    expect(cut([hex('00010001')], { ...LIMITS, maxBytes: 65_536 }).ended).toBe('FRAME_TOO_LARGE');
  });
});

describe('messages of a websocket', () => {
  it('hold exactly one value', () => {
    expect(cut([pack({ a: 1 }), pack([1])], LIMITS, 'message')).toMatchObject({ messages: [{ a: 1 }, [1]], ended: null });
    expect(cut([hex('9001')], LIMITS, 'message').ended).toBe('MALFORMED_FRAME');
    expect(cut([hex('91')], LIMITS, 'message').ended).toBe('MALFORMED_FRAME');
    expect(cut([pack('x'.repeat(2_000))], { ...LIMITS, maxBytes: 1_000 }, 'message').ended).toBe('FRAME_TOO_LARGE');
  });
});

describe('any split of the stream', () => {
  const message = peerValue.map((value) => ({ action: 'query', value }));

  it('F3 gives the same messages, in both framings', () => {
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        fc.array(fc.nat(), { maxLength: 8 }),
        (values, bare, cuts) => {
          const stream = Buffer.concat(values.map((value) => (bare ? pack(value) : prefixed(pack(value)))));
          const stops = [0, ...cuts.map((at) => at % stream.length).sort((a, b) => a - b), stream.length];
          const pieces = stops
            .slice(1)
            .map((stop, i) => stream.subarray(stops[i], stop))
            .filter((piece) => piece.length > 0);
          const expected = values.map((value) => unpack(pack(value)));
          expect(cut(pieces).messages).toEqual(expected);
          expect(cut([stream]).messages).toEqual(expected);
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('one byte at a time too', () => {
    const values = [{ a: [1, 'zwei', null] }, [7], { b: Buffer.from([0, 255]), c: { d: new Date(5) } }];
    for (const frame of [pack, (value: unknown) => prefixed(pack(value))]) {
      const stream = Buffer.concat(values.map(frame));
      expect(cut(bytewise(stream)).messages).toEqual(values.map((value) => unpack(pack(value))));
    }
  });

  it.each([
    ['prefixed', (bytes: Buffer) => prefixed(bytes)],
    ['bare', (bytes: Buffer) => bytes],
  ])('C10 a value of 1 MiB in segments of one byte costs less than a second (%s)', (_name, frame) => {
    const items = Array.from({ length: 30_000 }, (_, i) => ({ n: i, t: 'twelve bytes' }));
    const message = pack({ value: items.slice(0, 20_000), blob: Buffer.alloc(550_000) });
    const stream = frame(message);
    expect(stream.length).toBeGreaterThan(900_000);
    const deframer = new Deframer(null, LIMITS);
    const begun = process.cpuUsage();
    let found = 0;
    for (let at = 0; at < stream.length; at++) {
      deframer.push(stream.subarray(at, at + 1));
      while (deframer.next()) found += 1;
    }
    const { user, system } = process.cpuUsage(begun);
    expect(found).toBe(1);
    expect(deframer.to - deframer.from).toBe(message.length);
    expect((user + system) / 1_000).toBeLessThan(1_000);
  });

  it('holds nothing of a message that was dealt with', () => {
    const deframer = new Deframer(null, LIMITS);
    deframer.push(pack({ a: 1 }));
    expect(deframer.next()).toBe(true);
    expect(deframer.next()).toBe(false);
    expect([deframer.pending, deframer.bytes.length]).toEqual([0, 0]);
  });

  it('C10 an endless bare value ends at the limit', () => {
    const limits = { ...LIMITS, maxBytes: 1_000 };
    const deframer = new Deframer(null, limits);
    deframer.push(hex('df 0000ffff'));
    expect(deframer.next()).toBe(false);
    let fed = 5;
    expect(() => {
      for (; fed < 10_000; fed += 3) {
        deframer.push(hex('a161 01'));
        deframer.next();
      }
    }).toThrow(ConnectionError);
    expect(fed).toBeLessThan(1_010);
  });
});
