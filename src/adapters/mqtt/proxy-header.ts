// Pure: the header that a proxy sends first on a connection, to say who connected to it (PROXY protocol, versions 1 and 2, as
// HAProxy specifies it). Read strictly: any fault throws ConnectionError.

import { isIPv4, isIPv6 } from 'node:net';
import { ConnectionError } from '../../core/index.js';
import { normalAddress } from './addresses.js';
import { malformed } from './codec.js';

/** Who connected to the proxy. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export interface ProxyHeader {
  /** Length of the header; behind it the connection itself begins. */
  readonly bytes: number;
  /** null: the proxy itself (it looks whether the gateway lives), or somebody that no IP address names. */
  readonly source: Endpoint | null;
}

/** Longest header that is taken; the specification allows 65,551 bytes in version 2, of which nearly all are extensions. */
export const PROXY_HEADER_BYTES_MAX = 4_096;

const V1_PREFIX = Buffer.from('PROXY ');
/** Section 2.1, line ending included. */
const V1_BYTES_MAX = 107;
const V2_SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const V2_HEAD_BYTES = 16;
const CR = 0x0d;
const LF = 0x0a;

const COMMAND = { LOCAL: 0, PROXY: 1 } as const;
/** Address family and transport in one byte. */
const KIND = { UNSPECIFIED: 0x00, TCP4: 0x11, TCP6: 0x21, UNIX: 0x31 } as const;
/** Bytes of both addresses, and of both ports where there are some. */
const ADDRESS_BYTES: ReadonlyMap<number, number> = new Map([
  [KIND.TCP4, 12],
  [KIND.TCP6, 36],
  [KIND.UNIX, 216],
]);
const TLV_HEAD_BYTES = 3;
const TLV_CRC32C = 0x03;

/** null: more bytes are needed. */
export function readProxyHeader(bytes: Buffer): ProxyHeader | null {
  if (startsWith(bytes, V1_PREFIX)) return readLine(bytes);
  if (startsWith(bytes, V2_SIGNATURE)) return readBinary(bytes);
  throw malformed('the connection does not begin with a PROXY header');
}

/** As far as there are bytes. */
function startsWith(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

// Version 1: a line of text.

function readLine(bytes: Buffer): ProxyHeader | null {
  const end = bytes.indexOf(LF);
  if (end === -1 ? bytes.length >= V1_BYTES_MAX : end >= V1_BYTES_MAX) throw tooLong(V1_BYTES_MAX);
  if (end === -1) return null;
  if (bytes.indexOf(CR) !== end - 1) throw malformed('a PROXY line ends with CR LF');
  const [, kind, ...fields] = bytes.toString('latin1', 0, end - 1).split(' ');
  const header = { bytes: end + 1 };
  // Section 2.1: whatever follows is to be ignored.
  if (kind === 'UNKNOWN') return { ...header, source: null };
  const isAddress = kind === 'TCP4' ? isIPv4 : kind === 'TCP6' ? isPlainIPv6 : null;
  if (isAddress === null) throw malformed('a PROXY line is about TCP4, TCP6 or UNKNOWN');
  const [from = '', to = '', fromPort = '', toPort = ''] = fields;
  if (fields.length !== 4) throw malformed('a PROXY line has two addresses and two ports');
  if (!isAddress(from) || !isAddress(to)) throw malformed(`an address in a PROXY line is not of ${kind}`);
  if (!isPort(fromPort) || !isPort(toPort)) throw malformed('a port in a PROXY line is not from 0 to 65535');
  return { ...header, source: { address: normalAddress(from), port: Number(fromPort) } };
}

/** Without the name of an interface. */
function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%');
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}

// Version 2: binary.

function readBinary(bytes: Buffer): ProxyHeader | null {
  if (bytes.length < V2_HEAD_BYTES) return null;
  const [version, command] = [(bytes[12] as number) >> 4, (bytes[12] as number) & 0x0f];
  if (version !== 2) throw malformed(`PROXY header of version ${version}`);
  if (command !== COMMAND.LOCAL && command !== COMMAND.PROXY) throw malformed(`command ${command} in a PROXY header`);
  const length = V2_HEAD_BYTES + bytes.readUInt16BE(14);
  if (length > PROXY_HEADER_BYTES_MAX) throw tooLong(PROXY_HEADER_BYTES_MAX);
  if (bytes.length < length) return null;
  const kind = bytes[13] as number;
  // Section 2.2: then the rest is to be skipped, whatever it is.
  if (command === COMMAND.LOCAL || kind === KIND.UNSPECIFIED) return { bytes: length, source: null };
  const addressBytes = ADDRESS_BYTES.get(kind);
  if (addressBytes === undefined) throw malformed(`family and transport 0x${kind.toString(16)} in a PROXY header`);
  if (length < V2_HEAD_BYTES + addressBytes) throw malformed('the addresses of a PROXY header are cut off');
  checkExtensions(bytes.subarray(0, length), V2_HEAD_BYTES + addressBytes);
  return { bytes: length, source: sourceOf(bytes, kind) };
}

function sourceOf(bytes: Buffer, kind: number): Endpoint | null {
  if (kind === KIND.UNIX) return null;
  const at = V2_HEAD_BYTES;
  if (kind === KIND.TCP4) return { address: bytes.subarray(at, at + 4).join('.'), port: bytes.readUInt16BE(at + 8) };
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(at + 2 * i).toString(16));
  return { address: normalAddress(groups.join(':')), port: bytes.readUInt16BE(at + 32) };
}

/** Type, length, value up to the end; the checksum is compared where there is one (section 2.2.3), the others mean nothing here. */
function checkExtensions(header: Buffer, start: number): void {
  for (let at = start; at < header.length; ) {
    const value = at + TLV_HEAD_BYTES;
    const end = value > header.length ? Number.POSITIVE_INFINITY : value + header.readUInt16BE(at + 1);
    if (end > header.length) throw malformed('an extension of a PROXY header is cut off');
    if (header[at] === TLV_CRC32C) checkSum(header, value, end);
    at = end;
  }
}

function checkSum(header: Buffer, start: number, end: number): void {
  if (end - start !== 4) throw malformed('the checksum of a PROXY header has four bytes');
  const given = header.readUInt32BE(start);
  const plain = Buffer.from(header);
  plain.fill(0, start, end);
  if (crc32c(plain) !== given) throw malformed('the checksum of a PROXY header is wrong');
}

const CRC32C_REVERSED_POLYNOMIAL = 0x82f6_3b78;

/** RFC 4960 appendix B; headers are short and rare, so no table. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? CRC32C_REVERSED_POLYNOMIAL : 0);
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}

function tooLong(max: number): ConnectionError {
  return new ConnectionError('FRAME_TOO_LARGE', `a PROXY header of more than ${max} bytes`);
}
