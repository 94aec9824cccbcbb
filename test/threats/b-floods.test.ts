// Peers that nobody knows, and what they can make a real process hold: declared lengths, fragments, connections that drip, tiny messages.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { HappnWire } from '../support/happn-wire.js';
import { HavenClient, pack } from '../support/haven-client.js';
import { encode } from '../support/mqtt-wire.js';
import { bareWebsocket, webUrl } from '../support/secure-roads.js';

const MIB = 1024 * 1024;
const LONG = process.env.TRIVIUM_TEST_LONG === '1';

let gateway: GatewayProcess;

beforeAll(async () => {
  // Small generations of the heap, so that what is held shows and what is garbage does not.
  gateway = await startGateway({ nodeFlags: ['--max-semi-space-size=1'], flags: ['--log-level', 'warn'] });
});
afterAll(async () => void (await gateway.stop()));

/** Bytes of memory of the process. */
function resident(): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))?.[1]) * 1024;
}

function open(port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => socket.destroy());
  return socket;
}

/** Connections of a protocol that the gateway has ended for their faults, as its metrics say. */
async function ended(protocol: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${gateway.ports.admin}/metrics`);
  const figures = (await response.text()).matchAll(
    /^trivium_connections_ended_total\{protocol="(\w+)",code="(MALFORMED_FRAME|FRAME_TOO_LARGE)"\} (\d+)$/gm,
  );
  return [...figures].reduce((sum, [, of, , count]) => sum + (of === protocol ? Number(count) : 0), 0);
}

const closing = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once('close', () => resolve()));

async function isServed(): Promise<void> {
  const [haven, device] = [
    await HavenClient.connect(gateway.ports.haven),
    await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, { reconnectPeriod: 0 }, false),
  ];
  await Promise.all([haven.write('served', 1), device.publishAsync('served', 'x', { qos: 1 })]);
  await Promise.all([haven.close(), device.endAsync()]);
  const wire = await HappnWire.connect(webUrl(gateway, '/primus'));
  await wire.login();
  await wire.close();
}

/** A masked frame of a websocket with this opcode; the mask is of zeros. */
function frame(opcode: number, payload: Uint8Array, fin: boolean): Buffer {
  const head = payload.length < 126 ? [payload.length] : [126, payload.length >> 8, payload.length & 255];
  return Buffer.concat([Buffer.of((fin ? 0x80 : 0) | opcode, 0x80 | (head[0] as number), ...head.slice(1), 0, 0, 0, 0), payload]);
}

describe('B1 a length of 256 MB that is declared', () => {
  const packet = Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f, 0, 4]);
  const value = Buffer.from([0x0f, 0xff, 0xff, 0xff, 0x84]);
  const websocket = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x0f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
  const upgrade = (path: string): string =>
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${path === '/mqtt' ? 'Sec-WebSocket-Protocol: mqtt\r\n' : ''}\r\n`;

  it.each<[string, 'happn' | 'mqtt' | 'haven', readonly (string | Buffer)[]]>([
    ['MQTT', 'mqtt', [packet]],
    ['Haven', 'haven', [value]],
    ['MQTT over websocket', 'happn', [upgrade('/mqtt'), websocket]],
    ['Haven over websocket', 'happn', [upgrade('/haven'), websocket]],
    ['happn', 'happn', [upgrade('/primus'), websocket]],
  ])(
    'over %s ends its connection: twenty of them cost nothing',
    async (name, port, begin) => {
      await isServed();
      const protocol = (name.split(' ', 1)[0] as string).toLowerCase();
      const endedBefore = await ended(protocol);
      const before = resident();
      const ends = Array.from({ length: 20 }, async () => {
        const socket = open(gateway.ports[port]);
        const closed = closing(socket);
        for (const part of begin) {
          socket.write(part);
          if (typeof part === 'string') await once(socket, 'data');
        }
        const dripping = setInterval(() => socket.write(Buffer.alloc(16 * 1024)), 5);
        await closed;
        clearInterval(dripping);
      });
      await Promise.all(ends);
      // What was dripped is twice as much within a second; the heap of a busy process moves by some.
      expect(resident() - before).toBeLessThan(64 * MIB);
      expect(await ended(protocol)).toBe(endedBefore + 20);
      await isServed();
    },
    60_000,
  );
});

describe('B6 a message in half a million fragments of one byte', () => {
  const HELLO: Readonly<Record<string, string | Buffer>> = {
    '/primus': '{"action":"configure-session","eventId":1,"data":{"protocol":"happn_4","version":"13.12.1"}}',
    '/mqtt': encode({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'b6', keepalive: 0 }, 4),
    '/haven': pack({ action: 'connect', version: '1' }),
  };

  // Before it the first bytes are counted; behind it the fragments are.
  it.each(Object.keys(HELLO))(
    'at %s ends its connection, also of somebody who is known',
    async (path) => {
      const protocol = path === '/primus' ? 'happn' : path.slice(1);
      const endedBefore = await ended(protocol);
      const before = resident();
      const socket = bareWebsocket(gateway, path);
      await once(socket, 'open');
      socket.send(HELLO[path] as string);
      await once(socket, 'message');
      const raw = (socket as unknown as { _socket: Socket })._socket;
      const closed = closing(raw);
      raw.write(frame(2, Buffer.of(0x84), false));
      const many = Buffer.concat(Array.from({ length: 10_000 }, () => frame(0, Buffer.of(0xa1), false)));
      for (let n = 0; n < 50 && raw.writable; n++) raw.write(many);
      await closed;
      expect(resident() - before).toBeLessThan(100 * MIB);
      expect(await ended(protocol)).toBe(endedBefore + 1);
      await isServed();
    },
    60_000,
  );
});

describe('B7 five hundred connections that drip', () => {
  it.each<[string, 'happn' | 'mqtt' | 'haven', string | Buffer]>([
    ['an MQTT packet', 'mqtt', Buffer.from([0x10, 0x40, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, 0x30])],
    ['a Haven message', 'haven', Buffer.from([0, 0, 0, 0x40, 0x84, 0xa6, 0x61])],
    ['the head of a request', 'happn', 'GET /primus HTTP/1.1\r\nHost: 127.0.0.1\r\nX: '],
  ])(
    '%s are all gone in time, and others are served meanwhile',
    async (_what, port, begin) => {
      const begun = performance.now();
      const sockets = Array.from({ length: 500 }, () => open(gateway.ports[port]));
      const closed = Promise.all(sockets.map(closing));
      for (const socket of sockets) socket.write(begin);
      const dripping = setInterval(() => {
        for (const socket of sockets) if (socket.writable) socket.write('a');
      }, 1_500);
      const served = performance.now();
      await isServed();
      const servedMs = performance.now() - served;
      await closed;
      clearInterval(dripping);
      const goneMs = performance.now() - begun;
      console.log(`${port}: others served in ${Math.round(servedMs)} ms, all gone after ${Math.round(goneMs)} ms`);
      // A second and twelve, on a machine that has nothing else to do.
      expect(servedMs).toBeLessThan(15_000);
      expect(goneMs).toBeLessThan(40_000);
    },
    60_000,
  );
});

describe('B9 a flood of tiny messages', () => {
  const MESSAGES = LONG ? 1_000_000 : 200_000;

  it(`of ${MESSAGES} by one publisher leaves others their turn`, async () => {
    const flood = open(gateway.ports.mqtt);
    await once(flood, 'connect');
    flood.write(encode({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'flood', keepalive: 0 }, 4));
    await once(flood, 'data');
    const haven = await HavenClient.connect(gateway.ports.haven);
    const one = encode({ cmd: 'publish', topic: 'f', payload: 'x', qos: 0, retain: false, dup: false }, 4);
    const part = Buffer.concat(Array.from({ length: 2_000 }, () => one));
    const tail = encode({ cmd: 'publish', topic: 'f', payload: 'end', qos: 1, messageId: 7, retain: false, dup: false }, 4);
    let done = false;
    const flooded = (async () => {
      for (let n = 0; n < MESSAGES / 2_000; n++) if (!flood.write(part)) await once(flood, 'drain');
      flood.write(tail);
      await once(flood, 'data');
      done = true;
    })();
    const gaps: number[] = [];
    while (!done) {
      const asked = performance.now();
      await haven.heartbeat();
      gaps.push(performance.now() - asked);
    }
    await flooded;
    gaps.sort((a, b) => a - b);
    const p99 = gaps[Math.floor(gaps.length * 0.99)] as number;
    console.log(`${gaps.length} answers meanwhile, the slowest of a hundred after ${p99.toFixed(1)} ms`);
    expect(gaps.length).toBeGreaterThan(20);
    // 100 ms on a machine that has nothing else to do.
    expect(p99).toBeLessThan(500);
    flood.destroy();
    await haven.close();
  }, 120_000);
});

it('nobody above made the gateway say that something went wrong with it', () => {
  expect(gateway.ended).toBe(false);
  expect(gateway.stderr).not.toMatch(/"level":"(error|fatal)"/);
});
