// The shared HTTP listener over real sockets: routes, limits, origins, stopping.

import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Counters } from '../../src/core/counters.js';
import { StartError } from '../../src/core/errors.js';
import { sendAway } from '../../src/core/index.js';
import { HttpListener, type HttpListenerOptions } from '../../src/http/listener.js';
import { makePem } from '../support/certificates.js';
import { until } from '../support/gateway-process.js';
import { HTTP_OPTIONS } from '../support/http-options.js';
import { LOSSES, loseHandshake } from '../support/lost-handshakes.js';
import { type KeptLine, keptLog } from '../support/silent-log.js';

const options: HttpListenerOptions = {
  ...HTTP_OPTIONS,
  origins: ['https://app.example'],
  maxHeaderBytes: 4_096,
  maxUrlBytes: 1_024,
};

let listener: HttpListener;
let port: number;
let counters: Counters;
let sockets: Socket[];
let lines: KeptLine[];

async function start(more: Partial<HttpListenerOptions> = {}): Promise<void> {
  counters = new Counters();
  lines = [];
  listener = new HttpListener({ ...options, ...more }, keptLog(lines), counters);
  listener.request('/hello', false, (_request, response) => response.end('exact'));
  listener.request('/deep', true, (_request, response) => response.end('deep'));
  listener.request('/deep/er', true, (_request, response) => response.end('deeper'));
  listener.request('/broken', false, () => {
    throw new Error('a fault in a handler');
  });
  listener.upgrade('/socket', true, (_request, socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n'));
  port = (await listener.listen()).port;
}

beforeEach(async () => {
  sockets = [];
  await start();
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  await listener.close();
});

function open(): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => socket.destroy());
  sockets.push(socket);
  return socket;
}

/** All that the listener says until it closes the connection. */
async function exchange(text: string): Promise<string> {
  const socket = open();
  let answer = '';
  socket.setEncoding('latin1').on('data', (part: string) => {
    answer += part;
  });
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

async function get(path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: response.status, text: await response.text() };
}

const upgrade = (path: string, more = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${more}\r\n`;

describe('requests', () => {
  it('go to the handler of their path, the longest one where several fit', async () => {
    expect(await get('/hello?x=1')).toEqual({ status: 200, text: 'exact' });
    expect(await get('/deep')).toEqual({ status: 200, text: 'deep' });
    expect(await get('/deep/x')).toEqual({ status: 200, text: 'deep' });
    expect(await get('/deep/er/x')).toEqual({ status: 200, text: 'deeper' });
  });

  it.each(['/', '/hello/', '/hello/x', '/deeper', '/%68ello', '/constructor', '/__proto__'])('to %s are not found', async (path) => {
    expect((await get(path)).status).toBe(404);
  });

  it('that make a handler throw are answered, and the next one is served', async () => {
    expect((await get('/broken')).status).toBe(500);
    expect((await get('/hello')).status).toBe(200);
  });

  it('with a long URL are refused', async () => {
    expect((await get(`/hello?${'x'.repeat(1_100)}`)).status).toBe(414);
  });

  it('with a large head are refused', async () => {
    expect(await exchange(`GET /hello HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(5_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
  });

  it.each([
    ['is no HTTP', '\x10\x0c\x00\x04MQTT\x04\x02\r\n\r\n'],
    ['smuggles a second length', 'POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['has no Host', 'GET /hello HTTP/1.1\r\n\r\n'],
  ])('that %s get a clear refusal', async (_what, text) => {
    expect(await exchange(text)).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('that never end their head are ended, while others are served', async () => {
    await listener.close();
    await start({ headerTimeoutMs: 200 });
    const slow = exchange('GET /hello HTTP/1.1\r\nHost: a\r\nX: y');
    expect((await get('/hello')).status).toBe(200);
    expect(await slow).toMatch(/^HTTP\/1\.1 408 /);
  });
});

describe('answers', () => {
  it('B7 that nobody reads end their connection in time; one that is late is waited for', async () => {
    await listener.close();
    await start({ answerTimeoutMs: 200 });
    let late: ServerResponse | null = null;
    listener.request('/late', false, (_request, response) => {
      late = response;
    });
    listener.request('/large', false, (_request, response) => response.end(Buffer.alloc(256 * 1024)));
    const asked = get('/late');
    await until('somebody waits', () => late !== null);
    const deaf = open().pause();
    // More than the system holds for a peer.
    deaf.write('GET /large HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(200));
    await until('the deaf one is ended', () => counters.counters.get('http_unread_total')?.value === 1);
    (late as ServerResponse | null)?.end('late');
    expect(await asked).toEqual({ status: 200, text: 'late' });
  });

  it('B7 that refuse an upgrade behind others that nobody reads end with their connection', async () => {
    let taken = 0;
    listener.request('/large', false, (_request, response) => response.end(Buffer.alloc(64 * 1024 * 1024)));
    listener.upgrade('/away', false, (_request, socket) => {
      socket.once('close', () => (taken += 1));
      sendAway(socket);
    });
    const deaf = open().pause();
    deaf.write(`GET /large HTTP/1.1\r\nHost: a\r\n\r\n${upgrade('/away')}`);
    await until('it is gone', () => taken === 1);
  });
});

describe('upgrades', () => {
  it.each(['/socket', '/socket/', '/socket/a?b=c'])('to %s are taken', async (path) => {
    const socket = open();
    socket.write(upgrade(path));
    const [first] = (await once(socket, 'data')) as [Buffer];
    expect(first.toString()).toMatch(/^HTTP\/1\.1 101 /);
  });

  it.each(['/', '/sockets', '/hello'])('to %s are not found', async (path) => {
    expect(await exchange(upgrade(path))).toMatch(/^HTTP\/1\.1 404 /);
  });

  it('with a long URL are refused', async () => {
    expect(await exchange(upgrade(`/socket?${'x'.repeat(1_100)}`))).toMatch(/^HTTP\/1\.1 414 /);
  });

  it('of foreign pages are refused and counted; listed ones pass', async () => {
    expect(await exchange(upgrade('/socket', 'Origin: https://evil.example\r\n'))).toMatch(/^HTTP\/1\.1 403 /);
    expect(counters.counters.get('http_origin_refused_total')?.value).toBe(1);
    const socket = open();
    socket.write(upgrade('/socket', 'Origin: https://app.example\r\n'));
    expect(((await once(socket, 'data')) as [Buffer])[0].toString()).toMatch(/^HTTP\/1\.1 101 /);
  });

  it('that are reset at once harm nobody', async () => {
    const socket = open();
    socket.write(upgrade('/socket'));
    await once(socket, 'data');
    socket.resetAndDestroy();
    expect((await get('/hello')).status).toBe(200);
  });
});

describe('listening', () => {
  it('on a port in use fails with one line', async () => {
    const second = new HttpListener({ ...options, port }, keptLog(), new Counters());
    const failure = await second.listen().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StartError);
    expect((failure as StartError).message).toBe(
      `happn.port: port ${port} on 127.0.0.1 is in use by another program; stop it, or choose another port`,
    );
    await second.close();
  });

  it('ends with stopAccepting, upgraded connections with close', async () => {
    const socket = open();
    socket.write(upgrade('/socket'));
    await once(socket, 'data');
    listener.stopAccepting();
    const refused = connect(port, '127.0.0.1');
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNREFUSED');
    expect(socket.closed).toBe(false);
    await listener.close();
    if (!socket.closed) await once(socket, 'close');
  });
});

describe('over TLS', () => {
  it.each(LOSSES)('it tells whose handshake failed, also %s', async (_when, lose) => {
    await listener.close();
    listener = new HttpListener({ ...options, tls: true }, keptLog(lines), counters);
    listener.setSecureContext(await makePem());
    port = (await listener.listen()).port;
    const peer = await loseHandshake(port, lose);
    const told = () => lines.filter(({ text }) => text === 'a TLS handshake failed');
    await until('both are told', () => told().length === 2);
    expect(told()[1]?.fields).toMatchObject({ peer });
  });
});
