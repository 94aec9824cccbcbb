// Bridges of whole gateways: the example of their page, kill -9 with messages on their way, and one gateway as the remote of
// another.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, connectAsync, type MqttClient } from 'mqtt';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type GatewayProcess, type StartOptions, startGateway, temporaryDirectory, until } from '../support/gateway-process.js';
import { logged, metric } from '../support/metrics.js';
import { Mosquitto, type MosquittoOptions } from '../support/mosquitto.js';

const LONG = process.env['TRIVIUM_TEST_LONG'] === '1';
const KILLS = LONG ? 20 : 2;
/** More come while the gateway is killed for the last time. */
const MESSAGES = KILLS * 30 + 60;
const PAGE = readFileSync(fileURLToPath(new URL('../../docs/bridge.md', import.meta.url)), 'utf8');

function snippet(name: string): string {
  const found = new RegExp(`<!-- test: ${name} -->\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``).exec(PAGE)?.[1];
  if (found === undefined) throw new Error(`the page has no snippet ${name}`);
  return found;
}

async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const mosquitto = await Mosquitto.start(options);
  onTestFinished(async () => await mosquitto.stop());
  return mosquitto;
}

async function start(bridge: object | null, options: StartOptions = {}): Promise<GatewayProcess> {
  const bridges = bridge === null ? [] : ['--bridges', JSON.stringify([{ name: 'b', retryMinMs: 100, retryMaxMs: 300, ...bridge }])];
  const gateway = await startGateway({ ...options, flags: [...(options.flags ?? []), '--durability', 'os', ...bridges] });
  onTestFinished(async () => void (await gateway.kill()));
  return gateway;
}

const connected = (gateway: GatewayProcess): Promise<void> =>
  until('the bridge is connected', async () => (await metric(gateway, 'bridge_connected{bridge="b"}')) === 1);

/** A client whose session is kept; it comes back by itself, and writes down what it hears. */
class Keeper {
  readonly heard: string[] = [];
  readonly client: MqttClient;

  constructor(port: number, clientId: string) {
    this.client = connect({ port, host: '127.0.0.1', protocolVersion: 4, clean: false, clientId, reconnectPeriod: 50, resubscribe: false });
    this.client.on('message', (_topic, payload) => this.heard.push(String(payload)));
    onTestFinished(async () => await this.client.endAsync(true));
  }

  async subscribe(filter: string): Promise<void> {
    await this.client.subscribeAsync(filter, { qos: 2 });
  }
}

async function publisher(port: number): Promise<MqttClient> {
  const client = await connectAsync({ port, host: '127.0.0.1', protocolVersion: 4, reconnectPeriod: 0 });
  onTestFinished(async () => await client.endAsync(true));
  return client;
}

/** mosquitto takes 20 messages at a time. */
async function publishAll(client: MqttClient, numbers: readonly number[]): Promise<void> {
  for (let at = 0; at < numbers.length; at += 10) {
    await Promise.all(numbers.slice(at, at + 10).map((i) => client.publishAsync(`x/${i % 2}`, String(i), { qos: i % 2 === 0 ? 1 : 2 })));
  }
}

describe('the page about bridges', () => {
  it('has an example that works', async () => {
    const mosquitto = await startMosquitto();
    const file = join(temporaryDirectory(), 'bridge.yaml');
    writeFileSync(file, snippet('bridge.yaml').replace('1884', String(mosquitto.port)));
    const gateway = await startGateway({ flags: ['--config', file] });
    onTestFinished(async () => void (await gateway.stop()));
    await until('the bridge is connected', async () => (await metric(gateway, 'bridge_connected{bridge="next-door"}')) === 1);
    const script = snippet('try')
      .replaceAll('1883', String(gateway.ports.mqtt))
      .replaceAll('1884', String(mosquitto.port))
      // A subscriber waits for what is on its way.
      .replaceAll('mosquitto_sub', 'mosquitto_sub -W 10');
    const { stdout, stderr, status } = spawnSync('bash', ['-e', '-c', script], { encoding: 'utf8' });
    expect({ stdout, stderr, status }).toEqual({
      stdout: 'trivium/demo/greeting hello from here\ndemo/answer hello from there\n',
      stderr: '',
      status: 0,
    });
    const health = (await (await fetch(`http://127.0.0.1:${gateway.ports.admin}/health`)).json()) as { bridge: object };
    expect(health.bridge).toMatchObject({ 'next-door': { state: 'connected', reason: null, queued: 0, in: 1, out: 1, dropped: 0 } });
  });
});

describe.each(['5', '3.1.1'])('kill -9 of the gateway (version %s)', (version) => {
  it('loses nothing that waits for a remote that does not answer, and QoS 2 arrives once', async () => {
    const mosquitto = await startMosquitto();
    const far = new Keeper(mosquitto.port, 'far');
    await far.subscribe('x/#');
    const gateway = await start({ url: mosquitto.url, version, rules: [{ direction: 'out', filter: 'x/#', qos: 2 }] });
    await connected(gateway);
    const near = await publisher(gateway.ports.mqtt);
    mosquitto.signal('SIGSTOP');
    const sent = Array.from({ length: 100 }, (_item, i) => i);
    await Promise.all(sent.map((i) => near.publishAsync(`x/${i % 2}`, String(i), { qos: i % 2 === 0 ? 1 : 2 })));
    expect(await metric(gateway, 'bridge_queued_messages{bridge="b"}')).toBe(100);
    await gateway.kill();
    mosquitto.signal('SIGCONT');
    await gateway.restart();
    await until('the queue is empty', async () => (await metric(gateway, 'bridge_queued_messages{bridge="b"}')) === 0);
    await until('all came', () => new Set(far.heard).size === 100);
    const odd = far.heard.filter((payload) => Number(payload) % 2 === 1);
    expect(odd).toEqual(sent.filter((i) => i % 2 === 1).map(String));
  });

  it('loses nothing that the remote sends meanwhile, and QoS 2 arrives once', async () => {
    const mosquitto = await startMosquitto();
    const gateway = await start({ url: mosquitto.url, version, rules: [{ direction: 'in', filter: 'x/#', qos: 2 }] });
    await connected(gateway);
    const near = new Keeper(gateway.ports.mqtt, 'near');
    await near.subscribe('x/#');
    await until('the bridge has subscribed', () => mosquitto.logged('Received SUBSCRIBE from trivium-') === 1);
    const far = await publisher(mosquitto.port);
    const sent = Array.from({ length: MESSAGES }, (_item, i) => i);
    const published = publishAll(far, sent);
    for (let kills = 1; kills <= KILLS; kills++) {
      await until('some came', () => new Set(near.heard).size >= kills * 30);
      await gateway.restart({ kill: true });
    }
    await published;
    await until('all came', () => new Set(near.heard).size === MESSAGES, 60_000);
    const odd = near.heard.filter((payload) => Number(payload) % 2 === 1);
    expect(odd).toEqual(sent.filter((i) => i % 2 === 1).map(String));
  });
});

describe('another gateway as the remote', () => {
  it('is reached over its websocket; changes of all protocols cross both ways, once', async () => {
    const remote = await start(null);
    const url = `ws://127.0.0.1:${remote.ports.happn}/mqtt`;
    const gateway = await start({ url, version: '3.1.1', rules: [{ direction: 'both', filter: '#' }] });
    await connected(gateway);
    const sides = [gateway, remote].map(({ ports }, at) => new Keeper(ports.mqtt, `side${at}`));
    for (const side of sides) await side.subscribe('x/#');
    const clients = [await publisher(gateway.ports.mqtt), await publisher(remote.ports.mqtt)];
    for (let i = 0; i < 50; i++)
      for (const [at, client] of clients.entries()) await client.publishAsync(`x/${at}`, `${at}/${i}`, { qos: 1, retain: at === 0 });
    for (const side of sides) await until('all came', () => new Set(side.heard).size === 100);
    await clients[1]?.publishAsync('x/end', 'end', { qos: 1 });
    for (const side of sides) await until('the end came', () => side.heard.includes('end'));
    for (const side of sides) expect(side.heard).toHaveLength(101);
    expect(await metric(gateway, 'bridge_messages_out_total{bridge="b"}')).toBe(50);
    expect(await metric(gateway, 'bridge_messages_in_total{bridge="b"}')).toBe(51);
  });

  it('may be restarted: what was stored meanwhile follows, and the stop of both takes its time', async () => {
    const remote = await start(null);
    const gateway = await start({
      url: `mqtt://127.0.0.1:${remote.ports.mqtt}`,
      version: '3.1.1',
      rules: [{ direction: 'out', filter: '#' }],
    });
    await connected(gateway);
    await remote.kill();
    const near = await publisher(gateway.ports.mqtt);
    for (let i = 0; i < 50; i++) await near.publishAsync('x/a', String(i), { qos: 1, retain: true });
    await remote.restart();
    await until('the queue is empty', async () => (await metric(gateway, 'bridge_queued_messages{bridge="b"}')) === 0);
    const far = new Keeper(remote.ports.mqtt, 'far');
    await far.subscribe('x/a');
    await until('the last value is there', () => far.heard.includes('49'));
    expect(logged(gateway, 'connected to the remote')).toBeGreaterThanOrEqual(2);
    expect((await gateway.stop()).code).toBe(0);
    expect((await remote.stop()).code).toBe(0);
  });
});

describe('a configuration', () => {
  it('that cannot be read ends the start with one line and exit code 2', async () => {
    const bridge = { url: 'mqtt://127.0.0.1:1', username: 'u', passwordFile: '/nowhere', rules: [{ direction: 'out', filter: '#' }] };
    await expect(start(bridge)).rejects.toThrow(/exit 2.*\n.*trivium: bridges: b: passwordFile: cannot read \/nowhere \(ENOENT\)/s);
  });
});
