// What bridges do when something is wrong: remotes that are away, that refuse, that are slow, and limits that are reached.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { UNRELEASED_MAX } from '../../../../src/adapters/mqtt/bridge/incoming.js';
import { WAITING_ITEMS_MAX } from '../../../../src/adapters/mqtt/bridge/outgoing.js';
import { DurableRequest, Meta, QUEUE_LIMITS } from '../../../../src/core/index.js';
import { type MadePem, makeAuthority, makeClientPem, makePem } from '../../../support/certificates.js';
import { GateStore } from '../../../support/core-harness.js';
import { FakeRemote } from '../../../support/fake-remote.js';
import { temporaryDirectory, until } from '../../../support/gateway-process.js';
import { Mosquitto, type MosquittoOptions } from '../../../support/mosquitto.js';
import { Far, type House, NAME, startHouse, untilHeard } from './support.js';

const both = [{ direction: 'both' as const, filter: 'x/#', qos: 2 as const }];

async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const mosquitto = await Mosquitto.start(options);
  onTestFinished(async () => await mosquitto.stop());
  return mosquitto;
}

const warnings = (house: House): string[] => house.lines.filter(({ level }) => level === 'warn').map(({ text }) => text);

describe.each(['5', '3.1.1'] as const)('while the remote is away (version %s)', (version) => {
  it('what is stored waits in order, what has QoS 0 is dropped and counted', async () => {
    const mosquitto = await startMosquitto({ persistence: true });
    const house = await startHouse({ url: mosquitto.url, version, rules: both });
    await house.connected();
    const far = await Far.connect(mosquitto.url, 'x/#', { clean: false, clientId: 'far', properties: { sessionExpiryInterval: 3_600 } });
    await house.session.set('x/a', 0);
    await far.until(1);
    await mosquitto.stop();
    await until('the loss is noticed', () => house.count('bridge_connected') === 0);
    for (let i = 1; i <= 200; i++) await house.session.emit('x/a', i, { qos: ((i % 2) + 1) as 1 | 2 });
    for (let i = 0; i < 5; i++) await house.session.emit('x/a', 'lost', { qos: 0 });
    expect(house.count('bridge_queued_messages')).toBe(200);
    expect(house.count('bridge_dropped_total', 'away')).toBe(5);
    await mosquitto.start();
    const later = await Far.connect(mosquitto.url, 'x/#', { clean: false, clientId: 'far', properties: { sessionExpiryInterval: 3_600 } });
    await until('the queue is empty', () => house.count('bridge_queued_messages') === 0);
    await until('all came', () => later.payloads('x/a').filter((payload) => payload !== '0').length >= 200);
    // MQTT keeps the order of messages of one level; what has QoS 2 is handed out when it is released.
    const expected = Array.from({ length: 200 }, (_item, i) => String(i + 1));
    for (const odd of [0, 1]) {
      const ofLevel = (payloads: readonly string[]): string[] =>
        payloads.filter((payload) => payload !== '0' && Number(payload) % 2 === odd);
      expect(ofLevel(later.payloads('x/a'))).toEqual(ofLevel(expected));
    }
  });

  it('what the remote gets for the bridge waits there', async () => {
    const mosquitto = await startMosquitto({ persistence: true });
    const store = new GateStore();
    const house = await startHouse({ url: mosquitto.url, version, rules: both }, { store, node: 'n' });
    await house.connected();
    await house.stop();
    const far = await Far.connect(mosquitto.url);
    for (let i = 0; i < 20; i++) await far.publish('x/a', String(i), { qos: 2 });
    await mosquitto.stop();
    await mosquitto.start();
    const next = await startHouse({ url: mosquitto.url, version, rules: both }, { store, node: 'n' });
    await next.session.subscribe('x/a');
    await untilHeard(next.session, 'x/a', 20);
    expect(next.session.heard.map(({ publication }) => publication.payload?.value())).toEqual(Array.from({ length: 20 }, (_item, i) => i));
  });

  it('a full queue refuses, and the bridge counts it', async () => {
    const remote = await FakeRemote.start();
    const house = await startHouse({ url: remote.url, version, rules: both }, { queue: { ...QUEUE_LIMITS, maxMessages: 3 } });
    await house.connected();
    remote.server.close();
    (await remote.connection(1)).socket.destroy();
    await until('the loss is noticed', () => house.count('bridge_connected') === 0);
    for (let i = 0; i < 4; i++) await house.session.set('x/a', i);
    expect(house.count('bridge_queued_messages')).toBe(3);
    expect(house.count('bridge_dropped_total', 'queue-full')).toBe(1);
  });

  it('nothing waits with a clean session', async () => {
    const remote = await FakeRemote.start();
    const house = await startHouse({ url: remote.url, version, cleanSession: true, rules: both });
    await house.connected();
    const [connect] = (await remote.connection(1)).all('connect');
    expect(connect).toMatchObject({ clean: true, ...(version === '5' ? { properties: { sessionExpiryInterval: 0 } } : {}) });
    (await remote.connection(1)).socket.destroy();
    await until('the loss is noticed', () => house.count('bridge_connected') === 0);
    await house.session.set('x/a', 1);
    expect(house.count('bridge_queued_messages')).toBe(0);
    expect(house.count('bridge_dropped_total', 'away')).toBe(1);
    const second = await remote.connection(2);
    await second.until('subscribe');
    await house.session.set('x/a', 2);
    expect((await second.until('publish')).map(({ payload }) => String(payload))).toEqual(['2']);
  });
});

describe('a remote that is not there', () => {
  it('is tried again and again, later and later, and told of once', async () => {
    const remote = await FakeRemote.start();
    remote.server.close();
    const house = await startHouse({ url: remote.url, rules: both, retryMinMs: 100, retryMaxMs: 200 });
    const attempts = (): number => house.lines.filter(({ text }) => text.startsWith('not connected')).length;
    await until('five attempts', () => attempts() >= 5);
    expect(warnings(house)).toEqual(['not connected to the remote: nobody listens at the address (ECONNREFUSED)']);
    expect(house.adapter.health()).toMatchObject({
      [NAME]: { state: expect.stringMatching(/waiting|connecting/), reason: expect.any(String) },
    });
  });

  it('does not answer: the attempt ends', async () => {
    const remote = await FakeRemote.start({ connack: () => null });
    const house = await startHouse({ url: remote.url, rules: both });
    await until('a second attempt', () => remote.connections.length >= 2);
    expect(warnings(house)).toEqual(['not connected to the remote: the remote closed the connection']);
  });
});

describe('login', () => {
  it('with a wrong password is refused: one line, and no spinning', async () => {
    const remote = await FakeRemote.start({ connack: () => ({ returnCode: 4, reasonCode: 0x86 }) });
    const begun = performance.now();
    const house = await startHouse({ url: remote.url, username: 'u', password: 'wrong', rules: both, retryMinMs: 100, retryMaxMs: 1_000 });
    await until('four attempts', () => remote.connections.length >= 4);
    // Half of 100, 200 and 400 ms at least.
    expect(performance.now() - begun).toBeGreaterThan(350);
    expect(warnings(house)).toEqual(['not connected to the remote: the remote refuses user name or password']);
    expect(JSON.stringify(house.lines)).not.toContain('wrong');
  });

  it('with a password from a file or the environment is what mosquitto wants', async () => {
    const directory = temporaryDirectory();
    const file = join(directory, 'passwords');
    // mosquitto's form of "secret" for u, as mosquitto_passwd makes it.
    const { spawnSync } = await import('node:child_process');
    expect(spawnSync('mosquitto_passwd', ['-b', '-c', file, 'u', 'secret']).status).toBe(0);
    const mosquitto = await startMosquitto({ access: ['allow_anonymous false', `password_file ${file}`] });
    const passwordFile = join(directory, 'password');
    writeFileSync(passwordFile, 'wrong\n');
    const byFile = await startHouse({ url: mosquitto.url, username: 'u', passwordFile, rules: both });
    await until('a refusal', () => warnings(byFile).length > 0);
    // Read anew for each attempt.
    writeFileSync(passwordFile, 'secret\n');
    await byFile.connected();
    await byFile.stop();
    const env = { PLANT_PASSWORD: 'secret' };
    const byVariable = await startHouse({ url: mosquitto.url, username: 'u', passwordEnv: 'PLANT_PASSWORD', rules: both }, { env });
    await byVariable.connected();
  });

  it.each([
    [{ passwordFile: '/nowhere/password' }, 'bridges: b: passwordFile: cannot read /nowhere/password (ENOENT)'],
    [{ passwordEnv: 'NOT_SET' }, 'bridges: b: passwordEnv: the environment variable NOT_SET is not set'],
  ])('with a password that is not there stops the start: %j', async (secret, line) => {
    await expect(startHouse({ url: 'mqtt://127.0.0.1:1', username: 'u', ...secret, rules: both })).rejects.toThrow(line);
  });
});

describe('TLS', () => {
  let pem: MadePem;
  let certFile: string;
  let keyFile: string;

  beforeAll(async () => {
    pem = await makePem();
    const directory = temporaryDirectory();
    [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
    writeFileSync(certFile, pem.cert);
    writeFileSync(keyFile, pem.key);
  });

  const start = (lines: readonly string[] = []): Promise<Mosquitto> =>
    startMosquitto({ listener: [`certfile ${certFile}`, `keyfile ${keyFile}`, ...lines] });

  it('with a certificate of its own making carries messages when the bridge is told of it', async () => {
    const mosquitto = await start();
    const house = await startHouse({ url: mosquitto.url.replace('mqtt:', 'mqtts:'), caFile: certFile, rules: both });
    await house.connected();
    const far = await Far.connect(mosquitto.url.replace('mqtt:', 'mqtts:'), 'x/#', { ca: pem.cert });
    await house.session.set('x/a', 'secret');
    await far.until(1);
  });

  it('with an unknown certificate is refused, with a line that says what to do', async () => {
    const mosquitto = await start();
    const house = await startHouse({ url: mosquitto.url.replace('mqtt:', 'mqtts:'), rules: both });
    await until('a refusal', () => warnings(house).length > 0);
    expect(warnings(house)[0]).toMatch(
      /^not connected to the remote: the remote’s certificate is self-signed: give it, or who signed it, as caFile/,
    );
    await house.stop();
    const trusting = await startHouse({ url: mosquitto.url.replace('mqtt:', 'mqtts:'), rejectUnauthorized: false, rules: both });
    await trusting.connected();
  });

  it('shows the certificate that the remote asks for', async () => {
    const authority = await makeAuthority('us');
    const client = await makeClientPem(authority, ['gateway']);
    const directory = temporaryDirectory();
    const files = { certFile: join(directory, 'cert.pem'), keyFile: join(directory, 'key.pem') };
    writeFileSync(files.certFile, client.cert);
    writeFileSync(files.keyFile, client.key);
    const caOfClients = join(directory, 'ca.pem');
    writeFileSync(caOfClients, authority.cert);
    const mosquitto = await start([`cafile ${caOfClients}`, 'require_certificate true']);
    const url = mosquitto.url.replace('mqtt:', 'mqtts:');
    const without = await startHouse({ url, caFile: certFile, rules: both });
    await until('a refusal', () => warnings(without).length > 0);
    await without.stop();
    const house = await startHouse({ url, caFile: certFile, ...files, rules: both });
    await house.connected();
  });

  it('with a file that holds no certificate fails and is tried again', async () => {
    const mosquitto = await start();
    const nonsense = join(temporaryDirectory(), 'nonsense.pem');
    writeFileSync(nonsense, 'nonsense');
    const house = await startHouse({ url: mosquitto.url.replace('mqtt:', 'mqtts:'), certFile: nonsense, keyFile, rules: both });
    await until('two attempts', () => house.lines.filter(({ text }) => text.startsWith('not connected')).length >= 2);
    writeFileSync(nonsense, pem.cert);
  });
});

describe('records that are there before the bridge', () => {
  const records = [
    { direction: 'out' as const, filter: 'out/#' },
    { direction: 'both' as const, filter: 'both/#' },
  ];

  it('are sent once, page by page; those of rules that only go out again when the remote has forgotten the bridge', async () => {
    const store = new GateStore();
    const before = await startHouse(null, { store, node: 'n' });
    for (let i = 0; i < 450; i++) await before.session.set(`out/${String(i).padStart(3, '0')}`, i);
    await before.session.set('both/a', 'b');
    await before.stop();
    let present = true;
    const remote = await FakeRemote.start({ connack: () => ({ sessionPresent: present }) });
    const house = await startHouse({ url: remote.url, rules: records }, { store, node: 'n' });
    await house.connected();
    const first = await remote.connection(1);
    const topics = (await first.until('publish', 451)).map(({ topic }) => topic);
    expect(new Set(topics).size).toBe(451);
    expect(first.all('publish').every(({ retain, qos }) => retain === true && qos === 1)).toBe(true);
    // The subscription comes behind them.
    expect(first.packets.findIndex(({ cmd }) => cmd === 'subscribe')).toBeGreaterThan(
      first.packets.findLastIndex(({ cmd }) => cmd === 'publish'),
    );
    first.socket.destroy();
    const second = await remote.connection(2);
    await second.served();
    expect(second.all('publish')).toEqual([]);
    present = false;
    second.socket.destroy();
    const third = await remote.connection(3);
    await third.until('subscribe');
    expect(third.all('publish')).toHaveLength(450);
  });

  it('do not overtake changes that are made meanwhile', async () => {
    const store = new GateStore();
    const before = await startHouse(null, { store, node: 'n' });
    for (let i = 0; i < 20; i++) await before.session.set(`out/${i}`, 'old');
    await before.stop();
    const remote = await FakeRemote.start({ connack: () => 'later' });
    const { session } = await startHouse({ url: remote.url, rules: records }, { store, node: 'n' });
    const connection = await remote.connection(1);
    store.scansHeld = true;
    connection.accept();
    await until('a page is being read', () => store.reading === 1);
    await session.set('out/7', 'new');
    store.releaseScans();
    await connection.until('subscribe');
    const payloads = connection.all('publish').filter(({ topic }) => topic === 'out/7');
    expect(payloads.map(({ payload }) => String(payload))).toEqual(['new']);
  });
});

describe('a change of the configuration', () => {
  it('ends what the rules do not ask for any more, on both sides', async () => {
    const store = new GateStore();
    const remote = await FakeRemote.start({ connack: () => ({ sessionPresent: true }) });
    const house = await startHouse(
      {
        url: remote.url,
        rules: [
          { direction: 'both', filter: 'old/#' },
          { direction: 'both', filter: 'x/#' },
        ],
      },
      { store, node: 'n' },
    );
    await house.connected();
    await house.stop();
    const next = await startHouse({ url: remote.url, rules: both }, { store, node: 'n' });
    const connection = await remote.connection(2);
    await connection.until('unsubscribe');
    expect(connection.all('unsubscribe').map(({ unsubscriptions }) => unsubscriptions)).toEqual([['old/#']]);
    expect(connection.all('subscribe').map(({ subscriptions }) => subscriptions)).toMatchObject([[{ topic: 'x/#', qos: 2 }]]);
    await next.session.set('old/a', 1);
    await next.session.set('x/a', 1);
    expect((await connection.until('publish')).map(({ topic }) => topic)).toEqual(['x/a']);
    connection.publish('old/a', 'late', { qos: 1, messageId: 9 });
    await connection.until('puback');
    expect(next.count('bridge_dropped_total', 'no-rule')).toBe(1);
  });

  it('forgets a bridge that is gone, and its queue', async () => {
    const store = new GateStore();
    const remote = await FakeRemote.start();
    const house = await startHouse({ url: remote.url, rules: both }, { store });
    await house.connected();
    remote.server.close();
    (await remote.connection(1)).socket.destroy();
    await until('the loss is noticed', () => house.count('bridge_connected') === 0);
    await house.session.set('x/a', 1);
    await house.stop();
    const without = await startHouse(null, { store });
    const open = { type: 'open', key: `bridge:${NAME}`, clean: false, expiryMs: 0 } as const;
    const reply = await without.session.submit(new DurableRequest(without.session, 1, open, null));
    expect(reply.present).toBe(false);
    expect((await without.session.find('/_SYSTEM/_BRIDGES/*')).entries).toEqual([]);
    expect(without.harness.counters.gauges.get('queued_messages')?.read()).toBe(0);
  });
});

describe('limits', () => {
  const start = async (bridge: object): Promise<[House, FakeRemote]> => {
    const remote = await FakeRemote.start({ connack: () => ({ sessionPresent: true }) });
    const house = await startHouse({ url: remote.url, rules: [{ direction: 'both', filter: '#', qos: 2 }], ...bridge });
    await house.connected();
    return [house, remote];
  };

  it('of what waits for a slow remote and is kept nowhere', async () => {
    const behaviour = { acknowledges: true };
    const remote = await FakeRemote.start(behaviour);
    const house = await startHouse({ url: remote.url, cleanSession: true, outgoingWindow: 1, rules: both });
    await house.connected();
    behaviour.acknowledges = false;
    // One is on its way, the others wait.
    for (let i = 0; i < WAITING_ITEMS_MAX + 2; i++)
      house.harness.context.submit(house.session.setRequest('x/a', i, { store: false, qos: 1 }));
    await until('one is dropped', () => house.count('bridge_dropped_total', 'slow') > 0);
    await until('all were served', () => house.session.inFlight === 0);
    expect(house.count('bridge_dropped_total', 'slow')).toBe(1);
  });

  it('of hops, and of messages that were here', async () => {
    const [house, remote] = await start({ maxHops: 2 });
    const via = (...ids: string[]): Meta =>
      new Meta(
        null,
        null,
        null,
        false,
        ids.map((id) => ['trivium-via', id] as const),
      );
    await house.session.emit('a', 1, { qos: 1, meta: via('n1') });
    await house.session.emit('a', 2, { qos: 1, meta: via('n1', 'n2') });
    const connection = await remote.connection(1);
    expect((await connection.until('publish')).map(({ properties }) => properties)).toMatchObject([
      { userProperties: { 'trivium-via': ['n1', house.node] } },
    ]);
    expect(house.count('bridge_dropped_total', 'hops')).toBe(1);
    // A bridge of another gateway brought it back, as a client here.
    await house.session.emit('a', 3, { qos: 1, meta: via(house.node, 'n9') });
    expect(house.count('bridge_dropped_total', 'loop')).toBe(1);
    connection.publish('a', 'mine', { qos: 1, messageId: 5, properties: { userProperties: { 'trivium-via': ['n1', house.node, 'n2'] } } });
    await connection.until('puback');
    expect(house.count('bridge_dropped_total', 'loop')).toBe(2);
    expect(warnings(house).filter((text) => text.includes('bridges form a ring'))).toHaveLength(2);
  });

  it('but not of what the remote has retained of this gateway: it comes with each subscription', async () => {
    const [house, remote] = await start({});
    const connection = await remote.connection(1);
    const publish = (messageId: number, ...via: string[]): void =>
      connection.publish('a', 'kept', { qos: 1, messageId, retain: true, properties: { userProperties: { 'trivium-via': via } } });
    publish(5, 'n1', house.node);
    await connection.until('puback');
    expect(house.count('bridge_dropped_total', 'loop')).toBe(0);
    expect(warnings(house)).toEqual([]);
    publish(6, house.node, 'n1');
    await connection.until('puback', 2);
    expect(house.count('bridge_dropped_total', 'loop')).toBe(1);
    expect(await house.session.get('a')).toMatchObject({ entry: null });
  });

  it('of messages of QoS 2 that are not released', async () => {
    const [house, remote] = await start({ version: '3.1.1' });
    const connection = await remote.connection(1);
    for (let i = 1; i <= UNRELEASED_MAX; i++) connection.publish('a', 'x', { qos: 2, messageId: i });
    await connection.until('pubrec', UNRELEASED_MAX);
    connection.publish('a', 'x', { qos: 2, messageId: UNRELEASED_MAX + 1 });
    await until('the connection ends', () => connection.ended);
    expect(warnings(house).at(-1)).toMatch(/leaves more than 1000 messages of QoS 2 unreleased/);
  });

  it('of size', async () => {
    const [house, remote] = await start({ version: '3.1.1' });
    const connection = await remote.connection(1);
    connection.publish('a', 'x'.repeat(1024 * 1024), { qos: 1, messageId: 1 });
    connection.publish('a', 'small', { qos: 1, messageId: 2, retain: true });
    await connection.until('puback', 2);
    expect(house.count('bridge_dropped_total', 'too-large')).toBe(1);
    expect((await house.session.get('a')).entry?.payload.value()).toBe('small');
  });

  it('of what the other side can name, and of what is the gateway’s own', async () => {
    const [house, remote] = await start({ rules: [{ direction: 'both', filter: '+/+/x', qos: 1 }] });
    const connection = await remote.connection(1);
    connection.publish('/_SYSTEM/x', 'evil', { qos: 1, messageId: 1, retain: true });
    await connection.until('puback');
    expect((await house.session.get('/_SYSTEM/x')).entry).toBeNull();
    await house.session.set('a/b#/x', 1);
    await house.session.set('a/b/x', 1);
    expect((await connection.until('publish')).map(({ topic }) => topic)).toEqual(['a/b/x']);
    expect(house.count('bridge_dropped_total', 'no-topic')).toBe(1);
    expect(house.count('bridge_dropped_total', 'no-rule')).toBe(1);
  });

  it('of time: what expired is not sent', async () => {
    const [house, remote] = await start({ outgoingWindow: 1 });
    const connection = await remote.connection(1);
    connection.behaviour.acknowledges = false;
    await house.session.emit('a', 'first', { qos: 1 });
    await house.session.emit('a', 'short', { qos: 1, lifetimeMs: 1_000 });
    await house.session.emit('a', 'last', { qos: 1 });
    const [first] = await connection.until('publish');
    house.harness.clock.time += 1_000;
    connection.send({ cmd: 'puback', messageId: first?.messageId });
    expect((await connection.until('publish', 2)).map(({ payload }) => String(payload))).toEqual(['first', 'last']);
    expect(house.count('bridge_dropped_total', 'expired')).toBe(1);
  });

  it('that the remote sets: what it refuses is dropped and counted, and the rest goes on', async () => {
    const directory = temporaryDirectory();
    const acl = join(directory, 'acl');
    writeFileSync(acl, 'topic readwrite x/free/#\n');
    const mosquitto = await startMosquitto({ access: ['allow_anonymous true', `acl_file ${acl}`] });
    const house = await startHouse({ url: mosquitto.url, rules: both });
    await house.connected();
    const far = await Far.connect(mosquitto.url, 'x/free/#');
    await house.session.set('x/locked', 1);
    await house.session.set('x/free/a', 1);
    await far.until(1);
    expect(house.count('bridge_dropped_total', 'refused')).toBe(1);
    expect(house.count('bridge_queued_messages')).toBe(0);
  });
});
