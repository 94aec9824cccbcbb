#!/usr/bin/env node
// The command `trivium`: runs a gateway until a signal comes, or administers a running one. Exit codes: 0 done, 1 could not run,
// failed, or was refused, 2 wrong command line or configuration, 3 the answer is no.

import { Command, CommanderError } from 'commander';
import { CommandFailure } from './cli/admin-client.js';
import { addAdminCommands } from './cli/commands.js';
import { addHelp } from './cli/help.js';
import { ConfigError, StartError } from './core/errors.js';
import type { Flags } from './settings.js';
import { VERSION } from './version.js';

const EXIT_RUNTIME = 1;
const EXIT_CONFIG = 2;

function commandLine(): Command {
  const program = new Command('trivium').description('A gateway on which happn, MQTT and Haven clients share one data space.');
  program
    .version(VERSION)
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  const serving = program.command('serve', { isDefault: true }).description('run the gateway (default)');
  // Any other first word comes here, too.
  serving.allowExcessArguments().action(async (flags: Flags) => {
    if (serving.args.length > 0) throw new ConfigError(await excess(serving.args[0] as string, program));
    const { load } = await import('./settings.js');
    const loaded = await load(flags);
    // The libraries of the gateway are loaded only once the configuration is known to be good.
    const { serve } = await import('./serve.js');
    await serve(loaded);
  });
  const showing = program.command('config').description('print the effective configuration and where each value comes from');
  showing.option('--json', 'print JSON').action(async (flags: Flags) => {
    const { load, printConfig } = await import('./settings.js');
    printConfig(await load(flags), flags['json'] === true);
  });
  addAdminCommands(program);
  const speaking = program.command('haven [args...]').description('talk to a gateway over Haven (see trivium haven --help)');
  // What stands behind it is for its own grammar to understand.
  speaking.helpOption(false).allowUnknownOption();
  speaking.action(async (args: string[]) => {
    const { havenTool } = await import('./haven-tool/index.js');
    process.exitCode = await havenTool(args);
  });
  const examining = program.command('doctor').description('report what is unsafe or broken; exit code 1 if something is bad');
  examining.option('--json', 'print JSON').action(async (flags: Flags) => {
    const { load } = await import('./settings.js');
    const loaded = await load(flags);
    const { examine, findingsText } = await import('./doctor/doctor.js');
    const findings = await examine(loaded);
    process.stdout.write(flags['json'] === true ? `${JSON.stringify(findings, null, 2)}\n` : findingsText(findings));
    if (findings.some(({ level }) => level === 'bad')) process.exitCode = EXIT_RUNTIME;
  });
  // Sub-commands inherit neither of these.
  for (const command of [serving, showing, examining]) command.exitOverride().configureOutput({ outputError: () => {} });
  addSettings(program, [serving, showing, examining]);
  return program;
}

/** The settings of the gateway as flags of commands: made of the schema, which is much to load for commands that have none of them. */
function addSettings(program: Command, commands: readonly Command[]): void {
  const prepare = async (command: Command): Promise<void> => {
    if (!commands.includes(command)) return;
    const { addFlags } = await import('./settings.js');
    addFlags(command);
  };
  program.hook('preSubcommand', async (_program, command) => await prepare(command));
  addHelp(program, prepare);
}

/** What is said of a word that means nothing where it stands. */
async function excess(word: string, program: Command): Promise<string> {
  if (program.args[0] === 'serve') return `serve takes only options, not ${word}; see trivium serve --help`;
  const { suggestion } = await import('./config/index.js');
  const names = program.commands.map((command) => command.name());
  return `there is no command ${word}${suggestion(word, names) || '; see trivium --help'}`;
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
    const line = error.message.replace(/^error: |\.$/g, '').replaceAll(/\s*\n\s*/g, ' ');
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
  // Whoever read our output (`trivium config | head`) may stop reading; the gateway itself goes on, also when the disk is full.
  if (error.code === 'EPIPE') return;
  process.exitCode = EXIT_RUNTIME;
  // When stderr goes nowhere, too, nobody is left to tell.
  process.stderr.on('error', () => {});
  process.stderr.write(`trivium: the output could not be written: ${error.message}\n`);
});

try {
  await commandLine().parseAsync();
} catch (error) {
  process.exit(reportFailure(error));
}
