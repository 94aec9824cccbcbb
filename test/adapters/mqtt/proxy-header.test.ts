import { describe, expect, it } from 'vitest';
import { PROXY_HEADER_BYTES_MAX, readProxyHeader } from '../../../src/adapters/mqtt/proxy-header.js';

const SIGNATURE = '0d0a0d0a000d0a515549540a';
/** 198.51.100.7:40000 to 192.0.2.1:1883. */
const TCP4 = 'c6336407c00002019c40075b';
/** 2001:db8::7 port 40000 to 2001:db8::1 port 8883. */
const TCP6 = `20010db8000000000000000000000007${'20010db8000000000000000000000001'}9c4022b3`;
const UNIX = '2f'.repeat(216);

/** Version and command, family and transport, then what follows with its length before it. */
function binary(start: string, rest: string): Buffer {
  const length = (rest.length / 2).toString(16).padStart(4, '0');
  return Buffer.from(`${SIGNATURE}${start}${length}${rest}`, 'hex');
}

const tlv = (type: string, value: string): string => `${type}${(value.length / 2).toString(16).padStart(4, '0')}${value}`;

/** Table-driven, as RFC 3720 appendix B.4 describes it: another way to the same sum. */
function crc32c(bytes: Buffer): number {
  const table = Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0x82f63b78 ^ (c >>> 1) : c >>> 1;
    return c >>> 0;
  });
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (table[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** With a checksum extension behind the others; `wrong` is added to it. */
function summed(rest: string, wrong = 0): Buffer {
  const plain = binary('2111', `${rest}${tlv('03', '00000000')}`);
  plain.writeUInt32BE((crc32c(plain) + wrong) >>> 0, plain.length - 4);
  return plain;
}

const line = (text: string): Buffer => Buffer.from(`${text}\r\n`, 'latin1');
const source = (address: string, port: number): object => ({ address, port });

const GOOD: readonly [string, Buffer, object | null][] = [
  ['TCP4', line('PROXY TCP4 198.51.100.7 192.0.2.1 40000 1883'), source('198.51.100.7', 40_000)],
  ['TCP4 with the lowest and highest port', line('PROXY TCP4 1.1.1.1 2.2.2.2 0 65535'), source('1.1.1.1', 0)],
  ['TCP6', line('PROXY TCP6 2001:DB8:0::7 ::1 40000 1883'), source('2001:db8::7', 40_000)],
  ['TCP6 with IPv4 in it', line('PROXY TCP6 ::ffff:198.51.100.7 ::1 1 2'), source('198.51.100.7', 1)],
  [
    'the longest TCP6',
    line(`PROXY TCP6 ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535`),
    source(`${'ffff:'.repeat(7)}ffff`, 65_535),
  ],
  ['UNKNOWN', line('PROXY UNKNOWN'), null],
  ['UNKNOWN with something behind it', line('PROXY UNKNOWN x y z'), null],
  ['UNKNOWN of 107 bytes', line(`PROXY UNKNOWN ${'f'.repeat(91)}`), null],
  ['binary TCP4', binary('2111', TCP4), source('198.51.100.7', 40_000)],
  ['binary TCP6', binary('2121', TCP6), source('2001:db8::7', 40_000)],
  [
    'binary TCP6 with IPv4 in it',
    binary('2121', `00000000000000000000ffffc6336407${'00'.repeat(16)}9c4022b3`),
    source('198.51.100.7', 40_000),
  ],
  ['binary UNIX', binary('2131', UNIX), null],
  ['binary of no family', binary('2100', ''), null],
  ['binary of no family with bytes behind it', binary('2100', 'ffff'), null],
  ['LOCAL', binary('2000', ''), null],
  ['LOCAL with addresses, which mean nothing', binary('2011', TCP4), null],
  ['LOCAL with bytes that are nothing', binary('2011', 'ffffff'), null],
  [
    'extensions',
    binary('2111', `${TCP4}${tlv('01', '6d717474')}${tlv('02', '612e6578616d706c65')}${tlv('04', '')}`),
    source('198.51.100.7', 40_000),
  ],
  ['an extension that nobody knows', binary('2111', `${TCP4}${tlv('e7', '0102')}`), source('198.51.100.7', 40_000)],
  ['a checksum', summed(TCP4), source('198.51.100.7', 40_000)],
  ['a checksum behind an extension', summed(`${TCP4}${tlv('01', '6d717474')}`), source('198.51.100.7', 40_000)],
  [
    'all the bytes that are allowed',
    binary('2111', `${TCP4}${tlv('04', '00'.repeat(PROXY_HEADER_BYTES_MAX - 31))}`),
    source('198.51.100.7', 40_000),
  ],
];

const BAD: readonly [string, Buffer, string?][] = [
  ['an MQTT packet', Buffer.from('100d00044d5154540402000a000163', 'hex')],
  ['a TLS handshake', Buffer.of(0x16, 3, 1)],
  ['another word', Buffer.from('PROXX')],
  ['small letters', Buffer.from('proxy')],
  ['no kind', line('PROXY ')],
  ['another kind', line('PROXY UDP4 1.1.1.1 2.2.2.2 1 2')],
  ['two blanks', line('PROXY TCP4  1.1.1.1 2.2.2.2 1 2')],
  ['a field too few', line('PROXY TCP4 1.1.1.1 2.2.2.2 1')],
  ['a field too many', line('PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3')],
  ['IPv6 as TCP4', line('PROXY TCP4 ::1 ::1 1 2')],
  ['IPv4 as TCP6', line('PROXY TCP6 1.1.1.1 2.2.2.2 1 2')],
  ['a zero before a number', line('PROXY TCP4 01.1.1.1 2.2.2.2 1 2')],
  ['an address of five numbers', line('PROXY TCP4 1.1.1.1.1 2.2.2.2 1 2')],
  ['an interface', line('PROXY TCP6 fe80::1%eth0 ::1 1 2')],
  ['a zero before a port', line('PROXY TCP4 1.1.1.1 2.2.2.2 01 2')],
  ['a port of 65536', line('PROXY TCP4 1.1.1.1 2.2.2.2 1 65536')],
  ['a port with a sign', line('PROXY TCP4 1.1.1.1 2.2.2.2 +1 2')],
  ['LF alone', Buffer.from('PROXY UNKNOWN\n')],
  ['CR within the line', Buffer.from('PROXY UNKNOWN \r x\r\n')],
  ['a line of 108 bytes', line(`PROXY UNKNOWN ${'f'.repeat(92)}`), 'FRAME_TOO_LARGE'],
  ['a line without end', Buffer.from(`PROXY UNKNOWN ${'f'.repeat(93)}`), 'FRAME_TOO_LARGE'],
  ['another signature', Buffer.from('0d0a0d0a000d0a515549540b', 'hex')],
  ['version 1 in binary', binary('1111', TCP4)],
  ['version 3', binary('3111', TCP4)],
  ['another command', binary('2211', TCP4)],
  ['another family', binary('2141', TCP4)],
  ['another transport', binary('2113', TCP4)],
  ['UDP', binary('2112', TCP4)],
  ['IPv4 addresses that are cut off', binary('2111', TCP4.slice(2))],
  ['IPv6 addresses that are cut off', binary('2121', TCP4)],
  ['a UNIX address that is cut off', binary('2131', UNIX.slice(2))],
  ['an extension without length', binary('2111', `${TCP4}0400`)],
  ['an extension that is cut off', binary('2111', `${TCP4}04000501020304`)],
  ['a wrong checksum', summed(TCP4, 1)],
  ['a checksum of three bytes', binary('2111', `${TCP4}${tlv('03', '000000')}`)],
  ['more bytes than are allowed', binary('2111', `${TCP4}${tlv('04', '00'.repeat(PROXY_HEADER_BYTES_MAX - 30))}`), 'FRAME_TOO_LARGE'],
  ['the most bytes that it can have', Buffer.from(`${SIGNATURE}2111ffff`, 'hex'), 'FRAME_TOO_LARGE'],
];

describe('a PROXY header', () => {
  it.each(GOOD)('is read: %s', (_what, bytes, from) => {
    expect(readProxyHeader(bytes)).toEqual({ bytes: bytes.length, source: from });
  });

  it.each(GOOD)('is waited for, however it is cut, and what follows is left alone: %s', (_what, bytes) => {
    for (let length = 0; length < bytes.length; length++) expect(readProxyHeader(bytes.subarray(0, length))).toBeNull();
    expect(readProxyHeader(Buffer.concat([bytes, Buffer.from('\r\nPROXY \r\n')]))?.bytes).toBe(bytes.length);
  });

  it.each(BAD)('is refused: %s', (_what, bytes, code = 'MALFORMED_FRAME') => {
    expect(() => readProxyHeader(bytes)).toThrow(expect.objectContaining({ code }));
  });
});
