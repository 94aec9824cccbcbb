// The form on disk of the directory. Every row ends with a seal (store/seal.ts); what stands before it is JSON.
// Section `directory`: u<name> → user, g<name> → group, l<name> → table of lookups,
// t<token id> → until when the revocation has to be known (null: for good), k<name> → until when nobody can log in as that user.

import { sealed } from '../store/seal.js';
import { SECTION, StoreDamage } from '../store/store.js';
import type { Group, LookupTable, User } from './model.js';

export const KIND = { user: 'u', group: 'g', table: 'l', revocation: 't', lock: 'k' } as const;
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

export function encodeTable({ paths, ...row }: LookupTable): Buffer {
  return sealed(Buffer.from(JSON.stringify({ ...row, paths: [...paths] })));
}

/** Throws StoreDamage. */
export function decodeUser(key: string, bytes: Buffer): User {
  return Object.freeze(namedRow(key, bytes)) as unknown as User;
}

/** Throws StoreDamage. Rows from before there were lookups have none. */
export function decodeGroup(key: string, bytes: Buffer): Group {
  return Object.freeze({ lookups: [], ...namedRow(key, bytes) }) as unknown as Group;
}

/** Throws StoreDamage. */
export function decodeTable(key: string, bytes: Buffer): LookupTable {
  const row = namedRow(key, bytes);
  const paths = row['paths'];
  if (!Array.isArray(paths)) throw damage(key);
  return Object.freeze({ ...row, paths: new Set(paths) }) as unknown as LookupTable;
}

function namedRow(key: string, bytes: Buffer): Readonly<Record<string, unknown>> {
  const row = parsed(key, bytes);
  if (typeof row !== 'object' || row === null || (row as { name?: unknown }).name !== key.slice(1)) throw damage(key);
  return row as Record<string, unknown>;
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
