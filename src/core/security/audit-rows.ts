// The form on disk of the audit. Section `audit`: <number> → entry without its number, as JSON; every row ends with a seal
// (store/seal.ts).

import { digits } from '../store/digits.js';
import { sealed, unsealed } from '../store/seal.js';
import { SECTION, StoreDamage } from '../store/store.js';
import type { AuditEntry } from './audit-entries.js';

export function entryKey({ number }: AuditEntry): string {
  return digits(number);
}

export function encodeAuditEntry({ number: _key, ...entry }: AuditEntry): Buffer {
  return sealed(Buffer.from(JSON.stringify(entry)));
}

/** Throws StoreDamage. */
export function decodeAuditEntry(key: string, value: Uint8Array): AuditEntry {
  const bytes = unsealed(SECTION.audit, key, value);
  const number = Number.parseInt(key, 16);
  try {
    const entry = JSON.parse(bytes.toString()) as Omit<AuditEntry, 'number'>;
    if (Number.isSafeInteger(number) && typeof entry.time === 'number') return Object.freeze({ ...entry, number });
  } catch (error) {
    throw damage(key, error);
  }
  throw damage(key);
}

function damage(key: string, cause?: unknown): StoreDamage {
  return new StoreDamage(`the row ${JSON.stringify(key)} in section ${SECTION.audit} is none of the audit`, { cause });
}
