// The form on disk of the directory. Every row ends with a seal (store/seal.ts); what stands before it is JSON.
// Section `directory`: u<name> → user, g<name> → group, t<token id> → until when the revocation has to be known (null: for good).

import { sealed } from '../store/seal.js';
import { SECTION, StoreDamage } from '../store/store.js';
import type { Group, User } from './model.js';

export const KIND = { user: 'u', group: 'g', revocation: 't' } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

export function rowKey(kind: Kind, name: string): string {
  return kind + name;
}

export function encodeRow(row: User | Group): Buffer {
  return sealed(Buffer.from(JSON.stringify(row)));
}

export function encodeUntil(until: number): Buffer {
  return sealed(Buffer.from(JSON.stringify(until === Number.POSITIVE_INFINITY ? null : until)));
}

/** Throws StoreDamage. */
export function decodeRow<Row extends User | Group>(key: string, bytes: Buffer): Row {
  const row = parsed(key, bytes);
  if (typeof row !== 'object' || row === null || (row as { name?: unknown }).name !== key.slice(1)) throw damage(key);
  return Object.freeze(row) as Row;
}

/** Throws StoreDamage. */
export function decodeUntil(key: string, bytes: Buffer): number {
  const until = parsed(key, bytes);
  if (until === null) return Number.POSITIVE_INFINITY;
  if (typeof until !== 'number') throw damage(key);
  return until;
}

function parsed(key: string, bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw damage(key, error);
  }
}

function damage(key: string, cause?: unknown): StoreDamage {
  return new StoreDamage(`the row ${JSON.stringify(key)} in section ${SECTION.directory} is none of the directory`, { cause });
}
