// The stop of a gateway with many connections, which end of themselves at that moment or are ended by the stop.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway } from '../../support/gateway-process.js';
import { encode } from '../../support/mqtt-wire.js';

const CLIENTS = process.env.TRIVIUM_TEST_LONG === '1' ? 9_000 : 1_500;
/** Of the clients, so many come at a time. */
const TOGETHER = 64;

let gateway: GatewayProcess;
let sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await gateway.kill();
});

/** A client with a durable session that has its CONNACK. */
async function come(version: 4 | 5, clientId: string): Promise<void> {
  const socket = connect(gateway.ports.mqtt, '127.0.0.1');
  socket.on('error', () => socket.destroy());
  const properties = version === 5 ? { properties: { sessionExpiryInterval: 3_600 } } : {};
  const packet = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: version, clean: false, clientId, keepalive: 0, ...properties };
  socket.write(encode(packet, version));
  await once(socket, 'data');
  socket.resume();
  sockets.push(socket);
}

async function gather(version: 4 | 5): Promise<void> {
  const ids = Array.from({ length: CLIENTS }, (_, i) => `client-${i}`);
  const one = async (): Promise<void> => {
    for (let id = ids.pop(); id !== undefined; id = ids.pop()) await come(version, id);
  };
  await Promise.all(Array.from({ length: TOGETHER }, one));
}

describe.each([4, 5] as const)(`${CLIENTS} connections of version %i`, (version) => {
  it.each([
    ['are ended within 5 s', false],
    ['that are lost in that moment hold nothing up', true],
  ])('%s', { timeout: 120_000 }, async (_what, lost) => {
    gateway = await startGateway();
    await gather(version);
    const begun = performance.now();
    if (lost) for (const socket of sockets) socket.resetAndDestroy();
    expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect(gateway.stderr).not.toMatch(/"level":"(error|warn)"/);
  });
});
