// What the three websocket paths of the HTTP port have in common: whose pages may open them, how large a message may be, and that
// nothing is compressed.

import { once } from 'node:events';
import { generate } from 'mqtt-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { pack } from '../support/haven-client.js';
import { metric } from '../support/metrics.js';

const PATHS = ['/primus', '/primus/deeper?_primuscb=1', '/mqtt', '/haven'];
const LIMIT = 65_536;

let gateway: GatewayProcess;

beforeAll(async () => {
  const limits = ['happn', 'haven'].flatMap((name) => [`--${name}-max-frame-bytes`, String(LIMIT)]);
  const flags = ['--http-origins', 'https://app.example', ...limits, '--mqtt-max-packet-bytes', String(LIMIT)];
  gateway = await startGateway({ flags });
});

afterAll(async () => await gateway.stop());

/** The status of the answer to an upgrade: 101 when it was taken. */
async function upgrade(path: string, headers: Record<string, string> = {}): Promise<number> {
  const socket = open(path, headers);
  const refused = once(socket, 'unexpected-response').then(([, response]) => response.statusCode as number);
  const status = await Promise.race([once(socket, 'open').then(() => 101), refused]);
  socket.terminate();
  return status;
}

function open(path: string, headers: Record<string, string> = {}): WebSocket {
  const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.happn}${path}`, path === '/mqtt' ? ['mqtt'] : [], { headers });
  socket.on('error', () => socket.terminate());
  return socket;
}

describe.each(PATHS)('%s', (path) => {
  it.each([
    'https://evil.example',
    'null',
    'http://app.example',
    'https://app.example:444',
    'https://app.example.evil.example',
    'file://',
    '',
  ])('E1 does not open for a page of %j', async (origin) => {
    const before = await metric(gateway, 'http_origin_refused_total');
    expect(await upgrade(path, { origin })).toBe(403);
    expect(await metric(gateway, 'http_origin_refused_total')).toBe(before + 1);
  });

  it.each(['https://app.example', 'http://localhost:8080', 'http://127.0.0.1'])('opens for a page of %s', async (origin) => {
    expect(await upgrade(path, { origin })).toBe(101);
  });

  it('B5 opens for a program, which sends no Origin, without compression', async () => {
    expect(await upgrade(path)).toBe(101);
    const socket = open(path);
    await once(socket, 'open');
    expect(socket.extensions).toBe('');
    socket.terminate();
  });
});

const happn = (fields: object): string => JSON.stringify({ eventId: 1, ...fields });
const HELLO: Readonly<Record<string, string | Buffer>> = {
  '/primus': happn({ action: 'configure-session', data: { protocol: 'happn_4', version: '13.12.1' } }),
  '/mqtt': generate({ cmd: 'connect', clientId: '', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 0 }),
  '/haven': pack({ action: 'connect', version: '1' }),
};
const WRITE: Readonly<Record<string, (bytes: number) => string | Buffer>> = {
  '/primus': (bytes) => happn({ action: 'set', path: '/large', data: { text: 'x'.repeat(bytes) } }),
  '/mqtt': (bytes) =>
    generate({ cmd: 'publish', topic: 'large', payload: 'x'.repeat(bytes), qos: 1, messageId: 1, retain: true, dup: false }),
  '/haven': (bytes) => pack({ action: 'query', type: 'write', path: 'large', value: 'x'.repeat(bytes) }),
};

describe.each(Object.keys(HELLO))('a message at %s', (path) => {
  async function opened(): Promise<{ socket: WebSocket; answers: () => number }> {
    const socket = open(path);
    let count = 0;
    socket.on('message', () => {
      count += 1;
    });
    await once(socket, 'open');
    socket.send(HELLO[path] as string);
    await until('the answer to the greeting', () => count === 1);
    return { socket, answers: () => count };
  }

  it('may be as large as configured', async () => {
    const { socket, answers } = await opened();
    socket.send((WRITE[path] as (bytes: number) => string)(LIMIT - 1_000));
    await until('its answer', () => answers() === 2);
    socket.terminate();
  });

  it('that is larger ends its connection and nobody else is touched', async () => {
    const [guilty, other] = await Promise.all([opened(), opened()]);
    const closed = once(guilty.socket, 'close');
    // Several times as large: the limit on the packet of the protocol, and the one on the websocket message.
    guilty.socket.send((WRITE[path] as (bytes: number) => string)(LIMIT * 4));
    await closed;
    other.socket.send((WRITE[path] as (bytes: number) => string)(10));
    await until('the other is answered', () => other.answers() === 2);
    other.socket.terminate();
  });
});
