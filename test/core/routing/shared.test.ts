// Shared subscriptions: one member gets each publication.

import { afterEach, describe, expect, it } from 'vitest';
import { SESSION_EXPIRY_MS } from '../../../src/core/durable/durable-session.js';
import { UNSTORED } from '../../../src/core/message.js';
import { type Harness, startEngine, type TestSession, until } from '../../support/core-harness.js';

let house: Harness;
afterEach(async () => {
  await house.stop();
});

async function member(pattern: string, group: string, qos: 0 | 1 = 1): Promise<TestSession> {
  const session = house.session(true);
  await session.subscribe(pattern, 'mqtt', { group, qos });
  return session;
}

async function keeper(key: string, qos: 1 | 2 = 1): Promise<TestSession> {
  const session = house.session(true);
  await session.durably({ type: 'open', key, clean: false, expiryMs: SESSION_EXPIRY_MS });
  await session.subscribe('t/#', 'mqtt', { group: 'g', qos });
  return session;
}

const heard = (session: TestSession): unknown[] => session.heard.map(({ publication }) => publication.payload?.value());

describe('members of a shared subscription', () => {
  it('get each publication in turn, beside whoever subscribed alone', async () => {
    house = await startEngine();
    const [a, b, alone] = [await member('t/#', 'g'), await member('t/#', 'g'), house.session()];
    await alone.subscribe('t/1');
    for (let i = 0; i < 6; i++) await house.session().emit('t/1', i);
    expect([heard(a), heard(b)]).toEqual([
      [0, 2, 4],
      [1, 3, 5],
    ]);
    expect(heard(alone)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('keep their turn when there is news that none of them hears', async () => {
    house = await startEngine();
    const [a, b] = [await member('t/#', 'g'), await member('t/#', 'g')];
    const writer = house.session();
    await writer.emit('t/1', 0);
    await writer.remove('t/none');
    await writer.emit('t/1', 1);
    await writer.removeAll('t/*');
    await writer.emit('t/1', 2);
    expect([heard(a), heard(b)]).toEqual([[0, 2], [1]]);
  });

  it('of other groups, and with other patterns, are others', async () => {
    house = await startEngine();
    const all = [await member('t/#', 'g'), await member('t/#', 'h'), await member('t/+', 'g')];
    await house.session().emit('t/1', 1);
    expect(all.map(heard)).toEqual([[1], [1], [1]]);
  });

  it('that left get nothing, and the last one takes the group away', async () => {
    house = await startEngine();
    const [a, b] = [await member('t', 'g'), await member('t', 'g')];
    await house.session().emit('t', 0);
    a.close(null);
    await house.session().emit('t', 1);
    await house.session().emit('t', 2);
    expect([heard(a), heard(b)]).toEqual([[0], [1, 2]]);
    b.close(null);
    expect((await house.session().emit('t', 3)).heard).toBe(false);
  });

  it('that do not keep up are passed over', async () => {
    house = await startEngine();
    const [slow, quick] = [await member('t', 'g'), await member('t', 'g')];
    slow.stalled = true;
    await house.session().emit('t', 'x'.repeat(300_000));
    for (let i = 0; i < 4; i++) await house.session().emit('t', i);
    expect(heard(quick)).toEqual([0, 1, 2, 3]);
  });

  it('that are away keep a message only when nobody is there', async () => {
    house = await startEngine();
    const a = await keeper('a');
    const b = await keeper('b');
    a.close(null);
    await house.session().emit('t/1', 'for b', { qos: 1 });
    expect(heard(b)).toEqual(['for b']);
    b.close(null);
    for (const value of [1, 2]) await house.session().emit('t/1', value, { qos: 1 });
    await house.session().emit('t/1', 'level 0 is kept for nobody', { qos: 0 });
    const back = await Promise.all([keeper('a'), keeper('b')]);
    const kept = back.map((session) => [...(session.durable?.queue.values() ?? [])].map(({ number }) => number).length);
    // What b was handed before it left was not acknowledged.
    expect(kept).toEqual([1, 2]);
  });

  it('are told apart from the same filter unshared, also after a restart', async () => {
    house = await startEngine();
    const first = await keeper('a');
    await first.subscribe('t/#', 'mqtt', { qos: 1 });
    const { store } = house;
    await house.stop();
    house = await startEngine({ store });
    await house.session().emit('t/1', 1, { qos: 1 });
    const back = house.session(true);
    await back.durably({ type: 'open', key: 'a', clean: false, expiryMs: SESSION_EXPIRY_MS });
    expect([...(back.durable?.subscriptions.keys() ?? [])].sort()).toEqual(['&g/t/#', '/t/#']);
    expect(back.durable?.queue.size).toBe(1);
  });
});

describe('a message that was given to one of several', () => {
  const count = (session: TestSession): number => session.durable?.queue.size ?? 0;
  const options = { key: 'a', clean: true, expiryMs: SESSION_EXPIRY_MS } as const;

  /** `a` is away and has been given what is published; then `b` comes. */
  async function given(values: readonly unknown[], qos: 1 | 2 = 1): Promise<{ b: TestSession }> {
    house = await startEngine();
    const a = await keeper('a', qos);
    a.close(null);
    for (const value of values) await house.session().emit('t/1', value as string, { qos });
    return { b: await keeper('b', qos) };
  }

  it('is given to another one when its session ends before it has it', async () => {
    const { b } = await given(['x', 'y']);
    await house.session(true).durably({ type: 'open', ...options });
    expect(heard(b)).toEqual(['x', 'y']);
    expect(count(b)).toBe(2);
    expect([...(b.durable?.queue.values() ?? [])].map(({ groups }) => groups)).toEqual([['g\nt/#'], ['g\nt/#']]);
  });

  it('is given to one that is away, also after a restart, and in the same turn', async () => {
    const { b } = await given(['x']);
    b.close(null);
    const { store } = house;
    await house.stop();
    house = await startEngine({ store });
    const opener = house.session(true);
    opener.context.submit(opener.setRequest('t/1', 'y', { ...UNSTORED, qos: 1 }));
    await opener.durably({ type: 'open', ...options });
    const back = await keeper('b');
    const bodies = [...(back.durable?.queue.keys() ?? [])].map((number) => back.context.queuedPublication(number, null)?.payload?.value());
    expect(bodies).toEqual(['x', 'y']);
    expect(house.context.figures()).toMatchObject({ messages: 2, queued: 2 });
  });

  it('was never sent to that one, however old it is, and is good for as long as it was', async () => {
    house = await startEngine();
    const a = await keeper('a');
    a.close(null);
    const published = house.clock.time;
    await house.session().emit('t/1', 'x', { qos: 1, lifetimeMs: 60_000 });
    house.clock.time += 10_000;
    (await keeper('b')).close(null);
    await until(() => house.counters.gauges.get('requests_unsettled')?.read() === 0);
    house.clock.time += 10_000;
    await house.session(true).durably({ type: 'open', ...options });
    const { store, clock } = house;
    await house.stop();
    house = await startEngine({ store, time: clock.time });
    const [message] = (await keeper('b')).durable?.queue.values() ?? [];
    expect(message).toMatchObject({ sent: false, time: published + 20_000, expires: published + 60_000 });
  });

  it('is given to nobody else when it is acknowledged, or too old, or was received or perhaps received exactly once', async () => {
    const { b } = await given(['released', 'sent', 'not sent'], 2);
    const a = await keeper('a', 2);
    const [released, sent] = [...(a.durable?.queue.values() ?? [])];
    await a.durably({ type: 'release', number: released?.number ?? 0 });
    if (sent !== undefined) sent.sent = true;
    await house.session().emit('t/1', 'acknowledged by a or b', { qos: 1 });
    for (const session of [a, b]) {
      for (const { number, qos } of session.durable?.queue.values() ?? []) {
        if (qos === 1) await session.durably({ type: 'acknowledge', number });
      }
    }
    a.close(null);
    b.heard.length = 0;
    await house.session(true).durably({ type: 'open', ...options });
    expect(heard(b)).toEqual(['not sent']);
  });

  it('is dropped with the last of them', async () => {
    house = await startEngine();
    const a = await keeper('a');
    a.close(null);
    await house.session().emit('t/1', 'x', { qos: 1 });
    await house.session(true).durably({ type: 'open', ...options });
    expect(house.context.figures()).toMatchObject({ messages: 0, queued: 0 });
  });

  it('reaches a member that nothing is kept of', async () => {
    house = await startEngine();
    const a = await keeper('a');
    a.close(null);
    await house.session().emit('t/1', 'x', { qos: 1 });
    const alone = await member('t/#', 'g');
    await house.session(true).durably({ type: 'open', ...options });
    expect(heard(alone)).toEqual(['x']);
  });
});
