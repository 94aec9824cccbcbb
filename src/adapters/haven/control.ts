// Control: the roles of this node, and the quorums that it leads. Decides what a CONTROL message changes,
// has the core change it, and answers DISCOVER from what the core has confirmed. Kept as records below /_HAVEN/control/, so that
// a restart finds them and watchers of /_HAVEN/* see every change. On one node a quorum has one member, its leader.

import { randomUUID } from 'node:crypto';
import {
  type AdapterContext,
  CONTROL_AREA,
  DataRequest,
  type Entry,
  type Identity,
  isDocument,
  Payload,
  parsePattern,
  RequestError,
  type RequestErrorCode,
  reservedArea,
  STORED,
  TransactionRequest,
  type Value,
} from '../../core/index.js';
import { ClerkSession } from './clerk-session.js';
import type { HavenMessage } from './codec.js';
import { msgpack } from './msgpack.js';

const ROLES = `${CONTROL_AREA}roles/`;
const QUORUMS = `${CONTROL_AREA}quorums`;
/** Errors after which the store may hold something else than is known here. */
const MAY_BE_BEHIND: ReadonlySet<RequestErrorCode> = new Set(['CONFLICT', 'STORE_FAILED']);
/** Roles and quorums of a node; all of them fit into one transaction. */
export const CONTROL_MAX = 100;
/** havend's keys of quorums. */
const BASE_KEY = /^\/[a-z_/]*$/;
const BASE_KEY_MAX = 1_024;
/** In the place of a base key: whatever there is. */
const ALL = '';

const ROLE_TYPES = ['location', 'processor', 'proxy', 'router'] as const;

export interface Role {
  readonly type: (typeof ROLE_TYPES)[number];
  /** processor: what it serves; router: what it forwards. */
  readonly path: string | null;
}

export interface Quorum {
  readonly uuid: string;
  /** Base key: it is responsible for this path and what lies below. */
  readonly path: string;
}

/** A role or a quorum, and the revision of its record. */
interface Kept<T> {
  readonly what: T;
  readonly revision: number;
}

/** A record that a decision sets, removes (value null), or needs as it is (value undefined). */
interface Change {
  readonly path: string;
  readonly value: Value | undefined;
  /** Revision that it must have. */
  readonly expect: number;
}

interface Decision {
  readonly uuid: string;
  readonly changes: readonly Change[];
}

/** What DISCOVER finds. */
export type Found =
  | { readonly role: 'location' | 'node'; readonly uuid: string }
  | { readonly role: 'leader'; readonly uuid: string; readonly path: string };

export class Control {
  /** How often roles or quorums changed. */
  changes = 0;
  readonly #context: AdapterContext;
  /** By the paths of their records. */
  readonly #roles = new Map<string, Kept<Role>>();
  readonly #quorums = new Map<string, Kept<Quorum>>();
  /** Base keys of what this node forwards; ALL: everything. */
  #forwarded: readonly string[] = [];

  private constructor(context: AdapterContext) {
    this.#context = context;
  }

  /** With what the store has of an earlier run. */
  static async load(context: AdapterContext): Promise<Control> {
    const control = new Control(context);
    await control.#read();
    return control;
  }

  async #read(): Promise<void> {
    const clerk = new ClerkSession(this.#context, null);
    try {
      const entries = await clerk.find(`${CONTROL_AREA}*`);
      this.#roles.clear();
      this.#quorums.clear();
      for (const entry of entries) this.#note(entry.path, entry);
      this.#noteForwarded();
    } finally {
      clerk.close();
    }
  }

  get roles(): Role[] {
    return [...this.#roles.values()].map(({ what }) => what);
  }

  get quorums(): Quorum[] {
    return [...this.#quorums.values()].map(({ what }) => what);
  }

  /**
   * Resolves with the uuid that the answer names once the change is kept. Rejects with RequestError: INVALID_REQUEST, INVALID_PATH,
   * NOT_FOUND (no such quorum), CONFLICT (the quorum exists, data would lose its last copy, or another change came first),
   * UNKNOWN_OPERATION, LIMIT_EXCEEDED, ACCESS_DENIED.
   */
  async become(message: HavenMessage, identity: Identity, peer: string): Promise<string> {
    const { uuid, changes } = this.#decide(message);
    const clerk = new ClerkSession(this.#context, identity);
    let removed: number | null = null;
    try {
      if (message.type === 'destroy' && message.details.force) removed = await this.#removeRecords(message, clerk);
      await this.#change(changes, clerk);
    } catch (error) {
      if (error instanceof RequestError && MAY_BE_BEHIND.has(error.code)) await this.#read();
      this.#enter(message, identity, peer, error instanceof RequestError ? error.code : 'INTERNAL', { uuid });
      throw plainError(error);
    } finally {
      clerk.close();
    }
    const changed = changes.some(({ value }) => value !== undefined);
    const { type, path } = message;
    const fields = { user: identity.name, peer, type, path, uuid, changed, ...(removed === null ? {} : { removed }) };
    this.#context.log.info(fields, 'Haven control: a role of this node changed');
    this.#enter(message, identity, peer, null, { uuid, changed, ...(removed === null ? {} : { removed }) });
    return uuid;
  }

  #enter({ type, path }: HavenMessage, { name }: Identity, peer: string, refusal: RequestErrorCode | null, what: object): void {
    const target = path ?? String(type);
    const event = { actor: name, target, refusal, protocol: 'haven', address: peer, details: { type, ...what } };
    this.#context.audit.add({ action: 'control.change', ...event });
  }

  async #change(changes: readonly Change[], clerk: ClerkSession): Promise<void> {
    const requests = changes.map((change) => requestOf(change, clerk));
    const { revisions } = await clerk.ask((tag) => new TransactionRequest(clerk, null, requests, tag, true));
    for (const [index, { path, value }] of changes.entries()) {
      if (value !== undefined) this.#apply(path, value, revisions?.[index] as number);
    }
  }

  /** Those of a quorum, once it is clear that it may be destroyed; the asker needs the right to remove them. How many there were. */
  async #removeRecords(message: HavenMessage, clerk: ClerkSession): Promise<number> {
    const kept = this.#quorumOf(message);
    await this.#change(this.#stay(kept).changes, clerk);
    const base = kept.what.path;
    const remove = async (path: string): Promise<number> => {
      const pattern = parsePattern(path, 'glob');
      const make = (tag: unknown): DataRequest => new DataRequest('remove', clerk, null, path, pattern, null, STORED, true, 0, tag);
      return (await clerk.ask(make)).count;
    };
    return (await remove(`${slashed(base)}*`)) + (await remove(base));
  }

  /** null: this node leads none of that uuid. */
  quorum(uuid: string): Quorum | null {
    return this.quorums.find((quorum) => quorum.uuid === uuid) ?? null;
  }

  leads({ uuid, path }: Quorum): boolean {
    return this.#quorums.get(QUORUMS + path)?.what.uuid === uuid;
  }

  /**
   * A node that is told to forward serves what it is the leader of, or a processor for. Throws RequestError UNSUPPORTED for what is left:
   * there is no other node.
   */
  checkServed(path: string): void {
    if (this.#forwarded.length === 0 || reservedArea(path) !== null) return;
    const isPattern = path.includes('*');
    const literal = isPattern ? path.slice(0, path.indexOf('*')) : path;
    const liesIn = (base: string): boolean => (isPattern ? literal.startsWith(slashed(base)) : isBelow(path, base));
    const mayReach = (base: string): boolean => base === ALL || liesIn(base) || (isPattern && slashed(base).startsWith(literal));
    if (!this.#forwarded.some(mayReach)) return;
    if (this.quorums.some(({ path: base }) => liesIn(base))) return;
    if (this.roles.some(({ type, path: base }) => type === 'processor' && base !== null && liesIn(base))) return;
    throw new RequestError('UNSUPPORTED', `this node forwards ${path}, and there is no other node`);
  }

  /** Throws RequestError: NOT_FOUND, INVALID_REQUEST. */
  discover({ type, path, details }: HavenMessage): Found {
    const { uuid } = details;
    const { id } = this.#context.node;
    switch (type) {
      case 'location':
        if (this.#roles.has(recordOf({ type: 'location', path: null }))) return { role: 'location', uuid: id };
        throw new RequestError('NOT_FOUND', 'no location service is known here: this node is none');
      case 'uuid': {
        if (uuid === null) throw new RequestError('INVALID_REQUEST', 'the field uuid is missing');
        if (uuid === id) return { role: 'node', uuid: id };
        return asFound(this.quorum(uuid), 'there is no node or quorum of this uuid');
      }
      case 'quorum':
        if (path === null) throw new RequestError('INVALID_REQUEST', 'the field path is missing');
        return asFound(longestBase(this.quorums, path), 'there is no quorum whose base key this path is or lies below');
      default:
        throw new RequestError('INVALID_REQUEST', 'the type must be uuid, location or quorum');
    }
  }

  #decide(message: HavenMessage): Decision {
    switch (message.type) {
      case 'location':
      case 'location_leader':
        return this.#take({ type: 'location', path: null });
      case 'processor':
        return this.#take({ type: 'processor', path: message.path === null ? '/' : baseKey(message.path) });
      case 'leader':
        return this.#lead(message);
      case 'follower':
      case 'join':
        return this.#stay(this.#quorumOf(message));
      case 'leave':
        this.#quorumOf(message);
        throw new RequestError('CONFLICT', 'this node is the only member of the quorum: destroy it instead');
      case 'destroy':
        return this.#destroy(message);
      case 'exit':
        return this.#exit(message.details.force);
      case 'proxy':
        return this.#take({ type: 'proxy', path: null });
      case 'router':
        return this.#take({ type: 'router', path: message.path === null ? '/' : baseKey(message.path) });
      case 'attach':
        return message.details.uuid === this.#context.node.id ? this.#ask() : this.#stay(this.#quorumOf(message));
      default:
        throw new RequestError('UNKNOWN_OPERATION', 'no such type of control');
    }
  }

  #take(role: Role): Decision {
    const path = recordOf(role);
    const kept = this.#roles.get(path);
    const uuid = this.#context.node.id;
    if (kept !== undefined) return { uuid, changes: [{ path, value: undefined, expect: kept.revision }] };
    this.#checkRoom();
    return { uuid, changes: [{ path, value: { ...role }, expect: 0 }] };
  }

  #lead({ path }: HavenMessage): Decision {
    if (path === null) throw new RequestError('INVALID_REQUEST', 'the field path is missing');
    const base = baseKey(path);
    const kept = this.#quorums.get(QUORUMS + base);
    if (kept !== undefined) throw new RequestError('CONFLICT', `the quorum of ${base} exists: ${kept.what.uuid}`);
    this.#checkRoom();
    const { id } = this.#context.node;
    const uuid = randomUUID();
    return { uuid, changes: [{ path: QUORUMS + base, value: { uuid, path: base, leader: id, members: [id] }, expect: 0 }] };
  }

  #checkRoom(): void {
    if (this.#roles.size + this.#quorums.size < CONTROL_MAX) return;
    throw new RequestError('LIMIT_EXCEEDED', `a node has at most ${CONTROL_MAX} roles and quorums`);
  }

  /** It is a member already: on one node every quorum has this one. */
  #stay({ what, revision }: Kept<Quorum>): Decision {
    return { uuid: what.uuid, changes: [{ path: QUORUMS + what.path, value: undefined, expect: revision }] };
  }

  #destroy(message: HavenMessage): Decision {
    const { what, revision } = this.#quorumOf(message);
    const inner = this.quorums.find(({ path }) => path !== what.path && isBelow(path, what.path));
    if (message.details.force && inner !== undefined) {
      throw new RequestError('CONFLICT', `the quorum of ${inner.path} has its records below ${what.path}: destroy it first`);
    }
    return { uuid: what.uuid, changes: [{ path: QUORUMS + what.path, value: null, expect: revision }] };
  }

  #exit(force: boolean): Decision {
    if (this.#quorums.size > 0 && !force) {
      throw new RequestError('CONFLICT', `this node has the last copy of the data of ${this.#quorums.size} quorums: exit needs force`);
    }
    const kept = [...this.#roles, ...this.#quorums];
    const changes = kept.map(([path, { revision }]) => ({ path, value: null, expect: revision }));
    return changes.length > 0 ? { uuid: this.#context.node.id, changes } : this.#ask();
  }

  /** Changes nothing, but the right is asked for. */
  #ask(): Decision {
    const kept = this.#roles.get(recordOf({ type: 'location', path: null }));
    const as = { path: recordOf({ type: 'location', path: null }), value: undefined, expect: kept?.revision ?? 0 };
    return { uuid: this.#context.node.id, changes: [as] };
  }

  #quorumOf({ path, details }: HavenMessage): Kept<Quorum> {
    const { uuid } = details;
    if (uuid === null && path === null) throw new RequestError('INVALID_REQUEST', 'uuid or path is missing');
    for (const kept of this.#quorums.values()) if (uuid === null ? kept.what.path === path : kept.what.uuid === uuid) return kept;
    throw new RequestError('NOT_FOUND', 'there is no such quorum');
  }

  #apply(path: string, value: Value, revision: number): void {
    this.changes += 1;
    if (value === null) {
      this.#roles.delete(path);
      this.#quorums.delete(path);
      this.#noteForwarded();
    } else {
      this.#keep(path, value, revision);
    }
  }

  #note(path: string, { payload, revision }: Entry): void {
    this.changes += 1;
    if (this.#keep(path, payload.value(), revision)) return;
    this.#context.log.warn({ path }, 'a record of Haven control has an unknown form: it is left alone');
  }

  #noteForwarded(): void {
    const forwarding = this.roles.filter(({ type }) => type === 'proxy' || type === 'router');
    this.#forwarded = forwarding.map(({ path }) => path ?? ALL);
  }

  /** False: this is neither a role nor a quorum. */
  #keep(path: string, value: Value, revision: number): boolean {
    if (!isDocument(value)) return false;
    const { type, path: of = null, uuid } = value;
    if (typeof uuid === 'string' && typeof of === 'string' && path === QUORUMS + of) {
      this.#quorums.set(path, { what: { uuid, path: of }, revision });
      return true;
    }
    const known = ROLE_TYPES.find((name) => name === type);
    if (known === undefined || (of !== null && typeof of !== 'string')) return false;
    const role: Role = { type: known, path: of };
    if (path !== recordOf(role)) return false;
    this.#roles.set(path, { what: role, revision });
    this.#noteForwarded();
    return true;
  }
}

/** Whether `path` is the base key, or lies below it. */
function isBelow(path: string, base: string): boolean {
  return path === base || path.startsWith(slashed(base));
}

function slashed(base: string): string {
  return base.endsWith('/') ? base : `${base}/`;
}

function recordOf({ type, path }: Role): string {
  return `${ROLES}${type}${path ?? ''}`;
}

/** Throws RequestError INVALID_PATH. */
function baseKey(path: string): string {
  if (path.length <= BASE_KEY_MAX && BASE_KEY.test(path)) return path;
  throw new RequestError('INVALID_PATH', `a base key begins with a slash and has small letters, _ and / alone, at most ${BASE_KEY_MAX}`);
}

/** The quorum whose base key is the longest one that `path` is, or lies below. */
function longestBase(quorums: readonly Quorum[], path: string): Quorum | null {
  return quorums.filter(({ path: base }) => isBelow(path, base)).sort((a, b) => b.path.length - a.path.length)[0] ?? null;
}

function asFound(quorum: Quorum | null, otherwise: string): Found {
  if (quorum === null) throw new RequestError('NOT_FOUND', otherwise);
  return { role: 'leader', ...quorum };
}

/** Of the transaction below it the asker knows nothing. */
function plainError(error: unknown): unknown {
  if (!(error instanceof RequestError)) return error;
  const text = error.code === 'CONFLICT' ? 'another change of this node came first: ask again' : error.message;
  return new RequestError(error.code, text, { cause: error });
}

function requestOf({ path, value, expect }: Change, clerk: ClerkSession): DataRequest {
  const options = { ...STORED, expect };
  if (value === undefined) return new DataRequest('get', clerk, null, path, null, null, options, false, 0, null);
  if (value === null) return new DataRequest('remove', clerk, null, path, null, null, options, false, 0, null);
  return new DataRequest('set', clerk, null, path, null, Payload.fromValue(value, msgpack), options, false, 0, null);
}
