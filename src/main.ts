#!/usr/bin/env node
// The command `trivium`: runs a gateway until a signal comes, or asks a running one. It says with the exit code how it ended: 0 as
// asked, 1 could not run, broke, or was refused, 2 wrong command line or configuration, 3 the answer is no.

import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { CommandFailure } from './cli/admin-client.js';
import { addAdminCommands } from './cli/commands.js';
import { addHelp } from './cli/help.js';
import {
  type ConfigKey,
  configFileName,
  configValue,
  KEYS,
  type LoadedConfig,
  loadConfig,
  printedValue,
  shownValue,
  suggestion,
} from './config/index.js';
import { ConfigError, StartError } from './core/errors.js';
import { reasonOf } from './data-directory.js';
import { VERSION } from './version.js';

const EXIT_RUNTIME = 1;
const EXIT_CONFIG = 2;

function commandLine(): Command {
  const program = new Command('trivium').description('A gateway on which happn, MQTT and Haven clients share one data space.');
  program
    .version(VERSION)
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  const serving = program.command('serve', { isDefault: true }).description('run the gateway until it is told to stop (default)');
  // Any other first word comes here, too.
  withConfigFlags(serving).allowExcessArguments();
  serving.action(async (flags: Flags) => {
    if (serving.args.length > 0) throw new ConfigError(excess(serving.args[0] as string, program));
    const loaded = load(flags);
    // The libraries of the gateway are loaded only once the configuration is known to be good.
    const { serve } = await import('./serve.js');
    await serve(loaded);
  });
  const showing = program.command('config').description('print the effective configuration and where each value comes from');
  showing.option('--json', 'as JSON').action((flags: Flags) => printConfig(load(flags), flags['json'] === true));
  withConfigFlags(showing);
  addAdminCommands(program);
  const speaking = program.command('haven [args...]').description('speak Haven with a gateway (see trivium haven --help)');
  // What stands behind it is for its own grammar to understand.
  speaking.helpOption(false).allowUnknownOption();
  speaking.action(async (args: string[]) => {
    const { havenTool } = await import('./haven-tool/index.js');
    process.exitCode = await havenTool(args);
  });
  const examining = program.command('doctor').description('say what is unsafe or broken; exit code 1 when something is bad');
  examining.option('--json', 'as JSON').action(async (flags: Flags) => {
    const loaded = load(flags);
    const { examine, findingsText } = await import('./doctor/doctor.js');
    const findings = await examine(loaded);
    process.stdout.write(flags['json'] === true ? `${JSON.stringify(findings, null, 2)}\n` : findingsText(findings));
    if (findings.some(({ level }) => level === 'bad')) process.exitCode = EXIT_RUNTIME;
  });
  withConfigFlags(examining);
  addHelp(program);
  return program;
}

/** What is said of a word that means nothing where it stands. */
function excess(word: string, program: Command): string {
  if (program.args[0] === 'serve') return `serve takes options alone, not ${word}; see trivium serve --help`;
  const names = program.commands.map((command) => command.name());
  return `there is no command ${word}${suggestion(word, names) || '; see trivium --help'}`;
}

/** By commander's camel case name. */
type Flags = Readonly<Record<string, string | boolean | undefined>>;

function withConfigFlags(command: Command): Command {
  command.addOption(new Option('--config <file>', 'configuration file, YAML or JSON').argParser(checkedValueOf('--config')));
  for (const key of KEYS) command.addOption(optionOf(key));
  // Sub-commands inherit neither of these.
  return command.exitOverride().configureOutput({ outputError: () => {} });
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
  return new Option(`${key.flag} ${VALUE_NAMES[key.kind]}`, `${key.description}${shownDefault}`).argParser(checkedValueOf(key.flag));
}

const FLAGS: ReadonlySet<string> = new Set(['--config', ...KEYS.map(({ flag }) => flag)]);

/** Whoever leaves a value out is not to be told that of the flag behind it. */
function checkedValueOf(flag: string): (value: string) => string {
  return (value) => {
    if (FLAGS.has(value)) throw new ConfigError(`${flag} needs a value: ${value} stands in its place`);
    return value;
  };
}

function load(flags: Flags): LoadedConfig {
  const given = new Map<string, string>();
  for (const key of KEYS) {
    const value = flags[key.flag.slice(2).replace(/-([a-z])/g, (_dash, letter: string) => letter.toUpperCase())];
    if (value !== undefined) given.set(key.path, String(value));
  }
  return loadConfig({ flags: given, env: process.env, file: readConfigFile(flags['config'] as string | undefined) });
}

function readConfigFile(flag: string | undefined): { name: string; text: string } | null {
  const file = configFileName(flag, process.env);
  if (file === null) return null;
  try {
    return { name: file.name, text: readFileSync(file.name, 'utf8') };
  } catch (error) {
    throw new ConfigError(`cannot read the configuration file ${file.name}: ${reasonOf(error)} (${file.origin})`, { cause: error });
  }
}

function printConfig({ config, origins }: LoadedConfig, asJson: boolean): void {
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

/** What shows the options of the command that was meant. */
function helpFor(word: string | undefined): string {
  const names = commandLine().commands.map((command) => command.name());
  return `trivium ${word !== undefined && names.includes(word) ? word : 'serve'} --help`;
}

/** One line for a person, and the exit code. */
function reportFailure(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    // A command that needs another one behind it has shown which there are.
    if (error.code === 'commander.help') return EXIT_CONFIG;
    const line = error.message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ');
    process.stderr.write(`trivium: ${line}; see ${helpFor(process.argv[2])}\n`);
    return EXIT_CONFIG;
  }
  const expected = error instanceof ConfigError || error instanceof StartError || error instanceof CommandFailure;
  const text = expected ? error.message : `cannot go on: ${(error as Error)?.stack ?? String(error)}`;
  process.stderr.write(`trivium: ${expected ? text.replaceAll(/\s*\n\s*/g, ' ') : text}\n`);
  if (error instanceof CommandFailure) return error.exitCode;
  return error instanceof ConfigError ? EXIT_CONFIG : EXIT_RUNTIME;
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // Whoever read our output (`trivium config | head`) may stop reading; the gateway itself goes on.
  if (error.code !== 'EPIPE') throw error;
});

try {
  await commandLine().parseAsync();
} catch (error) {
  process.exit(reportFailure(error));
}
