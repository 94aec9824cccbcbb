// Keys: every setting of the schema with its names as flag and variable, and how its values are written and read as text.

import { z } from 'zod';
import type { About } from './kinds.js';
import { fromJson, withoutSecrets } from './objects.js';
import { type Config, schema } from './schema.js';

/** One key of the schema. */
export interface ConfigKey extends About {
  /** `happn.port` */
  readonly path: string;
  /** `--happn-port` */
  readonly flag: string;
  /** `TRIVIUM_HAPPN_PORT` */
  readonly variable: string;
  readonly type: z.ZodType;
  readonly fallback: unknown;
}

export const KEYS: readonly ConfigKey[] = Object.freeze(listKeys(schema, []));
export const KEY_BY_PATH: ReadonlyMap<string, ConfigKey> = new Map(KEYS.map((key) => [key.path, key]));
export const KEY_BY_VARIABLE: ReadonlyMap<string, ConfigKey> = new Map(KEYS.map((key) => [key.variable, key]));

function listKeys(object: z.ZodObject, above: string[]): ConfigKey[] {
  const keys: ConfigKey[] = [];
  for (const [name, type] of Object.entries(object.shape)) {
    const names = [...above, name];
    if (type instanceof z.ZodObject) {
      keys.push(...listKeys(type, names));
      continue;
    }
    const words = names.map((part) => part.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)).join('-');
    keys.push({
      ...((type as z.ZodType).meta() as { about: About }).about,
      path: names.join('.'),
      flag: `--${words}`,
      variable: `TRIVIUM_${words.replaceAll('-', '_').toUpperCase()}`,
      type: type as z.ZodType,
      fallback: (type as z.ZodType).parse(undefined),
    });
  }
  return keys;
}

/** A value out of a flag or a variable; what it is not stays text, and is refused as such. */
export function fromText(key: ConfigKey, text: string): unknown {
  if (key.kind === 'number') return /^-?\d+$/.test(text) ? Number(text) : text;
  if (key.kind === 'boolean') return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text;
  if (key.kind === 'list') return text === '' ? [] : text.split(',').map((item) => item.trim());
  return key.kind === 'objects' ? fromJson(text) : text;
}

/** A value as a person reads it; secrets are never shown. */
export function shownValue(key: ConfigKey, value: unknown): string {
  if (value === null) return 'not set';
  if (key.secret) return 'set';
  if (key.kind === 'objects') return (value as unknown[]).length === 0 ? 'none' : JSON.stringify(withoutSecrets(value as object[]));
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(',');
  return typeof value === 'string' ? value || '""' : String(value);
}

/** A value as a program reads it; secrets are never shown. */
export function printedValue(key: ConfigKey, value: unknown): unknown {
  if (key.kind === 'objects') return withoutSecrets(value as object[]);
  return key.secret && value !== null ? 'set' : value;
}

export function configValue(config: Config, path: string): unknown {
  let at: unknown = config;
  for (const name of path.split('.')) at = (at as Record<string, unknown>)[name];
  return at;
}
