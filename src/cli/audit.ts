// trivium audit: who did what, once or as it happens.

import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import { type AdminClient, CommandFailure, type Json, type Query } from './admin-client.js';
import { add, type Flags, type Work, wholeNumber } from './command.js';
import { line, table } from './output.js';

const HEADS = ['NUMBER', 'TIME', 'ACTION', 'ACTOR', 'TARGET', 'OUTCOME', 'PROTOCOL', 'ADDRESS', 'DETAILS'];
/** How long whoever follows waits for more. */
const PAUSE_MS = 1_000;
const PAGE_MAX = 1_000;

export function addAudit(program: Command): void {
  const audit = add(program, 'audit', 'show who did what to users, rights and sessions, and who was refused', showAudit);
  audit.option('--limit <number>', 'at most this many entries', '100');
  audit.option('--after <number>', 'entries after this number, oldest first (default: the newest)');
  audit.option('--before <number>', 'entries before this number');
  audit.option('--action <name>', 'only this action, such as user.put').option('--actor <user>', 'only actions of this user');
  audit.option('--target <name>', 'only actions on this user, group, token, session or path');
  audit.option('--outcome <done|refused>', 'only completed, or only refused actions');
  audit.option('--since <time>', 'from this time on, such as 2030-01-31 or 2030-01-31T08:00:00Z');
  audit.option('--until <time>', 'before this time');
  audit.option('--follow', 'keep printing new entries until Ctrl-C');
}

const showAudit: Work = async (client, flags) => {
  const query = queryOf(flags);
  if (flags.follow === true) return await follow(client, query, flags.json === true);
  const answer = await page(client, query);
  return { json: answer, text: table(HEADS, entriesOf(answer).map(rowOf)) };
};

/** Never resolves: it is ended from outside, the gateway is, or nobody reads any more. With --json a line is an entry. */
async function follow(client: AdminClient, query: Query, asJson: boolean): Promise<never> {
  if (query['before'] !== undefined) throw new CommandFailure(2, '--before cannot be used together with --follow');
  process.stdout.on('error', () => process.exit());
  let answer = await page(client, query);
  if (!asJson) process.stdout.write(line(HEADS));
  for (;;) {
    const entries = entriesOf(answer);
    process.stdout.write(entries.map((entry) => (asJson ? `${JSON.stringify(entry)}\n` : line(rowOf(entry)))).join(''));
    if (entries.length < PAGE_MAX) await delay(PAUSE_MS);
    answer = await page(client, { ...query, limit: PAGE_MAX, after: answer['next'] as number });
  }
}

async function page(client: AdminClient, query: Query): Promise<Json> {
  return (await client.ask('GET', ['audit'], { query })) as Json;
}

function queryOf({ limit, after, before, action, actor, target, outcome, since, until }: Flags): Query {
  const numberIn = (text: string | undefined, flag: string): number | undefined =>
    text === undefined ? undefined : wholeNumber(text, flag);
  return {
    ...{ limit: numberIn(limit, '--limit'), after: numberIn(after, '--after'), before: numberIn(before, '--before') },
    ...{ action, actor, target, outcome, since: timeIn(since, '--since'), until: timeIn(until, '--until') },
  };
}

function timeIn(text: string | undefined, flag: string): string | undefined {
  if (text === undefined) return undefined;
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new CommandFailure(2, `${flag}: ${text} is no time such as 2030-01-31 or 2030-01-31T08:00:00Z`);
  return new Date(time).toISOString();
}

function entriesOf(answer: Json): Json[] {
  return answer['entries'] as Json[];
}

function rowOf(entry: Json): unknown[] {
  const [number, time, action, actor] = [entry['number'], entry['time'], entry['action'], entry['actor']];
  const details = Object.keys(entry['details'] as object).length === 0 ? null : entry['details'];
  return [number, time, action, actor, entry['target'], entry['refusal'] ?? 'done', entry['protocol'], entry['address'], details];
}
