// The same stories for the unmodified client of each generation, against one gateway process per generation.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { GENERATIONS, type Generation, type HappnClient } from '../support/happn-clients.js';
import { ALL_STORIES, RESTART, STORIES, Stage, type Story, TRAITS, WAITS } from '../support/happn-stories/index.js';

test('there are more than a hundred stories, each with a name of its own', () => {
  expect(new Set(ALL_STORIES.map(({ name }) => name)).size).toBe(ALL_STORIES.length);
  expect(ALL_STORIES.length).toBeGreaterThan(100);
  expect([...WAITS.keys()].filter((name) => !ALL_STORIES.some((story) => story.name === name))).toEqual([]);
});

/** A restart that all who ask for it share: it happens when the last of them asked. */
function sharedRestart(gateway: () => GatewayProcess, askers: number): () => Promise<void> {
  let asked = 0;
  let release: (restarted: Promise<void>) => void;
  const restarted = new Promise<void>((resolve) => {
    release = resolve as (restarted: Promise<void>) => void;
  });
  return async () => {
    asked += 1;
    if (asked === askers) release(gateway().restart());
    await restarted;
  };
}

describe.each(GENERATIONS)('with the client of $name', (generation: Generation) => {
  const traits = TRAITS.get(generation.name);
  if (traits === undefined) throw new Error(`no traits of ${generation.name}`);
  let gateway: GatewayProcess;
  let client: HappnClient;
  let other: HappnClient;

  beforeAll(async () => {
    gateway = await startGateway({ flags: ['--durability', 'os'] });
    [client, other] = await Promise.all([generation.connect(gateway.ports.happn), generation.connect(gateway.ports.happn)]);
  });

  afterAll(async () => {
    await Promise.all([client, other].map((one) => one.disconnect()));
    await gateway.stop();
  });

  async function tell(story: Story, restart: () => Promise<void>): Promise<void> {
    const stage = new Stage(gateway, generation, traits as NonNullable<typeof traits>, client, other, restart);
    try {
      await story.run(stage);
    } finally {
      await stage.end();
    }
  }

  const none = (): Promise<void> => Promise.reject(new Error('this story has no restart'));

  for (const story of STORIES) {
    const waits = WAITS.get(story.name);
    if (waits === undefined) test(`${story.area}: ${story.name}`, () => tell(story, none));
    else {
      test(`${story.area}, waits for ${waits}: ${story.name}`, async () => {
        await expect(tell(story, none)).rejects.toMatchObject({ code: 501 });
      });
    }
  }

  test('restart: the clients that all stories share come back, too, and every story holds', async () => {
    const restarted = sharedRestart(() => gateway, RESTART.length);
    const restart = async (): Promise<void> => {
      await restarted();
      await until('the shared clients are back', () => [client, other].every((one) => one.reconnects() === 1));
    };
    const ended = await Promise.allSettled(RESTART.map((story) => tell(story, restart)));
    const failed = ended.flatMap((end, n) => (end.status === 'rejected' ? [`${RESTART[n]?.name}: ${String(end.reason)}`] : []));
    expect(failed).toEqual([]);
    expect(await client.get('/story/fence')).toBeNull();
  }, 60_000);
});
