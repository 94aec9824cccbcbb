// Audit entries: their fields, maximum lengths, numbers kept of each kind, and how they are found.

import type { RequestErrorCode } from '../errors.js';
import { hostOf } from '../sockets/addresses.js';

export const AUDIT_ACTIONS = [
  'user.put',
  'user.delete',
  'user.password',
  'user.link',
  'user.unlink',
  'user.lock',
  'user.unlock',
  'group.put',
  'group.delete',
  'permission.change',
  'lookup.put',
  'lookup.delete',
  'token.issue',
  'token.revoke',
  'token.revokeAll',
  'session.end',
  'session.delegate',
  'control.change',
  'login',
] as const;

export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/** What somebody did or wanted to do. Holds no secrets: of a password it says that there is another. */
export interface AuditEvent {
  readonly action: AuditAction;
  /** User who asked; empty: the gateway itself, or nobody who logged in. */
  readonly actor: string;
  /** Name of the user or group, id of the token or session, or path that it is about. */
  readonly target: string;
  /** null: it was done. */
  readonly refusal: RequestErrorCode | null;
  /** Name of the adapter, `http` or `admin`; `core`: the gateway itself. */
  readonly protocol: string;
  /** Address of the peer, where there is one; its port is left out. */
  readonly address: string;
  /** Names of what changed, and the like: JSON. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** An event that is to be entered. */
export interface NotedEvent {
  readonly event: AuditEvent;
  /** Milliseconds since 1970. */
  readonly time: number;
}

export interface AuditEntry extends AuditEvent {
  /** Counted from 1, in the order in which entries were kept; no number is used twice. */
  readonly number: number;
  /** When it happened: milliseconds since 1970. */
  readonly time: number;
}

/** null: whatever it is. */
export interface AuditFilter {
  /** Only entries with a greater number, the oldest first of them; null: the newest ones. */
  readonly after: number | null;
  /** Only entries with a smaller number. */
  readonly before: number | null;
  readonly limit: number;
  readonly action: AuditAction | null;
  readonly actor: string | null;
  readonly target: string | null;
  readonly outcome: 'done' | 'refused' | null;
  /** Not earlier, and not at or behind this time: milliseconds since 1970. */
  readonly since: number | null;
  readonly until: number | null;
}

export interface AuditPage {
  /** In the order of their numbers. */
  readonly entries: readonly AuditEntry[];
  /** There are others of the kind with smaller numbers; not looked for with `after`. */
  readonly older: boolean;
}

/**
 * How much is kept of what was done, of what was refused, and of what was done in somebody else's name, so that neither who is refused
 * nor a busy delegate pushes out the rest.
 */
export interface AuditLimits {
  readonly maxEntries: number;
  readonly maxRefusals: number;
  readonly maxDelegations: number;
  /** What is older is dropped, the newest of all excepted; 0: nothing is. */
  readonly maxAgeMs: number;
}

export type Kind = 'done' | 'refused' | 'delegated';
export const KINDS: readonly Kind[] = ['done', 'refused', 'delegated'];

export function kindOf({ action, refusal }: AuditEvent): Kind {
  // Whoever guesses passwords locks as many users as they like.
  if (refusal !== null || action === 'user.lock') return 'refused';
  return action === 'session.delegate' ? 'delegated' : 'done';
}

export function limitOf(kind: Kind, { maxEntries, maxRefusals, maxDelegations }: AuditLimits): number {
  return { done: maxEntries, refused: maxRefusals, delegated: maxDelegations }[kind];
}

/** UTF-16 units of actor, target and address: a peer chooses some of them. */
export const AUDIT_TEXT_MAX = 256;
/** UTF-16 units of the details as JSON. */
export const AUDIT_DETAILS_MAX = 4_096;

/** The beginning of a text that a peer may have made long. It is a copy: a part of a text keeps all of that in memory. */
export function shortened(text: string): string {
  return text.length <= AUDIT_TEXT_MAX ? text : Buffer.from(text.slice(0, AUDIT_TEXT_MAX), 'utf16le').toString('utf16le');
}

/** The event as it is kept. */
export function bounded(event: AuditEvent): AuditEvent {
  const length = JSON.stringify(event.details).length;
  return {
    ...event,
    actor: shortened(event.actor),
    target: shortened(event.target),
    address: shortened(hostOf(event.address)),
    details: length > AUDIT_DETAILS_MAX ? { tooLong: length } : event.details,
  };
}

export function isMeant(entry: AuditEntry, { action, actor, target, outcome, since, until }: AuditFilter): boolean {
  return (
    (action === null || entry.action === action) &&
    (actor === null || entry.actor === actor) &&
    (target === null || entry.target === target) &&
    (outcome === null || outcome === (entry.refusal === null ? 'done' : 'refused')) &&
    (since === null || entry.time >= since) &&
    (until === null || entry.time < until)
  );
}
