// The data representations of MQTT 5 (section 1.5) that older versions do not have. Faults throw ProtocolFault.

import { isUtf8 } from 'node:buffer';
import { Fields as SharedFields } from '../codec.js';
import { LENGTH_BYTES_MAX } from '../wire.js';
import { malformed, type ProtocolFault } from './reason-codes.js';

/** Text and binary data have at most so many bytes. */
export const FIELD_BYTES_MAX = 0xffff;

export class Fields extends SharedFields {
  fourBytes(what: string): number {
    return this.number(what) * 0x1_0000 + this.number(what);
  }

  /** [MQTT5-1.5.5-1]: in its shortest form. */
  variableInteger(what: string): number {
    const first = this.byte(what);
    if (first < 0x80) return first;
    let value = first & 0x7f;
    for (let place = 1; place < LENGTH_BYTES_MAX; place++) {
      const byte = this.byte(what);
      value |= (byte & 0x7f) << (7 * place);
      if (byte === 0) throw malformed(`${what} is longer than it need be`);
      if (byte < 0x80) return value;
    }
    throw malformed(`${what} has more than ${LENGTH_BYTES_MAX} bytes`);
  }

  /** UTF-8 without U+0000 ([MQTT5-1.5.4-1], [MQTT5-1.5.4-2]); unlike `text` it may have control characters. */
  anyText(what: string): string {
    const start = this.skip(what);
    for (let i = start; i < this.at; i++) {
      const byte = this.bytes[i] as number;
      if (byte === 0 || byte > 0x7f) return this.#unicode(what, start);
    }
    return this.bytes.toString('latin1', start, this.at);
  }

  #unicode(what: string, start: number): string {
    const field = this.bytes.subarray(start, this.at);
    if (!isUtf8(field) || field.includes(0)) throw malformed(`${what} is not UTF-8 text without U+0000`);
    return field.toString('utf8');
  }

  /** A part whose length stands before it, as a variable byte integer. */
  section(what: string): Fields {
    const length = this.variableInteger(`length of ${what}`);
    const start = this.at;
    if (start + length > this.end) throw malformed(`${what} are cut off`);
    this.at += length;
    return new Fields(this.bytes, start, this.at);
  }

  /** Everything up to the end. */
  finish(packet: string): void {
    if (!this.done) throw malformed(`bytes behind the last field of ${packet}`);
  }

  protected override fault(text: string): ProtocolFault {
    return malformed(text);
  }
}

/** Bytes of `text` on the wire; -1: it cannot stand there ([MQTT5-1.5.4-1], [MQTT5-1.5.4-2]), or is too long. */
export function textBytes(text: string): number {
  if (!text.isWellFormed() || text.includes('\0')) return -1;
  const bytes = Buffer.byteLength(text);
  return bytes <= FIELD_BYTES_MAX ? bytes : -1;
}

/** Text that `textBytes` measured, its length before it; says where it ends. */
export function writeText(frame: Buffer, at: number, text: string): number {
  const bytes = frame.write(text, at + 2);
  frame.writeUInt16BE(bytes, at);
  return at + 2 + bytes;
}

/** At most `FIELD_BYTES_MAX` bytes, their length before them; says where they end. */
export function writeBinary(frame: Buffer, at: number, bytes: Uint8Array): number {
  frame.writeUInt16BE(bytes.length, at);
  frame.set(bytes, at + 2);
  return at + 2 + bytes.length;
}
