// Replays the recorded plain HTTP exchanges: status, reason, type, challenge and body are compared; scripts by their type alone. Up to
// the first login the recorded server answers as one without users does.

import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { expect } from 'vitest';
import type { EmbeddedGateway } from '../../src/index.js';
import { startHappn } from '../support/happn-wire.js';
import type { Verdict } from './happn-replay.js';
import { secureGateway } from './happn-secure-server.js';

export const HTTP_CAPTURE = '17-http';

interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly type: string;
  readonly challenge: string | null;
  readonly body: string;
}

interface Line {
  readonly step?: string;
  readonly frame: Request & { readonly status: number; readonly statusMessage: string; readonly body: string };
}

const FIRST_LOGIN = 'login by query';
const WEBSOCKET_TOKEN = 'stateful (websocket) token over http';
const TOKEN = /eyJ[\w-]+\.[\w-]+\.[\w-]+/;
const NONCE = /"data":"[\w+/]{43}="/;

const DIFFERENCES: { readonly [step: string]: { readonly why: string; readonly answer: Partial<Answer> } } = {
  version: { why: 'the version is that of the gateway', answer: { body: '{"version":"1.2.3"}' } },
  'browser crypto': {
    why: 'no keys to log in with are made in pages',
    answer: { status: 404, reason: 'Not Found', type: 'text/plain', body: '404\n' },
  },
  'nonce without key': {
    why: 'in the form of the other answers, not as a page of a framework',
    answer: {
      type: 'application/json',
      body: '{"message":"request-nonce failed", "data":null, "error":{"name":"Error","message":"no public key with request"}}',
    },
  },
  'permitted but no such route': { why: 'no page of a framework', answer: { type: 'text/plain', body: '404\n' } },
};

export async function replayHttp(): Promise<Verdict[]> {
  const lines = JSON.parse(readFileSync(new URL(`./captures/happn/${HTTP_CAPTURE}.json`, import.meta.url), 'utf8')) as Line[];
  const insecure = await startHappn();
  const secure = await startSecure();
  const tokens = new Tokens();
  const verdicts: Verdict[] = [];
  let port = insecure.port;
  try {
    for (let at = 0; at < lines.length; at += 2) {
      const [asked, recorded] = [lines[at], lines[at + 1]] as [Line, Line];
      const title = asked.step as string;
      if (title === FIRST_LOGIN) port = secure.listeners.get('happn')?.port as number;
      if (title === WEBSOCKET_TOKEN) tokens.know(asked.frame.headers['authorization'] as string, await websocketToken(secure));
      const { why = '', answer = {} } = DIFFERENCES[title] ?? {};
      const actual = await ask(port, tokens.actual(asked.frame));
      const { status, statusMessage: reason, headers, body } = recorded.frame;
      const challenge = headers['www-authenticate'] ?? null;
      const expected = { status, reason, type: plain(headers['content-type']), challenge, body, ...answer };
      if (TOKEN.test(expected.body)) tokens.know(expected.body, actual.body);
      expect(comparable(actual, expected.body), title).toEqual({ ...expected, body: withoutNonce(tokens.actualText(expected.body)) });
      verdicts.push({ exchange: { number: at / 2 + 1, title }, verdict: why === '' ? 'passes' : 'differs', why });
    }
  } finally {
    await insecure.stop();
    await secure.stop();
  }
  return verdicts;
}

/** Recorded tokens and those that stand for them now. */
class Tokens {
  readonly #actual = new Map<string, string>();

  know(recorded: string, actual: string): void {
    const [from, to] = [TOKEN.exec(recorded)?.[0], TOKEN.exec(actual)?.[0]];
    if (from === undefined || to === undefined) throw new Error(`no token in ${actual}`);
    this.#actual.set(from, to);
  }

  actualText(text: string): string {
    return text.replace(TOKEN, (token) => this.#actual.get(token) ?? token);
  }

  actual({ method, path, headers }: Request): Request {
    const shown = Object.entries(headers).map(([name, value]) => [name, this.actualText(value)]);
    return { method, path: this.actualText(path), headers: Object.fromEntries(shown) };
  }
}

async function startSecure(): Promise<EmbeddedGateway> {
  const gateway = secureGateway({
    users: [{ name: 'alice', password: 'secret', permissions: { '/@HTTP/allowed/*': { actions: ['get'] } } }],
    http: { queryToken: true, logout: true },
  });
  gateway.http.request('GET', '/allowed/route', (_request, response, { user }) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ok: true, user }));
  });
  gateway.http.request('POST', '/allowed/route', (_request, response) => void response.end());
  gateway.http.get('/denied/route', (_request, response) => void response.end());
  await gateway.start();
  return gateway;
}

/** What a websocket login would be given. */
async function websocketToken(gateway: EmbeddedGateway): Promise<string> {
  const api = `http://127.0.0.1:${gateway.listeners.get('admin')?.port}/api/v1`;
  const post = async (path: string, body: object, token = ''): Promise<{ token: string }> => {
    const headers = { 'content-type': 'application/json', ...(token === '' ? {} : { authorization: `Bearer ${token}` }) };
    return (await (await fetch(`${api}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).json()) as { token: string };
  };
  const admin = await post('/login', { username: '_ADMIN', password: 'happn' });
  return (await post('/tokens', { user: 'alice', type: 'stateful' }, admin.token)).token;
}

function ask(port: number, { method, path, headers }: Request): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        body += part;
      });
      response.on('end', () => {
        const { statusCode: status = 0, statusMessage: reason = '', headers: given } = response;
        resolve({ status, reason, type: plain(given['content-type']), challenge: given['www-authenticate'] ?? null, body });
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}

/** A script is there when it defines something: what it is made of is nobody's to compare. */
function comparable(answer: Answer, recorded: string): Answer {
  const isScript = recorded.startsWith('(javascript') && answer.body.length > 1_000;
  return { ...answer, body: isScript ? recorded : withoutNonce(answer.body) };
}

function withoutNonce(body: string): string {
  return body.replace(NONCE, '"data":"<nonce>"');
}

/** The type without its parameters; scripts have had two names. */
function plain(type: string | null | undefined): string {
  return (type ?? '').split(';', 1).join().replace('application/javascript', 'text/javascript');
}
