// What the log tells of a durable session: whose it is, in fields of their own that a person can read.

import { connectAsync } from 'mqtt';
import { afterEach, expect, it } from 'vitest';
import { bridgeKey, clientKey } from '../../../src/adapters/mqtt/durable-keys.js';
import { whose } from '../../../src/adapters/mqtt/index.js';
import { type GatewayProcess, startGateway, until } from '../../support/gateway-process.js';

let gateway: GatewayProcess | null = null;

afterEach(() => gateway?.kill());

it('names the user, where there is one, and the client; or the bridge', () => {
  expect(whose(clientKey('ann', 'lamp "1"'))).toEqual({ user: 'ann', client: 'lamp "1"' });
  expect(whose(clientKey('', 'lamp'))).toEqual({ client: 'lamp' });
  expect(whose(bridgeKey('plant'))).toEqual({ bridge: 'plant' });
});

it('does so when a queue is full', async () => {
  gateway = await startGateway({ flags: ['--queue-max-messages', '1'] });
  const url = `mqtt://127.0.0.1:${gateway.ports.mqtt}`;
  const lamp = await connectAsync(url, { clientId: 'lamp', clean: false, username: 'ann', password: 'x' });
  await lamp.subscribeAsync('a', { qos: 1 });
  await lamp.endAsync();
  const writer = await connectAsync(url);
  for (let n = 0; n < 3; n++) await writer.publishAsync('a', String(n), { qos: 1 });
  await writer.endAsync();
  await until('it is told', () => gateway?.stderr.includes('the queue of a durable session is full') === true);
  const line = gateway.stderr.split('\n').find((text) => text.includes('the queue of a durable session is full')) as string;
  expect(JSON.parse(line)).toMatchObject({ client: 'lamp', messages: 1 });
  expect(line).not.toContain('durable"');
});
