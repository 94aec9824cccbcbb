// Stories of connections: how they begin and end, and what a restart of the gateway leaves.

import { expect } from 'vitest';
import { until } from '../gateway-process.js';
import type { HappnClient } from '../happn-clients.js';
import { fence, listen, type Stage, sessionId, stories, values } from './stage.js';

async function isBack(client: HappnClient): Promise<void> {
  await until('the client is back', () => client.reconnects() >= 1);
}

async function refusal(promise: Promise<unknown>): Promise<boolean> {
  return await promise.then(
    () => false,
    () => true,
  );
}

async function connections(stage: Stage): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${stage.gateway.ports.admin}/metrics`)).text();
  return Number(/^trivium_happn_connections (\d+)$/m.exec(metrics)?.[1]);
}

export const LIFECYCLE = stories('lifecycle', {
  'each connection has a session of its own': async (stage) => {
    const guest = await stage.guest();
    const ids = [stage.client, stage.other, guest].map(sessionId);
    expect(new Set(ids).size).toBe(3);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{36}$/);
  },
  'a client that leaves is forgotten': async (stage) => {
    const before = 2;
    await until('only the shared clients are there', async () => (await connections(stage)) === before);
    const guest = await stage.generation.connect(stage.gateway.ports.happn);
    await listen(guest, stage.at('a'));
    expect(await connections(stage)).toBe(before + 1);
    await guest.disconnect();
    await until('the gateway forgets it', async () => (await connections(stage)) === before);
    await stage.client.set(stage.at('a'), { n: 1 });
  },
  'a client that leaves does not come back': async (stage) => {
    const guest = await stage.generation.connect(stage.gateway.ports.happn);
    await guest.disconnect();
    expect(guest.reconnects()).toBe(0);
    expect(await stage.client.get(stage.at('a'))).toBeNull();
  },
  'a refusal does not harm what follows': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'));
    expect(await refusal(stage.client.set(stage.at('*'), { n: 1 }))).toBe(true);
    expect(await refusal(stage.client.set(stage.at('a?b'), { n: 1 }))).toBe(true);
    await stage.client.set(stage.at('a'), { n: 1 });
    await fence(stage.other);
    expect(values(heard)).toEqual([1]);
  },
  'records outlive the client that wrote them': async (stage) => {
    const guest = await stage.generation.connect(stage.gateway.ports.happn);
    await guest.set(stage.at('a'), { n: 1 });
    await guest.disconnect();
    expect(await stage.client.get(stage.at('a'))).toMatchObject({ n: 1 });
  },
});

/** These share one restart. */
export const RESTART = stories('restart', {
  'records are there after a restart': async (stage) => {
    const guest = await stage.guest();
    const before = (await guest.set(stage.at('a'), { n: 1 })) as { _meta: { created: number } };
    await stage.restart();
    await isBack(guest);
    expect(await guest.get(stage.at('a'))).toMatchObject({ n: 1 });
    const after = (await guest.set(stage.at('a'), { n: 2 })) as { _meta: { created: number } };
    expect(after._meta.created).toBe(before._meta.created);
  },
  'listeners hear each event once after a restart, and none twice': async (stage) => {
    const guest = await stage.guest();
    const one = await listen(guest, stage.at('a'));
    const two = await listen(guest, stage.at('a'));
    const wild = await listen(guest, stage.at('*'), { event_type: 'all' });
    await guest.set(stage.at('a'), { n: 1 });
    await fence(guest);
    await stage.restart();
    await isBack(guest);
    await fence(guest);
    await guest.set(stage.at('a'), { n: 2 });
    await fence(guest);
    expect([one, two, wild].map(({ heard }) => values(heard))).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
  },
  'off still ends a listener after a restart': async (stage) => {
    const guest = await stage.guest();
    const { heard, handle } = await listen(guest, stage.at('a'));
    const kept = await listen(guest, stage.at('b'));
    await stage.restart();
    await isBack(guest);
    await fence(guest);
    await guest.set(stage.at('a'), { n: 1 });
    await guest.off(handle);
    await guest.set(stage.at('a'), { n: 2 });
    await guest.set(stage.at('b'), { n: 3 });
    await fence(guest);
    expect([values(heard), values(kept.heard)]).toEqual([[1], [3]]);
  },
  'initial values are not repeated after a restart': async (stage) => {
    const guest = await stage.guest();
    await guest.set(stage.at('a'), { n: 1 });
    const { heard } = await listen(guest, stage.at('a'), { initialEmit: true });
    await until('the initial value', () => heard.length === 1);
    await stage.restart();
    await isBack(guest);
    await fence(guest);
    await guest.set(stage.at('a'), { n: 2 });
    await fence(guest);
    expect(values(heard)).toEqual([1, 2]);
  },
  'a listener that was ended stays ended after a restart': async (stage) => {
    const guest = await stage.guest();
    const ended = await listen(guest, stage.at('a'));
    const other = await listen(guest, stage.at('*'));
    await guest.off(ended.handle);
    await stage.restart();
    await isBack(guest);
    await fence(guest);
    await guest.set(stage.at('a'), { n: 1 });
    await fence(guest);
    expect([values(ended.heard), values(other.heard)]).toEqual([[], [1]]);
  },
  'a client that comes back has a new session': async (stage) => {
    const guest = await stage.guest();
    const before = sessionId(guest);
    await stage.restart();
    await isBack(guest);
    expect(sessionId(guest)).not.toBe(before);
  },
});
