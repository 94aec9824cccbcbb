// The web surface with raw sockets: what a URL can reach, heads that are too much or mean two things, and data that would like to be code.

import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fields } from '../../src/cli/output.js';
import { shownText } from '../../src/haven-tool/values.js';
import { type GatewayProcess, until } from '../support/gateway-process.js';
import { metric } from '../support/metrics.js';
import { encode } from '../support/mqtt-wire.js';
import { randomOf } from '../support/random.js';
import { ALL, bareWebsocket, by, DOORS, havenAs, mqttAs, type SecureGateway, startSecureGateway } from '../support/secure-roads.js';

let house: SecureGateway;
let gateway: GatewayProcess;

beforeAll(async () => {
  house = await startSecureGateway({ flags: ['--http-header-timeout-ms', '2000', '--log-format', 'text'] });
  gateway = house.process;
  await house.user('ann', { '*': ALL });
});
afterAll(async () => void (await gateway.stop()));

type Port = 'happn' | 'admin';

/** All that a port says to these bytes until it closes the connection. */
async function exchange(port: Port, ...parts: (string | Buffer)[]): Promise<string> {
  const socket = connect(gateway.ports[port], '127.0.0.1');
  let answer = '';
  socket.on('error', () => socket.destroy());
  socket.setEncoding('latin1').on('data', (part: string) => {
    answer += part;
  });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  for (const part of parts) socket.write(part);
  await closed;
  return answer;
}

const CLOSE = 'Connection: close\r\n';
const statuses = (answer: string): number[] => [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
const PORTS = ['happn', 'admin'] as const;
const plain: Readonly<Record<Port, string>> = { happn: '/ping', admin: '/health' };

const isServed = async (port: Port): Promise<boolean> =>
  statuses(await exchange(port, `GET ${plain[port]} HTTP/1.1\r\nHost: 127.0.0.1\r\n${CLOSE}\r\n`))[0] === 200;

describe('E1 a page of another site', () => {
  const PATHS = ['/primus', '/primus/1/2/websocket', '/mqtt', '/haven'];

  it.each(PATHS.flatMap((path) => ['https://evil.example', 'null', `http://127.0.0.1.evil.example`].map((origin) => [path, origin])))(
    'opens no %s from %s, whatever cookie its visitor has',
    async (path = '', origin = '') => {
      const { token } = await house.token('ann');
      const socket = bareWebsocket(gateway, path, { origin, cookie: `happn_token=${token}` });
      const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }];
      expect(response.statusCode).toBe(403);
      socket.terminate();
    },
  );

  it.each(PATHS)('a missing Origin opens %s, for somebody who is nobody by a cookie', async (path) => {
    const { token } = await house.token('ann');
    const socket = bareWebsocket(gateway, path, { cookie: `happn_token=${token}`, authorization: `Bearer ${token}` });
    await once(socket, 'open');
    const shown: Record<string, Buffer | string> = {
      '/primus': '{"action":"set","eventId":1,"path":"/e1","data":{"a":1}}',
      '/mqtt': encode({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'e1', keepalive: 0 }, 4),
      '/haven': Buffer.from('84a6616374696f6ea57175657279a474797065a57772697465a470617468a32f6531a576616c756501', 'hex'),
    };
    const answered = once(socket, 'message') as Promise<[Buffer]>;
    socket.send(shown[path] ?? (shown['/primus'] as string));
    const [said] = await answered;
    if (path === '/mqtt') expect([...said.subarray(0, 3), (said[3] as number) > 0]).toEqual([0x20, 2, 0, true]);
    else expect(said.toString('latin1')).toMatch(/"status":"error"|NOT_/);
    socket.terminate();
    const reader = await havenAs(gateway, by('ann'));
    await expect(reader.read('/e1')).rejects.toMatchObject({ errorName: 'NOT_FOUND' });
    await reader.close();
  });
});

describe('E2 a URL', () => {
  it('reaches nothing but the fixed names, in ten thousand encodings', async () => {
    const next = randomOf(4_711);
    const pick = <T>(list: readonly T[]): T => list[next(list.length)] as T;
    const UP = [
      '..',
      '.',
      '%2e%2e',
      '%2E.',
      '..%00',
      '%c0%ae%c0%ae',
      '..;',
      '%252e%252e',
      '....',
      '%u002e%u002e',
      '\\..',
      'primus',
      'browser',
    ];
    const SLASH = ['/', '//', '%2f', '%5c', '\\', '%252f', '%c0%af', '/./', ';/'];
    const LAST = [
      'etc/passwd',
      'package.json',
      'token-keys.json',
      'client.js',
      'connection.js',
      'primus.js',
      'browser_client',
      'main.js',
      '%00',
      '',
    ];
    const FIRST = [
      '/',
      '/browser_client',
      '/browser_primus.js',
      '/primus',
      '/primus/primus.js',
      '/auth/login',
      '/api/v1',
      '/',
      '//',
      'file:///',
    ];
    const urls = new Set<string>();
    while (urls.size < 10_000) {
      const middle = Array.from({ length: 1 + next(6) }, () => pick(SLASH) + pick(UP)).join('');
      urls.add(pick(FIRST) + middle + pick(SLASH) + pick(LAST));
    }
    const agent = new Agent({ keepAlive: true, maxSockets: 16 });
    await Promise.all(
      [...urls].map(async (path) => {
        const asked = request({ host: '127.0.0.1', port: gateway.ports.happn, path, agent }).end();
        const [answer] = (await once(asked, 'response')) as [IncomingMessage];
        const body = (await answer.toArray()).join('');
        expect([401, 404, 426], path).toContain(answer.statusCode);
        expect(body, path).not.toMatch(/root:|"dependencies"|"keys"|node:fs|use strict/);
      }),
    );
    agent.destroy();
    expect(await isServed('happn')).toBe(true);
  }, 120_000);
});

describe.each(PORTS)('E3 on the port of %s', (port) => {
  const head = (...lines: string[]): string =>
    `GET ${plain[port]} HTTP/1.1\r\nHost: 127.0.0.1\r\n${lines.map((line) => `${line}\r\n`).join('')}`;

  it.each<[string, string, number]>([
    ['large heads', `X: ${'x'.repeat(17_000)}`, 431],
    ['many lines', Array.from({ length: 200 }, (_, n) => `X${n}: 1`).join('\r\n'), 431],
    ['two hosts', 'Host: evil.example', 400],
    ['two origins', 'Origin: http://localhost\r\nOrigin: https://evil.example', 400],
    ['a NUL in a header', 'X: a\0b', 400],
    ['a space before the colon', 'Transfer-Encoding : chunked', 400],
    ['a line that is folded', 'X: a\r\n b: c', 400],
    ['a bare line end', 'X: a\nTransfer-Encoding: chunked', 400],
    ['two lengths', 'Content-Length: 0\r\nContent-Length: 5', 400],
    ['a length that is none', 'Content-Length: +0', 400],
    ['a length in hex', 'Content-Length: 0x0', 400],
    ['a length and chunks', 'Content-Length: 3\r\nTransfer-Encoding: chunked', 400],
    ['chunks that are none', 'Transfer-Encoding: xchunked', 400],
    ['chunks that are not the last', 'Transfer-Encoding: chunked, identity', 400],
  ])('%s are refused', async (_what, lines, status) => {
    // What would be smuggled in is not answered either.
    const answer = await exchange(
      port,
      head(lines, CLOSE.trim()),
      '\r\n',
      `0\r\n\r\nGET ${plain[port]} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`,
    );
    const [first, ...others] = statuses(answer);
    expect(first).toBe(status);
    expect(others.filter((other) => other < 400)).toEqual([]);
    expect(await isServed(port)).toBe(true);
  });

  it('a URL that is too long, a method that nobody knows, a version that is none, are refused', async () => {
    const line = async (text: string): Promise<number[]> => statuses(await exchange(port, `${text}\r\nHost: 127.0.0.1\r\n${CLOSE}\r\n`));
    expect((await line(`GET /${'x'.repeat(15_000)} HTTP/1.1`))[0]).toBe(port === 'happn' ? 414 : 404);
    expect(await line(`GET /${'x'.repeat(20_000)} HTTP/1.1`)).toEqual([431]);
    for (const text of [
      'GEX / HTTP/1.1',
      'get /ping HTTP/1.1',
      'GET / HTTP/3.7',
      'PRI * HTTP/2.0',
      'GET /\0 HTTP/1.1',
      'GET  / / HTTP/1.1',
    ]) {
      expect(await line(text), text).toEqual([400]);
    }
    for (const text of [`GET http://evil.example${plain[port]} HTTP/1.1`, `GET //evil.example${plain[port]} HTTP/1.1`]) {
      expect((await line(text))[0], text).not.toBe(200);
    }
    expect(statuses(await exchange(port, `CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`))[0] ?? 0).not.toBe(200);
  });

  it('heads that come slowly, or never end, are ended; others are served meanwhile', async () => {
    const begun = performance.now();
    const slow = Array.from({ length: 50 }, () => exchange(port, head('X: y')));
    expect(await isServed(port)).toBe(true);
    expect((await Promise.all(slow)).flatMap(statuses).every((status) => status === 408)).toBe(true);
    expect(performance.now() - begun).toBeLessThan(12_000);
  }, 30_000);
});

describe('E3 an upgrade', () => {
  const KEY = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
  const upgrade = (method: string, path: string, more = ''): string =>
    `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${KEY}${more}\r\n`;

  it.each(['/', '/mqtt/', '/mqtt/x', '/haven/x', '/Primus', '/primusx', '/%70rimus', '/auth/login', '//primus', '/browser_client/primus'])(
    'is for known paths only: not %s',
    async (path) => expect(statuses(await exchange('happn', upgrade('GET', path)))).toEqual([404]),
  );

  it.each(['/primus', '/mqtt', '/haven'])('of %s with another method, or with a body, opens nothing', async (path) => {
    for (const text of [upgrade('POST', path), upgrade('POST', path, 'Content-Length: 4\r\n'), upgrade('OPTIONS', path)]) {
      const answer = await exchange('happn', text, 'GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
      expect(statuses(answer)).not.toContain(101);
      expect(answer).not.toContain('pong');
    }
  });

  it('is nothing that the port of administrators knows', async () => {
    expect(statuses(await exchange('admin', upgrade('GET', '/primus')))).not.toContain(101);
  });

  it('behind another request on the same connection is judged like any', async () => {
    const first = 'GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
    expect(statuses(await exchange('happn', first, upgrade('GET', '/mqtt', 'Origin: https://evil.example\r\n')))).toEqual([200, 403]);
  });
});

it('E3 the port of administrators answers under its own names only', async () => {
  for (const host of ['evil.example', '127.0.0.1.evil.example', '127.0.0.1@evil.example', 'evil.example:80#127.0.0.1', '']) {
    const answer = await exchange('admin', `GET /metrics HTTP/1.1\r\nHost: ${host}\r\n${CLOSE}\r\n`);
    expect(statuses(answer), host).toEqual([403]);
  }
});

describe('E4 data that would like to be code', () => {
  const SCRIPT = '</script><script>alert(1)</script>';
  const LINES = 'a\r\nlevel=error forged\u001b[31m\u009b31m\u2028\u202e';

  it('is stored, named and asked for, and is nowhere answered as a page', async () => {
    const haven = await havenAs(gateway, by('ann'));
    await haven.write(`/x/${SCRIPT}`, SCRIPT);
    await haven.close();
    await house.user('tom <script>', {}, { customData: { note: SCRIPT } });
    const [web, admin] = [`http://127.0.0.1:${gateway.ports.happn}`, `http://127.0.0.1:${gateway.ports.admin}`];
    const quoted = encodeURIComponent(SCRIPT);
    const authorization = `Bearer ${house.api.token}`;
    const urls = [
      ...['/ping', '/version', '/nowhere', `/${quoted}`, `/auth/login?u=${quoted}&p=${quoted}`, `/auth/request-nonce?pk=${quoted}`],
      ...[`/auth/logout?happn_token=${quoted}`, '/primus', `/primus/${quoted}`, '/browser_client', '/browser_primus.js'],
    ].map((path) => web + path);
    urls.push(
      ...['/health', '/metrics', '/nowhere', `/${quoted}`, '/api/v1/users', `/api/v1/users/${quoted}`, `/api/v1/${quoted}`].map(
        (path) => admin + path,
      ),
      ...[`/api/v1/users?limit=${quoted}`, '/api/v1/audit', '/api/v1/openapi.json', '/api/v1/sessions', '/api/v1/groups'].map(
        (path) => admin + path,
      ),
    );
    for (const url of urls) {
      for (const headers of [{}, { authorization }] as Record<string, string>[]) {
        const response = await fetch(url, { headers });
        await response.body?.cancel();
        const type = response.headers.get('content-type') ?? 'none';
        expect(type, url).toMatch(/^(none|text\/plain|application\/json|application\/javascript)\b/);
        expect(response.headers.get('x-content-type-options'), `${url} ${type}`).toBe('nosniff');
        expect(response.headers.get('content-security-policy'), url).toBe("default-src 'none'; frame-ancestors 'none'");
      }
    }
  });

  it('does not draw in the log, whoever it is that names himself so', async () => {
    for (const { enter } of DOORS) await enter(gateway, { username: LINES, password: LINES }).catch(() => null);
    const device = await mqttAs(gateway, by('ann'), { clientId: 'a \u202eb \u2028c' }).catch(() => null);
    await device?.endAsync();
    await exchange(
      'happn',
      'GET /mqtt HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://e\x1b[31m\x9bvil\r\n\r\n',
    );
    await fetch(`http://127.0.0.1:${gateway.ports.admin}/api/v1/explain`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${house.api.token}` },
      body: JSON.stringify({ user: LINES, action: LINES, path: LINES }),
    });
    await until('the refused logins are in the log', () => gateway.stderr.includes('forged'));
    expect(await metric(gateway, 'http_origin_refused_total')).toBeGreaterThan(0);
    for (const text of [gateway.stderr, gateway.stdout]) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
      expect(text.match(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu)).toBeNull();
      expect(text).not.toMatch(/^(level=error )?forged/m);
    }
  }, 60_000);

  it('does not draw on the terminal of who looks at it', () => {
    const drawn = 'a\u001b[31m\u009b\u2028\u202e\u2066\u200fb';
    for (const text of [shownText(drawn), fields([['name', drawn]])]) {
      expect(text.trimEnd()).toMatch(/a\\u001b\[31m\\u009b\\u2028\\u202e\\u2066\\u200fb$/);
    }
  });
});
