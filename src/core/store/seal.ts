// Seal: the checksum at the end of every row that the core writes. LevelDB does not verify table blocks when it reads them,
// so each row proves itself that it is what was written.

import { crc32 } from 'node:zlib';
import { checksum, type RowMemory } from './row-memory.js';
import { SECTION, type Section, StoreDamage } from './store.js';

/** Room that a row leaves at its end for its seal. */
export const SEAL_BYTES = 4;

const SECTION_NAMES = new Map(Object.entries(SECTION).map(([name, section]) => [section, name]));

/** Fills the last SEAL_BYTES of `row` with the CRC-32 of what stands before them, little-endian; returns `row`. */
export function seal(row: Buffer): Buffer {
  const end = row.length - SEAL_BYTES;
  row.writeUInt32LE(crc32(row.subarray(0, end)), end);
  return row;
}

/** The same for a row that lies in `memory`, up to `end`. */
export function sealIn(memory: RowMemory, from: number, end: number): void {
  memory.view.setUint32(end - SEAL_BYTES, checksum(memory, from, end - SEAL_BYTES), true);
}

/** A sealed copy of `content`. */
export function sealed(content: Uint8Array): Buffer {
  const row = Buffer.allocUnsafe(content.length + SEAL_BYTES);
  row.set(content);
  return seal(row);
}

/** A row whose key says everything. */
export const SEALED_NOTHING = sealed(new Uint8Array(0));

/** What the row at `key` holds before its seal, sharing its memory. Throws StoreDamage when it is not what was written. */
export function unsealed(section: Section, key: string, row: Uint8Array): Buffer {
  const end = row.byteLength - SEAL_BYTES;
  if (end >= 0) {
    const content = Buffer.from(row.buffer, row.byteOffset, end);
    if (crc32(content) === sealOf(row, end)) return content;
  }
  throw new StoreDamage(`the ${SECTION_NAMES.get(section)} row at ${JSON.stringify(key)} is damaged on disk`);
}

function sealOf(row: Uint8Array, at: number): number {
  return ((row[at] as number) | ((row[at + 1] as number) << 8) | ((row[at + 2] as number) << 16) | ((row[at + 3] as number) << 24)) >>> 0;
}
