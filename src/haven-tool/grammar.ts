// Grammar: the commands and their options, the same on the command line, in a script and at the prompt.

import { Argument, Command, InvalidArgumentError } from 'commander';
import type { TargetFlags } from './target.js';

export { type Command, CommanderError } from 'commander';

const CONTROL_TYPES = ['location', 'processor', 'leader', 'follower', 'join', 'leave', 'proxy', 'router', 'attach', 'exit', 'destroy'];
const DISCOVER_TYPES = ['location', 'uuid', 'quorum'];

/** Options that every command has. */
export interface CommonFlags extends TargetFlags {
  readonly json?: boolean;
}

export interface ReadFlags {
  readonly criteria?: string;
  readonly fields?: string;
  readonly sort?: string;
  readonly limit?: number;
  readonly after?: string;
  readonly at?: string;
  readonly revision?: number;
  readonly long?: boolean;
  readonly raw?: boolean;
}

export interface WriteFlags {
  readonly expect?: number;
  readonly merge?: boolean;
  readonly meta?: string;
  readonly text?: boolean;
}

export interface DeleteFlags {
  readonly expect?: number;
  readonly criteria?: string;
}

export interface WatchFlags {
  readonly initial?: boolean;
  readonly since?: number;
  readonly count?: number;
}

export interface ControlFlags {
  readonly uuid?: string;
  readonly force?: boolean;
}

/** What each command does. */
export interface Deeds {
  connect(): Promise<void>;
  read(path: string, flags: ReadFlags): Promise<void>;
  write(type: 'create' | 'write' | 'update', path: string, value: string, flags: WriteFlags): Promise<void>;
  delete(path: string, flags: DeleteFlags): Promise<void>;
  transaction(operations: string): Promise<void>;
  watch(path: string, flags: WatchFlags): Promise<void>;
  control(type: string, path: string | undefined, flags: ControlFlags): Promise<void>;
  discover(type: string, what: string | undefined, flags: { readonly uuid?: string }): Promise<void>;
  state(): Promise<void>;
}

/** What is there in lines only: in a script and at the prompt. */
export interface LineDeeds {
  unwatch(path: string | undefined): Promise<void>;
  quit(): void;
}

/** `deedsFor` is asked before a command is carried out, once its options are known. */
export function grammar(
  name: string,
  deedsFor: (flags: CommonFlags, command: string) => Deeds | Promise<Deeds>,
  inLines: LineDeeds | null = null,
): Command {
  const program = new Command(name)
    .description('Talks to a gateway over Haven.')
    .helpCommand('help [command]', 'show the usage of a command');
  program
    .option('--host <address>', 'host of the gateway (127.0.0.1)')
    .option('--port <number>', 'its Haven port (7854)', wholeNumber)
    .option('--user <name>', 'user name; the password is in --password-file or TRIVIUM_HAVEN_PASSWORD')
    .option('--password-file <file>', 'file with the password')
    .option('--token-file <file>', 'file with a token from trivium token issue, instead of user and password (or TRIVIUM_HAVEN_TOKEN)')
    .option('--timeout <ms>', 'how long connecting, or one answer, may take (30000)', wholeNumber)
    .option('--json', 'print JSON, one object per line');
  if (inLines !== null) {
    // A line begins with a command, not with the name of a program.
    const commandUsage = (command: Command): string =>
      command === program ? '<command> [options] [arguments]' : `${command.name()} ${command.usage()}`;
    program.configureHelp({ commandUsage });
  }
  let chosen: Deeds | null = null;
  program.hook('preAction', async (_program, command) => {
    chosen = await deedsFor(program.opts<CommonFlags>(), command.name());
  });
  const deeds = (): Deeds => chosen as Deeds;
  addData(program, deeds);
  addNode(program, deeds);
  if (inLines !== null) addLineCommands(program, inLines);
  for (const command of [program, ...program.commands]) command.exitOverride().configureOutput({ outputError: () => {} });
  return program;
}

function addData(program: Command, deeds: () => Deeds): void {
  program
    .command('read <path>')
    .description('show a record, or with * in the path all that match')
    .option('--criteria <json>', 'only records that meet these criteria')
    .option('--fields <json>', 'only these fields')
    .option('--sort <json>', 'sort by these fields')
    .option('--limit <number>', 'at most this many records', wholeNumber)
    .option('--after <path>', 'only paths after this one')
    .option('--at <time>', 'as of a date and time, or milliseconds since 1970')
    .option('--revision <number>', 'as of this revision', wholeNumber)
    .option('-l, --long', 'add revision and time')
    .option('--raw', 'print only the bytes of the value')
    .action((path: string, flags: ReadFlags) => deeds().read(path, flags));
  for (const [type, what] of WRITES) {
    const command = program
      .command(`${type} <path> <value>`)
      .description(`${what}; the value is JSON, or text, or @file for the bytes of a file`)
      .option('--text', 'take the value as text, even if it looks like JSON')
      .option('--meta <json>', 'meta of the record, such as contentType')
      .action((path: string, value: string, flags: WriteFlags) => deeds().write(type, path, value, flags));
    if (type === 'create') continue;
    command
      .option('--expect <revision>', 'only if the record has this revision; 0: only if there is none', wholeNumber)
      .option('--merge', 'merge one level into the record');
  }
  program
    .command('delete <path>')
    .description('remove a record, or with * in the path all that match')
    .option('--expect <revision>', 'only if the record has this revision', wholeNumber)
    .option('--criteria <json>', 'only records that meet these criteria')
    .action((path: string, flags: DeleteFlags) => deeds().delete(path, flags));
  program
    .command('transaction <operations>')
    .description('execute a JSON list of operations (or @file), all or none: [{"type":"write","path":…,"value":…,"expect":…}, …]')
    .action((operations: string) => deeds().transaction(operations));
  program
    .command('watch <path>')
    .description('show changes of a path, or with * of all paths that match')
    .option('--initial', 'show existing records first')
    .option('--since <revision>', 'show changes after this revision first', wholeNumber)
    .option('--count <number>', 'end after this many events', wholeNumber)
    .action((path: string, flags: WatchFlags) => deeds().watch(path, flags));
}

const WRITES = [
  ['create', 'create a record, unless it exists'],
  ['write', 'set a record'],
  ['update', 'set an existing record'],
] as const;

function addNode(program: Command, deeds: () => Deeds): void {
  program
    .command('connect')
    .description('connect, and print the name of the gateway')
    .action(() => deeds().connect());
  program
    .command('control')
    .description('give the node a role, or take it away')
    .addArgument(new Argument('<type>', 'role or action').choices(CONTROL_TYPES))
    .argument('[path]', 'base key, or the uuid of a quorum')
    .option('--uuid <uuid>', 'uuid of a quorum')
    .option('--force', 'even if records or quorums are lost')
    .action((type: string, path: string | undefined, flags: ControlFlags) => deeds().control(type, path, flags));
  program
    .command('discover')
    .description('find a location, node or quorum')
    .addArgument(new Argument('<type>', 'what to find').choices(DISCOVER_TYPES))
    .argument('[what]', 'a path, or a uuid')
    .option('--uuid <uuid>', 'uuid of a node or a quorum')
    .action((type: string, what: string | undefined, flags: { uuid?: string }) => deeds().discover(type, what, flags));
  program
    .command('state')
    .description('show the state of the node')
    .action(() => deeds().state());
}

function addLineCommands(program: Command, deeds: LineDeeds): void {
  program
    .command('unwatch [path]')
    .description('end the watches of a path, or all')
    .action((path: string | undefined) => deeds.unwatch(path));
  program
    .command('quit')
    .alias('exit')
    .description('leave (or press Ctrl-D)')
    .action(() => deeds.quit());
}

function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}
