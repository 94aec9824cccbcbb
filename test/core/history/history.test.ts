// History: what a record was, what happened since a revision, and that neither is ever made up.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { HistoryRuleSettings, HistorySettings } from '../../../src/core/history/rules.js';
import {
  type DataOptions,
  DataRequest,
  type Publication,
  type Reply,
  STORED,
  SubscribeRequest,
  TransactionRequest,
} from '../../../src/core/message.js';
import { parsePattern } from '../../../src/core/paths/pattern.js';
import { parseQuery } from '../../../src/core/query/query.js';
import { OPEN_ACCESS } from '../../../src/core/security/access.js';
import type { Principal } from '../../../src/core/security/identity.js';
import { SECTION } from '../../../src/core/store/store.js';
import { GateStore, type Harness, type HarnessOptions, settled, startEngine, type TestSession, until } from '../../support/core-harness.js';
import { MemoryDisk } from '../../support/memory-store.js';
import { mustEqual } from '../../support/must.js';
import { pick, randomOf } from '../../support/random.js';

let harness: Harness;
let session: TestSession;

const MANY = 1_000_000_000;

function keeping(rules: (Partial<HistoryRuleSettings> & { pattern: string })[], maxBytes = MANY): HistorySettings {
  return { rules: rules.map((rule) => ({ revisions: 10, age: null, ...rule })), maxBytes };
}

async function begin(history: HistorySettings, options: HarnessOptions = {}): Promise<void> {
  harness = await startEngine({ history, ...options });
  session = harness.session(true);
}

/** Another run on the same disk. */
async function restart(history: HistorySettings): Promise<void> {
  const { disk } = harness.store;
  const { time } = harness.clock;
  await harness.stop();
  await begin(history, { store: new GateStore(disk), time });
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
});

afterEach(async () => {
  await harness.stop();
  vi.useRealTimers();
});

const asked = (path: string, asOf: { revision?: number; time?: number }): Promise<Reply> =>
  session.get(path, undefined, { asOf: { revision: asOf.revision ?? null, time: asOf.time ?? 0 } });

/** The value then, null for none, or the code of the error. */
async function at(path: string, asOf: { revision?: number; time?: number }): Promise<unknown> {
  const { error, entry } = await asked(path, asOf);
  return error?.code ?? entry?.payload.value() ?? null;
}

/** Paths and values that a pattern found then, or the code of the error. */
async function allAt(
  pattern: string,
  asOf: { revision?: number; time?: number },
  options: Partial<DataOptions> = {},
): Promise<readonly [string, unknown][] | string | undefined> {
  const { revision = null, time = 0 } = asOf;
  const { error, entries } = await session.find(pattern, { ...options, asOf: { revision, time } });
  return error?.code ?? entries?.map(({ path, payload }) => [path, payload.value()]);
}

async function rows(section: 'history' | 'timeline' | 'pastExpiry'): Promise<number> {
  const scan = harness.store.scan({ section: SECTION[section] }, 100_000);
  const found = await scan.next();
  await scan.close();
  return found.length;
}

async function sweep(): Promise<void> {
  vi.advanceTimersByTime(1_000);
  await settled(50);
}

describe('a record as of a moment', () => {
  test('is what it was after a change, and at a time', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    const t0 = harness.clock.time;
    await session.set('/a/1', 'one');
    harness.clock.time += 10;
    await session.set('/other', 0);
    await session.set('/a/1', 'two');
    harness.clock.time += 10;
    await session.remove('/a/1');
    harness.clock.time += 10;
    await session.set('/a/1', { n: 3 });
    expect(await Promise.all([1, 2, 3, 4, 5].map((revision) => at('/a/1', { revision })))).toEqual(['one', 'one', 'two', null, { n: 3 }]);
    const times = [t0 - 1, t0, t0 + 9, t0 + 10, t0 + 19, t0 + 20, t0 + 30];
    expect(await Promise.all(times.map((time) => at('/a/1', { time })))).toEqual([
      'OUT_OF_HISTORY',
      'one',
      'one',
      'two',
      'two',
      null,
      { n: 3 },
    ]);
    expect((await asked('/a/1', { revision: 3 })).entry).toMatchObject({ revision: 3, created: t0, modified: t0 + 10, path: '/a/1' });
  });

  test('is refused where no history is kept, and of moments that have not come', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    await session.set('/b', 1);
    await session.set('/a/1', 1);
    expect(await at('/b', { revision: 1 })).toBe('UNSUPPORTED');
    expect(await at('/a/1', { revision: 3 })).toBe('INVALID_REQUEST');
    expect(await at('/a/1', { time: harness.clock.time + 1 })).toBe('INVALID_REQUEST');
    await restart({ rules: [], maxBytes: MANY });
    expect(await at('/a/1', { revision: 2 })).toBe('UNSUPPORTED');
    expect([await rows('history'), await rows('timeline')]).toEqual([0, 0]);
  });

  test('is known from before history began, as far as what was there then', async () => {
    await begin(keeping([]));
    await session.set('/a', 'old');
    await session.set('/a', 'before');
    await restart(keeping([{ pattern: '/*' }]));
    session = harness.session(true);
    expect(await at('/a', { revision: 2 })).toBe('before');
    expect(await at('/a', { revision: 1 })).toBe('OUT_OF_HISTORY');
    await session.set('/a', 'after');
    expect(await Promise.all([1, 2, 3].map((revision) => at('/a', { revision })))).toEqual(['OUT_OF_HISTORY', 'before', 'after']);
    expect(await at('/new', { revision: 2 })).toBeNull();
    expect(await at('/new', { revision: 1 })).toBe('OUT_OF_HISTORY');
  });

  test('with a deadline is gone from then on, as of a revision until it is removed', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    const t0 = harness.clock.time;
    await session.set('/a/1', 'short', { lifetimeMs: 100 });
    await session.set('/b', 1);
    harness.clock.time += 5_000;
    expect(await at('/a/1', { time: t0 + 99 })).toBe('short');
    expect(await at('/a/1', { time: t0 + 100 })).toBeNull();
    expect(await at('/a/1', { revision: 2 })).toBe('short');
    await sweep();
    expect(await at('/a/1', { revision: 2 })).toBe('short');
    expect(await at('/a/1', { revision: 3 })).toBeNull();
  });

  test('is seen by a request of the same turn, and by one that waits for the disk', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    await session.set('/a/1', 'zero');
    harness.store.held = true;
    void session.set('/a/1', 'one');
    await settled();
    void session.set('/a/1', 'two');
    void session.set('/a/1', 'three');
    const answers = [1, 2, 3, 4].map((revision) => at('/a/1', { revision }));
    await settled();
    harness.store.release();
    expect(await Promise.all(answers)).toEqual(['zero', 'one', 'two', 'three']);
  });

  test('of a merge, an increment and a transaction is the whole record', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    await session.set('/a/1', { x: 1 });
    await session.set('/a/1', { y: 2 }, { merge: true });
    await session.set('/a/1', null, { increment: { name: 'n', by: 3 } });
    const operations = [
      session.setRequest('/a/1', 'first'),
      session.setRequest('/a/1', 'second'),
      new DataRequest('remove', session, null, '/a/1', null, null, STORED, false, 0, null),
      session.setRequest('/a/1', 'third'),
    ];
    await session.submit(new TransactionRequest(session, 't', operations, null));
    expect(await Promise.all([1, 2, 3, 4, 5, 6, 7].map((revision) => at('/a/1', { revision })))).toEqual([
      { x: 1 },
      { x: 1, y: 2 },
      { x: 1, y: 2, n: { value: 3 } },
      'first',
      'second',
      null,
      'third',
    ]);
  });

  test('of a removal by wildcard is known to the record', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    await session.set('/a/1', 1);
    await session.set('/a/2', 2);
    await session.removeAll('/a/*');
    expect(await Promise.all([2, 3, 4].map((revision) => at('/a/2', { revision })))).toEqual([2, 2, null]);
  });
});

describe('a pattern as of a moment', () => {
  test('finds what was there after a change, and at a time, in the order of the paths', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    const t0 = harness.clock.time;
    await session.set('/a/stays', 'stays');
    await session.set('/a/goes', 'goes');
    harness.clock.time += 10;
    await session.set('/a/\u{ffff}', 'late');
    await session.set('/a/\u{10000}', 'later');
    await session.set('/a/stays', 'changed');
    await session.remove('/a/goes');
    await session.set('/b', 'other');
    harness.clock.time += 10;
    expect(await allAt('/a/*', { revision: 0 })).toEqual([]);
    expect(await allAt('/a/*', { revision: 2 })).toEqual([
      ['/a/goes', 'goes'],
      ['/a/stays', 'stays'],
    ]);
    expect(await allAt('/a/*', { revision: 4 })).toEqual([
      ['/a/goes', 'goes'],
      ['/a/stays', 'stays'],
      ['/a/\u{ffff}', 'late'],
      ['/a/\u{10000}', 'later'],
    ]);
    expect(await allAt('/a/*', { time: t0 + 9 })).toEqual(await allAt('/a/*', { revision: 2 }));
    expect(await allAt('/a/s*', { time: t0 + 10 })).toEqual([['/a/stays', 'changed']]);
    expect(await allAt('/a/*y*', { revision: 1 })).toEqual([['/a/stays', 'stays']]);
  });

  test('takes limit, after and a query as other reads by pattern do, and counts', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    for (let n = 0; n < 6; n++) await session.set(`/a/${n}`, { n, even: n % 2 === 0 });
    await session.removeAll('/a/*');
    await session.set('/a/0', { n: 9, even: true });
    const asOf = { revision: 6 };
    const paths = async (options: Partial<DataOptions>): Promise<unknown> => {
      const found = await allAt('/a/*', asOf, options);
      return Array.isArray(found) ? found.map(([path]) => path) : found;
    };
    expect(await paths({ limit: 2 })).toEqual(['/a/0', '/a/1']);
    expect(await paths({ limit: 2, after: '/a/1' })).toEqual(['/a/2', '/a/3']);
    expect(await paths({ query: parseQuery({ criteria: { even: true }, sort: { n: -1 } }) })).toEqual(['/a/4', '/a/2', '/a/0']);
    const { count } = await session.find('/a/*', {
      asOf: { ...asOf, time: 0 },
      query: parseQuery({ criteria: { even: false }, count: true }),
    });
    expect(count).toBe(3);
  });

  test('is refused where something of it is not known, and never made up', async () => {
    await begin(keeping([{ pattern: '/a/*', revisions: 2 }, { pattern: '/b/*' }]));
    await session.set('/a/1', 1);
    await session.set('/a/2', 1);
    for (let n = 2; n <= 3; n++) await session.set('/a/1', n);
    expect(await allAt('/a/*', { revision: 2 })).toBe('OUT_OF_HISTORY');
    // What is left out is not looked at.
    expect(await allAt('/a/*', { revision: 2 }, { after: '/a/1' })).toEqual([['/a/2', 1]]);
    expect(await allAt('/a/*', { revision: 3 })).toEqual([
      ['/a/1', 2],
      ['/a/2', 1],
    ]);
    expect(await allAt('/*', { revision: 3 })).toBe('UNSUPPORTED');
    expect(await allAt('/c/*', { revision: 3 })).toBe('UNSUPPORTED');
    expect(await allAt('/a/*', { revision: 5 })).toBe('INVALID_REQUEST');
    expect(await allAt('/a/*', { time: harness.clock.time + 1 })).toBe('INVALID_REQUEST');
    // Each has given its credit back, once.
    await settled();
    expect([session.inFlight, harness.counters.gauges.get('requests_unsettled')?.read()]).toEqual([0, 0]);
    await restart({ rules: [], maxBytes: MANY });
    expect(await allAt('/a/*', { revision: 3 })).toBe('UNSUPPORTED');
  });

  test('knows nothing of before history began, and what was there then', async () => {
    await begin(keeping([]));
    await session.set('/a/old', 'old');
    await session.set('/a/gone', 'gone');
    await session.remove('/a/gone');
    await restart(keeping([{ pattern: '/a/*' }]));
    await session.set('/a/old', 'new');
    expect(await allAt('/a/*', { revision: 2 })).toBe('OUT_OF_HISTORY');
    expect(await allAt('/a/*', { revision: 3 })).toEqual([['/a/old', 'old']]);
    expect(await allAt('/a/*', { revision: 4 })).toEqual([['/a/old', 'new']]);
  });

  test('shows at a time what had not expired then, and as of a revision what was not removed yet', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    const t0 = harness.clock.time;
    await session.set('/a/1', 'short', { lifetimeMs: 100 });
    await session.set('/a/2', 'long');
    harness.clock.time += 5_000;
    for (const isSwept of [false, true]) {
      if (isSwept) await sweep();
      expect(await allAt('/a/*', { time: t0 + 99 })).toEqual([
        ['/a/1', 'short'],
        ['/a/2', 'long'],
      ]);
      expect(await allAt('/a/*', { time: t0 + 100 })).toEqual([['/a/2', 'long']]);
      expect(await allAt('/a/*', { revision: 2 })).toEqual([
        ['/a/1', 'short'],
        ['/a/2', 'long'],
      ]);
    }
    expect(await allAt('/a/*', { revision: 3 })).toEqual([['/a/2', 'long']]);
  });

  test('is of one moment, whatever is changed or given up while it is read, and a stream where it is long', async () => {
    const bounded = keeping([{ pattern: '/a/*', revisions: 2 }]);
    await begin(bounded, { scan: { headBytes: 4_096 } });
    session.takesStreams = true;
    const writer = harness.session(true);
    const body = 'x'.repeat(100);
    const expected: [string, string][] = [];
    for (let n = 0; n < 700; n++) {
      const path = `/a/${String(n).padStart(4, '0')}`;
      expected.push([path, `${n}${body}`]);
      await writer.set(path, `${n}${body}`);
    }
    for (let n = 0; n < 700; n += 3) await writer.set(`/a/${String(n).padStart(4, '0')}`, 'later');
    harness.store.scansHeld = true;
    const request = session.patternRequest('get', '/a/*', { asOf: { revision: 700, time: 0 } });
    const other = harness.session(true);
    other.takesStreams = true;
    const sorted = other.patternRequest('get', '/a/*', { asOf: { revision: 700, time: 0 }, query: parseQuery({ sort: { value: -1 } }) });
    harness.context.submit(request);
    harness.context.submit(sorted);
    await settled();
    // Two more changes of each, so that nothing of what was then is kept any more.
    await Promise.all(['a', 'b'].flatMap((value) => expected.map(([path]) => writer.set(path, value))));
    await Promise.all(expected.slice(0, 300).map(([path]) => writer.remove(path)));
    harness.store.releaseScans();
    const entriesOf = async (one: DataRequest): Promise<unknown> => {
      const { error, entries } = await until(() => (one.session as TestSession).replies.find((reply) => reply.request === one));
      return error?.code ?? entries?.map(({ path, payload }) => [path, payload.value()]);
    };
    expect(await entriesOf(request)).toEqual(expected);
    const ranked = (await entriesOf(sorted)) as [string, string][];
    expect(ranked.map(([, value]) => value)).toEqual(
      expected
        .map(([, value]) => value)
        .sort()
        .reverse(),
    );
    expect(await allAt('/a/*', { revision: 700 })).toBe('OUT_OF_HISTORY');
    await settled();
    expect(harness.store.openScans).toBe(0);
  });

  test('looks at nothing that its asker may not get', async () => {
    const principal = { rights: { allows: (_action: string, path: string) => path !== '/a/1' } } as unknown as Principal;
    const guarded = (): Principal => principal;
    await begin(keeping([{ pattern: '/a/*', revisions: 1 }]), {
      access: { ...OPEN_ACCESS, isOpen: false, authorize: guarded, guard: guarded },
    });
    await session.set('/a/1', 1);
    await session.set('/a/2', 2);
    await session.set('/a/1', 'later');
    expect(await allAt('/a/*', { revision: 2 })).toEqual([['/a/2', 2]]);
  });
});

describe('the bounds of history', () => {
  test('so many changes of a record are kept, removals included', async () => {
    await begin(keeping([{ pattern: '/a/*', revisions: 3 }]));
    for (let n = 1; n <= 4; n++) await session.set('/a/1', n);
    await session.remove('/a/1');
    const all = await Promise.all([1, 2, 3, 4, 5].map((revision) => at('/a/1', { revision })));
    expect(all).toEqual(['OUT_OF_HISTORY', 'OUT_OF_HISTORY', 3, 4, null]);
    expect(await rows('history')).toBe(3);
  });

  test('what a record was within the age is known, however old its change is', async () => {
    await begin(keeping([{ pattern: '/a/*', age: 1_000 }]));
    const t0 = harness.clock.time;
    await session.set('/a/1', 'one');
    await session.set('/a/2', 'stays');
    harness.clock.time += 100_000;
    await session.set('/a/1', 'two');
    await sweep();
    expect(await at('/a/1', { time: t0 + 99_999 })).toBe('one');
    harness.clock.time += 999;
    await sweep();
    expect(await at('/a/1', { time: t0 + 99_999 })).toBe('one');
    harness.clock.time += 1;
    await sweep();
    expect(await at('/a/1', { time: t0 + 99_999 })).toBe('OUT_OF_HISTORY');
    expect(await at('/a/1', { time: t0 + 100_000 })).toBe('two');
    expect(await at('/a/2', { time: t0 + 1 })).toBe('stays');
    expect([await rows('history'), await rows('pastExpiry')]).toEqual([2, 0]);
  });

  test('a removed record leaves nothing behind, and is not said to have been absent before', async () => {
    await begin(keeping([{ pattern: '/a/*', age: 1_000 }]));
    const t0 = harness.clock.time;
    await session.set('/a/1', 'one');
    harness.clock.time += 10;
    await session.remove('/a/1');
    harness.clock.time += 2_000;
    await sweep();
    expect([await rows('history'), await rows('timeline'), await rows('pastExpiry')]).toEqual([0, 0, 0]);
    expect(await at('/a/1', { time: t0 + 5 })).toBe('OUT_OF_HISTORY');
    expect(await at('/a/1', { time: t0 + 10 })).toBeNull();
    await session.set('/a/1', 'again');
    expect(await at('/a/1', { time: t0 + 5 })).toBe('OUT_OF_HISTORY');
    expect(await at('/a/1', { time: t0 + 1_000 })).toBeNull();
    await restart(keeping([{ pattern: '/a/*', age: 1_000 }]));
    expect(await at('/a/1', { time: t0 + 5 })).toBe('OUT_OF_HISTORY');
  });

  test('a removal whose place was taken again is known for as long as what took it', async () => {
    await begin(keeping([{ pattern: '/a/*', age: 1_000 }]));
    await session.set('/a/1', 'one');
    await session.remove('/a/1');
    const gone = harness.clock.time;
    harness.clock.time += 900;
    await session.set('/a/1', 'two');
    harness.clock.time += 900;
    await sweep();
    expect(await at('/a/1', { time: gone + 899 })).toBeNull();
    harness.clock.time += 200;
    await sweep();
    expect(await at('/a/1', { time: gone + 899 })).toBe('OUT_OF_HISTORY');
    expect([await rows('history'), await rows('pastExpiry')]).toEqual([1, 0]);
  });

  test('above the bound of bytes the oldest changes of all go', async () => {
    await begin(keeping([{ pattern: '/a/*', revisions: 1_000 }], 20_000));
    const body = 'x'.repeat(500);
    for (let n = 1; n <= 100; n++) await session.set(`/a/${n % 7}`, `${n}${body}`);
    await settled(200);
    const bytes = harness.counters.gauges.get('history_bytes')?.read() as number;
    expect(bytes).toBeLessThanOrEqual(20_000);
    expect(bytes).toBeGreaterThan(10_000);
    expect(harness.counters.counters.get('history_overflown_total')?.value).toBe(100 - (await rows('history')));
    expect(await at('/a/1', { revision: 2 })).toBe('OUT_OF_HISTORY');
    expect(await at(`/a/${100 % 7}`, { revision: 100 })).toBe(`100${body}`);
    expect(await at(`/a/${99 % 7}`, { revision: 98 })).not.toBe('OUT_OF_HISTORY');
    await restart(keeping([{ pattern: '/a/*', revisions: 1_000 }], 20_000));
    expect(harness.counters.gauges.get('history_bytes')?.read()).toBe(bytes);
  });
});

describe('patterns of history', () => {
  test('the first that matches counts; one that is new begins with nothing; one that is gone leaves nothing', async () => {
    await begin(keeping([{ pattern: '/a/*', revisions: 2 }, { pattern: '/*' }]));
    for (const path of ['/a/1', '/b/1']) for (let n = 1; n <= 3; n++) await session.set(path, n);
    expect(await at('/a/1', { revision: 1 })).toBe('OUT_OF_HISTORY');
    expect(await at('/b/1', { revision: 4 })).toBe(1);
    await restart(keeping([{ pattern: '/a/*', revisions: 2 }]));
    expect(await at('/a/1', { revision: 2 })).toBe(2);
    expect(await at('/b/1', { revision: 4 })).toBe('UNSUPPORTED');
    await session.set('/b/1', 4);
    await restart(keeping([{ pattern: '/a/*', revisions: 2 }, { pattern: '/*' }]));
    expect(await at('/a/1', { revision: 2 })).toBe(2);
    expect(await at('/b/1', { revision: 6 })).toBe('OUT_OF_HISTORY');
    expect(await at('/b/2', { revision: 6 })).toBe('OUT_OF_HISTORY');
    expect(await at('/b/2', { revision: 7 })).toBeNull();
    await restart(keeping([{ pattern: '/*' }, { pattern: '/a/*', revisions: 2 }]));
    expect(await at('/a/1', { revision: 2 })).toBe('OUT_OF_HISTORY');
    expect(harness.counters.gauges.get('history_bytes')?.read()).toBe(0);
  });

  test('reserved areas are kept only where a pattern spells them out', async () => {
    await begin(keeping([{ pattern: '*' }]));
    await session.set('/_HAVEN/x', 1);
    expect(await at('/_HAVEN/x', { revision: 1 })).toBe('UNSUPPORTED');
  });

  test('a start that is cut off while it drops what is not kept any more is begun anew', async () => {
    await begin(keeping([{ pattern: '/a/*' }, { pattern: '/b/*' }]));
    for (const path of ['/a/1', '/b/1']) for (let n = 1; n <= 3; n++) await session.set(path, n);
    const { disk } = harness.store;
    await harness.stop();
    const cut = new GateStore(disk);
    let writes = 0;
    const write = cut.write.bind(cut);
    cut.write = async (batch, state) => {
      writes += 1;
      if (writes > 1) throw new Error('the process ends here');
      await write(batch, state);
    };
    await expect(startEngine({ store: cut, history: keeping([{ pattern: '/a/*' }]) })).rejects.toThrow('ends here');
    await begin(keeping([{ pattern: '/a/*' }, { pattern: '/b/*' }]), { store: new GateStore(disk) });
    expect(await at('/a/1', { revision: 1 })).toBe(1);
    expect(await at('/b/1', { revision: 4 })).toBe('OUT_OF_HISTORY');
    expect(await at('/b/1', { revision: 6 })).toBe(3);
  });
});

describe('a refused batch', () => {
  test('leaves no history', async () => {
    await begin(keeping([{ pattern: '/a/*', revisions: 2 }]));
    await session.set('/a/1', 1);
    await session.set('/a/1', 2);
    const before = new Map(harness.store.disk.rows);
    harness.store.failure = new Error('full');
    expect((await session.set('/a/1', 'refused')).error?.code).toBe('STORE_FAILED');
    await until(() => harness.engine.writable);
    expect(harness.store.disk.rows).toEqual(before);
    expect(await Promise.all([1, 2].map((revision) => at('/a/1', { revision })))).toEqual([1, 2]);
    await session.set('/a/1', 3);
    expect(await Promise.all([1, 2, 3].map((revision) => at('/a/1', { revision })))).toEqual(['OUT_OF_HISTORY', 2, 3]);
  });
});

describe('damage', () => {
  test('of a timeline costs its record its history, and nothing else', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    await session.set('/a/1', 1);
    await session.set('/a/1', 2);
    const { disk } = harness.store;
    disk.rows.set(`${SECTION.timeline}/a/1`, new Uint8Array(40));
    await restart(keeping([{ pattern: '/a/*' }]));
    expect(await at('/a/1', { revision: 1 })).toBe('STORE_FAILED');
    expect((await session.set('/a/1', 3)).error).toBeNull();
    expect(await Promise.all([1, 2, 3].map((revision) => at('/a/1', { revision })))).toEqual(['OUT_OF_HISTORY', 2, 3]);
    expect(harness.counters.counters.get('history_damaged_total')?.value).toBe(1);
  });

  test('of a timeline whose pattern goes leaves no bytes counted', async () => {
    await begin(keeping([{ pattern: '/a/*' }, { pattern: '/b/*' }]));
    await session.set('/b/1', 1);
    await session.set('/b/1', 2);
    harness.store.disk.rows.set(`${SECTION.timeline}/b/1`, new Uint8Array(40));
    await restart(keeping([{ pattern: '/a/*' }]));
    expect(harness.counters.gauges.get('history_bytes')?.read()).toBe(0);
  });

  test('of a record that is replaced costs it none of its history, and what was before that is not made up', async () => {
    await begin(keeping([]));
    await session.set('/b/2', 'before there was history');
    await restart(keeping([{ pattern: '/*' }]));
    await session.set('/a/1', 1);
    const { disk } = harness.store;
    for (const path of ['/a/1', '/b/2']) disk.rows.set(SECTION.record + path, new Uint8Array(40));
    await restart(keeping([{ pattern: '/*' }]));
    await session.set('/a/1', 2);
    await session.set('/b/2', 3);
    expect(await Promise.all([2, 3].map((revision) => at('/a/1', { revision })))).toEqual([1, 2]);
    expect(await Promise.all([2, 4].map((revision) => at('/b/2', { revision })))).toEqual(['OUT_OF_HISTORY', 3]);
  });
});

describe('a subscription since a revision', () => {
  function sinceRequest(pattern: string, revision: number, initial = false): SubscribeRequest {
    const begin = initial ? parsePattern(pattern, 'glob') : null;
    return new SubscribeRequest('subscribe', session, 's', session.subscription(pattern), begin, null, 'path', false, revision);
  }

  const since = (pattern: string, revision: number, initial = false): Promise<Reply> =>
    session.submit(sinceRequest(pattern, revision, initial));

  const heard = (): string[] =>
    session.heard.map(({ publication: { action, path, revision } }) => `${revision} ${action === 'set' ? path : `-${path}`}`);

  test('hears what happened since, and then what happens', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    await session.set('/a/1', 1);
    await session.set('/a/2', 1);
    await session.set('/b', 1);
    await session.set('/a/1', 2);
    await session.remove('/a/2');
    const reply = await since('/a/*', 1, true);
    expect(reply).toMatchObject({ missed: false, revision: 5, entries: null });
    await session.set('/a/1', 3);
    expect(heard()).toEqual(['2 /a/2', '4 /a/1', '5 -/a/2', '6 /a/1']);
    expect(session.heard[1]?.publication.payload?.value()).toBe(2);
  });

  test('of one path, too, and of nothing that happened', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    await session.set('/a/1', 1);
    await session.set('/a/2', 1);
    await since('/a/1', 0);
    await since('/a/2', 2);
    expect(heard()).toEqual(['1 /a/1']);
  });

  test.each([
    ['what no history is kept of', '/b/*', 1],
    ['more than is kept', '/*', 1],
    ['changes that its record does not know any more', '/a/1', 1],
    ['a revision that has not come', '/a/1', 9],
  ])('is told that it missed %s, and begins with the records', async (_what, pattern, revision) => {
    await begin(keeping([{ pattern: '/a/*', revisions: 2 }]));
    await session.set('/b/1', 1);
    for (let n = 1; n <= 4; n++) await session.set('/a/1', n);
    const reply = await since(pattern, revision, true);
    expect(reply).toMatchObject({ missed: true, past: null });
    expect(reply.entries?.map(({ path }) => path)).toEqual(pattern === '/*' ? ['/a/1', '/b/1'] : [pattern.replace('*', '1')]);
    await session.set(pattern.startsWith('/b') ? '/b/1' : '/a/1', 5);
    expect(heard()).toHaveLength(1);
  });

  test('hears nothing that was for others, or for nobody', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    await session.set('/a/1', 1, { publish: false });
    await session.set('/a/1', 2, { targets: new Set(['somebody']) });
    await session.set('/a/1', 3);
    await since('/a/*', 0);
    expect(heard()).toEqual(['3 /a/1']);
  });

  test('hears of the past, and begins with, only what it may hear and see', async () => {
    const allows = (_action: string, path: string): boolean => !path.includes('secret');
    const principal = { rights: { allows } } as unknown as Principal;
    const guarded = (): Principal => principal;
    const access = { ...OPEN_ACCESS, isOpen: false, authorize: guarded, guard: guarded };
    await begin(keeping([{ pattern: '/a/*' }]), { access });
    for (const path of ['/a/1', '/a/secret', '/a/2']) await session.set(path, 1);
    await since('/a/*', 0);
    expect(heard()).toEqual(['1 /a/1', '3 /a/2']);
    const { entries } = await since('/*', 0, true);
    expect(entries?.map(({ path }) => path)).toEqual(['/a/1', '/a/2']);
    expect((await since('/a/secret', 9, true)).entries).toEqual([]);
  });

  test('whose pattern is a part of that of a rule with wildcards inside', async () => {
    await begin(keeping([{ pattern: '/rooms/*/log/*' }]));
    await session.set('/rooms/5/log/1', 1);
    await session.set('/rooms/6/log/1', 1);
    await session.set('/rooms/5/other', 1);
    expect((await since('/rooms/5/log/*', 0)).missed).toBe(false);
    expect(heard()).toEqual(['1 /rooms/5/log/1']);
    expect((await since('/rooms/5/*', 0)).missed).toBe(true);
    expect((await since('/rooms/*', 0)).missed).toBe(true);
  });

  test('of one path looks at the changes of that path alone', async () => {
    await begin(keeping([{ pattern: '/a/*', revisions: 1_000 }]), { scan: { past: { events: 1_000, bytes: MANY, rows: 200 } } });
    await session.set('/a/quiet', 1);
    for (let n = 0; n < 150; n++) await session.set('/a/busy', n);
    for (let n = 0; n < 150; n++) await session.set('/a/loud', n);
    await session.remove('/a/quiet');
    expect((await since('/a/quiet', 0)).missed).toBe(false);
    expect(heard()).toEqual(['1 /a/quiet', '302 -/a/quiet']);
    expect((await since('/a/busy', 0)).past).toHaveLength(150);
    expect((await since('/a/*', 0)).missed).toBe(true);
  });

  test('is told that it missed more than one look back may bring', async () => {
    await begin(keeping([{ pattern: '/a/*' }]), { scan: { past: { events: 3, bytes: MANY, rows: MANY } } });
    for (let n = 1; n <= 4; n++) await session.set(`/a/${n}`, n);
    expect((await since('/a/*', 1)).missed).toBe(false);
    expect((await since('/a/*', 0)).missed).toBe(true);
  });

  test('has neither a gap nor anything twice, whatever happens while it begins', async () => {
    await begin(keeping([{ pattern: '/a/*', revisions: 100 }]));
    const writer = harness.session(true);
    for (let n = 0; n < 10; n++) await writer.set(`/a/${n % 3}`, n);
    harness.store.held = true;
    for (let n = 0; n < 5; n++) void writer.set(`/a/${n % 3}`, n);
    await settled();
    for (let n = 0; n < 5; n++) void writer.set(`/a/${n % 3}`, n);
    harness.store.scansHeld = true;
    const reply = since('/a/*', 4);
    await settled();
    harness.store.release();
    await settled();
    await Promise.all([1, 2, 3].map((n) => writer.set(`/a/${n % 3}`, n)));
    harness.store.releaseScans();
    await reply;
    await writer.set('/a/0', 'last');
    await until(() => session.heard.length >= 20);
    expect(session.heard.map(({ publication }) => publication.revision)).toEqual(Array.from({ length: 20 }, (_, n) => n + 5));
    expect(harness.store.openScans).toBe(0);
  });

  test('of a session that is gone reads nothing, and leaves no scan open', async () => {
    await begin(keeping([{ pattern: '/a/*' }]));
    for (let n = 0; n < 10; n++) await session.set(`/a/${n % 3}`, n);
    harness.store.scansHeld = true;
    harness.context.submit(sinceRequest('/a/*', 4, true));
    await settled();
    session.close(null);
    harness.store.releaseScans();
    await settled();
    expect(harness.store.openScans).toBe(0);
  });
});

interface Change {
  readonly path: string;
  readonly value: unknown;
  readonly revision: number;
  readonly time: number;
  /** 0: never. */
  readonly expires: number;
}

/** All that was heard of, to compare with. */
let everything: Change[] = [];

function changeOf({ path, payload, revision, time, expires }: Publication): Change {
  return { path, value: payload?.value() ?? null, revision, time, expires };
}

/** Listens in this run. */
async function listen(): Promise<void> {
  const listener = harness.session(true);
  await listener.subscribe('/*');
  listener.onFlush = () => {
    for (const { publication } of listener.heard.splice(0)) {
      everything.push(changeOf(publication));
    }
  };
}

async function heardSince(path: string, revision: number): Promise<readonly Change[] | null> {
  const subscription = session.subscription(path);
  session.heard.length = 0;
  const request = new SubscribeRequest('subscribe', session, 's', subscription, null, null, 'path', false, revision);
  const { missed } = await session.submit(request);
  await session.unsubscribe(subscription);
  const heard = session.heard.splice(0);
  if (missed) return null;
  return heard.map(({ publication }) => changeOf(publication));
}

test.each([1, 2, 3, 4])('whatever is answered is what was, through restarts, ages and full bounds (seed %i)', async (seed) => {
  const next = randomOf(seed);
  const settings = keeping(
    [
      { pattern: '/a/*', revisions: 4, age: 5_000 },
      { pattern: '/b/*', revisions: 50 },
    ],
    60_000,
  );
  everything = [];
  await begin(settings, { store: new GateStore(new MemoryDisk()) });
  await listen();
  const paths = ['/a/1', '/a/2', '/b/1', '/b/2', '/b/3'];
  let answered = 0;
  let told = 0;
  let found = 0;
  for (let step = 0; step < 600; step++) {
    const path = pick(paths, next);
    harness.clock.time += next(300);
    const what = next(100);
    if (what < 70) await session.set(path, `${step}${'x'.repeat(next(1_500))}`, next(10) === 0 ? { lifetimeMs: 1 + next(2_000) } : {});
    else if (what < 85) await session.remove(path);
    if (next(10) === 0) await sweep();
    if (next(50) === 0) {
      await restart(settings);
      await listen();
    }
    await settled();
    const last = everything.at(-1)?.revision ?? 0;
    const revision = Math.max(0, last - next(30));
    const answer = await at(path, { revision });
    if (answer !== 'OUT_OF_HISTORY') {
      answered += 1;
      const before = everything.filter((change) => change.path === path && change.revision <= revision);
      mustEqual(answer, before.at(-1)?.value ?? null);
    }
    const time = harness.clock.time - next(10_000);
    const then = await at(path, { time });
    if (then !== 'OUT_OF_HISTORY') {
      answered += 1;
      const change = everything.filter((one) => one.path === path && one.time <= time).at(-1);
      expect(then).toEqual(change === undefined || (change.expires !== 0 && change.expires <= time) ? null : change.value);
    }
    const pattern = pick(['/a/*', '/b/*', path], next);
    const parsed = parsePattern(pattern, 'glob');
    const isThere = ({ path: one }: Change): boolean => parsed.matches(one);
    const lastOf = (changes: readonly Change[]): Change[] => [...new Map(changes.filter(isThere).map((one) => [one.path, one])).values()];
    const shown = (changes: readonly Change[]): unknown =>
      changes
        .filter(({ value }) => value !== null)
        .map(({ path: one, value }) => [one, value])
        .sort(([a], [b]) => ((a as string) < (b as string) ? -1 : 1));
    if (pattern.includes('*')) {
      const all = await allAt(pattern, { revision });
      if (all !== 'OUT_OF_HISTORY') {
        found += 1;
        expect(all).toEqual(shown(lastOf(everything.filter((change) => change.revision <= revision))));
      }
      const allThen = await allAt(pattern, { time });
      if (allThen !== 'OUT_OF_HISTORY') {
        found += 1;
        const last = lastOf(everything.filter((change) => change.time <= time));
        expect(allThen).toEqual(shown(last.filter(({ expires }) => expires === 0 || expires > time)));
      }
    }
    const news = await heardSince(pattern, revision);
    if (news === null) continue;
    told += 1;
    mustEqual(
      news,
      everything.filter((change) => isThere(change) && change.revision > revision),
    );
  }
  expect(answered).toBeGreaterThan(400);
  expect(told).toBeGreaterThan(100);
  expect(found).toBeGreaterThan(100);
  expect(harness.counters.gauges.get('history_bytes')?.read()).toBeLessThanOrEqual(60_000);
});
