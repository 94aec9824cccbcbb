// Law 5 and removals by wildcard: once, in order, with initial values and under load; a session reads its own writes.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { HappnWire } from '../support/happn-wire.js';
import { HavenClient } from '../support/haven-client.js';
import { HAPPN, HAVEN, MQTT, ROADS, type Road, type RoadClient } from '../support/roads.js';

let gateway: GatewayProcess;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.stop());

/** The number in a body, however the protocol shows it. */
function numberIn(body: unknown): number {
  return (Buffer.isBuffer(body) ? (JSON.parse(body.toString()) as { n: number }) : (body as { n: number })).n;
}

async function closeAll(clients: readonly RoadClient[]): Promise<void> {
  await Promise.all(clients.map((client) => client.close()));
}

describe('law 5: once and in order', () => {
  it('every subscriber of every protocol hears the same order of changes and events of a path, from writers of all protocols', async () => {
    const writers = await Promise.all(ROADS.map((road) => road.connect(gateway.ports)));
    const readers = await Promise.all(ROADS.map((road) => road.connect(gateway.ports)));
    const ears = await Promise.all(readers.map((reader) => reader.listen('order/a')));
    const each = 50;
    await Promise.all(
      ROADS.map(async (road, w) => {
        const writer = writers[w] as RoadClient;
        await Promise.all(
          Array.from({ length: each }, (_, i) => {
            const body = road.says({ n: w * 1_000 + i });
            return road.hasEvents && i % 3 === 0 ? writer.emit('order/a', body) : writer.set('order/a', body);
          }),
        );
      }),
    );
    const total = each * ROADS.length;
    const heard = await Promise.all(
      ears.map(async (ear) => (await ear.until(() => ear.heard.length >= total)).map(({ body }) => numberIn(body))),
    );
    for (const numbers of heard) expect(numbers).toEqual(heard[0]);
    for (const w of ROADS.keys()) {
      const own = (heard[0] as number[]).filter((n) => Math.floor(n / 1_000) === w);
      expect(own).toEqual(Array.from({ length: each }, (_, i) => w * 1_000 + i));
    }
    await closeAll([...writers, ...readers]);
  });

  it.each(ROADS)('initial values of $name and what happens meanwhile follow each other without a gap', async (road) => {
    const writer = await HAVEN.connect(gateway.ports);
    const prefix = `initial/${ROADS.indexOf(road)}`;
    const others = Array.from({ length: 50 }, (_, i) => `${prefix}/other/${i}`);
    await Promise.all(others.map((path) => writer.set(path, { n: -1 })));
    let last = 0;
    let writing = true;
    const load = (async () => {
      while (writing) await Promise.all(Array.from({ length: 20 }, () => writer.set(`${prefix}/a`, { n: ++last })));
    })();
    try {
      for (let round = 0; round < 5; round++) {
        const reader = await road.connect(gateway.ports);
        const ear = await reader.listen(road.below(prefix), true);
        const target = last + 200;
        await ear.until(({ path, body }) => path === `${prefix}/a` && numberIn(body) >= target);
        const numbers = ear.heard.filter(({ path }) => path === `${prefix}/a`).map(({ body }) => numberIn(body));
        expect(numbers).toEqual(Array.from(numbers, (_, i) => (numbers[0] as number) + i));
        expect(
          ear.heard
            .map(({ path }) => path)
            .filter((path) => path.includes('/other/'))
            .toSorted(),
        ).toEqual(others.toSorted());
        await reader.close();
      }
    } finally {
      writing = false;
      await load;
      await writer.close();
    }
  });

  it.each(ROADS)('a session of $name reads its own writes without waiting for their answers', async (road) => {
    const client = await road.connect(gateway.ports);
    const path = `own/${ROADS.indexOf(road)}`;
    for (let round = 0; round < 5; round++) {
      const writes = Array.from({ length: 30 }, (_, n) => client.set(path, road.says({ n: round * 100 + n })));
      expect(await client.get(path)).toEqual(road.shows({ n: round * 100 + 29 }));
      await Promise.all(writes);
    }
    const removal = client.remove(path);
    expect(await client.get(path)).toBeUndefined();
    await removal;
    await client.close();
  });

  it.each([HAPPN, MQTT])('an event of $name that stores nothing stays behind pending changes of its path', async (road) => {
    const client = await road.connect(gateway.ports);
    const other = await HAVEN.connect(gateway.ports);
    const path = `behind/${road.protocol}`;
    const ear = await other.listen(path);
    const sent: number[] = [];
    const all: Promise<void>[] = [];
    for (let n = 0; n < 100; n++) {
      sent.push(n);
      all.push(n % 2 === 0 ? client.set(path, road.says({ n })) : client.emit(path, road.says({ n })));
    }
    await Promise.all(all);
    await ear.until(({ body }) => numberIn(body) === 99);
    expect(ear.heard.map(({ body }) => numberIn(body))).toEqual(sent);
    await closeAll([client, other]);
  });

  it('overlapping subscriptions: one event for each channel of happn and watch of Haven, one message for MQTT', async () => {
    const [happn, mqtt, haven] = (await Promise.all([HAPPN, MQTT, HAVEN].map((road) => road.connect(gateway.ports)))) as [
      RoadClient,
      RoadClient,
      RoadClient,
    ];
    const happnEars = await Promise.all([happn.listen('over/a'), happn.listen('over/*'), happn.listen('over/**')]);
    const havenEars = await Promise.all([haven.listen('over/a'), haven.listen('over/*')]);
    const messages: string[] = [];
    const { client } = mqtt as unknown as { client: import('mqtt').MqttClient };
    client.on('message', (topic) => messages.push(topic));
    await client.subscribeAsync(['over/#', 'over/+', 'over/a', 'over/end'], { qos: 1 });
    await haven.set('over/a', { n: 1 });
    await happn.emit('over/a', { n: 2 });
    await haven.set('over/end', { n: 3 });
    await Promise.all([...happnEars.slice(1), havenEars[1]].map((ear) => ear?.until(({ path }) => path === 'over/end')));
    while (!messages.includes('over/end')) await new Promise((resolve) => client.once('message', resolve));
    for (const ear of [...happnEars, ...havenEars]) expect(ear.heard.filter(({ path }) => path === 'over/a')).toHaveLength(2);
    expect(messages).toEqual(['over/a', 'over/a', 'over/end']);
    await closeAll([happn, mqtt, haven]);
  });
});

describe('removal by wildcard', () => {
  const count = 25;
  const remove: [Road, (prefix: string) => Promise<number>][] = [
    [
      HAPPN,
      async (prefix) => {
        const wire = await (await HappnWire.connect(`ws://127.0.0.1:${gateway.ports.happn}/primus`)).login();
        const { data } = await wire.request('remove', { path: `${prefix}/*`, data: null, options: {} });
        await wire.close();
        return (data as { removed: number }).removed;
      },
    ],
    [
      HAVEN,
      async (prefix) => {
        const client = await HavenClient.connect(gateway.ports.haven);
        const { removed } = (await client.delete(`${prefix}/*`)) as { removed: number };
        await client.close();
        return removed;
      },
    ],
  ];
  it.each(remove)('over $name: happn hears one event, MQTT and Haven one for each record', async (road, removeAll) => {
    const prefix = `gone/${road.protocol}`;
    const paths = Array.from({ length: count }, (_, i) => `${prefix}/${String(i).padStart(2, '0')}`);
    const [happn, mqtt, haven] = (await Promise.all([HAPPN, MQTT, HAVEN].map((one) => one.connect(gateway.ports)))) as [
      RoadClient,
      RoadClient,
      RoadClient,
    ];
    await Promise.all(paths.map((path) => haven.set(path, { n: 1 })));
    await haven.set(`${prefix}x/stays`, { n: 1 });
    const [happnEar, mqttEar, havenEar, single] = await Promise.all([
      happn.listen(`${prefix}/*`),
      mqtt.listen(`${prefix}/#`),
      haven.listen(`${prefix}/*`),
      happn.listen(paths[0] as string),
    ]);
    expect(await removeAll(prefix)).toBe(count);
    await haven.set(`${prefix}/end`, { n: 2 });
    const each = paths.map((path) => ({ action: 'remove', path, body: null }));
    expect(await mqttEar.before(`${prefix}/end`)).toEqual(each);
    expect(await havenEar.before(`${prefix}/end`)).toEqual(each);
    expect(await happnEar.before(`${prefix}/end`)).toEqual([{ action: 'remove', path: `${prefix}/*`, body: null }]);
    expect(single.heard).toEqual([]);
    for (const path of paths.slice(0, 3)) expect(await mqtt.get(path)).toBeUndefined();
    expect(await happn.get(`${prefix}x/stays`)).toEqual({ n: 1 });
    await haven.remove(`${prefix}/end`);
    const client = await HavenClient.connect(gateway.ports.haven);
    const { revision } = await client.write('gone/revision', 1);
    expect(await removeAll(prefix)).toBe(0);
    expect((await client.write('gone/revision', 2)).revision).toBe(revision + 1);
    await client.close();
    await closeAll([happn, mqtt, haven]);
  });
});
