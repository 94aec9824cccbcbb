// A stop after which clients are to stay away, with the unmodified happn client of each generation.

import { beforeAll, expect, test } from 'vitest';
import { createGateway } from '../../src/index.js';
import { temporaryDirectory, until } from '../support/gateway-process.js';
import { connectionOf, GENERATIONS, type HappnClient } from '../support/happn-clients.js';
import { keptLog } from '../support/silent-log.js';

const CLOSED = 2;

beforeAll(() => {
  for (const { load } of GENERATIONS) load();
});

test('clients that are dismissed stay away, and those that can be told why are', async () => {
  const config = { happn: { port: 0 }, mqtt: { port: 0 }, haven: { port: 0 }, admin: { port: 0 }, data: { dir: temporaryDirectory() } };
  const gateway = createGateway(config, { log: keptLog() });
  const port = (await gateway.start()).get('happn')?.port as number;
  const clients: HappnClient[] = [];
  const reasons: unknown[] = [];
  for (const generation of GENERATIONS) {
    const client = await generation.connect(port);
    clients.push(client);
    (client.raw.onEvent as (name: string, handler: (data: unknown) => void) => void).call(client.raw, 'session-ended', (data) =>
      reasons.push(data),
    );
  }
  await gateway.stop({ reconnect: false });
  const connections = clients.map(connectionOf);
  await until('every connection is closed', () => connections.every(({ readyState }) => readyState === CLOSED));
  expect(connections.map(({ recovery }) => recovery.reconnecting())).toEqual(GENERATIONS.map(() => false));
  // The only one that tells its program.
  expect(reasons).toEqual([{ reason: 'reconnect-false' }]);
});
