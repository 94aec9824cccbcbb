// The stop of a gateway with many connections, which end of themselves at that moment or are ended by the stop.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type Exit, type GatewayProcess, startGateway } from '../../support/gateway-process.js';
import { encode } from '../../support/mqtt-wire.js';
import { loopMs } from '../../support/processor-time.js';

const CLIENTS = process.env.TRIVIUM_TEST_LONG === '1' ? 9_000 : 1_500;
/** Of the clients, so many come at a time. */
const TOGETHER = 64;
/** Processor time for the end of each connection, with much room. */
const BUSY_MS_EACH = 0.6;
const LOOK_MS = 2;

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

/** How the gateway ended after SIGTERM, and how long its event loop was on a processor for that. */
async function costOfStop(): Promise<{ exit: Exit; busyMs: number }> {
  const begun = loopMs(gateway.pid) as number;
  let busyMs = 0;
  gateway.signal('SIGTERM');
  for (let now: number | null = begun; now !== null; now = loopMs(gateway.pid)) {
    busyMs = now - begun;
    await delay(LOOK_MS);
  }
  return { exit: await gateway.exited, busyMs };
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
    ['are ended with little work', false],
    ['that are lost in that moment hold nothing up', true],
  ])('%s', { timeout: 120_000 }, async (_what, lost) => {
    gateway = await startGateway();
    await gather(version);
    if (lost) for (const socket of sockets) socket.resetAndDestroy();
    const { exit, busyMs } = await costOfStop();
    expect(busyMs / CLIENTS).toBeLessThan(BUSY_MS_EACH);
    // A machine that is busy with much else may not have let it run for long enough.
    expect(exit).toEqual({ code: gateway.stderr.includes('did not stop in time') ? 1 : 0, signal: null });
    const lines = gateway.stderr
      .split('\n')
      .filter((line) => /"level":"(error|warn)"/.test(line) && !/did not stop (in time|within)/.test(line));
    expect(lines).toEqual([]);
  });
});
