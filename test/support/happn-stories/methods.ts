// Stories of methods that some generations have and others lack.

import { expect } from 'vitest';
import { call, type Heard } from '../happn-clients.js';
import { fence, type Item, items, type Stage, stories, values } from './stage.js';

type Method =
  | 'setSibling'
  | 'increment'
  | 'count'
  | 'publish'
  | 'once'
  | 'getCreatedBetween'
  | 'revokeSession'
  | 'logout'
  | 'changePassword';

/** Whether this generation has it, which is as it is known to be. */
function has(stage: Stage, method: Method): boolean {
  const there = typeof stage.client.raw[method] === 'function';
  expect([method, there]).toEqual([method, stage.traits.methods.includes(method)]);
  return there;
}

const ask = <T>(stage: Stage, method: Method, ...args: unknown[]): Promise<T> => call<T>(stage.client.raw, method, ...args);

async function refusal(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'was not refused',
    (error: Error) => error.message,
  );
}

async function heardOnce(stage: Stage, path: string): Promise<unknown[]> {
  const heard: Heard[] = [];
  const listener = (data: Heard['data'], meta: Heard['meta']): unknown => heard.push({ data, meta });
  await ask(stage, 'once', path, { event_type: 'set' }, listener);
  for (const n of [1, 2]) await stage.other.set(path, { n });
  await fence(stage.client);
  return values(heard);
}

export const METHODS = stories('data', {
  'setSibling makes a record of its own each time': async (stage) => {
    if (!has(stage, 'setSibling')) return;
    const made = [
      await ask<Item>(stage, 'setSibling', stage.at('s'), { n: 1 }),
      await ask<Item>(stage, 'setSibling', stage.at('s'), { n: 2 }),
    ];
    const read = await items(stage.other, stage.at('s/*'));
    expect(read.map(({ n, _meta }) => [n, _meta.path]).toSorted()).toEqual(made.map(({ n, _meta }) => [n, _meta.path]).toSorted());
    expect(new Set(read.map(({ _meta }) => _meta.path)).size).toBe(2);
  },
  'increment counts by one, by more, and each counter on its own': async (stage) => {
    if (!has(stage, 'increment')) return;
    expect(await ask(stage, 'increment', stage.at('a'), 1)).toMatchObject({ value: 1, gauge: 'counter' });
    expect(await ask(stage, 'increment', stage.at('a'), 4)).toMatchObject({ value: 5 });
    expect(await ask(stage, 'increment', stage.at('a'), 'mine', 2)).toMatchObject({ value: 2, gauge: 'mine' });
    expect(await stage.other.get(stage.at('a'))).toMatchObject({ counter: { value: 5 }, mine: { value: 2 } });
  },
  'count counts what a get would find': async (stage) => {
    if (!has(stage, 'count')) return;
    await Promise.all([1, 2, 3].map((n) => stage.client.set(stage.at(`c/${n}`), { n })));
    const count = (path: string, options = {}): Promise<unknown> => ask(stage, 'count', path, options);
    expect(await count(stage.at('c/*'))).toMatchObject({ value: 3 });
    expect(await count(stage.at('c/1'))).toMatchObject({ value: 1 });
    expect(await count(stage.at('c/*'), { criteria: { n: { $gt: 1 } } })).toMatchObject({ value: 2 });
    expect(await count(stage.at('c/*'), { options: { limit: 1 } })).toMatchObject({ value: 1 });
    expect(await count(stage.at('c/*'), { options: { skip: 1 } })).toMatchObject({ value: 2 });
  },
  'publish is heard and stores nothing': async (stage) => {
    if (!has(stage, 'publish')) return;
    const heard: Heard[] = [];
    await stage.other.on(stage.at('p'), { event_type: 'set' }, (event) => heard.push(event));
    await ask(stage, 'publish', stage.at('p'), { n: 1 }, {});
    await fence(stage.other);
    expect(values(heard)).toEqual([1]);
    expect(await stage.other.get(stage.at('p'))).toBeNull();
  },
  'once hears one event': async (stage) => {
    if (!has(stage, 'once')) return;
    expect(await heardOnce(stage, stage.at('o'))).toEqual([1]);
  },
  'getCreatedBetween finds by the time of creation': async (stage) => {
    if (!has(stage, 'getCreatedBetween')) return;
    const { _meta } = (await stage.client.set(stage.at('t/1'), { n: 1 })) as Item;
    const between = async (from: number, to: number): Promise<unknown[]> => {
      const found = await ask<Item[]>(stage, 'getCreatedBetween', stage.at('t/*'), from, to);
      return found.map(({ n }) => n);
    };
    expect(await between(_meta.created, _meta.created)).toEqual([1]);
    expect(await between(_meta.created - 1_000, _meta.created - 1)).toEqual([]);
    expect(await between(_meta.created + 1, _meta.created + 1_000)).toEqual([]);
  },
  'revokeSession is answered, and the client can go on': async (stage) => {
    if (!has(stage, 'revokeSession')) return;
    await ask(stage, 'revokeSession');
    await stage.client.set(stage.at('a'), { n: 1 });
    expect(await stage.other.get(stage.at('a'))).toMatchObject({ n: 1 });
  },
  'a client that revokes its session as it leaves is gone at once': async (stage) => {
    if (!has(stage, 'revokeSession')) return;
    const guest = await stage.guest();
    await call(guest.raw, 'disconnect', { revokeSession: true });
    expect(guest.reconnects()).toBe(0);
  },
  'tokens and passwords are refused where there are no users': async (stage) => {
    if (!has(stage, 'changePassword')) return;
    expect(has(stage, 'logout')).toBe(true);
    const guest = await stage.guest();
    expect(await refusal(call(guest.raw, 'changePassword', { oldPassword: 'a', newPassword: 'b' }))).toBe(
      'Cannot change-password Not Secure',
    );
    expect(await refusal(call(guest.raw, 'revokeToken'))).toBe('Cannot revoke-token Not Secure');
    await guest.set(stage.at('a'), { n: 1 });
    expect(await stage.other.get(stage.at('a'))).toMatchObject({ n: 1 });
  },
});
