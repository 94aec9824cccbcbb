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
  const program = new Command(name).description('Speaks Haven with a gateway.').helpCommand('help [command]', 'show what a command takes');
  program
    .option('--host <address>', 'where the gateway is (127.0.0.1)')
    .option('--port <number>', 'its Haven port (7854)', wholeNumber)
    .option('--user <name>', 'who asks; with --password-file or TRIVIUM_HAVEN_PASSWORD')
    .option('--password-file <file>', 'holds the password')
    .option('--token-file <file>', 'holds a token of trivium token issue, instead of user and password (or TRIVIUM_HAVEN_TOKEN)')
    .option('--timeout <ms>', 'how long a connection or an answer may take (30000)', wholeNumber)
    .option('--json', 'print JSON, one object a line');
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
    .option('--criteria <json>', 'only records that meet them')
    .option('--fields <json>', 'only these fields')
    .option('--sort <json>', 'in this order')
    .option('--limit <number>', 'at most so many records', wholeNumber)
    .option('--after <path>', 'only paths behind this one')
    .option('--at <time>', 'as it was then: a date and time, or milliseconds since 1970')
    .option('--revision <number>', 'as it was behind that change', wholeNumber)
    .option('-l, --long', 'with revision and time')
    .option('--raw', 'nothing but the bytes of the value')
    .action((path: string, flags: ReadFlags) => deeds().read(path, flags));
  for (const [type, what] of WRITES) {
    const command = program
      .command(`${type} <path> <value>`)
      .description(`${what}; the value is JSON, or text, or @file for the bytes of a file`)
      .option('--text', 'the value is text, whatever it looks like')
      .option('--meta <json>', 'what the message says of itself beside its value, such as contentType')
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
    .option('--criteria <json>', 'only records that meet them')
    .action((path: string, flags: DeleteFlags) => deeds().delete(path, flags));
  program
    .command('transaction <operations>')
    .description('do all of a list of operations in JSON (or @file), or none: [{"type":"write","path":…,"value":…,"expect":…}, …]')
    .action((operations: string) => deeds().transaction(operations));
  program
    .command('watch <path>')
    .description('show the changes of a path, or with * in it of all that match')
    .option('--initial', 'first the records that exist')
    .option('--since <revision>', 'first what happened behind this revision', wholeNumber)
    .option('--count <number>', 'end after so many', wholeNumber)
    .action((path: string, flags: WatchFlags) => deeds().watch(path, flags));
}

const WRITES = [
  ['create', 'make a record where none is'],
  ['write', 'set a record'],
  ['update', 'set a record that exists'],
] as const;

function addNode(program: Command, deeds: () => Deeds): void {
  program
    .command('connect')
    .description('connect, and say to whom')
    .action(() => deeds().connect());
  program
    .command('control')
    .description('make the node something, or end that')
    .addArgument(new Argument('<type>', 'what').choices(CONTROL_TYPES))
    .argument('[path]', 'base key, or the uuid of a quorum')
    .option('--uuid <uuid>', 'of a quorum')
    .option('--force', 'even if something is lost by it')
    .action((type: string, path: string | undefined, flags: ControlFlags) => deeds().control(type, path, flags));
  program
    .command('discover')
    .description('find out where something is')
    .addArgument(new Argument('<type>', 'what').choices(DISCOVER_TYPES))
    .argument('[what]', 'a path, or a uuid')
    .option('--uuid <uuid>', 'of a node or a quorum')
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
    .description('leave (Ctrl-D does it, too)')
    .action(() => deeds.quit());
}

function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}
