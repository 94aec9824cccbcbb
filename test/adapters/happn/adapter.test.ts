// What the listener decides before there is a session, with upgrades that come from addresses this machine does not have.

import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { HappnAdapter } from '../../../src/adapters/happn/index.js';
import { type AdapterContext, goodbye, hostOf } from '../../../src/core/index.js';
import { type Harness, SILENT, startEngine } from '../../support/core-harness.js';
import { until } from '../../support/gateway-process.js';

type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

let harness: Harness | null = null;
let adapter: HappnAdapter | null = null;

afterEach(async () => {
  await adapter?.stop(50, goodbye(true));
  await harness?.stop();
});

/** The adapter with its routes in our hands. */
async function start(maxFresh: number): Promise<Upgrade> {
  harness = await startEngine();
  let taken: Upgrade | null = null;
  const http: AdapterContext['http'] = {
    upgrade: (_path, _prefix, handler) => {
      taken = handler;
    },
    request() {},
  };
  const context = harness.engine.context({ node: { id: 'n', name: 'n', version: '1', startedAt: 0 }, log: SILENT, http });
  adapter = new HappnAdapter({ maxFresh });
  await adapter.start(context);
  return taken as unknown as Upgrade;
}

/** One end of a connection; keeps what is written to it. */
class Peer extends Duplex {
  written = '';

  readonly remotePort = 5_123;

  constructor(readonly remoteAddress: string) {
    super();
  }
  override _read(): void {}
  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.written += bytes.toString('latin1');
    done();
  }
  setTimeout(): void {}
  setNoDelay(): void {}

  get status(): string {
    return this.written.slice(0, 12);
  }
}

function knock(upgrade: Upgrade, remoteAddress: string): Peer {
  const peer = new Peer(remoteAddress);
  peer.on('error', () => {});
  const headers = {
    upgrade: 'websocket',
    connection: 'Upgrade',
    'sec-websocket-version': '13',
    'sec-websocket-key': Buffer.alloc(16).toString('base64'),
  };
  upgrade({ method: 'GET', url: '/primus', headers, socket: peer } as unknown as IncomingMessage, peer, Buffer.alloc(0));
  return peer;
}

/** A masked text frame. */
function frame(text: string): Buffer {
  const body = Buffer.from(text);
  return Buffer.concat([Buffer.from([0x81, 0x80 | body.length, 0, 0, 0, 0]), body]);
}

const OPEN = 'HTTP/1.1 101';
const FULL = 'HTTP/1.1 503';

test('one address takes at most half of the places of connections that have asked for nothing', async () => {
  const upgrade = await start(4);
  const here = ['10.0.0.1', '10.0.0.1', '10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'].map((address) => knock(upgrade, address));
  expect(here.map(({ status }) => status)).toEqual([OPEN, OPEN, FULL, OPEN, OPEN, FULL]);
});

test('connections from this machine are not counted', async () => {
  const upgrade = await start(2);
  const here = ['127.0.0.1', '::1', '::ffff:127.0.0.1', '127.0.0.1'].map((address) => knock(upgrade, address));
  expect(here.map(({ status }) => status)).toEqual([OPEN, OPEN, OPEN, OPEN]);
});

test('a place is free again when a connection asks for something, and when it goes', async () => {
  const upgrade = await start(2);
  const asking = knock(upgrade, '10.0.0.1');
  const going = knock(upgrade, '10.0.0.2');
  expect(knock(upgrade, '10.0.0.3').status).toBe(FULL);
  asking.push(frame('{"action":"describe","eventId":1}'));
  await until('the answer', () => asking.written.includes('describe'));
  expect(knock(upgrade, '10.0.0.3').status).toBe(OPEN);
  expect(knock(upgrade, '10.0.0.4').status).toBe(FULL);
  going.destroy();
  await until('the place is free', () => knock(upgrade, '10.0.0.4').status === OPEN);
});

test('where a connection comes from can be told from its port', async () => {
  const upgrade = await start(10);
  for (const address of ['10.0.0.1', '::ffff:10.0.0.2', '2001:db8::7']) knock(upgrade, address);
  const addresses = [...(harness as Harness).engine.sessions()].map(({ address }) => address);
  expect(addresses).toEqual(['10.0.0.1:5123', '10.0.0.2:5123', '[2001:db8::7]:5123']);
  expect(addresses.map(hostOf)).toEqual(['10.0.0.1', '10.0.0.2', '2001:db8::7']);
});

test('who is sent away leaves no socket behind, whether it closes its side or not', async () => {
  const upgrade = await start(1);
  const [taken, refused] = ['10.0.0.1', '10.0.0.2'].map((address) => knock(upgrade, address));
  expect([taken?.status, refused?.status]).toEqual([OPEN, FULL]);
  await until('the socket is let go', () => refused?.destroyed === true);
  expect(taken?.destroyed).toBe(false);
});

test('a network of IPv6 is one address', async () => {
  const upgrade = await start(4);
  const here = ['2001:db8:1:2::1', '2001:db8:1:2::2', '2001:db8:1:2:3::', '2001:db8:1:3::1'].map((address) => knock(upgrade, address));
  expect(here.map(({ status }) => status)).toEqual([OPEN, OPEN, FULL, OPEN]);
});
