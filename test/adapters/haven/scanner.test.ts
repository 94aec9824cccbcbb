import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readValue, skipValue } from '../../../src/adapters/haven/msgpack.js';
import { INCOMPLETE, Scanner } from '../../../src/adapters/haven/scanner.js';
import { ConnectionError } from '../../../src/core/index.js';
import { pack, unpack } from '../../support/haven-client.js';
import { costMs } from '../../support/processor-time.js';
import { hex, LIMITS, nearlyMessagePack, peerValue, RUNS } from './support.js';

function scan(bytes: Buffer, limits = LIMITS): { end: number; problem: string | null } {
  const scanner = new Scanner(limits);
  const end = scanner.scan(bytes, 0, bytes.length);
  return { end, problem: scanner.problem };
}

function refusal(bytes: Buffer, limits = LIMITS): string {
  try {
    scan(bytes, limits);
  } catch (error) {
    if (error instanceof ConnectionError) return error.code;
    throw error;
  }
  return 'accepted';
}

describe('what is let through', () => {
  it.each([
    ['nil', 'c0'],
    ['false', 'c2'],
    ['true', 'c3'],
    ['fixint', '7f'],
    ['negative fixint', 'e0'],
    ['uint 8', 'cc ff'],
    ['uint 16', 'cd ffff'],
    ['uint 32', 'ce ffffffff'],
    ['uint 64', 'cf 001fffffffffffff'],
    ['int 8', 'd0 80'],
    ['int 16', 'd1 8000'],
    ['int 32', 'd2 80000000'],
    ['int 64', 'd3 ffe0000000000001'],
    ['float 32', 'ca 3fc00000'],
    ['float 64', 'cb 3ff8000000000000'],
    ['fixstr', 'a3 616263'],
    ['str 8', 'd9 01 61'],
    ['str 16', 'da 0001 61'],
    ['str 32', 'db 00000001 61'],
    ['raw that is no UTF-8', 'a2 fffe'],
    ['bin 8', 'c4 01 ff'],
    ['bin 16', 'c5 0001 ff'],
    ['bin 32', 'c6 00000001 ff'],
    ['empty array', '90'],
    ['array 16', 'dc 0002 01 02'],
    ['array 32', 'dd 00000001 c0'],
    ['empty map', '80'],
    ['map 16', 'de 0001 a161 01'],
    ['map 32', 'df 00000001 a161 01'],
    ['map with a bin key', '81 c401 61 01'],
    ['map with a str 8 key', '81 d901 61 01'],
    ['timestamp 32', 'd6 ff 00000001'],
    ['timestamp 64', 'd7 ff 0000000000000001'],
    ['timestamp 96', 'c7 0c ff 00000000 ffffffffffffffff'],
    ['nested', '82 a161 92 80 90 a162 81 a163 c0'],
  ])('%s', (_name, text) => {
    const bytes = hex(text);
    expect(scan(bytes)).toEqual({ end: bytes.length, problem: null });
    expect(skipValue(bytes, 0)).toBe(bytes.length);
    for (let cut = 0; cut < bytes.length; cut++) expect(scan(bytes.subarray(0, cut)).end).toBe(INCOMPLETE);
  });
});

describe('what is refused', () => {
  it('C2 the byte that is no MessagePack', () => {
    expect(refusal(hex('c1'))).toBe('MALFORMED_FRAME');
    expect(refusal(hex('93 01 c1 02'))).toBe('MALFORMED_FRAME');
  });

  it('C2 every extension type but the timestamp, in every form', () => {
    for (let type = 0; type < 256; type++) {
      for (const [head, length] of [
        ['d4', 1],
        ['d5', 2],
        ['d6', 4],
        ['d7', 8],
        ['d8', 16],
        ['c708', 8],
        ['c80008', 8],
        ['c900000008', 8],
      ] as const) {
        const bytes = Buffer.concat([hex(head), Buffer.of(type), Buffer.alloc(length)]);
        const timestamp = type === 0xff && (head === 'd6' || head === 'd7' || head === 'c708');
        expect(refusal(bytes), `${head} ${type}`).toBe(timestamp ? 'accepted' : 'MALFORMED_FRAME');
      }
    }
  });

  it.each([
    ['nil', 'c0'],
    ['a number', '01'],
    ['a list', '90'],
    ['a map', '80'],
    ['a timestamp', 'd6 ff 00000001'],
    ['text that is no UTF-8', 'a2 c328'],
    ['bytes that are no UTF-8', 'c401 ff'],
    ['a surrogate', 'a3 eda080'],
  ])('%s as a key', (_name, key) => {
    expect(refusal(hex(`81 ${key} 01`))).toBe('MALFORMED_FRAME');
    expect(refusal(hex(`81 a161 81 ${key} 01`))).toBe('MALFORMED_FRAME');
  });

  it('a timestamp with a second of nanoseconds', () => {
    expect(refusal(hex('c7 0c ff 3b9aca00 0000000000000001'))).toBe('MALFORMED_FRAME');
  });

  it('one level, one element or one byte too much, and takes what just fits', () => {
    const limits = { maxBytes: 100, maxElements: 10, maxDepth: 3 };
    const nested = (levels: number): Buffer => Buffer.concat([Buffer.alloc(levels, 0x91), Buffer.of(0xc0)]);
    expect(refusal(nested(4), limits)).toBe('accepted');
    expect(refusal(nested(5), limits)).toBe('FRAME_TOO_LARGE');
    const list = (items: number): Buffer => Buffer.concat([Buffer.of(0x90 | items), Buffer.alloc(items, 1)]);
    expect(refusal(list(9), limits)).toBe('accepted');
    expect(refusal(list(10), limits)).toBe('FRAME_TOO_LARGE');
    const bin = (bytes: number): Buffer => Buffer.concat([Buffer.of(0xc4, bytes), Buffer.alloc(bytes)]);
    expect(refusal(bin(98), limits)).toBe('accepted');
    expect(refusal(bin(99), limits)).toBe('FRAME_TOO_LARGE');
  });

  it('a declared length beyond the limit as soon as it is declared', () => {
    for (const head of ['c6 7fffffff', 'db ffffffff', 'dd ffffffff', 'df 80000000', 'c5 ffff']) {
      expect(refusal(hex(head), { ...LIMITS, maxBytes: 1_000 })).toBe('FRAME_TOO_LARGE');
    }
  });
});

describe('what is well formed and still not taken', () => {
  it.each([
    ['cf 0020000000000000', /integer/],
    ['cf ffffffffffffffff', /integer/],
    ['d3 0020000000000000', /integer/],
    ['d3 ffe0000000000000', /integer/],
    ['d3 8000000000000000', /integer/],
    ['ca 7fc00000', /finite/],
    ['ca 7f800000', /finite/],
    ['cb 7ff8000000000000', /finite/],
    ['cb fff0000000000000', /finite/],
    ['d7 ff 0000000400000001', /millisecond/],
    ['c7 0c ff 00000001 0000000000000001', /millisecond/],
    ['c7 0c ff 00000000 000007dba8218001', /years/],
    ['c7 0c ff 000f4240 000007dba8218000', /years/],
  ])('%s', (text, why) => {
    const bytes = hex(text);
    expect(scan(bytes).end).toBe(bytes.length);
    expect(scan(bytes).problem).toMatch(why);
    expect(scan(Buffer.concat([hex('82 a161'), bytes, hex('a162 01')])).problem).toMatch(why);
  });

  it('the problem is gone with the value', () => {
    const scanner = new Scanner(LIMITS);
    const bytes = hex('cb 7ff8000000000000 01');
    expect(scanner.scan(bytes, 0, bytes.length)).toBe(9);
    scanner.reset();
    expect(scanner.scan(bytes, 9, 10)).toBe(10);
    expect(scanner.problem).toBeNull();
  });
});

describe('pieces', () => {
  it('come to the same end, cut wherever', () => {
    fc.assert(
      fc.property(peerValue, fc.array(fc.nat(), { maxLength: 6 }), fc.nat(8), (value, cuts, before) => {
        const bytes = Buffer.concat([Buffer.alloc(before, 0xc1), pack(value), Buffer.of(0xc1, 0xc1)]);
        const end = bytes.length - 2;
        const scanner = new Scanner(LIMITS);
        const stops = cuts.map((cut) => before + (cut % (end - before))).sort((a, b) => a - b);
        for (const stop of stops) expect(scanner.scan(bytes, before, stop)).toBe(INCOMPLETE);
        expect(scanner.scan(bytes, before, bytes.length)).toBe(end);
      }),
      { numRuns: RUNS },
    );
  });

  it('come to the same verdict one byte at a time, also on what is broken', () => {
    fc.assert(
      fc.property(nearlyMessagePack, (bytes) => {
        const verdict = (step: number): unknown => {
          const scanner = new Scanner(LIMITS);
          try {
            let end = INCOMPLETE;
            for (let stop = Math.min(step, bytes.length); ; stop = Math.min(stop + step, bytes.length)) {
              end = scanner.scan(bytes, 0, stop);
              if (end !== INCOMPLETE || stop === bytes.length) return [end, scanner.problem];
            }
          } catch (error) {
            return (error as ConnectionError).code;
          }
        };
        expect(verdict(1)).toEqual(verdict(Math.max(1, bytes.length)));
      }),
      { numRuns: RUNS },
    );
  });
});

describe('scanner and readers agree', () => {
  it('on values: where they end, and what msgpackr reads', () => {
    fc.assert(
      fc.property(peerValue, (value) => {
        const bytes = pack(value);
        expect(scan(bytes)).toEqual({ end: bytes.length, problem: null });
        expect(skipValue(bytes, 0)).toBe(bytes.length);
        expect(readValue(bytes, 0)).toEqual(unpack(bytes));
      }),
      { numRuns: RUNS },
    );
  });

  it('on everything that was let through: it is read, to its end, without a throw', () => {
    fc.assert(
      fc.property(nearlyMessagePack, (bytes) => {
        if (refusal(bytes) !== 'accepted') return;
        const { end, problem } = scan(bytes);
        if (end === INCOMPLETE) return;
        expect(skipValue(bytes, 0)).toBe(end);
        if (problem === null) readValue(bytes.subarray(0, end), 0);
      }),
      { numRuns: RUNS },
    );
  });
});

describe('bombs', () => {
  const count = (items: number, head: number, item: Buffer): Buffer => {
    const bytes = Buffer.alloc(5 + items * item.length);
    bytes[0] = head;
    bytes.writeUInt32BE(items, 1);
    for (let i = 0; i < items; i++) bytes.set(item, 5 + i * item.length);
    return bytes;
  };
  const wide = { ...LIMITS, maxBytes: 16 * 1024 * 1024 };
  const nestedHeads = Buffer.alloc(1_000_000, 0x91);
  const fanned = Buffer.alloc(1_000_000, 0x9f);

  it.each([
    ['four million empty maps', count(4_000_000, 0xdd, Buffer.of(0x80))],
    ['ten million nils', count(10_000_000, 0xdd, Buffer.of(0xc0))],
    ['a million map entries', count(1_000_000, 0xdf, hex('a161 c0'))],
    ['a million levels', nestedHeads],
    ['lists of lists', fanned],
    [
      'lists that fill up slowly',
      Buffer.concat([hex('dd 0000ff00'), ...Array.from({ length: 40 }, () => count(4_000, 0xdd, Buffer.of(0xc0)))]),
    ],
  ])('B4 %s are refused within 20 ms', (_name, bytes) => {
    expect(costMs(() => expect(refusal(bytes, wide)).toBe('FRAME_TOO_LARGE'))).toBeLessThan(20);
  });
});
