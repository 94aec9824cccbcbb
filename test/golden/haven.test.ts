// The exchanges of "Haven External Protocol v1", as the document writes them, against the running gateway. Every exchange is in
// the list.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { HavenClient } from '../support/haven-client.js';

interface Exchange {
  readonly section: string;
  readonly request: { readonly [field: string]: unknown };
  /** Fields of the document's answer, placeholders as matchers. */
  readonly answer: { readonly [field: string]: unknown };
}

const DETAIL = { code: expect.any(Number), name: expect.any(String), message: expect.any(String) };
const ERROR = { result: false, error: DETAIL };
const LOCATED = { result: true, location: { address: expect.any(String), port: expect.any(Number), uuid: expect.any(String) } };
const PATH = '/golden/record';

const EXCHANGES: readonly Exchange[] = [
  { section: 'CONNECT', request: { action: 'connect', version: '1' }, answer: { result: true } },
  { section: 'CONNECT', request: { action: 'connect', version: 'none' }, answer: ERROR },
  ...['location', 'location_leader', 'processor', 'leader', 'follower', 'join', 'leave'].map((type) => ({
    section: 'CONTROL',
    request: { action: 'become', type },
    answer: { result: expect.any(Boolean) },
  })),
  {
    section: 'HEARTBEAT',
    request: { action: 'heartbeat', type: 'ping' },
    answer: { action: 'heartbeat', type: 'pong', result: [] },
  },
  { section: 'DATA', request: { action: 'query', type: 'create', path: PATH, value: { n: 1 } }, answer: { result: true } },
  { section: 'DATA', request: { action: 'query', type: 'create', path: PATH, value: { n: 1 } }, answer: ERROR },
  { section: 'DATA', request: { action: 'query', type: 'read', path: PATH }, answer: { result: true, value: { n: 1 } } },
  { section: 'DATA', request: { action: 'query', type: 'update', path: PATH, value: { n: 2 } }, answer: { result: true } },
  { section: 'DATA', request: { action: 'query', type: 'delete', path: PATH }, answer: { result: true } },
  { section: 'DATA', request: { action: 'query', type: 'read', path: PATH }, answer: ERROR },
  { section: 'CONTROL', request: { action: 'become', type: 'leader', path: '/golden' }, answer: { result: true } },
  { section: 'DISCOVER', request: { action: 'discover', type: 'location' }, answer: LOCATED },
  { section: 'DISCOVER', request: { action: 'discover', type: 'quorum', path: PATH }, answer: LOCATED },
  { section: 'DISCOVER', request: { action: 'discover', type: 'uuid', uuid: '8f97f89a-372a-4f06-9e64-2a6ad3399c35' }, answer: ERROR },
  // "All messages may contain credentials relevant to the current security scheme."
  {
    section: 'HEARTBEAT',
    request: { action: 'heartbeat', type: 'ping', credentials: { username: 'ann', password: 'secret' } },
    answer: { action: 'heartbeat', type: 'pong', result: expect.any(Array) },
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
  it.each(EXCHANGES)('$section: $request.action $request.type', async ({ request, answer }) => {
    expect(await exchange(request)).toMatchObject(answer);
  });

  it('every section of the document is in the list', () => {
    expect(new Set(EXCHANGES.map(({ section }) => section))).toEqual(new Set(['CONNECT', 'CONTROL', 'HEARTBEAT', 'DATA', 'DISCOVER']));
  });
});
