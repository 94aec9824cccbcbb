// The exchanges of "Haven External Protocol v1", as the document writes them, against the running gateway. Every exchange is in
// the list: either it passes, or the list says which capability it waits for and what is answered until then.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { HavenClient } from '../support/haven-client.js';

interface Exchange {
  readonly section: string;
  readonly request: { readonly [field: string]: unknown };
  /** Fields of the document's answer, placeholders as matchers. */
  readonly answer: { readonly [field: string]: unknown };
  /** Capability that the document's answer needs; null: it is given. */
  readonly waitsFor: string | null;
}

const DETAIL = { code: expect.any(Number), name: expect.any(String), message: expect.any(String) };
const ERROR = { result: false, error: DETAIL };
const PATH = '/golden/record';

const EXCHANGES: readonly Exchange[] = [
  { section: 'CONNECT', request: { action: 'connect', version: '1' }, answer: { result: true }, waitsFor: null },
  { section: 'CONNECT', request: { action: 'connect', version: 'none' }, answer: ERROR, waitsFor: null },
  ...['location', 'location_leader', 'processor', 'leader', 'follower', 'join', 'leave'].map((type) => ({
    section: 'CONTROL',
    request: { action: 'become', type },
    answer: { result: expect.any(Boolean) },
    waitsFor: 'control messages',
  })),
  {
    section: 'HEARTBEAT',
    request: { action: 'heartbeat', type: 'ping' },
    answer: { action: 'heartbeat', type: 'pong', result: [] },
    waitsFor: null,
  },
  { section: 'DATA', request: { action: 'query', type: 'create', path: PATH, value: { n: 1 } }, answer: { result: true }, waitsFor: null },
  { section: 'DATA', request: { action: 'query', type: 'create', path: PATH, value: { n: 1 } }, answer: ERROR, waitsFor: null },
  { section: 'DATA', request: { action: 'query', type: 'read', path: PATH }, answer: { result: true, value: { n: 1 } }, waitsFor: null },
  { section: 'DATA', request: { action: 'query', type: 'update', path: PATH, value: { n: 2 } }, answer: { result: true }, waitsFor: null },
  { section: 'DATA', request: { action: 'query', type: 'delete', path: PATH }, answer: { result: true }, waitsFor: null },
  { section: 'DATA', request: { action: 'query', type: 'read', path: PATH }, answer: ERROR, waitsFor: null },
  ...['uuid', 'location', 'quorum'].map((type) => ({
    section: 'DISCOVER',
    request: { action: 'discover', type, path: '/golden', uuid: '8f97f89a-372a-4f06-9e64-2a6ad3399c35' },
    answer: { result: expect.any(Boolean), location: expect.anything() },
    waitsFor: 'discovery',
  })),
  // "All messages may contain credentials relevant to the current security scheme."
  {
    section: 'HEARTBEAT',
    request: { action: 'heartbeat', type: 'ping', credentials: { username: 'ann', password: 'secret' } },
    answer: { action: 'heartbeat', type: 'pong', result: expect.any(Array) },
    waitsFor: null,
  },
];

let gateway: GatewayProcess;
let client: HavenClient;

beforeAll(async () => {
  gateway = await startGateway();
  client = await HavenClient.connect(gateway.ports.haven);
});

afterAll(async () => {
  await client.close();
  await gateway.stop();
});

/** CONNECT opens a connection, so each one gets its own. */
async function exchange(request: Exchange['request']): Promise<unknown> {
  if (request.action !== 'connect') return client.ask(request);
  const own = await HavenClient.connect(gateway.ports.haven, { hello: false });
  const answer = await own.ask(request);
  await own.close();
  return answer;
}

describe('Haven External Protocol v1', () => {
  it.each(EXCHANGES.filter(({ waitsFor }) => waitsFor === null))('$section: $request.action $request.type', async ({ request, answer }) => {
    expect(await exchange(request)).toMatchObject(answer);
  });

  it.each(EXCHANGES.filter(({ waitsFor }) => waitsFor !== null))(
    '$section: $request.action $request.type waits for $waitsFor, and is refused until then',
    async ({ request }) => {
      expect(await exchange(request)).toEqual({ result: false, error: { ...DETAIL, code: 9, name: 'UNSUPPORTED' } });
    },
  );

  it('every section of the document is in the list', () => {
    expect(new Set(EXCHANGES.map(({ section }) => section))).toEqual(new Set(['CONNECT', 'CONTROL', 'HEARTBEAT', 'DATA', 'DISCOVER']));
  });
});
