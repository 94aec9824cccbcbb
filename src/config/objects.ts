// Lists of objects in the configuration: how they are read, refused (with the place within the list) and shown.

import { BRIDGE_SECRETS } from './bridges.js';
import { MISSING } from './entries.js';
import { USER_SECRETS } from './security-lists.js';

const SECRETS: readonly string[] = [...BRIDGE_SECRETS, ...USER_SECRETS];

/** What a schema found wrong, and where: names of keys and places in lists. */
export interface Issue {
  readonly code: string;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** With code `unrecognized_keys`. */
  readonly keys?: readonly string[];
}

/** What is no JSON stays text, and is refused as such. */
export function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}

/** The maps of a file as objects. */
export function plainObjects(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plainObjects);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([name, item]) => [String(name), plainObjects(item)]));
}

/** One line that names the place within the list. */
export function refusalWithin(key: string, value: unknown, origin: string, issue: Issue): string {
  const place = issue.path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  const path = `${key}${place}`;
  if (issue.code === 'unrecognized_keys') return `unknown key ${path}.${issue.keys?.[0]} (${origin})`;
  if (issue.message === MISSING) return `${path} is missing (${origin})`;
  const item = issue.path.reduce<unknown>((at, part) => (at as Record<PropertyKey, unknown> | undefined)?.[part], plainObjects(value));
  const name = String(issue.path.at(-1));
  // A URL that is refused may hold a password.
  const isSecret = SECRETS.includes(name) || (name === 'url' && typeof item === 'string');
  const shown = isSecret || typeof item === 'object' ? 'the given value' : JSON.stringify(item);
  if (item === undefined) return `${path} must be ${issue.message} (${origin})`;
  return `${path}: ${shown} is not allowed, it must be ${issue.message} (${origin})`;
}

export function withoutSecrets(objects: readonly object[]): object[] {
  const hide = ([name, item]: [string, unknown]): [string, unknown] => [name, item !== null && SECRETS.includes(name) ? 'set' : item];
  return objects.map((item) => Object.fromEntries(Object.entries(item).map(hide)));
}
