// A crowd that comes while the process does something else: the system holds its connections until they are accepted. Whom it does not
// hold asks again after 1, 3, 7 and 15 seconds.

import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { GatewayProcess, until } from '../support/gateway-process.js';

/** More than Node asks the system for by itself (511), and less than what Linux allows since 5.4 (4,096). */
const CROWD = 1_500;
const WITHIN_MS = 20_000;

let gateway: GatewayProcess;

beforeAll(async () => {
  gateway = await GatewayProcess.start();
});

afterAll(() => gateway.stop());

describe('connections that come while the process is busy', () => {
  it.each(['mqtt', 'happn', 'haven'] as const)('are all held for it on the port of %s', async (listener) => {
    const sockets: Socket[] = [];
    let connected = 0;
    gateway.signal('SIGSTOP');
    try {
      for (let n = 0; n < CROWD; n++) {
        const socket = connect(gateway.ports[listener], '127.0.0.1', () => {
          connected += 1;
        });
        socket.on('error', () => socket.destroy());
        sockets.push(socket);
      }
      await until('all are connected', () => connected === CROWD, WITHIN_MS);
    } finally {
      gateway.signal('SIGCONT');
      for (const socket of sockets) socket.destroy();
    }
  });
});
