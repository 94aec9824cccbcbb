// Seeded fuzzing of everything that reads happn frames: limits, codec, session, over the real engine. No case may throw, hang,
// touch a prototype, or be answered with what is no JSON. TRIVIUM_FUZZ_CASES and TRIVIUM_FUZZ_SEED say how many and which.

import { type Duplex, Writable } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import type { WebSocket } from 'ws';
import { Acknowledgements } from '../../src/adapters/happn/acknowledgements.js';
import { checkFrameText, checkNumbers, parseFrame, peekFrame } from '../../src/adapters/happn/frame-text.js';
import { FrameWriter } from '../../src/adapters/happn/frames.js';
import type { Host } from '../../src/adapters/happn/host.js';
import { HappnSession } from '../../src/adapters/happn/session.js';
import { frameLimits } from '../../src/adapters/happn/wire.js';
import { type AdapterContext, RequestError } from '../../src/core/index.js';
import { startEngine } from '../support/core-harness.js';
import { pick, type Random, randomOf } from '../support/random.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
const CASES = Number(process.env.TRIVIUM_FUZZ_CASES ?? (LONG ? 10_000_000 : 100_000));
const SEED = Number(process.env.TRIVIUM_FUZZ_SEED ?? 55_000);
const CASES_PER_TURN = 100;
const CASES_PER_SESSION = 2_000;
const CASE_MAX_MS = 100;

const prototypeKeys = Reflect.ownKeys(Object.prototype).length;

afterEach(() => {
  expect(Reflect.ownKeys(Object.prototype)).toHaveLength(prototypeKeys);
});

const ACTIONS = [
  'configure-session',
  'describe',
  'login',
  'request-nonce',
  'get',
  'get',
  'count',
  'set',
  'set',
  'set',
  'remove',
  'on',
  'on',
  'off',
  'ack',
  'change-password',
  'revoke-token',
  'disconnect',
  'disconnect-child-sessions',
  'revoke-session',
  'nope',
  '__proto__',
  'constructor',
  7,
  null,
];
const PATHS = [
  '/a',
  '/a/b',
  'a/b',
  '/a/*',
  '/a/**',
  '**',
  '*',
  '/SET@/a/b',
  '/ALL@*',
  '/ALL@/a/**',
  '/REMOVE@/a/*',
  '/set@a',
  '@',
  '/ALL@',
  'no/at',
  '',
  '/x^',
  '/\u0000',
  '\ud800',
  '/_SYSTEM/x',
  '$SYS/x',
  '//',
  '/a b',
  '/a@b@c',
  null,
  5,
  {},
  [],
  true,
];
const PROTOCOLS = ['happn_4', 'happn_4', 'happn_3', 'happn_2', 'happn_1', 'happn_1.3.0', '1.1.0', 'happn_9', '', null, 4, {}];
const LEAVES = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  2 ** 53,
  1e21,
  '',
  'text',
  'ä\u2028"\\',
  '\ud800',
  '__proto__',
  'constructor',
  'a'.repeat(300),
];
const KEYS = [
  'a',
  'value',
  '_meta',
  '$binary',
  'base64',
  'subType',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'path',
  '',
  'x"y',
];
const OPTIONS = [
  'merge',
  'noStore',
  'noPublish',
  'noDataResponse',
  'depth',
  'initialCallback',
  'initialEmit',
  'referenceId',
  'refCount',
  'event_type',
  'meta',
  'consistency',
  'tag',
  'increment',
  'targetClients',
  'path_only',
  'options',
  'criteria',
  'noCluster',
  'upsertType',
  'nullValue',
  'timeout',
];

function value(next: Random, depth = 0): unknown {
  const kind = next(depth > 3 ? 3 : 6);
  if (kind < 3) return pick(LEAVES, next);
  if (kind === 3) return Array.from({ length: next(4) }, () => value(next, depth + 1));
  return Object.fromEntries(Array.from({ length: next(4) }, () => [pick(KEYS, next), value(next, depth + 1)]));
}

function options(next: Random): unknown {
  if (next(8) === 0) return value(next);
  const one = (): unknown => (next(3) === 0 ? value(next, 2) : pick([true, true, 1, 2, 3, 5, 'x', {}], next));
  return Object.fromEntries(Array.from({ length: next(4) }, () => [pick(OPTIONS, next), one()]));
}

function frame(next: Random): Record<string, unknown> {
  const action = pick(ACTIONS, next);
  const made: Record<string, unknown> = { action, eventId: next(10) === 0 ? value(next) : next(1_000) };
  if (next(10) > 0) made.path = pick(PATHS, next);
  if (action === 'configure-session') made.data = { protocol: pick(PROTOCOLS, next), version: pick(['13.12.1', '10.6.0', null, 5], next) };
  else if (next(8) > 0) made.data = value(next);
  if (next(2) === 0) made.options = options(next);
  if (next(4) === 0) made.sessionId = value(next, 2);
  return made;
}

/** JSON text of a frame, and then, often, no longer. */
function text(next: Random): string {
  if (next(50) === 0) return pick(['null', '1', '[]', '"x"', '"primus::ping::5"', '"primus::id::"', '"primus::', '{', '[[[[[[', ''], next);
  const whole = JSON.stringify(frame(next));
  if (next(3) > 0) return whole;
  const at = next(whole.length + 1);
  switch (next(6)) {
    case 0:
      return whole.slice(0, at);
    case 1:
      return whole.slice(0, at) + whole.slice(at + 1 + next(5));
    case 2:
      return (
        whole.slice(0, at) +
        pick(['{', '}', '[', ']', '"', ',', ':', '\\', '1e999', '12345678901234567890', 'null', '\u2028'], next) +
        whole.slice(at)
      );
    case 3:
      return whole.slice(0, at) + String.fromCharCode(next(256)) + whole.slice(at + 1);
    case 4:
      return whole.replace(/:/, `:${'['.repeat(next(60))}`);
    default:
      return whole + whole.slice(at);
  }
}

/** Reads what was written to the socket as websocket frames, and each as JSON. */
class Reader extends Writable {
  frames = 0;

  constructor() {
    super({ highWaterMark: 1 << 30 });
  }

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    for (let at = 0; at < bytes.length; ) {
      if (bytes[at] !== 0x81) throw new Error(`no text frame at ${at}`);
      let length = bytes[at + 1] as number;
      let head = 2;
      if (length === 126) [length, head] = [bytes.readUInt16BE(at + 2), 4];
      else if (length === 127) [length, head] = [Number(bytes.readBigUInt64BE(at + 2)), 10];
      const text = bytes.toString('utf8', at + head, at + head + length);
      JSON.parse(text);
      if (text.includes('the gateway failed')) throw new Error(`an internal error: ${text}`);
      this.frames += 1;
      at += head + length;
    }
    done();
  }
}

function fakeSocket(): WebSocket {
  const socket = { OPEN: 1, readyState: 1, pause() {}, resume() {}, close() {}, terminate() {} };
  return socket as unknown as WebSocket;
}

function startSession(context: AdapterContext): { session: HappnSession; reader: Reader } {
  const reader = new Reader();
  const host: Host = {
    context,
    writer: new FrameWriter(),
    limits: frameLimits(1_000_000),
    clusterMembers: new Set(),
    acknowledgements: new Acknowledgements(1_000),
    touch: (session) => session.flush(),
    settled: () => {},
    ended: () => {},
  };
  const session = new HappnSession(host, fakeSocket(), reader as unknown as Duplex, {
    described: '"headers":{}',
    address: 'fuzz',
    cookieName: 'c',
  });
  context.openSession(session);
  return { session, reader };
}

test(`C1 ${CASES} frames into sessions hurt nothing`, { timeout: 3_600_000 }, async () => {
  const harness = await startEngine({ durability: 'none' });
  const context = harness.session().context;
  const next = randomOf(SEED);
  let { session, reader } = startSession(context);
  let answered = 0;
  let errors = 0;
  const watching: AdapterContext['log'] = { ...context.log, error: () => (errors += 1), child: () => watching };
  Object.assign(context, { log: watching });
  for (let done = 0; done < CASES; done++) {
    const bytes = Buffer.from(text(next));
    // Processor time: a busy machine is no fault of the parser.
    const begun = process.cpuUsage();
    session.onMessage(bytes, next(500) === 0);
    const { user } = process.cpuUsage(begun);
    if (user > CASE_MAX_MS * 1_000) throw new Error(`${user / 1_000} ms for ${bytes.toString().slice(0, 1_000)}`);
    if (done % CASES_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
    if (session.ending || done % CASES_PER_SESSION === 0) {
      answered += reader.frames;
      session.close(null);
      ({ session, reader } = startSession(context));
    }
  }
  await harness.stop();
  expect(errors).toBe(0);
  expect(answered).toBeGreaterThan(CASES / 4);
});

test(`${CASES} texts into the codec throw nothing but refusals`, { timeout: 3_600_000 }, () => {
  const next = randomOf(SEED + 1);
  const limits = frameLimits(1_000_000);
  for (let done = 0; done < CASES; done++) {
    const given = text(next);
    try {
      checkFrameText(given, limits);
      const parsed = parseFrame(given);
      if (parsed === null) continue;
      checkNumbers(given);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      peekFrame(given);
    }
  }
});
