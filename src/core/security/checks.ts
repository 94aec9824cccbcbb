// Checks of names, permissions and the other arguments of commands. All throw RequestError INVALID_REQUEST or
// LIMIT_EXCEEDED with a message for a person.

import { RequestError } from '../errors.js';
import { textFault, withoutLeadingSlash } from '../paths/path.js';
import { Regex } from '../query/regex.js';
import { ACTIONS, ADMIN, ANONYMOUS, type CustomData, type Lookup, type Permission, SECURITY_LIMITS } from './model.js';

/** Happn-protocol.md 10.1: what would be another place in happn's tree, or somebody that only the gateway makes. */
const RESERVED_PARTS = ['_SYSTEM', '_GROUP', '_PERMISSION', '_USER_GROUP', '_ADMIN', '_ANONYMOUS'];
const PERMITTED: ReadonlySet<unknown> = new Set(['*', ...ACTIONS]);

function invalid(message: string): RequestError {
  return new RequestError('INVALID_REQUEST', message);
}

function exceeded(message: string): RequestError {
  return new RequestError('LIMIT_EXCEEDED', message);
}

/** Of somebody or something that is to be created. */
export function checkName(name: unknown, what: 'user' | 'group' | 'lookup table'): void {
  const fault = textFault(name, `the ${what}'s name`, SECURITY_LIMITS.nameBytes);
  if (fault !== null) throw invalid(fault);
  const text = name as string;
  if (what === 'user' && (text === ADMIN || text === ANONYMOUS)) return;
  if (text !== text.trim()) throw invalid(`the ${what}'s name must not begin or end with a space`);
  if (/[/*{}]/.test(text)) throw invalid(`the ${what}'s name must not contain / * { or }`);
  const part = RESERVED_PARTS.find((reserved) => text.includes(reserved));
  if (part !== undefined) throw invalid(`the ${what}'s name must not contain ${part}`);
}

/** null stands for a pattern that is to be taken away. */
export function checkPermissions(permissions: unknown): void {
  if (!isPlain(permissions)) throw invalid('permissions must be an object: pattern to {actions, prohibit}');
  for (const [pattern, permission] of Object.entries(permissions)) {
    checkPattern(pattern);
    if (permission !== null) checkPermission(pattern, permission);
  }
}

export function checkPattern(pattern: unknown): void {
  const fault = textFault(pattern, 'the path of a permission', SECURITY_LIMITS.patternBytes);
  if (fault !== null) throw invalid(fault);
}

function checkPermission(pattern: string, permission: unknown): void {
  if (!isPlain(permission)) throw invalid(`the permission for ${pattern} must be an object`);
  for (const [key, list] of Object.entries(permission)) {
    if (key !== 'actions' && key !== 'prohibit') throw invalid(`the permission for ${pattern} must have no ${key}`);
    if (list === undefined) continue;
    if (!Array.isArray(list)) throw invalid(`${key} of the permission for ${pattern} must be a list`);
    for (const action of list) checkAction(action);
  }
}

export function checkAction(action: unknown): void {
  if (!PERMITTED.has(action)) throw invalid(`there is no action ${String(action).slice(0, 32)}`);
}

/** The lookups of a group, as they are kept. */
export function checkedLookups(lookups: unknown): readonly Lookup[] {
  const { lookups: max } = SECURITY_LIMITS;
  if (!Array.isArray(lookups)) throw invalid('lookups must be a list');
  if (lookups.length > max) throw exceeded(`a group has at most ${max} lookups`);
  return lookups.map(checkedLookup);
}

function checkedLookup(lookup: unknown, at: number): Lookup {
  const what = `lookup ${at + 1}`;
  if (!isPlain(lookup)) throw invalid(`${what} must be an object: {table, regex, actions, path}`);
  const { table, regex, actions, path } = lookup;
  const { nameBytes, lookupRegex, patternBytes } = SECURITY_LIMITS;
  const fault = textFault(table, `the table of ${what}`, nameBytes) ?? textFault(path, `the path of ${what}`, patternBytes);
  if (fault !== null) throw invalid(fault);
  if (typeof regex !== 'string' || regex === '') throw invalid(`the regex of ${what} must be text`);
  if (regex.length > lookupRegex) throw exceeded(`the regex of ${what} must have at most ${lookupRegex} characters`);
  new Regex(regex, '').compile();
  if (!Array.isArray(actions) || actions.length === 0) throw invalid(`actions of ${what} must be a list of some`);
  for (const action of actions) checkAction(action);
  return Object.freeze({ table: table as string, regex, actions: Object.freeze([...new Set(actions)]), path: path as string });
}

/** Paths of a table, as they are kept. */
export function checkedTablePaths(paths: unknown): ReadonlySet<string> {
  const { tablePaths, tableBytes, patternBytes } = SECURITY_LIMITS;
  if (!Array.isArray(paths)) throw invalid('paths must be a list');
  const kept = new Set<string>();
  let bytes = 0;
  for (const path of paths) {
    const fault = textFault(path, 'a path of a lookup table', patternBytes);
    if (fault !== null) throw invalid(fault);
    kept.add(withoutLeadingSlash(path as string));
    bytes += Buffer.byteLength(path as string);
  }
  if (kept.size > tablePaths) throw exceeded(`a lookup table has at most ${tablePaths} paths`);
  if (bytes > tableBytes) throw exceeded(`the paths of a lookup table have at most ${tableBytes} bytes`);
  return kept;
}

/** As kept: nothing but what counts. */
export function normalized({ actions, prohibit }: Permission): Permission {
  return {
    ...(actions === undefined || actions.length === 0 ? {} : { actions: [...new Set(actions)] }),
    ...(prohibit === undefined || prohibit.length === 0 ? {} : { prohibit: [...new Set(prohibit)] }),
  };
}

export function checkPermissionCount(count: number): void {
  const { permissions } = SECURITY_LIMITS;
  if (count > permissions) throw exceeded(`a user or group has at most ${permissions} permissions`);
}

export function checkCustomData(customData: CustomData): void {
  if (!isPlain(customData)) throw invalid('customData must be an object');
  const { customDataBytes } = SECURITY_LIMITS;
  let text: string;
  try {
    text = JSON.stringify(customData);
  } catch (error) {
    throw new RequestError('INVALID_REQUEST', 'customData must be JSON', { cause: error });
  }
  if (Buffer.byteLength(text) > customDataBytes) throw exceeded(`customData must be at most ${customDataBytes} bytes`);
}

export function checkGroups(groups: unknown): void {
  const { memberships, nameBytes } = SECURITY_LIMITS;
  if (!Array.isArray(groups)) throw invalid('groups must be a list of names');
  if (groups.length > memberships) throw exceeded(`a user has at most ${memberships} groups`);
  for (const group of groups) {
    const fault = textFault(group, "a group's name", nameBytes);
    if (fault !== null) throw invalid(fault);
  }
}

/** Of a password's hash or a public key; null: none. */
export function checkSecret(secret: unknown, what: string): void {
  if (secret === null) return;
  const { secretBytes } = SECURITY_LIMITS;
  if (typeof secret !== 'string' || secret === '') throw invalid(`${what} must be text`);
  if (Buffer.byteLength(secret) > secretBytes) throw exceeded(`${what} must be at most ${secretBytes} bytes`);
}

export function checkTokenId(id: unknown): void {
  const fault = textFault(id, "the token's id", SECURITY_LIMITS.nameBytes);
  if (fault !== null) throw invalid(fault);
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
