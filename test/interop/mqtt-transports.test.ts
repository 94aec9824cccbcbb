// MQTT over TLS, secure websocket and proxies, between real processes and unmodified clients.

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { connectAsync, type IClientOptions } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type MadePem, makeAuthority, makeClientPem, makePem } from '../support/certificates.js';
import { CliProcess, type GatewayProcess, startGateway, temporaryDirectory, until } from '../support/gateway-process.js';
import { logged, metric } from '../support/metrics.js';
import { encode, MqttWire } from '../support/mqtt-wire.js';

const MOSQUITTO = spawnSync('mosquitto_pub', ['--version']).error === undefined;

let own: MadePem;
let authority: MadePem;
let alice: MadePem;
let directory: string;
let gateways: GatewayProcess[] = [];
/** Without flags of its own, for all to whom it does not matter. */
let plain: GatewayProcess;

beforeAll(async () => {
  [own, authority] = await Promise.all([makePem(), makeAuthority('us')]);
  alice = await makeClientPem(authority, ['alice']);
  plain = await startGateway();
  directory = temporaryDirectory();
  for (const [name, { cert, key }] of Object.entries({ own, authority, alice })) {
    write(`${name}.pem`, cert);
    write(`${name}.key`, key);
  }
});

afterAll(async () => await plain.stop());

afterEach(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  gateways = [];
});

const path = (name: string): string => join(directory, name);

function write(name: string, text: string): void {
  writeFileSync(`${path(name)}.new`, text);
  renameSync(`${path(name)}.new`, path(name));
}

async function start(...flags: string[]): Promise<GatewayProcess> {
  const gateway = await startGateway({ flags });
  gateways.push(gateway);
  return gateway;
}

const OWN = (): string[] => ['--tls-cert-file', path('own.pem'), '--tls-key-file', path('own.key')];
const TLS = (): string[] => ['--mqtt-tls-port', '0', '--tls-check-ms', '100', ...OWN()];
const CLIENTS = (): string[] => ['--mqtt-tls-client-ca-file', path('authority.pem'), '--mqtt-tls-user-from', 'commonName'];

async function connectMqtts(gateway: GatewayProcess, options: IClientOptions = {}) {
  return await connectAsync(`mqtts://localhost:${gateway.ports.mqttTls}`, { ca: own.cert, reconnectPeriod: 0, ...options }, false);
}

describe('MQTT over TLS', () => {
  it('has a port and a certificate of its own making, beside HTTP without TLS', async () => {
    const gateway = await start('--mqtt-tls-port', '0', '--log-format', 'text');
    await until('the banner', () => gateway.stdout.includes('Ctrl-C'));
    expect(gateway.stdout).toContain(`mqtts://127.0.0.1:${gateway.ports.mqttTls}, ws://127.0.0.1:${gateway.ports.happn}/mqtt`);
    const device = await connectMqtts(gateway, { rejectUnauthorized: false });
    await device.publishAsync('t', 'x', { qos: 1, retain: true });
    await device.endAsync();
    expect((await fetch(`http://127.0.0.1:${gateway.ports.happn}/ping`)).status).toBe(200);
  });

  it('shares everything with the plain port and the secure websocket', async () => {
    const gateway = await start(...TLS(), '--tls-enabled');
    const [secure, clear, web] = [
      await connectMqtts(gateway),
      await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`),
      await connectAsync(`wss://localhost:${gateway.ports.happn}/mqtt`, { ca: own.cert }),
    ];
    const heard: string[] = [];
    for (const client of [secure, clear, web]) {
      client.on('message', (topic, payload) => void heard.push(`${topic} ${payload.toString()}`));
      await client.subscribeAsync('t', { qos: 2 });
    }
    for (const [i, client] of [secure, clear, web].entries()) await client.publishAsync('t', `${i}`, { qos: 2 });
    await until('all', () => heard.length === 9);
    for (const client of [secure, clear, web]) await client.endAsync();
  });

  it('takes a changed certificate over, and clients stay connected', async () => {
    const gateway = await start(...TLS());
    const before = await connectMqtts(gateway);
    const next = await makePem();
    write('own.pem', next.cert);
    write('own.key', next.key);
    try {
      const connectNext = () =>
        connectMqtts(gateway, { ca: next.cert }).then(
          (client) => client.endAsync().then(() => true),
          () => false,
        );
      await until('a client trusts the new one', connectNext);
      expect(before.connected).toBe(true);
      await before.publishAsync('t', 'x', { qos: 1 });
      await before.endAsync();
    } finally {
      write('own.pem', own.cert);
      write('own.key', own.key);
    }
  });

  it('knows clients by their certificates, and takes changed authorities over', async () => {
    const gateway = await start(...TLS(), ...CLIENTS(), '--mqtt-tls-client-certificates', 'required');
    await expect(connectMqtts(gateway)).rejects.toThrow();
    const first = await connectMqtts(gateway, { ...alice, clientId: 'one' });
    const closed = new Promise<void>((resolve) => first.once('close', () => resolve()));
    // The same user with the same client id takes over.
    const second = await connectMqtts(gateway, { ...alice, clientId: 'one' });
    await closed;
    const others = await makeAuthority('them');
    const bob = await makeClientPem(others, ['bob']);
    await expect(connectMqtts(gateway, { ...bob, clientId: 'one' })).rejects.toThrow();
    write('authority.pem', others.cert);
    try {
      const connectBob = () =>
        connectMqtts(gateway, { ...bob, clientId: 'one' }).then(
          (client) => client.endAsync().then(() => true),
          () => false,
        );
      await until('the other authority counts', connectBob);
      expect(second.connected).toBe(true);
      await expect(connectMqtts(gateway, alice)).rejects.toThrow();
    } finally {
      write('authority.pem', authority.cert);
    }
    expect(await metric(gateway, 'mqtt_client_certificates_refused_total')).toBeGreaterThanOrEqual(3);
    expect(gateway.stderr).toContain('refused a client because of its certificate');
    await second.endAsync();
  });

  it.runIf(MOSQUITTO)('works with the clients of mosquitto, with a certificate of theirs', async () => {
    const gateway = await start(...TLS(), ...CLIENTS(), '--mqtt-tls-client-certificates', 'required');
    const place = ['-h', 'localhost', '-p', String(gateway.ports.mqttTls), '--cafile', path('own.pem')];
    const mine = ['--cert', path('alice.pem'), '--key', path('alice.key')];
    const pub = (...more: string[]) =>
      spawnSync('mosquitto_pub', [...place, '-q', '1', '-r', '-t', 'm', '-m', 'x', ...more], { timeout: 10_000 });
    expect(pub(...mine).status).toBe(0);
    expect(pub().status).not.toBe(0);
    const sub = spawnSync('mosquitto_sub', [...place, ...mine, '-t', 'm', '-C', '1', '-W', '5'], { encoding: 'utf8' });
    expect(sub.stdout).toBe('x\n');
  });

  it.each([
    ['authorities that are not there', ['--mqtt-tls-client-ca-file', '/nowhere/ca.pem'], /^trivium: mqtt\.tls\.clientCaFile: cannot read/],
    [
      'a port that is taken',
      ['--mqtt-tls-client-ca-file', 'authority.pem'],
      /^trivium: mqtt\.tls\.port: port \d+ on 127\.0\.0\.1 is in use/,
    ],
  ])('does not start with %s', async (_what, [flag = '', file = ''], line) => {
    const ports = ['happn', 'mqtt', 'haven', 'admin'].flatMap((name) => [`--${name}-port`, '0']);
    const ca = [flag, file.startsWith('/') ? file : path(file), '--mqtt-tls-client-certificates', 'optional'];
    const flags = ['--data-dir', temporaryDirectory(), ...ports, ...OWN(), '--mqtt-tls-port', String(plain.ports.haven), ...ca];
    const cli = new CliProcess(['serve', ...flags]);
    expect((await cli.exited).code).toBeGreaterThan(0);
    expect(cli.stderr.trimEnd().split('\n').at(-1)).toMatch(line);
  });
});

describe('MQTT behind a proxy', () => {
  it('shows the address of the client in the log, and limits by it', async () => {
    const gateway = await start(
      ...['--mqtt-proxy-protocol', 'required', '--mqtt-proxy-addresses', '127.0.0.0/8', '--mqtt-max-connections-per-address', '1'],
    );
    const come = async (address: string): Promise<MqttWire> => {
      const socket = connect(gateway.ports.mqtt, '127.0.0.1');
      await once(socket, 'connect');
      socket.write(`PROXY TCP4 ${address} 192.0.2.1 40000 1883\r\n`);
      const wire = MqttWire.over(socket);
      wire.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: address, keepalive: 0 });
      return wire;
    };
    const first = await come('198.51.100.7');
    await first.expect('connack');
    await (await come('198.51.100.7')).closed();
    await (await come('198.51.100.8')).expect('connack');
    first.bytes(Buffer.of(0, 0));
    await first.closed();
    await until('it is told', () => gateway.stderr.includes('198.51.100.7:40000'));
    expect(await metric(gateway, 'mqtt_connections_refused_total{limit="maxConnectionsPerAddress"}')).toBe(1);
    await expect(connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, { reconnectPeriod: 0 }, false)).rejects.toThrow();
  });
});

describe('MQTT over websocket', () => {
  async function open(gateway: GatewayProcess): Promise<WebSocket> {
    const websocket = new WebSocket(`ws://127.0.0.1:${gateway.ports.happn}/mqtt`, ['mqtt']);
    websocket.on('error', () => websocket.terminate());
    await once(websocket, 'open');
    return websocket;
  }

  function isOpen(websocket: WebSocket): boolean {
    const { readyState } = websocket;
    websocket.terminate();
    return readyState === WebSocket.OPEN;
  }

  it('collects no large message of somebody who has not connected', async () => {
    const gateway = await start('--mqtt-connect-timeout-ms', '600000');
    const websocket = await open(gateway);
    const closed = once(websocket, 'close');
    for (let i = 0; i < 10; i++) websocket.send(Buffer.alloc(50_000), { fin: false });
    await closed;
  });

  it('B6 takes no message in very many pieces', async () => {
    const websocket = await open(plain);
    websocket.send(encode({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'a', keepalive: 0 }));
    await once(websocket, 'message');
    const closed = once(websocket, 'close');
    for (let i = 0; i < 5_000; i++) websocket.send(Buffer.of(0), { fin: false });
    await closed;
  });

  it('sends away who would have to wait', async () => {
    const gateway = await start('--mqtt-max-connecting', '1');
    const first = await open(gateway);
    const second = new WebSocket(`ws://127.0.0.1:${gateway.ports.happn}/mqtt`, ['mqtt']);
    const [, response] = (await once(second, 'unexpected-response')) as [unknown, IncomingMessage];
    expect(response.statusCode).toBe(503);
    second.on('error', () => second.terminate());
    second.terminate();
    first.terminate();
    await until('there is room', () => open(gateway).then(isOpen, () => false));
  });
});

describe.runIf(existsSync('/proc/self/limits'))('a process with few file handles', () => {
  const CLIENT = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 0 };

  async function startPoor(handles: number): Promise<GatewayProcess> {
    const gateway = await startGateway({ handles, flags: ['--log-level', 'debug'] });
    gateways.push(gateway);
    return gateway;
  }

  function many(count: number, port: number): Socket[] {
    return Array.from({ length: count }, () => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => socket.destroy());
      return socket;
    });
  }

  /** Processor time of a process in milliseconds. */
  function busyMs(pid: number): number {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  it('B11 takes fewer MQTT connections, so that others have some left', async () => {
    const gateway = await startPoor(200);
    expect(gateway.stderr).toMatch(/too few file handles for mqtt\.maxConnections/);
    const sockets = many(150, gateway.ports.mqtt);
    await until('the others are closed', () => sockets.filter(({ closed }) => closed).length === 50);
    expect(await metric(gateway, 'mqtt_connections_refused_total{limit="maxConnections"}')).toBe(50);
    sockets.find(({ closed }) => !closed)?.destroy();
    await until('there is room for one', async () => {
      const wire = await MqttWire.open(gateway.ports.mqtt);
      wire.send({ ...CLIENT, clientId: 'a' });
      return await wire.expect('connack').then(
        () => true,
        () => false,
      );
    });
    for (const socket of sockets) socket.destroy();
  });

  it('B11 neither ends nor spins when there are none left, and serves those who are there', async () => {
    const gateway = await startPoor(200);
    const device = await MqttWire.connected(gateway.ports.mqtt, 'device');
    const sockets = [...many(250, gateway.ports.haven), ...many(250, gateway.ports.happn)];
    await until('there is no room any more', async () => (await metric(gateway, 'connections_dropped_total')) >= 340);
    expect(readdirSync(`/proc/${gateway.pid}/fd`).length).toBeLessThan(199);
    expect(logged(gateway, 'dropping connections')).toBe(1);
    const before = busyMs(gateway.pid);
    const begun = performance.now();
    for (let i = 1; i <= 20; i++) {
      // The store needs handles of its own: for its next files.
      device.publish('t', 'x'.repeat(900_000), { qos: 1, messageId: i, retain: true });
      await device.answer('puback', i);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    expect(busyMs(gateway.pid) - before).toBeLessThan((performance.now() - begun) * 0.7);
    for (const socket of sockets) socket.destroy();
    await until('handles are free', async () => {
      const wire = await MqttWire.open(gateway.ports.mqtt);
      wire.send({ ...CLIENT, clientId: 'later' });
      return await wire.expect('connack').then(
        () => true,
        () => false,
      );
    });
    expect(gateway.ended).toBe(false);
    expect(logged(gateway, 'a listener failed to accept')).toBeLessThan(3);
    await device.drop();
  });
});
