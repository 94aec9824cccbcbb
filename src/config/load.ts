// Loading: flags, environment and file become one frozen configuration. Knows no process: the caller passes arguments, variables
// and the file in.

import { ConfigError } from '../core/errors.js';
import type { ConfigFile } from './file.js';
import { type ConfigKey, fromText, KEY_BY_PATH, KEY_BY_VARIABLE, KEYS } from './keys.js';
import { type Issue, plainObjects, refusalWithin } from './objects.js';
import { checkRules } from './rules.js';
import type { Config, ConfigInput } from './schema.js';
import { unknownKey } from './unknown-key.js';

const FILE_VARIABLE = 'TRIVIUM_CONFIG';
/** `mqtt`, `mqtt.tls` and so on: what keys are nested in, and the first key in each. */
const FIRST_IN_SECTION: ReadonlyMap<string, string> = sections();

export interface ConfigSources {
  /** By key path, as text: what stood on the command line. */
  readonly flags?: ReadonlyMap<string, string>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly file?: ConfigFile | null;
  /** Values of a program that embeds the gateway; they count as flags. */
  readonly given?: ConfigInput;
}

/** A configuration and where each value came from, by key path: `default`, `file x.yaml`, `environment X`, `flag --x`. */
export interface LoadedConfig {
  readonly config: Config;
  readonly origins: ReadonlyMap<string, string>;
}

interface Found {
  readonly value: unknown;
  readonly origin: string;
}

/** Flags before environment before file before defaults. Throws ConfigError, one line that names key, value and origin. */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const found = new Map<string, Found>();
  if (sources.file) readTree(sources.file.tree, [], `file ${sources.file.name}`, found);
  readEnvironment(sources.env ?? {}, found);
  if (sources.given) readTree(treeOf(sources.given), [], 'given', found);
  for (const [path, text] of sources.flags ?? []) {
    const key = KEY_BY_PATH.get(path) as ConfigKey;
    found.set(path, { value: fromText(key, text), origin: `flag ${key.flag}` });
  }
  const values = new Map<string, unknown>();
  const origins = new Map<string, string>();
  for (const key of KEYS) {
    const one = found.get(key.path);
    values.set(key.path, one === undefined ? key.fallback : checked(key, one));
    origins.set(key.path, one === undefined ? 'default' : one.origin);
  }
  useSecureDefaults(values, origins);
  const config = frozenTree(values);
  checkRules(config, origins);
  return { config, origins };
}

/** Where everybody has to log in, other machines may connect. */
function useSecureDefaults(values: Map<string, unknown>, origins: Map<string, string>): void {
  if (values.get('secure') !== true || origins.get('host') !== 'default') return;
  values.set('host', '0.0.0.0');
  origins.set('host', 'default with secure');
}

/** The file that the sources name, before it is read: the flag wins over the variable. */
export function configFileName(
  flagValue: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): { readonly name: string; readonly origin: string } | null {
  if (flagValue !== undefined) return { name: flagValue, origin: 'flag --config' };
  const name = env[FILE_VARIABLE];
  return name === undefined || name === '' ? null : { name, origin: `environment ${FILE_VARIABLE}` };
}

function readEnvironment(env: Readonly<Record<string, string | undefined>>, found: Map<string, Found>): void {
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('TRIVIUM_') || text === undefined || name === FILE_VARIABLE || isForOthers(name)) continue;
    const key = KEY_BY_VARIABLE.get(name);
    if (key === undefined) throw unknownKey(name, 'environment', [...KEY_BY_VARIABLE.keys(), FILE_VARIABLE]);
    // An empty variable is how many supervisors say "not set".
    if (text !== '') found.set(key.path, { value: fromText(key, text), origin: `environment ${name}` });
  }
}

/** Kubernetes gives every container such variables for a service named trivium; and the commands that ask a gateway have some. */
function isForOthers(name: string): boolean {
  return /^TRIVIUM_(SERVICE_(HOST|PORT)|PORT$|PORT_\d|HAVEN_(USER|PASSWORD|TOKEN)$|TOKEN$|ADMIN_URL$)/.test(name);
}

/** A key may stand nested or with its whole path: `mqtt: {port: 1}` or `mqtt.port: 1`. */
function readTree(tree: ReadonlyMap<unknown, unknown>, above: readonly string[], origin: string, found: Map<string, Found>): void {
  for (const [name, value] of tree) {
    const names = [...above, String(name)];
    const path = names.join('.');
    if (KEY_BY_PATH.has(path)) {
      if (value !== undefined) found.set(path, { value, origin });
      continue;
    }
    const first = FIRST_IN_SECTION.get(path);
    if (first === undefined) throw unknownKey(path, origin, [...KEY_BY_PATH.keys(), ...FIRST_IN_SECTION.keys()]);
    if (value instanceof Map) readTree(value, names, origin, found);
    else if (value !== null && value !== undefined) throw refused(path, textOf(value), `a map of keys such as ${first}`, origin);
  }
}

function sections(): Map<string, string> {
  const found = new Map<string, string>();
  for (const { path } of KEYS) {
    for (let end = path.indexOf('.'); end > 0; end = path.indexOf('.', end + 1)) {
      const section = path.slice(0, end);
      if (!found.has(section)) found.set(section, path);
    }
  }
  return found;
}

function treeOf(value: object): Map<string, unknown> {
  const isTree = (item: unknown): item is object => typeof item === 'object' && item !== null && !Array.isArray(item);
  return new Map(Object.entries(value).map(([name, item]) => [name, isTree(item) ? treeOf(item) : item]));
}

function checked(key: ConfigKey, one: Found): unknown {
  const result = key.type.safeParse(key.kind === 'objects' ? plainObjects(one.value) : one.value);
  if (result.success) return result.data;
  if (key.kind === 'objects') throw new ConfigError(refusalWithin(key.path, one.value, one.origin, result.error.issues[0] as Issue));
  throw refused(key.path, key.secret ? 'the given value' : textOf(one.value), key.allowed, one.origin);
}

function refused(path: string, shown: string, allowed: string, origin: string): ConfigError {
  return new ConfigError(`${path}: ${shown} is not allowed, it must be ${allowed} (${origin})`);
}

function textOf(value: unknown): string {
  return JSON.stringify(value instanceof Map ? {} : value) ?? String(value);
}

function frozenTree(values: ReadonlyMap<string, unknown>): Config {
  const root: Record<string, unknown> = {};
  for (const [path, value] of values) {
    const names = path.split('.');
    const last = names.pop() as string;
    let at = root;
    for (const name of names) {
      at[name] ??= {};
      at = at[name] as Record<string, unknown>;
    }
    at[last] = value;
  }
  return deepFrozen(root) as Config;
}

function deepFrozen(tree: Record<string, unknown>): object {
  for (const part of Object.values(tree)) if (typeof part === 'object' && part !== null) deepFrozen(part as Record<string, unknown>);
  return Object.freeze(tree);
}
