// happn's paths: which characters they may hold, how a channel is taken apart, and what its wildcards mean.

import { checkPath, type Entry, type Pattern, parsePattern, RequestError } from '../../core/index.js';
import type { Version } from './versions.js';
import { DEFAULT_DEPTH, MESSAGES } from './wire.js';

/** What set, remove and on accept; a get takes any text. */
const ALLOWED = /^[a-zA-Z0-9/(){}+=&:%@._*\-\s]+$/;
const EVENT_MAX = 64;
const DEPTH_MAX = 100;

/**
 * Throws INVALID_PATH, for other characters with the text that client libraries raise themselves; for control characters, which
 * they take for white space, with the text of the core. Returns the path unchanged.
 */
export function checkRequestPath(path: unknown): string {
  if (typeof path !== 'string') throw new RequestError('INVALID_PATH', notText(path));
  if (!ALLOWED.test(path)) throw new RequestError('INVALID_PATH', MESSAGES.badCharacters);
  return checkPath(path);
}

/** The path of a get: any text that can be an address at all. */
export function checkTextPath(path: unknown): string {
  if (typeof path !== 'string') throw new RequestError('INVALID_PATH', notText(path));
  if (path.length === 0) throw new RequestError('INVALID_PATH', 'Bad path, must not be empty');
  return checkPath(path);
}

function notText(path: unknown): string {
  const shown = path !== null && typeof path === 'object' ? 'object' : String(path);
  return `Bad path [${shown}], must be a string`;
}

export function hasWildcard(path: string): boolean {
  return path.includes('*');
}

/** What an `on` asks for. */
export interface Channel {
  /** Shown in every event as `channel`: exactly what the client sent, because it finds its listener by it. */
  readonly text: string;
  /** `ALL`, `SET`, `REMOVE` in upper case; null: a channel on which nothing is ever heard. */
  readonly event: 'ALL' | 'SET' | 'REMOVE' | null;
  /** The part behind the first `@`, as it is subscribed. */
  readonly key: string;
}

/** Takes `/<EVENT>@<key>` apart. The bare `*` means everything and is named `/*@*` in events. */
export function parseChannel(path: string): Channel {
  if (path === '*') return { text: '/*@*', event: 'ALL', key: '*' };
  const at = path.indexOf('@');
  if (at === -1 || at > EVENT_MAX) return { text: path, event: null, key: path };
  const event = path.slice(path.startsWith('/') ? 1 : 0, at).toUpperCase();
  const known = event === 'ALL' || event === 'SET' || event === 'REMOVE';
  return { text: path, event: known ? event : null, key: path.slice(at + 1) + levelsOfResponses(path) };
}

/** Below it happner components answer: `<session>/<domain>/<component>/<method>/<number>`. */
const RESPONSES = '/_exchange/responses';
/** Parts of `/SET@/_exchange/responses/<session>/*`. */
const SHORT_RESPONSES = 6;

/** What clients of happner leave out when they listen to all of their responses: a mesh node puts it in, too. */
function levelsOfResponses(path: string): string {
  return path.includes(RESPONSES) && path.split('/').length === SHORT_RESPONSES ? '/*/*/*' : '';
}

/** Whether a session asks to hear the responses to another. */
export function isForeignResponse(path: string, sessionId: string): boolean {
  return path.includes(RESPONSES) && !path.includes(sessionId);
}

/** True for keys whose trailing `**` has a depth. */
export function hasDepth(key: string, version: Version): boolean {
  return version.dialect === 'segments' && (key === '**' || key.endsWith('/**'));
}

/** A depth as a client may give it; 0: not given, or nothing to go by. */
export function declaredDepth(depth: unknown): number {
  return typeof depth === 'number' && Number.isInteger(depth) && depth > 0 ? Math.min(depth, DEPTH_MAX) : 0;
}

/** The depth that a declared one stands for. */
export function effectiveDepth(declared: number): number {
  return declared === 0 ? DEFAULT_DEPTH : declared;
}

/**
 * The pattern under which a channel is subscribed. `*` alone is everything in every version; else versions 3 and 4 mean
 * whole segments, the older ones any characters. Throws INVALID_PATH.
 */
export function subscriptionPattern(key: string, version: Version, depth: number): Pattern {
  if (key === '*' || version.dialect === 'glob') return parsePattern(key, 'glob');
  return parsePattern(key, 'segments', depth);
}

/** Queries (get, remove, initial values) mean `*` as any characters, whatever the version. Throws INVALID_PATH. */
export function queryPattern(text: string): Pattern {
  return parsePattern(text, 'glob');
}

/** Segments of `path` below the prefix of a key that ends in `**`; a leading slash on either side counts for nothing. */
export function segmentsBelow(key: string, path: string): number {
  return segmentCount(path) - (segmentCount(key) - 1);
}

/** Whether a new listener of `key` is shown an entry that is there: as deep as it asked for (Infinity: all). */
export function showsInitial(key: string, depth: number): (entry: Entry) => boolean {
  if (depth === Number.POSITIVE_INFINITY) return () => true;
  return ({ path }) => segmentsBelow(key, path) <= depth;
}

function segmentCount(text: string): number {
  let count = 1;
  for (let at = text.indexOf('/', 1); at !== -1; at = text.indexOf('/', at + 1)) count += 1;
  return count;
}
