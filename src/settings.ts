// The settings on a command line: each key of the configuration as a flag, loading them from flags, environment and file, and
// printing them.

import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import {
  type ConfigFile,
  type ConfigKey,
  configFileName,
  configValue,
  KEYS,
  type LoadedConfig,
  loadConfig,
  parseFile,
  printedValue,
  shownValue,
} from './config/index.js';
import { ConfigError } from './core/errors.js';
import { reasonOf } from './system-error.js';

/** By commander's camel case name. */
export type Flags = Readonly<Record<string, string | boolean | undefined>>;

/** Gives a command all settings as flags; once. */
export function addFlags(command: Command): void {
  command.addOption(new Option('--config <file>', 'configuration file, YAML or JSON').argParser(checkedValueOf('--config')));
  for (const key of KEYS) command.addOption(optionOf(key));
}

const VALUE_NAMES: Readonly<Record<ConfigKey['kind'], string>> = {
  text: '<text>',
  number: '<number>',
  boolean: '[boolean]',
  list: '<list>',
  objects: '<json>',
};

function optionOf(key: ConfigKey): Option {
  const shownDefault =
    key.fallback === null || (Array.isArray(key.fallback) && key.fallback.length === 0)
      ? ''
      : ` (default ${shownValue(key, key.fallback)})`;
  const value = key.choices === null ? VALUE_NAMES[key.kind] : `<${key.choices.join('|')}>`;
  return new Option(`${key.flag} ${value}`, `${key.description}${shownDefault}`).argParser(checkedValueOf(key.flag));
}

const FLAGS: ReadonlySet<string> = new Set(['--config', ...KEYS.map(({ flag }) => flag)]);

/** Whoever leaves a value out is not to be told that of the flag behind it. */
function checkedValueOf(flag: string): (value: string) => string {
  return (value) => {
    if (FLAGS.has(value)) throw new ConfigError(`${flag} needs a value, but ${value} follows it`);
    return value;
  };
}

/** The configuration that the flags of a command, the environment and the file make. Rejects with ConfigError. */
export async function load(flags: Flags): Promise<LoadedConfig> {
  const given = new Map<string, string>();
  for (const key of KEYS) {
    const value = flags[key.flag.slice(2).replace(/-([a-z])/g, (_dash, letter: string) => letter.toUpperCase())];
    if (value !== undefined) given.set(key.path, String(value));
  }
  return loadConfig({ flags: given, env: process.env, file: await readConfigFile(flags['config'] as string | undefined) });
}

async function readConfigFile(flag: string | undefined): Promise<ConfigFile | null> {
  const file = configFileName(flag, process.env);
  if (file === null) return null;
  return await parseFile(file.name, textOf(file));
}

function textOf(file: { readonly name: string; readonly origin: string }): string {
  try {
    return readFileSync(file.name, 'utf8');
  } catch (error) {
    throw new ConfigError(`cannot read the configuration file ${file.name}: ${reasonOf(error)} (${file.origin})`, { cause: error });
  }
}

/** On standard output, one line a key. */
export function printConfig({ config, origins }: LoadedConfig, asJson: boolean): void {
  const rows = KEYS.map((key) => {
    const value = configValue(config, key.path);
    return {
      key: key.path,
      value: printedValue(key, value),
      shown: shownValue(key, value),
      origin: origins.get(key.path) as string,
    };
  });
  if (asJson) {
    const tree = Object.fromEntries(rows.map(({ key, value, origin }) => [key, { value, origin }]));
    process.stdout.write(`${JSON.stringify(tree, null, 2)}\n`);
    return;
  }
  const width = (pick: (row: (typeof rows)[number]) => string): number => Math.max(...rows.map((row) => pick(row).length));
  const [keyWidth, valueWidth] = [width((row) => row.key), width((row) => row.shown)];
  for (const { key, shown, origin } of rows) process.stdout.write(`${key.padEnd(keyWidth)}  ${shown.padEnd(valueWidth)}  ${origin}\n`);
}
