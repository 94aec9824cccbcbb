// The recorded exchanges of real happn clients and servers, and those of the documents the project came from, replayed.
// happn-coverage.md lists every one of them; TRIVIUM_UPDATE_COVERAGE=1 writes it anew.

import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type HappnGateway, startHappn } from '../support/happn-wire.js';
import { CAPTURES } from './happn-deviations.js';
import { HTTP_CAPTURE, replayHttp } from './happn-http-replay.js';
import { replay, type Verdict } from './happn-replay.js';
import { SECURE_CAPTURES } from './happn-secure-captures.js';
import { HAPPNER_CAPTURES } from './happner-captures.js';

vi.mock('node:crypto', async (original) => {
  const { withCheapScrypt } = await import('../support/cheap-scrypt.js');
  return withCheapScrypt(await original());
});

const COVERAGE = new URL('./happn-coverage.md', import.meta.url);
const ALL = [...CAPTURES, ...HAPPNER_CAPTURES, ...SECURE_CAPTURES];
const verdicts = new Map<string, Verdict[]>();

describe('recorded exchanges come out as recorded, or as their deviation says', () => {
  test.each(ALL.map((capture) => [capture.name, capture] as const))('%s', async (name, capture) => {
    verdicts.set(name, await replay(capture));
  });
});

test('plain requests are answered as recorded, or as their difference says', async () => {
  verdicts.set(HTTP_CAPTURE, await replayHttp());
});

interface Vector {
  readonly pattern: string;
  readonly delivered: readonly string[];
}

const VECTORS = JSON.parse(
  readFileSync(new URL('./captures/happn/06-subscription-matching-vectors.json', import.meta.url), 'utf8'),
) as Vector[];
const SETS = ['/a/b', 'a/b', '/a', 'a', '/a/b/c', '/a/b/c/d', '/ab', '/a/b/', '/a/b@c', '/x/y/z/w/v/u'];

describe('a subscription of protocol 4 matches what was measured', () => {
  let gateway: HappnGateway;
  beforeAll(async () => {
    gateway = await startHappn();
  });
  afterAll(async () => {
    await gateway.stop();
  });

  test.each(VECTORS)('$pattern', async ({ pattern, delivered }) => {
    const wire = await (await gateway.connect()).login('happn_4', '13.12.1');
    await wire.request('on', { path: pattern, data: null, options: {} });
    for (const path of SETS) await wire.request('set', { path, data: { n: 1 } });
    await wire.request('remove', { path: '/a/b' });
    const heard = wire.events().map(({ _meta }) => said(_meta as Record<string, string>));
    expect(heard.toSorted()).toEqual(delivered.filter((line) => isMeant(pattern, line)).toSorted());
    await wire.close();
  });

  function said({ action, path, channel }: Record<string, string>): string {
    return action?.startsWith('/REMOVE') ? `REMOVE ${path}` : `SET ${path} x1 ch=${channel}`;
  }

  /** `*` alone hears every action on the real server, whatever was subscribed to; here it hears what was subscribed to. */
  function isMeant(pattern: string, line: string): boolean {
    if (pattern === '/SET@*') return line.startsWith('SET');
    if (pattern === '/REMOVE@*') return line.startsWith('REMOVE');
    return true;
  }
});

test('the list of exchanges says how each comes out', () => {
  const text = coverage();
  if (process.env.TRIVIUM_UPDATE_COVERAGE === '1') writeFileSync(COVERAGE, text);
  expect(readFileSync(COVERAGE, 'utf8')).toBe(text);
});

function coverage(): string {
  const all = [...verdicts.values()].flat();
  const count = (verdict: Verdict['verdict']): number => all.filter((one) => one.verdict === verdict).length;
  return [
    '# happn exchanges: how each recorded one comes out',
    '',
    'Written by `happn-captures.test.ts`, which replays them. _passes_: as recorded. _differs_: on purpose, and as stated.',
    '',
    'Everywhere, and not counted as a difference: times, generated ids, tokens and what a login shows of the connection are matched by',
    'type; with users, logins show neither policies nor the key of a set of permissions, and `modifiedBy` says who changed a record;',
    '`initialValues`, a second copy of `data`, is not sent; `off` does not list the options of what it released; errors carry no',
    'stack; the order of events among each other and before or after their answer is not compared, nor how many heartbeats there are.',
    '',
    `${all.length} exchanges: ${count('passes')} pass, ${count('differs')} differ. ` +
      `06-subscription-matching-vectors: ${VECTORS.length} patterns, of which /SET@* and /REMOVE@* hear only what they name.`,
    '',
    ...[...verdicts.keys()].toSorted().flatMap((name) => [`## ${name}`, '', ...(verdicts.get(name) ?? []).map(line), '']),
  ].join('\n');
}

function line({ exchange, verdict, why }: Verdict): string {
  return `${exchange.number}. \`${exchange.title}\`: **${verdict}**${why === '' ? '' : `, ${why}`}`;
}
