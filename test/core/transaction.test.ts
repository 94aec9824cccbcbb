import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TransactionError } from '../../src/core/errors.js';
import { type DataOptions, DataRequest, type Reply, STORED, TRANSACTION_MAX, TransactionRequest } from '../../src/core/message.js';
import { TRANSACTION_BYTES_MAX } from '../../src/core/operations/transaction.js';
import { parsePattern } from '../../src/core/paths/pattern.js';
import { accessOf } from '../support/access.js';
import { GateStore, type Harness, type HarnessOptions, settled, startEngine, type TestSession } from '../support/core-harness.js';
import { pick, randomOf } from '../support/random.js';

let harness: Harness;
let session: TestSession;

async function begin(options: HarnessOptions = {}): Promise<void> {
  harness = await startEngine(options);
  session = harness.session(true);
}

beforeEach(() => begin());
afterEach(() => harness.stop());

const set = (path: string, value: unknown, options: Partial<DataOptions> = {}): DataRequest =>
  session.setRequest(path, value as never, options);
const create = (path: string, value: unknown): DataRequest => set(path, value, { condition: 'absent' });
const remove = (path: string, options: Partial<DataOptions> = {}): DataRequest =>
  new DataRequest('remove', session, null, path, null, null, { ...STORED, ...options }, false, 0, null);
const get = (path: string, options: Partial<DataOptions> = {}): DataRequest =>
  new DataRequest('get', session, null, path, null, null, { ...STORED, ...options }, false, 0, null);
const transact = (...operations: DataRequest[]): Promise<Reply> => session.submit(new TransactionRequest(session, 't', operations, null));

const valueAt = async (path: string): Promise<unknown> => (await session.get(path)).entry?.payload.value() ?? null;

async function expectFailure(reply: Promise<Reply>, code: string, operation: number): Promise<void> {
  const { error, revisions } = await reply;
  expect(error).toBeInstanceOf(TransactionError);
  expect(error).toMatchObject({ code, operation });
  expect(error?.message).toMatch(`operation ${operation}: `);
  expect(revisions).toBeNull();
}

describe('a transaction', () => {
  it('makes all of its changes in one batch, and is answered with their revisions', async () => {
    await session.set('old', 1);
    const { writes } = harness.store;
    const { revisions, error } = await transact(set('a', 1), create('b', 2), remove('old'), remove('none'), get('a'), set('a', 3));
    expect([revisions, error]).toEqual([[2, 3, 4, 0, 2, 5], null]);
    expect(harness.store.writes).toBe(writes + 1);
    expect([await valueAt('a'), await valueAt('b'), await valueAt('old')]).toEqual([3, 2, null]);
    expect((await session.set('next', 1)).entry?.revision).toBe(6);
  });

  it('is news of each of its changes, in their order, before the answer', async () => {
    await session.set('p/old', 0);
    await session.subscribe('p/*', 'glob', {}, false, 's');
    session.log.length = 0;
    await transact(set('p/a', 1), set('p/a', 2), remove('p/old'), remove('p/none'), set('q', 1), set('p/quiet', 1, { publish: false }));
    expect(session.log).toEqual(['set p/a 1', 'set p/a 2', 'remove p/old null', 'reply t']);
    expect(session.heard.map(({ publication }) => publication.revision)).toEqual([2, 3, 4]);
  });

  it.each<[string, () => DataRequest[], string, number]>([
    ['a record that is there', () => [set('new', 1), create('there', 2)], 'CONFLICT', 1],
    ['a record that is not there', () => [set('new', 1), set('x', 2), set('none', 2, { condition: 'present' })], 'NOT_FOUND', 2],
    ['another revision of a set', () => [set('there', 2, { expect: 9 }), set('new', 1)], 'CONFLICT', 0],
    ['another revision of a removal', () => [set('new', 1), remove('there', { expect: 9 })], 'CONFLICT', 1],
    ['another revision of a get', () => [set('new', 1), get('there', { expect: 0 })], 'CONFLICT', 1],
    ['a record that it made itself', () => [create('new', 1), create('new', 2)], 'CONFLICT', 1],
    ['a record that it removed itself', () => [remove('there'), set('there', 1, { condition: 'present' })], 'NOT_FOUND', 1],
    ['a wildcard', () => [set('new', 1), session.patternRequest('remove', '*', {})], 'INVALID_REQUEST', 1],
    ['an event that stores nothing', () => [set('new', 1), set('event', 1, { store: false })], 'INVALID_REQUEST', 1],
    ['an exactly-once number', () => [session.setRequest('new', 1, {}, 1, 7)], 'INVALID_REQUEST', 0],
  ])('fails because of %s, and nothing of it happened', async (_name, operations, code, operation) => {
    await session.set('there', { n: 1 });
    await session.subscribe('*');
    const { writes } = harness.store;
    await expectFailure(transact(...operations()), code, operation);
    expect(harness.store.writes).toBe(writes);
    expect(session.heard).toEqual([]);
    expect([await valueAt('there'), await valueAt('new')]).toEqual([{ n: 1 }, null]);
    expect((await session.set('next', 1)).entry?.revision).toBe(2);
  });

  it('judges each condition, and merges each record, on what the operations before leave', async () => {
    await session.set('r', { a: 1 });
    const { revisions } = await transact(
      set('r', { b: 2 }, { merge: true, expect: 1 }),
      set('r', { c: 3 }, { merge: true, expect: 2 }),
      remove('r', { expect: 3 }),
      get('r', { expect: 0 }),
      create('r', { d: 4 }),
      set('r', { e: 5 }, { merge: true }),
    );
    expect(revisions).toEqual([2, 3, 4, 0, 5, 6]);
    expect(await valueAt('r')).toEqual({ d: 4, e: 5 });
  });

  it('writes no more than it may, also by merges, which bring little', async () => {
    const bytes = TRANSACTION_BYTES_MAX / 4;
    await session.set('r', { text: 'x'.repeat(bytes) });
    const merges = Array.from({ length: 4 }, (_, i) => set('r', { i }, { merge: true }));
    await expectFailure(transact(set('a', 1), ...merges), 'LIMIT_EXCEEDED', 4);
    expect(await valueAt('a')).toBeNull();
    expect((await transact(set('a', 1), ...merges.slice(0, 3))).error).toBeNull();
  });

  it('names one path by a pattern without wildcards', async () => {
    await session.set('r', 1);
    const exact = new DataRequest('remove', session, null, '', parsePattern('r', 'glob'), null, STORED, false, 0, null);
    expect((await transact(exact)).revisions).toEqual([2]);
    expect(await valueAt('r')).toBeNull();
  });

  it(`has from 1 to ${TRANSACTION_MAX} operations`, async () => {
    const sets = (count: number): DataRequest[] => Array.from({ length: count }, (_, n) => set(`p/${n}`, n));
    expect((await transact()).error).toMatchObject({ code: 'INVALID_REQUEST' });
    expect((await transact(...sets(TRANSACTION_MAX + 1))).error).toMatchObject({ code: 'LIMIT_EXCEEDED' });
    expect((await session.find('*')).entries).toEqual([]);
    expect((await transact(...sets(TRANSACTION_MAX))).revisions).toEqual(Array.from({ length: TRANSACTION_MAX }, (_, n) => n + 1));
  });

  it('needs the right of each operation, and tells of no record otherwise', async () => {
    await harness.stop();
    await begin({ access: accessOf((action, path) => `${action} ${path}` !== 'remove b') });
    await expectFailure(transact(create('a', 1), remove('b', { expect: 5 })), 'ACCESS_DENIED', 1);
    expect(await valueAt('a')).toBeNull();
    expect((await transact(create('a', 1), set('b', 1))).error).toBeNull();
  });

  it('is seen whole or not at all, by path, by pattern and by later conditions', async () => {
    harness.store.held = true;
    const other = harness.session(false);
    const done = transact(set('a', 1), set('b', 1));
    await settled();
    const seen = [other.get('a', 1), other.find('*', {}, 2), other.set('b', 2, { expect: 2 }, 3)];
    await settled();
    expect(other.replies).toEqual([]);
    harness.store.release();
    await done;
    const [one, all, changed] = await Promise.all(seen);
    expect(one?.entry?.payload.value()).toBe(1);
    expect(all?.entries?.map(({ path }) => path)).toEqual(['a', 'b']);
    expect(changed?.error).toBeNull();
  });

  it('that the store refuses has not happened', async () => {
    await session.set('a', 0);
    await session.subscribe('*');
    harness.store.failure = new Error('the disk is full');
    const { error, revisions } = await transact(set('a', 1), set('b', 1));
    expect([error?.code, revisions]).toEqual(['STORE_FAILED', null]);
    expect([await valueAt('a'), await valueAt('b'), session.heard]).toEqual([0, null, []]);
  });

  it('is queued for durable sessions with each of its changes', async () => {
    const durable = harness.session();
    await durable.durably({ type: 'open', key: 'k', clean: false, expiryMs: 60_000 });
    await durable.subscribe('p/*', 'glob', { qos: 1 });
    await transact(set('p/a', 1), set('p/b', 2));
    expect(durable.durable?.queue.size).toBe(2);
    expect(durable.heard.map(({ publication }) => publication.path)).toEqual(['p/a', 'p/b']);
  });
});

describe('many transactions', () => {
  it.each([1, 2, 3, 4, 5])('leave what a model says (seed %i)', async (seed) => {
    const next = randomOf(seed);
    const paths = ['a', 'b', 'c', 'd'];
    let model = new Map<string, { value: number; revision: number }>();
    let revision = 0;
    for (let round = 0; round < 100; round++) {
      const draft = new Map(model);
      let counted = revision;
      let failed = -1;
      const revisions: number[] = [];
      const operations = Array.from({ length: 1 + next(5) }, (_, index) => {
        const path = pick(paths, next);
        const before = draft.get(path);
        const expectation = next(3) === 0 ? null : next(4) === 0 ? revision : (before?.revision ?? 0);
        if (failed < 0 && expectation !== null && expectation !== (before?.revision ?? 0)) failed = index;
        const isRemoval = next(3) === 0;
        if (isRemoval) draft.delete(path);
        else draft.set(path, { value: round, revision: counted + 1 });
        const changes = !isRemoval || before !== undefined;
        if (changes) counted += 1;
        revisions.push(changes ? counted : 0);
        return isRemoval ? remove(path, { expect: expectation }) : set(path, round, { expect: expectation });
      });
      const reply = await transact(...operations);
      if (failed < 0) {
        expect(reply.revisions).toEqual(revisions);
        model = draft;
        revision = counted;
      } else {
        expect(reply.error).toMatchObject({ code: 'CONFLICT', operation: failed });
      }
      for (const path of paths) {
        const { entry } = await session.get(path);
        expect(entry === null ? undefined : { value: entry.payload.value(), revision: entry.revision }).toEqual(model.get(path));
      }
    }
  });
});

it('a store that begins with a transaction is whole after a restart', async () => {
  const store = new GateStore();
  await harness.stop();
  await begin({ store });
  await transact(set('a', 1), set('b', 2));
  await harness.stop();
  await begin({ store });
  expect([await valueAt('a'), await valueAt('b')]).toEqual([1, 2]);
  expect((await session.set('c', 3)).entry?.revision).toBe(3);
});
