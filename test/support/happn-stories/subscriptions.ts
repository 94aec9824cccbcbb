// Stories of subscriptions: what they match, how often they hear, what they are given at first, and how they end.

import { expect } from 'vitest';
import { until } from '../gateway-process.js';
import { call, type Heard } from '../happn-clients.js';
import { fence, type Item, type Listening, listen, type Stage, stories, values } from './stage.js';

type Wildcards = Stage['traits']['wildcards'];

/** What a listener on `pattern` hears of sets at these names below the story's place: in each dialect. */
async function hears(
  stage: Stage,
  pattern: string,
  names: readonly string[],
  expected: Record<Wildcards, readonly string[]>,
  options = {},
) {
  const { heard } = await listen(stage.other, stage.at(pattern), options);
  for (const name of names) await stage.client.set(stage.at(name), { name });
  await fence(stage.other);
  expect(values(heard, 'name')).toEqual(expected[stage.traits.wildcards]);
}

async function setAndFence(stage: Stage, name: string, data: object = { n: 1 }, options: object = {}): Promise<void> {
  await stage.client.set(stage.at(name), data, options);
  await fence(stage.other);
}

const initial = ({ response }: Listening): unknown[] => (response as Item[]).map(({ n }) => n);

export const SUBSCRIPTIONS = stories('subscriptions', {
  'a listener for sets hears sets only': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'));
    await stage.client.set(stage.at('a'), { n: 1 });
    await stage.client.remove(stage.at('a'));
    await fence(stage.other);
    expect(heard.map(({ meta }) => meta.action)).toEqual([`/SET@${stage.at('a')}`]);
  },
  'a listener for removals hears removals only': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'), { event_type: 'remove' });
    await stage.client.set(stage.at('a'), { n: 1 });
    await stage.client.remove(stage.at('a'));
    await fence(stage.other);
    expect(heard.map(({ meta }) => meta.action)).toEqual([`/REMOVE@${stage.at('a')}`]);
  },
  'a listener for all hears both': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'), { event_type: 'all' });
    await stage.client.set(stage.at('a'), { n: 1 });
    await stage.client.remove(stage.at('a'));
    await fence(stage.other);
    expect(heard.map(({ meta }) => meta.action)).toEqual([`/SET@${stage.at('a')}`, `/REMOVE@${stage.at('a')}`]);
  },
  'onAll hears every path': async (stage) => {
    const paths: string[] = [];
    await call(stage.other.raw, 'onAll', (_data: object, meta: { path: string }) => paths.push(meta.path));
    await stage.client.set(stage.at('a'), { n: 1 });
    await stage.client.set(stage.at('a/b/c/d/e/f/g/h'), { n: 1 });
    await stage.client.set(stage.at('x').slice(1), { n: 1 });
    await stage.client.remove(stage.at('a'));
    await fence(stage.other);
    expect(paths).toEqual([stage.at('a'), stage.at('a/b/c/d/e/f/g/h'), stage.at('x').slice(1), stage.at('a')]);
  },
  'a listener for sets of everything hears no removal': async (stage) => {
    const sets = await listen(stage.other, '*');
    const removals = await listen(stage.other, '*', { event_type: 'remove' });
    await stage.client.set(stage.at('a'), { n: 1 });
    await stage.client.remove(stage.at('a'));
    await fence(stage.other);
    expect(values(sets.heard)).toEqual([1]);
    expect(values(removals.heard, 'removed')).toEqual([1]);
  },
  'an exact listener hears its path alone': (stage) => hears(stage, 'a', ['a', 'ab', 'a/b', 'A', 'a/'], { glob: ['a'], segments: ['a'] }),
  'a wildcard at the end': (stage) => hears(stage, 'w/*', ['w', 'w/1', 'w/1/2', 'wx'], { glob: ['w/1', 'w/1/2'], segments: ['w/1'] }),
  'a wildcard between segments': (stage) =>
    hears(stage, 'w/*/end', ['w/1/end', 'w/1/2/end', 'w/end'], { glob: ['w/1/end', 'w/1/2/end'], segments: ['w/1/end'] }),
  'several wildcards': (stage) =>
    hears(stage, '*/b/*', ['a/b/c', 'a/b', 'a/x/b/c', 'b/b/d/e'], { glob: ['a/b/c', 'a/x/b/c', 'b/b/d/e'], segments: ['a/b/c'] }),
  'a wildcard within a segment': (stage) => hears(stage, 'w*', ['w', 'wx', 'w/1'], { glob: ['w', 'wx', 'w/1'], segments: [] }),
  'a leading slash counts in the old dialect only': async (stage) => {
    const { heard } = await listen(stage.other, `${stage.at('w').slice(1)}/*`);
    await stage.client.set(stage.at('w/1'), { n: 1 });
    await stage.client.set(stage.at('w/2').slice(1), { n: 2 });
    await fence(stage.other);
    expect(values(heard)).toEqual({ glob: [2], segments: [1, 2] }[stage.traits.wildcards]);
  },
  'two stars at the end hear five segments deep, or everything in the old dialect': (stage) => {
    const names = ['d/1', 'd/1/2/3/4/5', 'd/1/2/3/4/5/6', 'd'];
    return hears(stage, 'd/**', names, { glob: names.slice(0, 3), segments: names.slice(0, 2) });
  },
  'a depth bounds two stars at the end': (stage) => {
    const names = ['d/1', 'd/1/2', 'd/1/2/3'];
    return hears(stage, 'd/**', names, { glob: names, segments: names.slice(0, 2) }, { depth: 2 });
  },
  'two depths on one channel: each listener gets all that it asked for': async (stage) => {
    const shallow = await listen(stage.other, stage.at('d/**'), { depth: 1 });
    const deep = await listen(stage.other, stage.at('d/**'), { depth: 3 });
    for (const name of ['d/1', 'd/1/2', 'd/1/2/3', 'd/1/2/3/4']) await stage.client.set(stage.at(name), { name });
    await fence(stage.other);
    const glob = stage.traits.wildcards === 'glob';
    expect(values(shallow.heard, 'name')).toEqual(glob ? ['d/1', 'd/1/2', 'd/1/2/3', 'd/1/2/3/4'] : ['d/1']);
    expect(values(deep.heard, 'name')).toEqual(glob ? ['d/1', 'd/1/2', 'd/1/2/3', 'd/1/2/3/4'] : ['d/1', 'd/1/2', 'd/1/2/3']);
  },
  'two depths on one channel, the deeper one first': async (stage) => {
    const deep = await listen(stage.other, stage.at('d/**'), { depth: 3 });
    const shallow = await listen(stage.other, stage.at('d/**'), { depth: 1 });
    for (const name of ['d/1', 'd/1/2', 'd/1/2/3']) await stage.client.set(stage.at(name), { name });
    await fence(stage.other);
    const all = ['d/1', 'd/1/2', 'd/1/2/3'];
    expect([values(shallow.heard, 'name'), values(deep.heard, 'name')]).toEqual([stage.traits.wildcards === 'glob' ? all : ['d/1'], all]);
  },
  'a listener hears the changes of its own client': async (stage) => {
    const { heard } = await listen(stage.client, stage.at('a'));
    await stage.client.set(stage.at('a'), { n: 1 });
    expect(values(heard)).toEqual([1]);
  },
  'initial values come with the answer, by initialCallback': async (stage) => {
    for (const n of [1, 2, 3]) await stage.client.set(stage.at(`a/${n}`), { n });
    const listening = await listen(stage.other, stage.at('a/*'), { initialCallback: true });
    expect(initial(listening)).toEqual([1, 2, 3]);
    await setAndFence(stage, 'a/4', { n: 4 });
    expect(values(listening.heard)).toEqual([4]);
  },
  'initial values of one path are a list of one': async (stage) => {
    await stage.client.set(stage.at('a'), { n: 1 });
    expect(initial(await listen(stage.other, stage.at('a'), { initialCallback: true }))).toEqual([1]);
  },
  'initial values of nothing are an empty list': async (stage) => {
    expect(initial(await listen(stage.other, stage.at('a'), { initialCallback: true }))).toEqual([]);
    expect(initial(await listen(stage.other, stage.at('b/*'), { initialCallback: true }))).toEqual([]);
  },
  'initial values come as events, by initialEmit': async (stage) => {
    for (const n of [1, 2]) await stage.client.set(stage.at(`a/${n}`), { n });
    const { heard } = await listen(stage.other, stage.at('a/*'), { initialEmit: true });
    await setAndFence(stage, 'a/3', { n: 3 });
    expect(values(heard)).toEqual([1, 2, 3]);
  },
  'initialEmit says what path a value has': async (stage) => {
    await stage.client.set(stage.at('a/1'), { n: 1 });
    const { heard } = await listen(stage.other, stage.at('a/*'), { initialEmit: true });
    await fence(stage.other);
    expect(heard).toHaveLength(1);
    const [one] = heard as { data: Heard['data']; meta?: Heard['meta'] }[];
    expect([one?.meta?.path, one?.data._meta?.path]).toContain(stage.at('a/1'));
  },
  'initial values of removed records do not come': async (stage) => {
    for (const n of [1, 2]) await stage.client.set(stage.at(`a/${n}`), { n });
    await stage.client.remove(stage.at('a/1'));
    expect(initial(await listen(stage.other, stage.at('a/*'), { initialCallback: true }))).toEqual([2]);
  },
  'a listener with a count ends after so many events': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'), { count: 2 });
    for (const n of [1, 2, 3, 4]) await setAndFence(stage, 'a', { n });
    await until('the second event', () => heard.length >= 2);
    expect(values(heard)).toEqual([1, 2]);
  },
  'two listeners of one channel hear each event once': async (stage) => {
    const first = await listen(stage.other, stage.at('a'));
    const second = await listen(stage.other, stage.at('a'));
    await setAndFence(stage, 'a');
    expect([first.heard.length, second.heard.length]).toEqual([1, 1]);
  },
  'listeners of two channels hear each its own': async (stage) => {
    const all = await listen(stage.other, stage.at('a'), { event_type: 'all' });
    const set = await listen(stage.other, stage.at('a'));
    const wild = await listen(stage.other, stage.at('*'));
    await setAndFence(stage, 'a');
    expect([all, set, wild].map(({ heard }) => heard.map(({ meta }) => meta.channel))).toEqual([
      [`/ALL@${stage.at('a')}`],
      [`/SET@${stage.at('a')}`],
      [`/SET@${stage.at('*')}`],
    ]);
  },
  'off ends the events': async (stage) => {
    const { heard, handle } = await listen(stage.other, stage.at('a'));
    await setAndFence(stage, 'a', { n: 1 });
    await stage.other.off(handle);
    await setAndFence(stage, 'a', { n: 2 });
    expect(values(heard)).toEqual([1]);
  },
  'off of one listener leaves the other': async (stage) => {
    const first = await listen(stage.other, stage.at('a'));
    const second = await listen(stage.other, stage.at('a'));
    await stage.other.off(first.handle);
    await setAndFence(stage, 'a', { n: 1 });
    await stage.other.off(second.handle);
    await setAndFence(stage, 'a', { n: 2 });
    expect([values(first.heard), values(second.heard)]).toEqual([[], [1]]);
  },
  'off really ends the events at the gateway': async (stage) => {
    const { handle } = await listen(stage.other, stage.at('a'));
    const witness = await listen(stage.other, stage.at('*'));
    const frames: unknown[] = [];
    const raw = stage.other.raw as unknown as { handle_publication: (message: { _meta?: { channel?: string } }) => unknown };
    const genuine = raw.handle_publication;
    await stage.other.off(handle);
    raw.handle_publication = function spy(message) {
      if (message._meta?.channel === `/SET@${stage.at('a')}`) frames.push(message);
      return genuine.call(raw, message);
    };
    await setAndFence(stage, 'a');
    raw.handle_publication = genuine;
    expect([frames.length, witness.heard.length]).toEqual([0, 1]);
  },
  'on after off hears again': async (stage) => {
    const first = await listen(stage.other, stage.at('a'));
    await stage.other.off(first.handle);
    const second = await listen(stage.other, stage.at('a'));
    await setAndFence(stage, 'a');
    expect([first.heard.length, second.heard.length]).toEqual([0, 1]);
  },
  'offPath ends all listeners of a path': async (stage) => {
    const set = await listen(stage.other, stage.at('a'));
    const all = await listen(stage.other, stage.at('a'), { event_type: 'all' });
    const kept = await listen(stage.other, stage.at('b'));
    await stage.other.offPath(stage.at('a'));
    await setAndFence(stage, 'a');
    await setAndFence(stage, 'b');
    expect([set, all, kept].map(({ heard }) => heard.length)).toEqual([0, 0, 1]);
  },
  'offAll ends every listener': async (stage) => {
    const listening = await Promise.all(['a', 'b', '*'].map((name) => listen(stage.other, stage.at(name))));
    await call(stage.other.raw, 'offAll');
    await setAndFence(stage, 'a');
    expect(listening.map(({ heard }) => heard.length)).toEqual([0, 0, 0]);
    const again = await listen(stage.other, stage.at('a'));
    await setAndFence(stage, 'a');
    expect(again.heard).toHaveLength(1);
  },
  'the listeners of one client are not those of another': async (stage) => {
    const mine = await listen(stage.client, stage.at('a'));
    const theirs = await listen(stage.other, stage.at('a'));
    await stage.other.off(theirs.handle);
    await setAndFence(stage, 'a');
    expect([mine.heard.length, theirs.heard.length]).toEqual([1, 0]);
  },
  'a merge listener gets the record, or what was sent: by generation': async (stage) => {
    await stage.client.set(stage.at('a'), { a: 1 });
    const { heard } = await listen(stage.other, stage.at('a'), { merge: true });
    await setAndFence(stage, 'a', { b: 2 }, { merge: true });
    const data = heard.map(({ data: { a, b } }) => ({ a, b }));
    expect(data).toEqual([stage.traits.mergeEvents === 'request' ? { a: undefined, b: 2 } : { a: 1, b: 2 }]);
  },
  'a merge listener gets what is no object as it was sent, or as it is stored: by generation': async (stage) => {
    await stage.client.set(stage.at('a'), { a: 1 });
    const { heard } = await listen(stage.other, stage.at('a'), { merge: true });
    await setAndFence(stage, 'a', 'text' as never, { merge: true });
    await setAndFence(stage, 'a', [1] as never);
    await setAndFence(stage, 'a', 'event' as never, { noStore: true });
    const stored = [{ a: 1, value: 'text' }, { value: [1] }, { value: 'event' }];
    const data = heard.map((event) => event.data);
    if (stage.traits.mergeEvents === 'record') expect(data).toMatchObject(stored);
    else expect(data).toEqual(['text', [1], 'event']);
  },
  'a merge listener is told how many were removed, or nothing: by generation': async (stage) => {
    await stage.client.set(stage.at('a'), { a: 1 });
    const { heard } = await listen(stage.other, stage.at('a'), { merge: true, event_type: 'remove' });
    await stage.client.remove(stage.at('a'));
    await fence(stage.other);
    expect(heard.map(({ data }) => data?.removed)).toEqual([stage.traits.mergeEvents === 'record' ? 1 : undefined]);
  },
  'an ordinary listener gets the record after a merge': async (stage) => {
    await stage.client.set(stage.at('a'), { a: 1 });
    const { heard } = await listen(stage.other, stage.at('a'));
    await setAndFence(stage, 'a', { b: 2 }, { merge: true });
    expect(heard.map(({ data }) => data)).toMatchObject([{ a: 1, b: 2 }]);
  },
  'a removal by wildcard is one event with the wildcard as its path': async (stage) => {
    for (const n of [1, 2]) await stage.client.set(stage.at(`a/${n}`), { n });
    const exact = await listen(stage.other, stage.at('a/1'), { event_type: 'remove' });
    const wild = await listen(stage.other, stage.at('a/*'), { event_type: 'remove' });
    await stage.client.remove(stage.at('a/*'));
    await fence(stage.other);
    expect(wild.heard.map(({ data, meta }) => [data.removed, meta.path])).toEqual([[2, stage.at('a/*')]]);
    expect(exact.heard).toEqual([]);
  },
  'a path may hold the sign that parts event and path': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a@b@c'));
    await setAndFence(stage, 'a@b@c');
    expect(heard.map(({ meta }) => meta.path)).toEqual([stage.at('a@b@c')]);
  },
  'a hundred listeners of one client hear each its path': async (stage) => {
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    const listening = await Promise.all(numbers.map((n) => listen(stage.other, stage.at(`m/${n}`))));
    await Promise.all(numbers.map((n) => stage.client.set(stage.at(`m/${n}`), { n })));
    await fence(stage.other);
    expect(listening.map(({ heard }) => values(heard))).toEqual(numbers.map((n) => [n]));
  },
});
