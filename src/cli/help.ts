// The command `help` of a command with subcommands: shows the usage of one of them, or lists them.

import type { Command } from 'commander';
import { CommandFailure } from './admin-client.js';

/** To be called when all others are there. `prepare` gives a command what it has beside its words, before it is shown. */
export function addHelp(parent: Command, prepare: (command: Command) => Promise<void> = async () => {}): void {
  const help = parent.helpCommand(false).command('help [command...]').description('display help for command');
  help.exitOverride().configureOutput({ outputError: () => {} });
  help.action(async (words: readonly string[]) => {
    let shown = parent;
    for (const word of words) shown = below(shown, word);
    await prepare(shown);
    shown.help();
  });
}

function below(command: Command, word: string): Command {
  const found = command.commands.find((one) => one.name() === word);
  if (found !== undefined) return found;
  const path = pathOf(command);
  const names = command.commands.map((one) => one.name()).filter((name) => name !== 'help');
  const advice = names.length > 0 ? `there are ${names.join(', ')}` : `see ${['trivium', ...path, '--help'].join(' ')}`;
  throw new CommandFailure(2, `there is no command ${[...path, word].join(' ')}; ${advice}`);
}

/** Names of those above it, from the outermost command of the program on, and its own. */
function pathOf(command: Command): string[] {
  return command.parent === null ? [] : [...pathOf(command.parent), command.name()];
}
