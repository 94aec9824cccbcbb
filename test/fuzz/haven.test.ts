// Seeded fuzzing of everything that reads Haven bytes: framing, scanner, codec, session. No case may throw, hang, touch a
// prototype or answer with what is no MessagePack. TRIVIUM_FUZZ_CASES and TRIVIUM_FUZZ_SEED say how many and which.

import { afterEach, expect, it } from 'vitest';
import { HAVEN_DEFAULTS } from '../../src/adapters/haven/config.js';
import type { Host } from '../../src/adapters/haven/host.js';
import { msgpack } from '../../src/adapters/haven/index.js';
import type { Link } from '../../src/adapters/haven/link.js';
import { Scanner } from '../../src/adapters/haven/scanner.js';
import { HavenSession } from '../../src/adapters/haven/session.js';
import { Writer } from '../../src/adapters/haven/writer.js';
import {
  type AdapterContext,
  Counter,
  type DataRequest,
  Entry,
  type Identity,
  NOBODY,
  Payload,
  Reply,
  type Request,
  RequestError,
} from '../../src/core/index.js';
import { SILENT } from '../support/core-harness.js';
import { pack, prefixed } from '../support/haven-client.js';
import { pick, type Random, randomOf } from '../support/random.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
const CASES = Number(process.env.TRIVIUM_FUZZ_CASES ?? (LONG ? 10_000_000 : 100_000));
const SEED = Number(process.env.TRIVIUM_FUZZ_SEED ?? 7_854);
/** Cases of one session; afterwards a fresh one begins. */
const CASES_PER_SESSION = 8;
const CASE_MAX_MS = 100;

const prototypeKeys = Reflect.ownKeys(Object.prototype).length;

afterEach(() => {
  expect(Reflect.ownKeys(Object.prototype)).toHaveLength(prototypeKeys);
});

const VALUES = [null, true, -1, 2 ** 53, 1.5, 'text', Buffer.from([0xff, 0]), new Date(0), [1, [2]], { a: { b: 1 } }, { ['__proto__']: 1 }];
const SEEDS: readonly Buffer[] = [
  ...['create', 'read', 'write', 'update', 'delete', 'watch', 'unwatch', 'transaction'].flatMap((type) =>
    VALUES.map((value) =>
      pack({
        action: 'query',
        type,
        path: value === null ? '/a/*' : '/a/b',
        value,
        id: value,
        expect: 1,
        limit: 2,
        after: 'x',
        merge: true,
        push: true,
      }),
    ),
  ),
  pack({ action: 'connect', version: '1', credentials: { username: 'ann', password: Buffer.from('x') }, heartbeat: 5 }),
  pack({ action: 'heartbeat', type: 'ping', credentials: { token: 't' } }),
  pack({ action: 'become', type: 'leader', path: '/location' }),
  pack({ action: 'discover', type: 'uuid', uuid: 'u' }),
  pack([1, 0xdecafbad, 1, { token: 't' }]),
  ...[1, 3, 4, 5, 6, 7].map((verb) => pack([2, verb, 0x0c, [1, 2], '/a', { n: 1 }, { expect: 1, merge: true, watch: 1 }, null])),
  pack({ action: 'query', type: 'read', path: '/a', mode: 'rt', time: [1, 2] }),
  pack({ action: 'query', type: 'watch', path: '/a/*', since: 3, initial: true }),
  pack([2, 1, 0x1c, 5, '/a', null, { revision: 4 }]),
  pack([3, 7, null, '/location']),
  pack([3, 3, null, '/location', null, { force: true }]),
  pack([6, 'quorum', '/a', null]),
  pack([7]),
];
const TOKENS = [
  0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xa5, 0xbf, 0xc0, 0xc1, 0xc2, 0xc4, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcf, 0xd3, 0xd4, 0xd6, 0xd7,
  0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff,
];

function mutate(message: Buffer, next: Random): Buffer {
  const bytes = [...message];
  for (let edits = next(4); edits > 0; edits--) {
    const at = next(bytes.length + 1);
    switch (next(6)) {
      case 0:
        bytes[at % bytes.length] = next(256);
        break;
      case 1:
        bytes[at % bytes.length] = pick(TOKENS, next);
        break;
      case 2:
        bytes.splice(at, next(4));
        break;
      case 3:
        bytes.splice(at, 0, pick(TOKENS, next), next(256));
        break;
      case 4:
        bytes.splice(at, 0, ...bytes.slice(at, at + next(20)));
        break;
      default:
        bytes.length = at;
    }
    if (bytes.length === 0) bytes.push(pick(TOKENS, next));
  }
  return Buffer.from(bytes);
}

function grown(next: Random): Buffer {
  return Buffer.from(Array.from({ length: 1 + next(40) }, () => (next(3) === 0 ? next(256) : pick(TOKENS, next))));
}

class MemoryLink implements Link {
  readonly peer = 'fuzz';
  readonly localAddress = '';
  readonly bufferedBytes = 0;
  sent: Buffer[] = [];
  ended = false;

  constructor(readonly byMessage: boolean) {}
  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}
  send(bytes: Buffer): void {
    this.sent.push(bytes);
  }
  end(): void {
    this.ended = true;
  }
  destroy(): void {
    this.ended = true;
  }
}

/** A core that takes every request, looks at its value as the real one would, and answers when it is asked to settle. */
function memoryHost(): { host: Host; requests: () => number; settle: (next: Random) => void } {
  let requests = 0;
  let waiting: Request[] = [];
  const context = {
    node: { id: 'node', name: 'fuzz', version: '0', startedAt: 0 },
    log: { ...SILENT, error: (fields: { err?: unknown }) => expect.unreachable(String(fields.err)) },
    clock: { now: () => 0, monotonic: () => 0 },
    // biome-ignore lint/suspicious/noThenProperty: it answers at once, so that what comes behind CONNECT is looked at, too
    authenticate: () => ({ then: (onIdentity: (identity: Identity) => void) => onIdentity(NOBODY) }),
    closeSession: () => {},
    revision: () => 1,
    submit: (request: Request) => {
      requests += 1;
      (request as DataRequest).payload?.value();
      waiting.push(request);
      return true;
    },
  } as unknown as AdapterContext;
  const counter = (): Counter => new Counter('fuzz', '');
  const host: Host = {
    context,
    config: HAVEN_DEFAULTS,
    writer: new Writer(),
    early: { maxBytes: 65_536, maxElements: 1_000, maxDepth: 8 },
    full: { maxBytes: 1024 * 1024, maxElements: 65_536, maxDepth: 32 },
    received: counter(),
    malformed: counter(),
    missed: counter(),
    control: {
      become: async () => 'node',
      discover: () => ({ role: 'node', uuid: 'node' }),
      quorum: () => null,
      leads: () => false,
      checkServed: () => {},
    },
    port: 1,
    state: () => pack({ uuid: 'node' }),
    admitted: () => {},
  };
  const settle = (next: Random): void => {
    for (const request of waiting) {
      request.session.outbound.push(answerTo(request, next), null);
      request.session.flush();
    }
    waiting = [];
  };
  return { host, requests: () => requests, settle };
}

function answerTo(request: Request, next: Random): Reply {
  const reply = new Reply(request);
  const payload = request.op === 'set' && request.payload !== null ? request.payload : Payload.fromValue({ a: 1 }, msgpack);
  const entry = new Entry('/a/b', payload, 1, 2, 3, 'ann');
  if (request.op === 'transaction') reply.revisions = [1, 0];
  if (next(4) === 0) reply.error = new RequestError('CONFLICT', 'so it is');
  else if ((request.op === 'get' && request.pattern !== null) || request.op === 'subscribe') reply.entries = [entry, entry];
  else if (request.op === 'set' || next(2) === 0) reply.entry = entry;
  return reply;
}

/** Answers are whole values in the framing that the first byte decided; what scans is MessagePack. */
function expectAnswers(link: MemoryLink, first: number): void {
  const scanner = new Scanner({ maxBytes: 10_000_000, maxElements: 1_000_000, maxDepth: 64 });
  const stream = Buffer.concat(link.sent);
  const framed = !link.byMessage && first < 0x80;
  for (let at = 0; at < stream.length; ) {
    const from = framed ? at + 4 : at;
    scanner.reset();
    const end = scanner.scan(stream, from, stream.length);
    if (framed) expect(end - from).toBe(stream.readUInt32BE(at));
    expect(end).toBeGreaterThan(from);
    at = end;
  }
}

it(`C1 survives ${CASES} cases (seed ${SEED})`, { timeout: 24 * 3_600_000 }, async () => {
  const next = randomOf(SEED);
  const { host, requests, settle } = memoryHost();
  let cases = 0;
  const slow: Buffer[] = [];
  while (cases < CASES) {
    const framing = pick(['prefixed', 'bare', 'message'] as const, next);
    const link = new MemoryLink(framing === 'message');
    const session = new HavenSession(host, link);
    let first = -1;
    const feed = (message: Buffer): void => {
      const bytes = framing === 'prefixed' && next(30) !== 0 ? prefixed(message) : message;
      if (first < 0) first = bytes[0] as number;
      if (framing === 'message') session.onMessage(bytes, next(50) !== 0);
      else feedStream(session, bytes, next);
    };
    if (next(10) !== 0) feed(next(2) === 0 ? pack({ action: 'connect', version: 1 }) : pack([1, 0xdecafbad, 1]));
    for (let n = 0; n < CASES_PER_SESSION && !link.ended; n++) {
      const message = next(8) === 0 ? grown(next) : mutate(pick(SEEDS, next), next);
      const begun = performance.now();
      feed(message);
      settle(next);
      if (performance.now() - begun > CASE_MAX_MS) slow.push(message);
      cases += 1;
    }
    // Credentials are looked at behind a promise.
    if (cases % 64 === 0) await Promise.resolve();
    session.onEnd();
    expectAnswers(link, first);
    expect(host.writer.length).toBe(0);
  }
  // The machine may have been busy with something else: what is slow by itself is slow again.
  for (const message of slow) expect(fastestOf(5, () => replay(host, message))).toBeLessThan(CASE_MAX_MS);
  // The cases are worth something: many of them are requests.
  expect(requests()).toBeGreaterThan(CASES / 10);
});

function replay(host: Host, message: Buffer): void {
  const session = new HavenSession(host, new MemoryLink(true));
  session.onMessage(pack({ action: 'connect', version: 1 }), true);
  session.onMessage(message, true);
}

function fastestOf(times: number, work: () => void): number {
  let fastest = Number.POSITIVE_INFINITY;
  for (let n = 0; n < times; n++) {
    const begun = performance.now();
    work();
    fastest = Math.min(fastest, performance.now() - begun);
  }
  return fastest;
}

function feedStream(session: HavenSession, bytes: Buffer, next: Random): void {
  for (let at = 0; at < bytes.length; ) {
    const length = next(4) === 0 ? 1 + next(8) : bytes.length - at;
    session.onBytes(bytes.subarray(at, at + length));
    at += length;
  }
}
