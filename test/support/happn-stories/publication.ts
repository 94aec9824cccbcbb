// Stories of publications: what an event holds, who gets it, and what its sender learns of that.

import { expect } from 'vitest';
import { until } from '../gateway-process.js';
import { fence, listen, type Stage, sessionId, stories, values } from './stage.js';

interface Published {
  readonly error: unknown;
  readonly results: Record<string, number>;
}

/** A set with the notice of what became of its publication, which comes on its own. */
async function published(stage: Stage, consistency: number): Promise<Published> {
  let notice: Published | null = null;
  const onPublished = (error: unknown, results: Record<string, number>): void => {
    notice = { error, results };
  };
  await stage.client.set(stage.at('a'), { n: 1 }, { consistency, onPublished });
  await until('the notice of the publication', () => notice !== null);
  return notice as unknown as Published;
}

export const PUBLICATION = stories('publication', {
  'an event tells path, channel, action and times': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('*'));
    await stage.client.set(stage.at('a'), { n: 1 });
    await fence(stage.other);
    expect(heard).toHaveLength(1);
    const meta = heard[0]?.meta;
    expect(meta).toMatchObject({ path: stage.at('a'), channel: `/SET@${stage.at('*')}`, action: `/SET@${stage.at('a')}`, type: 'data' });
    expect(meta?.created).toBe(meta?.modified);
    expect(meta?.created).toBeTypeOf('number');
  },
  'an event tells who made it': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'));
    await stage.client.set(stage.at('a'), { n: 1 });
    await fence(stage.other);
    expect(heard[0]?.meta.sessionId).toBe(sessionId(stage.client));
  },
  'an event without a record has no times': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'));
    await stage.client.set(stage.at('a'), { n: 1 }, { noStore: true });
    await fence(stage.other);
    expect(heard.map(({ data, meta }) => [data.n, meta.created, meta.modified])).toEqual([[1, undefined, undefined]]);
  },
  'a set with noPublish is heard by nobody': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'), { event_type: 'all' });
    await stage.client.set(stage.at('a'), { n: 1 }, { noPublish: true });
    await stage.client.remove(stage.at('a'), { noPublish: true });
    await fence(stage.other);
    expect(heard).toEqual([]);
    expect(await stage.other.get(stage.at('a'))).toBeNull();
  },
  'a removal tells how many': async (stage) => {
    await stage.client.set(stage.at('a'), { n: 1 });
    const { heard } = await listen(stage.other, stage.at('a'), { event_type: 'remove' });
    await stage.client.remove(stage.at('a'));
    await stage.client.remove(stage.at('a'));
    await fence(stage.other);
    expect(values(heard, 'removed')).toEqual([1, 0]);
  },
  'primitives are wrapped in events, too': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'));
    await stage.client.set(stage.at('a'), 'text');
    await stage.client.set(stage.at('a'), [1, 2], { noStore: true });
    await fence(stage.other);
    expect(values(heard, 'value')).toEqual(['text', [1, 2]]);
  },
  'meta of the sender reaches the listener and is not stored': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'));
    const answer = await stage.client.set(stage.at('a'), { n: 1 }, { meta: { custom: 1, deep: { x: [1] } } });
    await fence(stage.other);
    expect(heard[0]?.meta).toMatchObject({ custom: 1, deep: { x: [1] } });
    expect(answer._meta).not.toHaveProperty('custom');
    expect(((await stage.other.get(stage.at('a'))) as { _meta: object })._meta).not.toHaveProperty('custom');
  },
  'meta of a removal reaches the listener': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'), { event_type: 'remove' });
    await stage.client.remove(stage.at('a'), { meta: { why: 'old' } });
    await fence(stage.other);
    expect(heard[0]?.meta).toMatchObject({ why: 'old', path: stage.at('a') });
  },
  'reserved names of meta have no effect': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'));
    const ofSeeds = ['created', 'modified', 'path', 'action', 'type', 'published', 'status', 'eventId', 'sessionId'];
    const ofGateway = ['channel', 'consistency', 'depth', 'eventOrigin', 'modifiedBy', 'protocol', 'publicationId', 'timestamp'];
    const reserved = [...ofSeeds, ...ofGateway];
    await stage.client.set(stage.at('a'), { n: 1 }, { meta: Object.fromEntries(reserved.map((name) => [name, 'forged'])) });
    await fence(stage.other);
    expect(heard).toHaveLength(1);
    expect(Object.values(heard[0]?.meta ?? {})).not.toContain('forged');
  },
  'events of one path come in the order of the changes': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'));
    const numbers = Array.from({ length: 300 }, (_, n) => n);
    await Promise.all(numbers.map((n) => stage.client.set(stage.at('a'), { n }, { noStore: n % 3 === 0 })));
    await fence(stage.other);
    expect(values(heard)).toEqual(numbers);
  },
  'events reach every client that listens': async (stage) => {
    const guests = await Promise.all([1, 2, 3].map(() => stage.guest()));
    const listening = await Promise.all([...guests, stage.other].map((client) => listen(client, stage.at('a'))));
    await stage.client.set(stage.at('a'), { n: 1 });
    await Promise.all([...guests, stage.other].map(fence));
    expect(listening.map(({ heard }) => values(heard))).toEqual([[1], [1], [1], [1]]);
  },
  'what a listener does to its data is not seen by others': async (stage) => {
    const first = await listen(stage.other, stage.at('a'));
    const second = await listen(stage.other, stage.at('a'));
    await stage.client.set(stage.at('a'), { deep: { n: 1 } });
    await fence(stage.other);
    const [one, two] = [first.heard[0]?.data.deep as { n: number }, second.heard[0]?.data.deep as { n: number }];
    one.n = 99;
    expect([two.n, ((await stage.client.get(stage.at('a'))) as { deep: { n: number } }).deep.n]).toEqual([1, 1]);
  },
  'a transactional set is answered after its events': async (stage) => {
    const { heard } = await listen(stage.client, stage.at('a'));
    await stage.client.set(stage.at('a'), { n: 1 }, { consistency: 2 });
    expect(heard).toHaveLength(1);
  },
  'a queued set is answered, and its event comes': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'));
    await stage.client.set(stage.at('a'), { n: 1 }, { consistency: 0 });
    await until('the event', () => heard.length === 1);
    expect(await stage.client.get(stage.at('a'))).toMatchObject({ n: 1 });
  },
  'a deferred set tells later how many got it': async (stage) => {
    await listen(stage.other, stage.at('a'));
    if (!stage.traits.consistency) {
      // This client knows no notices: it is to come through one unharmed.
      await stage.client.set(stage.at('a'), { n: 1 }, { consistency: 1 });
      expect(await stage.client.get(stage.at('a'))).toMatchObject({ n: 1 });
      return;
    }
    const { error, results } = await published(stage, 1);
    expect(error).toBeNull();
    expect(results).toMatchObject({ successful: 1, failed: 0, queued: 1 });
  },
  'an acknowledged set tells how many said that they got it': async (stage) => {
    await listen(stage.other, stage.at('a'));
    if (!stage.traits.consistency) {
      await stage.client.set(stage.at('a'), { n: 1 }, { consistency: 3 });
      expect(await stage.client.get(stage.at('a'))).toMatchObject({ n: 1 });
      return;
    }
    const guest = await stage.guest();
    await listen(guest, stage.at('*'));
    const { error, results } = await published(stage, 3);
    expect(error).toBeNull();
    expect(results).toMatchObject({ successful: 2, failed: 0, queued: 2, acknowledged: 2 });
  },
  'an acknowledged set that nobody hears is done at once': async (stage) => {
    if (!stage.traits.consistency) {
      await stage.client.set(stage.at('a'), { n: 1 }, { consistency: 3 });
      return;
    }
    const { error, results } = await published(stage, 3);
    expect(error).toBeNull();
    expect(results).toMatchObject({ successful: 0, queued: 0 });
  },
  'the answer of a set tells its results when asked to': async (stage) => {
    await listen(stage.other, stage.at('a'));
    const answer = await stage.client.set(stage.at('a'), { n: 1 }, { consistency: 2, publishResults: true });
    expect((answer._meta as Record<string, unknown>).publishResults).toMatchObject({ successful: 1, failed: 0, queued: 1 });
  },
  'targetClients bounds who hears': async (stage) => {
    const mine = await listen(stage.client, stage.at('a'));
    const theirs = await listen(stage.other, stage.at('a'));
    await stage.client.set(stage.at('a'), { n: 1 }, { targetClients: [sessionId(stage.other)] });
    await stage.client.set(stage.at('a'), { n: 2 }, { targetClients: [] });
    await stage.client.set(stage.at('a'), { n: 3 }, { targetClients: [sessionId(stage.client), sessionId(stage.other)] });
    await fence(stage.other);
    expect([values(mine.heard), values(theirs.heard)]).toEqual([[3], [1, 3]]);
  },
  'targetClients reaches no client that does not listen': async (stage) => {
    const other = await listen(stage.other, stage.at('b'));
    await stage.client.set(stage.at('a'), { n: 1 }, { targetClients: [sessionId(stage.other)] });
    await fence(stage.other);
    expect(other.heard).toEqual([]);
  },
  'noCluster passes over members of a cluster': async (stage) => {
    const member = await stage.guest({ clusterName: 'cluster' });
    const cluster = await listen(member, stage.at('a'));
    const plain = await listen(stage.other, stage.at('a'));
    await stage.client.set(stage.at('a'), { n: 1 }, { noCluster: true });
    await stage.client.set(stage.at('a'), { n: 2 });
    await Promise.all([fence(member), fence(stage.other)]);
    expect([values(cluster.heard), values(plain.heard)]).toEqual([[2], [1, 2]]);
  },
});
