// The admin listener: health, metrics, and who may ask.

import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Counters } from '../../src/core/counters.js';
import { AdminListener } from '../../src/http/admin.js';
import { Metrics } from '../../src/http/metrics.js';
import { until } from '../support/gateway-process.js';
import { type KeptLine, keptLog } from '../support/silent-log.js';

let admin: AdminListener;
let port: number;
let ok: boolean;
let counters: Counters;
let lines: KeptLine[];

/** The API has tests of its own. */
const noApi = async (): Promise<void> => {
  throw new Error('nobody asks the API here');
};

beforeEach(async () => {
  ok = true;
  counters = new Counters();
  lines = [];
  const options = { host: '127.0.0.1', port: 0, hosts: [], headerTimeoutMs: 10_000, answerTimeoutMs: 300, maxHeaderBytes: 16_384 };
  admin = new AdminListener(
    options,
    () => ({ ok, state: 'running' }),
    new Metrics(counters),
    async () => noApi,
    keptLog(lines),
  );
  port = (await admin.listen()).port;
});

afterEach(async () => await admin.close());

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

function ask(path: string, headers: Record<string, string> = {}, method = 'GET', body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, type: String(response.headers['content-type']), body: text }));
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

describe('health', () => {
  it('is 200 when all is well and 503 when not', async () => {
    expect(await ask('/health')).toMatchObject({
      status: 200,
      type: 'application/json; charset=utf-8',
      body: '{"ok":true,"state":"running"}\n',
    });
    ok = false;
    expect((await ask('/health?verbose')).status).toBe(503);
  });
});

it('B7 who does not read what it is answered is not waited for', async () => {
  for (let n = 0; n < 2_000; n++) counters.counter(`many_${n}_total`, 'One of many').add();
  const deaf = connect(port, '127.0.0.1').pause();
  deaf.on('error', () => deaf.destroy());
  // More than the system holds for a peer.
  deaf.write('GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.repeat(200));
  await until('it is ended', () => lines.some(({ text }) => text.includes('was not read')));
  deaf.destroy();
});

describe('metrics', () => {
  it('are lines of the exposition format, one head a family', async () => {
    counters.counter('messages_in_total{protocol="mqtt"}', 'Messages').add(3);
    counters.counter('bytes_total', 'Bytes').add();
    counters.counter('messages_in_total{protocol="happn"}', 'Messages').add(2);
    counters.gauge('sessions', 'Open sessions', () => 7);
    const { status, type, body } = await ask('/metrics');
    expect(status).toBe(200);
    expect(type).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(body).toContain(
      '# HELP trivium_messages_in_total Messages\n# TYPE trivium_messages_in_total counter\n' +
        'trivium_messages_in_total{protocol="mqtt"} 3\ntrivium_messages_in_total{protocol="happn"} 2\n',
    );
    expect(body).toContain('# TYPE trivium_sessions gauge\ntrivium_sessions 7\n');
    expect(body).toContain('process_resident_memory_bytes');
    for (const line of body.trimEnd().split('\n')) expect(line).toMatch(/^(# (HELP|TYPE) [a-z]\w+ .+|[a-z]\w+(\{.+\})? \S+|)$/);
  });
});

describe('who may ask', () => {
  it.each(['evil.example', 'evil.example:55080', '10.1.1.1'])('not under the name %s', async (host) => {
    expect((await ask('/health', { host })).status).toBe(403);
  });

  it('not a foreign page, but one of loopback', async () => {
    expect((await ask('/metrics', { origin: 'https://evil.example' })).status).toBe(403);
    expect((await ask('/metrics', { origin: 'null' })).status).toBe(403);
    expect((await ask('/health', { origin: 'http://localhost:3000' })).status).toBe(200);
  });

  it('nobody with forms', async () => {
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    expect((await ask('/health', form, 'POST', 'a=b')).status).toBe(415);
    expect((await ask('/health', {}, 'POST')).status).toBe(415);
    expect((await ask('/health', { 'content-type': 'application/json; charset=utf-8' }, 'POST', '{}')).status).toBe(405);
  });

  it('without saying that it is JSON what has no body: a DELETE', async () => {
    expect((await ask('/health', {}, 'DELETE')).status).toBe(405);
    expect((await ask('/health', { 'content-length': '0' }, 'DELETE')).status).toBe(405);
    expect((await ask('/health', { 'content-length': '2' }, 'DELETE', '{}')).status).toBe(415);
    expect((await ask('/health', { 'transfer-encoding': 'chunked' }, 'DELETE', '{}')).status).toBe(415);
    expect((await ask('/health', { origin: 'https://evil.example' }, 'DELETE')).status).toBe(403);
  });

  it.each(['/', '/healthz', '/metrics/', '/../etc/passwd', '//'])('gets nothing at %s', async (path) => {
    const answer = await ask(path);
    expect(answer.status).toBe(404);
    expect(answer.body).toContain('/health, /metrics and /api/v1/openapi.json');
  });
});
