// Laws 1, 2 and 5 over every pair of roads: what is written over one is read and heard over the other, once and in order.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { type Heard, ROADS, type Road, type RoadClient } from '../support/roads.js';

let gateway: GatewayProcess;
const clients = new Map<Road, { writer: RoadClient; reader: RoadClient }>();

beforeAll(async () => {
  gateway = await startGateway();
  for (const road of ROADS) {
    clients.set(road, { writer: await road.connect(gateway.ports), reader: await road.connect(gateway.ports) });
  }
});
afterAll(async () => {
  for (const { writer, reader } of clients.values()) await Promise.all([writer.close(), reader.close()]);
  await gateway.stop();
});

const pairs = ROADS.flatMap((p) => ROADS.map((q) => ({ p, q, title: `${p.name} -> ${q.name}` })));

describe('written over p, read and heard over q', () => {
  it.each(pairs)('$title', async ({ p, q }) => {
    const { writer } = clients.get(p) as { writer: RoadClient };
    const { reader } = clients.get(q) as { reader: RoadClient };
    const prefix = `matrix/${p.protocol}${ROADS.indexOf(p)}/${q.protocol}${ROADS.indexOf(q)}`;
    const at = (name: string): string => `${prefix}/${name}`;
    const ear = await reader.listen(q.below(prefix));
    const exact = await reader.listen(at('a'));
    const own = await writer.listen(at('a'));
    const expected: Heard[] = [];
    const write = async (action: 'set' | 'emit' | 'remove', name: string, n: number): Promise<void> => {
      if (action === 'remove') await writer.remove(at(name));
      else await writer[action](at(name), p.says({ n }));
      expected.push({ action: action === 'remove' ? 'remove' : 'set', path: at(name), body: action === 'remove' ? null : q.shows({ n }) });
    };

    await write('set', 'a', 1);
    expect(await reader.get(at('a'))).toEqual(q.shows({ n: 1 }));
    await write('set', 'deeper/b', 2);
    if (p.hasEvents) {
      await write('emit', 'a', 3);
      await write('emit', 'c', 4);
      expect(await reader.get(at('a'))).toEqual(q.shows({ n: 1 }));
      expect(await reader.get(at('c'))).toBeUndefined();
    }
    await write('set', 'a', 5);
    expect(await reader.get(at('a'))).toEqual(q.shows({ n: 5 }));
    await write('remove', 'a', 0);
    expect(await reader.get(at('a'))).toBeUndefined();
    expect(await reader.get(at('deeper/b'))).toEqual(q.shows({ n: 2 }));
    await write('set', 'a', 6);

    await writer.set(at('end'), p.says({ n: 0 }));
    expect(await ear.before(at('end'))).toEqual(expected);
    const ofA = expected.filter(({ path }) => path === at('a'));
    await exact.until(({ body }) => JSON.stringify(body) === JSON.stringify(q.shows({ n: 6 })));
    expect(exact.heard).toEqual(ofA);
    // The writer hears its own changes as often as everybody else: nothing comes back a second time.
    await own.until(({ body }) => JSON.stringify(body) === JSON.stringify(p.shows({ n: 6 })));
    expect(own.heard).toHaveLength(ofA.length);
  });
});
