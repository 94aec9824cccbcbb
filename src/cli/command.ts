// What all administration commands share: flags, how they are made, and how answers are printed.

import type { Command } from 'commander';
import { ADMIN_URL, AdminClient, CommandFailure, type ConnectionFlags } from './admin-client.js';

export type Flags = ConnectionFlags & {
  readonly json?: boolean;
  readonly group?: string | string[];
  readonly user?: string;
  readonly protocol?: string;
  readonly state?: string;
  readonly passwordFile?: string;
  readonly askPassword?: boolean;
  readonly allow?: string[];
  readonly prohibit?: string[];
  readonly forget?: string[];
  readonly customData?: string;
  readonly lookups?: string;
  readonly add?: string[];
  readonly remove?: string[];
  readonly replace?: boolean;
  readonly out?: string;
  readonly type?: string;
  readonly ttlMs?: string;
  readonly dialect?: string;
  readonly limit?: string;
  readonly after?: string;
  readonly before?: string;
  readonly action?: string;
  readonly actor?: string;
  readonly target?: string;
  readonly outcome?: string;
  readonly since?: string;
  readonly until?: string;
  readonly follow?: boolean;
};

/** What a command does with a gateway; what it returns is printed. */
export type Work = (client: AdminClient, flags: Flags, args: readonly string[]) => Promise<Printed>;

/** `text` for people; `json` for programs. */
export interface Printed {
  readonly json: unknown;
  readonly text: string;
  readonly exitCode?: number;
}

export function add(parent: Command, usage: string, description: string, work: Work): Command {
  const [name = '', ...args] = usage.split(' ');
  const command = parent.command(name).description(description);
  for (const arg of args) command.argument(arg);
  command.option('--admin-url <url>', `admin listener of the gateway (TRIVIUM_ADMIN_URL; default ${ADMIN_URL})`);
  command.option('--token <token>', 'token of an administrator (TRIVIUM_TOKEN); visible to other users of this machine, so prefer a file');
  command.option('--token-file <file>', 'file with the token');
  command.option('--json', 'print JSON');
  command.exitOverride().configureOutput({ outputError: () => {} });
  return command.action(async (...given: unknown[]) => {
    const flags = given.at(-2) as Flags;
    const { json, text, exitCode = 0 } = await work(new AdminClient(flags, process.env), flags, given.slice(0, -2) as string[]);
    if (flags.json !== true) process.stdout.write(text);
    else if (json !== null) process.stdout.write(`${JSON.stringify(json, null, 2)}\n`);
    process.exitCode = exitCode;
  });
}

export function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

export function wholeNumber(text: string, flag: string): number {
  if (!/^\d+$/.test(text)) throw new CommandFailure(2, `${flag}: ${text} is no whole number`);
  return Number(text);
}
