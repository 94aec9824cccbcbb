// Gateways that each have a bridge to another one, both ways (version 5): messages arrive, and the circle ends.

import { connectAsync } from 'mqtt';
import { expect, it, onTestFinished } from 'vitest';
import { freePort, type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { metric } from '../support/metrics.js';

const MESSAGES = 20;

async function start(own: number, remote: number): Promise<GatewayProcess> {
  const bridge = {
    name: 'b',
    url: `mqtt://127.0.0.1:${remote}`,
    retryMinMs: 100,
    retryMaxMs: 200,
    rules: [{ direction: 'both', filter: 'x/#' }],
  };
  const flags = ['--durability', 'os', '--mqtt-port', String(own), '--bridges', JSON.stringify([bridge])];
  const gateway = await startGateway({ flags });
  onTestFinished(async () => void (await gateway.kill()));
  return gateway;
}

async function listen(port: number): Promise<{ readonly heard: string[]; publish(payload: string): Promise<void> }> {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`);
  onTestFinished(async () => await client.endAsync(true));
  const heard: string[] = [];
  client.on('message', (_topic, payload) => void heard.push(String(payload)));
  await client.subscribeAsync('x/#', { qos: 1 });
  return { heard, publish: async (payload) => void (await client.publishAsync('x/a', payload, { qos: 1 })) };
}

it.each([
  ['two', 2],
  ['three', 3],
])('B12 a ring of %s gateways ends', async (_name, size) => {
  const ports: number[] = [];
  for (let i = 0; i < size; i++) ports.push(await freePort());
  const gateways: GatewayProcess[] = [];
  for (const [i, port] of ports.entries()) gateways.push(await start(port, ports[(i + 1) % size] as number));
  for (const gateway of gateways) {
    await until('the bridge is connected', async () => (await metric(gateway, 'bridge_connected{bridge="b"}')) === 1);
    // Its filter, and that of the bridge that comes here.
    await until('both have subscribed', async () => (await metric(gateway, 'subscriptions')) === 2);
  }
  const ends: Awaited<ReturnType<typeof listen>>[] = [];
  for (const port of ports) ends.push(await listen(port));
  for (let i = 0; i < MESSAGES; i++) await ends[0]?.publish(String(i));
  for (const { heard } of ends) await until('all came', () => new Set(heard).size === MESSAGES);
  let last = -1;
  let since = 0;
  await until('nothing moves any more', () => {
    const now = ends.reduce((sum, { heard }) => sum + heard.length, 0);
    if (now !== last) since = performance.now();
    last = now;
    return performance.now() - since > 500;
  });
  // Once over each of the two ways round at most, and once back.
  for (const { heard } of ends) expect(heard.length).toBeLessThanOrEqual(3 * MESSAGES);
});
