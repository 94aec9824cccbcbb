// The TCP ports of MQTT: TLS, certificates of clients, headers of proxies, limits of connections. Clients are sockets of this
// process; proxies stand for addresses that it does not have.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Credentials, goodbye } from '../../../src/core/index.js';
import { identityNamed } from '../../../src/core/security/identity.js';
import { accessOf } from '../../support/access.js';
import { type MadePem, makeAuthority, makeClientPem, makePem } from '../../support/certificates.js';
import { until } from '../../support/gateway-process.js';
import { LOSSES, loseHandshake } from '../../support/lost-handshakes.js';
import { encode, type HouseOptions, MqttHouse, MqttWire } from '../../support/mqtt-wire.js';

let own: MadePem;
let authority: MadePem;
let other: MadePem;
let house: MqttHouse;
let seen: Credentials[];

beforeAll(async () => {
  [own, authority, other] = await Promise.all([makePem(), makeAuthority('us'), makeAuthority('them')]);
});

afterEach(async () => await house.stop());

const access = accessOf(
  () => true,
  async (credentials) => {
    seen.push(credentials);
    return identityNamed(credentials.certificateUser ?? '');
  },
);

async function start(options: HouseOptions): Promise<void> {
  seen = [];
  house = await MqttHouse.start({ access, ...options });
}

async function startTls(tls: Partial<NonNullable<HouseOptions['tls']>> = {}, more: HouseOptions = {}): Promise<void> {
  await start({ tls: { port: 0, clientCertificates: 'off', userFrom: 'none', ...tls }, ...more });
  house.adapter.setSecureContext({ ...own, ca: authority.cert });
}

const counter = (name: string): number => house.counters.counters.get(name)?.value ?? 0;

function secureSocket(options: ConnectionOptions = {}): TLSSocket {
  const socket = connectTls({ host: '127.0.0.1', port: house.tlsPort as number, rejectUnauthorized: false, ...options });
  socket.on('error', () => socket.destroy());
  return socket;
}

async function secure(options: ConnectionOptions = {}): Promise<MqttWire> {
  const socket = secureSocket(options);
  await once(socket, 'secureConnect');
  return MqttWire.over(socket);
}

const BAD_PACKET = Buffer.of(0, 0);
const CONNECT = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 0 };

async function logIn(wire: MqttWire, clientId: string, fields: object = {}): Promise<MqttWire> {
  wire.send({ ...CONNECT, clientId, ...fields });
  expect(await wire.expect('connack')).toMatchObject({ returnCode: 0 });
  return wire;
}

/** Whatever goes wrong before. */
async function closed(socket: Socket): Promise<void> {
  socket.on('error', () => socket.destroy());
  await new Promise((resolve) => (socket.closed ? resolve(null) : socket.once('close', resolve)));
}

/** The gateway ends this connection without a packet. */
async function expectRefused(socket: Socket): Promise<void> {
  let said = 0;
  socket.on('data', (chunk) => (said += chunk.length));
  socket.write(encode({ ...CONNECT, clientId: 'refused' }));
  await closed(socket);
  expect(said).toBe(0);
}

describe('the TLS port', () => {
  it('tells in the log why a handshake failed, in a few words', async () => {
    await startTls();
    const plain = connect(house.tlsPort as number, '127.0.0.1');
    await expectRefused(plain);
    await until('it is told', () => house.lines.some(({ level, text }) => level === 'info' && text === 'a TLS handshake failed'));
    const { fields } = house.lines.find(({ text }) => text === 'a TLS handshake failed') as { fields: object };
    expect(fields).toEqual({ peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/), reason: 'wrong version number' });
  });

  it.each(LOSSES)('tells whose handshake failed, also %s', async (_when, lose) => {
    await startTls();
    const peer = await loseHandshake(house.tlsPort as number, lose);
    const told = () => house.lines.filter(({ text }) => text === 'a TLS handshake failed');
    await until('both are told', () => told().length === 2);
    expect(told()[1]?.fields).toMatchObject({ peer });
  });

  it('serves clients as the plain one does', async () => {
    await startTls();
    const [a, b] = [await logIn(await secure(), 'a'), await MqttWire.connected(house.port, 'b')];
    await a.subscribe('t', 1);
    b.publish('t', 'x'.repeat(200_000), { qos: 1, messageId: 1 });
    expect(((await a.expect('publish')).payload as Buffer).length).toBe(200_000);
    a.publish('t', 'y');
    a.bytes(encode({ cmd: 'disconnect' }));
    await a.closed();
    expect(counter('tls_handshakes_failed_total')).toBe(0);
  });

  it('takes packets that come within the last segment of the handshake', async () => {
    await startTls();
    const socket = secureSocket({ maxVersion: 'TLSv1.3' });
    socket.write(encode({ ...CONNECT, clientId: 'early' }));
    expect(await MqttWire.over(socket).expect('connack')).toMatchObject({ returnCode: 0 });
  });

  it('does not serve without TLS, nor with an old one', async () => {
    await startTls();
    await expectRefused(connect(house.tlsPort as number, '127.0.0.1'));
    await closed(secureSocket({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
    await until('both are counted', () => counter('tls_handshakes_failed_total') === 2);
    await until('both are gone', () => house.adapter.clients.admission.open === 0);
  });

  it('ends handshakes that take too long', async () => {
    await startTls({}, { limits: { connectTimeoutMs: 200 } });
    await closed(connect(house.tlsPort as number, '127.0.0.1'));
    await until('it is gone', () => house.adapter.clients.admission.open === 0);
  });

  it('shows a new certificate to new clients, and lets the old ones be', async () => {
    await startTls();
    const before = await logIn(await secure(), 'a');
    const next = await makePem();
    house.adapter.setSecureContext(next);
    const after = await secure();
    expect((after.socket as TLSSocket).getPeerX509Certificate()?.toString()).toBe(next.cert.trim().replace(/\n*$/, '\n'));
    expect(await before.settled()).toEqual([]);
  });

  it('lets nothing open behind when it stops', async () => {
    await startTls();
    const idle = await secure();
    const half = connect(house.tlsPort as number, '127.0.0.1');
    half.on('error', () => half.destroy());
    await once(half, 'connect');
    await house.adapter.stop(200, goodbye(true));
    await idle.closed();
    await closed(half);
  });
});

describe('certificates of clients', () => {
  it('name the user, when they do, in every version', async () => {
    await startTls({ clientCertificates: 'required', userFrom: 'commonName' });
    const socket = secureSocket(await makeClientPem(authority, ['dave']));
    const dave = MqttWire.over(socket, 5);
    dave.send({ ...CONNECT, protocolVersion: 5, clientId: 'same', username: 'dave' });
    expect(await dave.expect('connack')).toMatchObject({ reasonCode: 0 });
    expect(seen.splice(0)).toEqual([{ username: 'dave', certificateUser: 'dave' }]);
    const alice = await logIn(await secure(await makeClientPem(authority, ['alice'])), 'same', {
      username: 'bob',
      password: Buffer.from('p'),
    });
    const carol = await logIn(await secure(await makeClientPem(authority, ['carol'])), 'same');
    expect(seen).toEqual([{ username: 'bob', password: Buffer.from('p'), certificateUser: 'alice' }, { certificateUser: 'carol' }]);
    // Another user's session of the same client id is another session.
    expect(await alice.settled()).toEqual([]);
    await logIn(await secure(await makeClientPem(authority, ['alice'])), 'same');
    await alice.closed();
    expect(await carol.settled()).toEqual([]);
    expect(await dave.settled()).toEqual([]);
  });

  it('may name nobody, when users log in otherwise', async () => {
    await startTls({ clientCertificates: 'required' });
    await logIn(await secure(await makeClientPem(authority, ['alice'])), 'a');
    expect(seen).toEqual([{}]);
  });

  it('are required where they are', async () => {
    await startTls({ clientCertificates: 'required' });
    await expectRefused(secureSocket());
    await until('it is counted', () => counter('mqtt_client_certificates_refused_total') === 1);
    await logIn(await secure(await makeClientPem(authority, ['alice'])), 'a');
  });

  it('are looked at where they are optional, and not missed', async () => {
    await startTls({ clientCertificates: 'optional', userFrom: 'commonName' });
    await logIn(await secure(), 'nobody');
    await logIn(await secure(await makeClientPem(authority, ['alice'])), 'a');
    expect(seen).toEqual([{}, { certificateUser: 'alice' }]);
    await expectRefused(secureSocket(await makeClientPem(other, ['mallory'])));
  });

  it.each<[string, () => Promise<MadePem>]>([
    ['vouched for by somebody else', () => makeClientPem(other, ['mallory'])],
    ['of its own making', () => makePem()],
    ['that is not valid any more', () => makeClientPem(authority, ['alice'], -1)],
    ['without a common name', () => makeClientPem(authority, [])],
    ['with two common names', () => makeClientPem(authority, ['alice', 'bob'])],
    ['with a control character in its name', () => makeClientPem(authority, ['al\u0007ice'])],
  ])('%s are refused, and told of in the log', async (_what, make) => {
    await startTls({ clientCertificates: 'required', userFrom: 'commonName' });
    const socket = secureSocket(await make());
    await once(socket, 'secureConnect');
    const peer = `127.0.0.1:${socket.localPort}`;
    await expectRefused(socket);
    await until('it is told', () => house.lines.some(({ text }) => text === 'refused a client because of its certificate'));
    expect(peers()).toContain(peer);
    expect(seen).toEqual([]);
    expect(counter('mqtt_client_certificates_refused_total')).toBe(1);
  });

  it('that were accepted once are not when their authority is gone, also for a client that resumes its TLS session', async () => {
    await startTls({ clientCertificates: 'required' });
    const pem = await makeClientPem(authority, ['alice']);
    const socket = secureSocket({ ...pem, maxVersion: 'TLSv1.2' });
    const [session] = (await once(socket, 'session')) as [Buffer];
    await logIn(MqttWire.over(socket), 'a');
    const again = secureSocket({ ...pem, session, maxVersion: 'TLSv1.2' });
    await once(again, 'secureConnect');
    expect(again.isSessionReused()).toBe(true);
    await logIn(MqttWire.over(again), 'b');
    house.adapter.setSecureContext({ ...own, ca: other.cert });
    await expectRefused(secureSocket({ ...pem, session, maxVersion: 'TLSv1.2' }));
  });
});

const V2 = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const LOCAL = Buffer.concat([V2, Buffer.of(0x20, 0, 0, 0)]);
const PROXIED = { proxyProtocol: 'required', proxyAddresses: ['127.0.0.1'] } as const;
const from = (address: string): Buffer => Buffer.from(`PROXY TCP4 ${address} 192.0.2.1 40000 1883\r\n`);

async function proxied(header: Buffer, port = house.port): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => socket.destroy());
  await once(socket, 'connect');
  socket.write(header);
  return socket;
}

/** What is written to the result leaves through `raw`, `first` within the first chunk. */
function withFirst(raw: Socket, first: Buffer): Duplex {
  let before = first;
  const result = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      raw.write(Buffer.concat([before, chunk]));
      before = Buffer.alloc(0);
      done();
    },
  });
  raw.on('data', (chunk) => result.push(chunk));
  raw.on('close', () => result.destroy());
  return result;
}

const peers = (): unknown[] => house.lines.map(({ fields }) => (fields as { peer?: unknown }).peer).filter((peer) => peer !== undefined);

describe('behind a proxy', () => {
  it('clients have their own address in the log', async () => {
    await start(PROXIED);
    const wire = await logIn(MqttWire.over(await proxied(from('198.51.100.7'))), 'a');
    wire.bytes(BAD_PACKET);
    await wire.closed();
    expect(peers()).toContain('198.51.100.7:40000');
    const v6 = Buffer.from(`20010db8${'00'.repeat(11)}07${'00'.repeat(16)}9c40075b`, 'hex');
    const binary = MqttWire.over(await proxied(Buffer.concat([V2, Buffer.of(0x21, 0x21, 0, 36), v6])));
    await logIn(binary, 'b');
    binary.bytes(BAD_PACKET);
    await binary.closed();
    expect(peers()).toContain('[2001:db8::7]:40000');
  });

  it.each([
    ['in one segment with the CONNECT', 1_000],
    ['in single bytes', 1],
    ['cut within the header', 9],
  ])('a header may come %s', async (_what, size) => {
    await start(PROXIED);
    const socket = await proxied(Buffer.alloc(0));
    const wire = MqttWire.over(socket);
    const bytes = Buffer.concat([from('198.51.100.7'), encode({ ...CONNECT, clientId: 'a' })]);
    for (let at = 0; at < bytes.length; at += size) {
      socket.write(bytes.subarray(at, at + size));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await wire.expect('connack')).toMatchObject({ returnCode: 0 });
  });

  it('the proxy itself is let in, to see whether the gateway lives', async () => {
    await start(PROXIED);
    await logIn(MqttWire.over(await proxied(LOCAL)), 'a');
    await logIn(MqttWire.over(await proxied(Buffer.from('PROXY UNKNOWN\r\n'))), 'b');
  });

  it('nobody is served without a header, with a bad one, or from elsewhere; told once, counted each time', async () => {
    await start(PROXIED);
    await expectRefused(connect(house.port, '127.0.0.1'));
    await expectRefused(await proxied(Buffer.from('PROXY TCP4 1.1.1.1\r\n')));
    await expectRefused(await proxied(Buffer.from(`PROXY UNKNOWN ${'x'.repeat(100)}`)));
    expect(counter('mqtt_proxy_headers_refused_total')).toBe(3);
    expect(house.lines.filter(({ text }) => text.includes('PROXY header'))).toHaveLength(1);
    await until('all are gone', () => house.adapter.clients.admission.open === 0);
    await house.stop();
    await start({ ...PROXIED, proxyAddresses: ['192.0.2.0/24'] });
    await expectRefused(await proxied(from('198.51.100.7')));
    expect(counter('mqtt_proxy_headers_refused_total')).toBe(1);
  });

  it('a header is waited for no longer than for a CONNECT', async () => {
    await start({ ...PROXIED, limits: { connectTimeoutMs: 1_000 } });
    const socket = await proxied(Buffer.from('PROXY '));
    await until('it is known', () => house.adapter.clients.admission.open === 1);
    house.clock.mono = 900;
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(socket.destroyed).toBe(false);
    house.clock.mono = 1_100;
    await closed(socket);
  });

  it.each([
    ['in one segment with it', (raw: Socket) => withFirst(raw, from('198.51.100.7'))],
    [
      'later',
      (raw: Socket) => {
        raw.write(from('198.51.100.7'));
        return raw;
      },
    ],
  ])('TLS follows the header, %s', async (_what, begin) => {
    await startTls({ clientCertificates: 'required', userFrom: 'commonName' }, PROXIED);
    const raw = await proxied(Buffer.alloc(0), house.tlsPort);
    const pem = await makeClientPem(authority, ['alice']);
    const socket = connectTls({ socket: begin(raw), rejectUnauthorized: false, ...pem });
    const wire = await logIn(MqttWire.over(socket), 'a');
    expect(seen).toEqual([{ certificateUser: 'alice' }]);
    wire.bytes(BAD_PACKET);
    await wire.closed();
    expect(peers()).toContain('198.51.100.7:40000');
  });
});

describe('a limit', () => {
  async function come(address: string): Promise<Socket> {
    return await proxied(address === '' ? LOCAL : from(address));
  }

  const login = async (address: string, clientId: string): Promise<MqttWire> => await logIn(MqttWire.over(await come(address)), clientId);
  const refused = (limit: string): number => counter(`mqtt_connections_refused_total{limit="${limit}"}`);

  it('of connections in all closes one more, until there is room', async () => {
    await start({ ...PROXIED, limits: { maxConnections: 3 } });
    const wires = [await login('198.51.100.1', 'a'), await login('', 'b'), await login('198.51.100.2', 'c')];
    await expectRefused(connect(house.port, '127.0.0.1'));
    await expectRefused(connect(house.port, '127.0.0.1'));
    expect(refused('maxConnections')).toBe(2);
    expect(house.lines.filter(({ text }) => text.includes('there are too many'))).toHaveLength(1);
    await wires[0]?.drop();
    await until('it is gone', () => house.adapter.clients.admission.open === 2);
    await login('198.51.100.3', 'd');
  });

  it('of connections of one address closes one more of it alone', async () => {
    await start({ ...PROXIED, limits: { maxConnectionsPerAddress: 2 } });
    await login('198.51.100.1', 'a');
    const second = await login('198.51.100.1', 'b');
    await expectRefused(await come('198.51.100.1'));
    expect(refused('maxConnectionsPerAddress')).toBe(1);
    await login('198.51.100.2', 'c');
    for (const clientId of ['d', 'e', 'f']) await login('', clientId);
    await second.drop();
    await until('it is gone', () => house.adapter.clients.admission.open === 5);
    await login('198.51.100.1', 'g');
  });

  it.each([
    [3, Buffer.of(0x20, 2, 0, 3)],
    [4, Buffer.of(0x20, 2, 0, 3)],
    [5, Buffer.of(0x20, 3, 0, 0x9f, 0)],
  ])('of connections a second of one address answers one more of it alone with a refusal, in version %i', async (version, refusal) => {
    await start({ ...PROXIED, limits: { maxConnectsPerSecond: 2 } });
    const connectPacket = encode(
      { ...CONNECT, protocolId: version === 3 ? 'MQIsdp' : 'MQTT', protocolVersion: version, clientId: 'x' },
      version,
    );
    const expectRefusal = async (): Promise<void> => {
      const socket = await come('198.51.100.1');
      const answer: Buffer[] = [];
      socket.on('data', (chunk) => answer.push(chunk));
      socket.write(connectPacket);
      await closed(socket);
      expect(Buffer.concat(answer)).toEqual(refusal);
    };
    // Also when they do not stay.
    for (const clientId of ['a', 'b']) await (await login('198.51.100.1', clientId)).drop();
    for (let i = 0; i < 3; i++) await expectRefusal();
    expect(refused('maxConnectsPerSecond')).toBe(3);
    await login('198.51.100.2', 'c');
    for (const clientId of ['d', 'e', 'f']) await login('', clientId);
    house.clock.mono += 500;
    await login('198.51.100.1', 'g');
    await expectRefusal();
    expect(house.adapter.clients.admission.addresses).toBe(2);
  });

  it('of connections a second forgets addresses that keep it', async () => {
    await start({ ...PROXIED, limits: { maxConnectsPerSecond: 1 } });
    await (await login('198.51.100.1', 'a')).drop();
    await until('it is gone', () => house.adapter.clients.admission.open === 0);
    expect(house.adapter.clients.admission.addresses).toBe(1);
    house.clock.mono += 1_000;
    await until('it is forgotten', () => house.adapter.clients.admission.addresses === 0);
  });

  it('of connections of one address without a login closes one more of it alone', async () => {
    await start({ ...PROXIED, limits: { maxConnectingPerAddress: 2 } });
    const first = MqttWire.over(await come('198.51.100.1'));
    await come('198.51.100.1');
    await until('both are known', () => house.adapter.clients.admission.open === 2);
    await expectRefused(await come('198.51.100.1'));
    expect(refused('maxConnectingPerAddress')).toBe(1);
    await login('198.51.100.2', 'b');
    await logIn(first, 'a');
    await login('198.51.100.1', 'c');
  });
});
