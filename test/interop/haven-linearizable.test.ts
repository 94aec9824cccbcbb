// Compare-and-set and transactions under many clients at once: every history that they see is one of a single store.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type HavenClient, HavenError } from '../../src/haven-client/index.js';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { pick, type Random, randomOf } from '../support/random.js';
import { contradictionIn, type Sight, type Version } from '../support/register-history.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
const CLIENTS = 32;
const OPERATIONS = LONG ? 1_000 : 30;
const RECORDS = 3;

let gateway: GatewayProcess;

beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.stop());

class History {
  readonly versions: Version[] = [];
  readonly sights: Sight[] = [];
  conflicts = 0;
  #ticks = 0;

  constructor(readonly paths: readonly string[]) {}

  async read(client: HavenClient, path: string): Promise<number> {
    const begun = ++this.#ticks;
    const found = await client.read(path);
    const revision = found?.revision ?? 0;
    if (found !== null) this.sights.push({ kind: 'is', path, value: found.value, revision, begun, ended: ++this.#ticks });
    return revision;
  }

  /** Sets all of the paths to the value, or none. */
  async change(client: HavenClient, changes: readonly { path: string; expect: number }[], value: unknown): Promise<void> {
    const begun = ++this.#ticks;
    try {
      const revisions = await this.#set(client, changes, value);
      const ended = ++this.#ticks;
      for (const [index, change] of changes.entries()) {
        this.versions.push({ ...change, value, revision: revisions[index] as number, begun, ended });
      }
    } catch (error) {
      if (!(error instanceof HavenError) || error.name !== 'CONFLICT') throw error;
      this.conflicts += 1;
      const { path, expect: revision } = changes[error.op ?? 0] as { path: string; expect: number };
      if (revision > 0) this.sights.push({ kind: 'is-not', path, value: null, revision, begun, ended: ++this.#ticks });
    }
  }

  async #set(client: HavenClient, changes: readonly { path: string; expect: number }[], value: unknown): Promise<readonly number[]> {
    const [first] = changes as [{ path: string; expect: number }];
    if (changes.length === 1) return [(await client.write(first.path, value, { expect: first.expect })).revision];
    return client.transaction(changes.map((change) => ({ type: 'write' as const, value, ...change })));
  }
}

async function play(client: HavenClient, history: History, name: number, next: Random): Promise<void> {
  for (let n = 0; n < OPERATIONS; n++) {
    const path = pick(history.paths, next);
    const other = pick(history.paths, next);
    const chosen = next(2) === 0 || other === path ? [path] : [path, other];
    const changes: { path: string; expect: number }[] = [];
    for (const one of chosen) changes.push({ path: one, expect: await history.read(client, one) });
    if (next(4) > 0) await history.change(client, changes, `${name}/${n}`);
  }
}

describe(`${CLIENTS} clients at once`, () => {
  it.each([1, 2])('see one store (seed %i)', async (seed) => {
    const history = new History(Array.from({ length: RECORDS }, (_, n) => `/linear/${seed}/${n}`));
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect({ port: gateway.ports.haven })));
    await Promise.all(clients.map((client, name) => play(client, history, name, randomOf(seed * 1_000 + name))));
    await Promise.all(clients.map((client) => client.close()));
    expect(contradictionIn(history.versions, history.sights)).toBeNull();
    // The history is worth something: much was changed, and much was contended.
    expect(history.versions.length).toBeGreaterThan(CLIENTS);
    expect(history.conflicts).toBeGreaterThan(CLIENTS);
  });
});

describe('the check finds', () => {
  const version = (revision: number, expectation: number, begun: number, ended: number, path = 'a'): Version => ({
    path,
    value: revision,
    revision,
    expect: expectation,
    begun,
    ended,
  });
  const good = [version(1, 0, 1, 2), version(2, 1, 3, 6), version(3, 0, 4, 5, 'b')];
  const sight = (kind: Sight['kind'], revision: number, begun: number, ended: number, value: unknown = revision): Sight => ({
    kind,
    path: 'a',
    value,
    revision,
    begun,
    ended,
  });

  it('nothing where nothing is wrong', () => {
    expect(contradictionIn(good, [sight('is', 1, 3.5, 5), sight('is', 2, 4, 5), sight('is-not', 1, 4, 7)])).toBeNull();
  });

  it.each<[string, Version[], Sight[]]>([
    ['a lost update', [version(1, 0, 1, 2), version(2, 1, 3, 4), version(3, 1, 3, 4)], []],
    ['a number given twice', [version(1, 0, 1, 2), version(1, 1, 3, 4)], []],
    ['an order against the time', [version(2, 1, 1, 2), version(1, 0, 3, 4)], []],
    ['a stale read', good, [sight('is', 1, 7, 8)]],
    ['a read of what is still to come', good, [sight('is', 2, 1, 2.5)]],
    ['a read of another value', good, [sight('is', 2, 7, 8, 'other')]],
    ['a conflict without a reason', good, [sight('is-not', 2, 7, 8)]],
  ])('%s', (_name, versions, sights) => {
    expect(contradictionIn(versions, sights)).toEqual(expect.any(String));
  });
});
