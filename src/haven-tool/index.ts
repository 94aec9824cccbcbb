// `trivium haven`: talks to a gateway over Haven from the command line: single commands, a script, or a prompt.

import { Actions } from './actions.js';
import { tell } from './failures.js';
import { Gateway } from './gateway.js';
import { type CommonFlags, grammar } from './grammar.js';
import { Printer } from './printer.js';
import { Prompt } from './prompt.js';
import { Foreground, runScript, type Streams } from './script.js';
import { targetOf } from './target.js';
import { UsageError } from './usage-error.js';

type Flags = CommonFlags & { readonly keepGoing?: boolean };

/** `args`: what stands behind `trivium haven`. Resolves with the exit code, when nothing is left to do. */
export async function havenTool(args: readonly string[]): Promise<number> {
  const streams = standardStreams();
  let gateway: Gateway | null = null;
  let printer = new Printer(streams.write, args.includes('--json'));
  let isBare = false;
  const begin = (flags: Flags): Actions => {
    gateway = new Gateway(targetOf(flags, process.env));
    printer = new Printer(streams.write, flags.json === true);
    return new Actions(new Foreground(gateway, streams), printer);
  };
  const program = grammar('trivium haven', begin)
    .usage('[options] [command]')
    .option('--keep-going', 'continue a script after a line that fails')
    .allowExcessArguments()
    .action(() => {
      const [first] = program.args;
      if (first !== undefined) throw new UsageError(`there is no command ${first}`);
      isBare = true;
    })
    .addHelpText('after', '\nWithout a command: a prompt, or the lines of a script when the input is no terminal.');
  try {
    await program.parseAsync(args, { from: 'user' });
    return isBare ? await runLines(gateway as unknown as Gateway, program.opts<Flags>(), streams) : 0;
  } catch (error) {
    return tell(error, printer, (line) => streams.complain(`${line}${isUsage(error) ? '; see trivium haven --help' : ''}`));
  } finally {
    await (gateway as Gateway | null)?.close();
  }
}

async function runLines(gateway: Gateway, flags: Flags, streams: Streams): Promise<number> {
  const { stdin, stdout } = process;
  try {
    if (!stdin.isTTY) return await runScript(stdin, gateway, flags, streams);
    await new Prompt(stdin, stdout, gateway, flags).run();
    return 0;
  } finally {
    // It may stay open for as long as whoever writes to it likes.
    stdin.destroy();
  }
}

function isUsage(error: unknown): boolean {
  return error instanceof UsageError || (error as Error).name === 'CommanderError';
}

function standardStreams(): Streams {
  const { stdout, stderr } = process;
  return {
    write: (output) => void stdout.write(output),
    complain: (line) => void stderr.write(`trivium: ${line}\n`),
    untilStopped: (stop) => {
      process.on('SIGINT', stop).on('SIGTERM', stop);
      stdout.on('error', stop);
      return () => {
        process.off('SIGINT', stop).off('SIGTERM', stop);
        stdout.off('error', stop);
      };
    },
  };
}
