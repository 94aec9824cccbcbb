// Long answers for the program that the gateway lives in: lists for its client, and lists that pass its layers. They are complete, and
// the event loop is not held while they are made.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import {
  createGateway,
  type EmbeddedGateway,
  type HappnLayers,
  type LocalClient,
  type LocalDocument,
  type LocalGetOptions,
} from '../src/index.js';
import { temporaryDirectory, until } from './support/gateway-process.js';
import { keptLog } from './support/silent-log.js';

const RECORDS = 60_000;
const LARGE = 90;
const LARGE_CHARACTERS = 500_000;
const HELD_MS = 50;
const TRIES = 5;
const WITHIN_MS = 120_000;

const log = keptLog();
const dir = temporaryDirectory();
const ports = { happn: { port: 0 }, mqtt: { port: 0 }, haven: { port: 0 }, admin: { port: 0 } };
let running: EmbeddedGateway | null = null;

async function start(happn: HappnLayers = {}): Promise<EmbeddedGateway> {
  await running?.stop();
  running = createGateway({ ...ports, data: { dir }, durability: 'os' }, { log, happn });
  await running.start();
  return running;
}

/**
 * The longest time in which nothing else got the event loop while `work` went on. Time in which the process did not run does not
 * count; of several tries the best counts.
 */
async function longestHold(work: () => Promise<unknown>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let n = 0; n < TRIES && least >= HELD_MS; n++) {
    let longest = 0;
    let last = performance.now();
    let lastCpu = process.cpuUsage();
    let isOver = false;
    const look = (): void => {
      const now = performance.now();
      const { user, system } = process.cpuUsage(lastCpu);
      longest = Math.max(longest, Math.min(now - last, (user + system) / 1_000));
      last = now;
      lastCpu = process.cpuUsage();
      if (!isOver) setImmediate(look);
    };
    setImmediate(look);
    await work();
    isOver = true;
    least = Math.min(least, longest);
  }
  return least;
}

beforeAll(async () => {
  const gateway = await start();
  const client = await gateway.localClient();
  for (let from = 0; from < RECORDS; from += 5_000) {
    const some = Array.from({ length: 5_000 }, (_, i) => from + i);
    await Promise.all(some.map((n) => client.set(`many/${String(n).padStart(6, '0')}`, { n, list: [n, { text: 'what is kept' }] })));
  }
  for (let n = 0; n < LARGE; n++) await client.set(`large/${String(n).padStart(2, '0')}`, { n, text: 'x'.repeat(LARGE_CHARACTERS) });
}, WITHIN_MS);

afterAll(async () => await running?.stop());

describe('the client of the program', () => {
  let client: LocalClient;

  beforeAll(async () => {
    client = await (await start()).localClient();
  });

  const numbers = (records: unknown): unknown[] => (records as LocalDocument[]).map((record) => record['n']);
  const all = Array.from({ length: RECORDS }, (_, n) => n);

  it('gets all of a long list, in any order, while the event loop is free', { timeout: WITHIN_MS }, async () => {
    const wanted: [LocalGetOptions, number[]][] = [
      [{}, all],
      [{ options: { sort: { n: -1 } } }, all.toReversed()],
      [{ criteria: { n: { $gte: 10 } }, options: { skip: 5 } }, all.slice(15)],
    ];
    for (const [options, order] of wanted) {
      let found: unknown[] = [];
      const held = await longestHold(async () => {
        const list = await client.get('many/*', options);
        // Looking at all of them would itself take the loop.
        setTimeout(() => {
          found = numbers(list);
        }, 0);
      });
      await until('the numbers', () => found.length > 0);
      expect(found).toEqual(order);
      expect(held).toBeLessThan(HELD_MS);
    }
  });

  it('gets a list of more bytes than may wait for a connection', { timeout: WITHIN_MS }, async () => {
    let list: LocalDocument[] = [];
    const held = await longestHold(async () => {
      list = (await client.get('large/*')) as LocalDocument[];
    });
    expect(numbers(list)).toEqual(all.slice(0, LARGE));
    expect(list.every((record) => (record['text'] as string).length === LARGE_CHARACTERS)).toBe(true);
    expect(held).toBeLessThan(HELD_MS);
    expect(client.connected).toBe(true);
  });

  it('gets initial values by callback and one by one, then what happens', { timeout: WITHIN_MS }, async () => {
    const emitted: unknown[] = [];
    let listed: LocalDocument[] = [];
    const held = await longestHold(async () => {
      emitted.length = 0;
      const initialCallback = (records: LocalDocument[]): void => {
        listed = records;
      };
      const options = { initialEmit: true, initialCallback };
      const subscribed = client.on('many/*', options, (data) => void emitted.push(data['n']));
      const set = client.set('many/during', { n: 'during' });
      const handle = await subscribed;
      await set;
      await client.off(handle);
      await client.remove('many/during');
    });
    expect(listed).toHaveLength(RECORDS);
    expect(emitted).toHaveLength(RECORDS + 1);
    expect(emitted.at(-1)).toBe('during');
    expect(held).toBeLessThan(HELD_MS);
  });

  it('that times out, or leaves, while a list is read leaves nothing behind', { timeout: WITHIN_MS }, async () => {
    await expect(client.get('many/*', { timeout: 1 })).rejects.toThrow('timed out');
    expect(await client.get('many/00000*')).toHaveLength(10);
    const other = await (running as EmbeddedGateway).localClient();
    const left = other.get('many/*');
    await other.disconnect();
    await expect(left).rejects.toThrow('disconnected');
    const third = await (running as EmbeddedGateway).localClient();
    const heard: unknown[] = [];
    const subscribed = third.on('many/*', { initialEmit: true }, (data) => {
      heard.push(data['n']);
      void third.disconnect();
    });
    await expect(subscribed).rejects.toThrow('disconnected');
    await client.set('many/000000', { n: 0, list: [0, { text: 'what is kept' }] });
    expect(heard).toEqual([0]);
  });
});

describe('a connection with layers', () => {
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.terminate();
  });

  const sockets: WebSocket[] = [];

  async function connect(): Promise<WebSocket> {
    const port = running?.listeners.get('happn')?.port;
    const socket = new WebSocket(`ws://127.0.0.1:${port}/primus`, { skipUTF8Validation: true, maxPayload: 0 });
    sockets.push(socket);
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    return socket;
  }

  /** The answer to a request, as bytes: to parse it would take the loop. */
  function ask(socket: WebSocket, frame: object): Promise<Buffer> {
    return new Promise((resolve) => {
      socket.once('message', (bytes) => resolve(bytes as Buffer));
      socket.send(JSON.stringify({ eventId: 1, ...frame }));
    });
  }

  const passing = (message: unknown, callback: (error?: unknown) => void): void => {
    void message;
    callback();
  };
  const GET = { action: 'get', path: 'many/*' };
  const ON = { action: 'on', path: '/SET@many/*', options: { initialCallback: true } };

  it.each<[string, HappnLayers]>([
    ['inbound ones', { inboundLayers: [passing] }],
    ['outbound ones', { outboundLayers: [passing] }],
  ])('is answered the same long lists as one without, while the event loop is free: %s', { timeout: WITHIN_MS }, async (_name, layers) => {
    await start();
    const plain = [await ask(await connect(), GET), await ask(await connect(), ON)];
    await start(layers);
    for (const [n, frame] of [GET, ON].entries()) {
      let answer: Buffer = Buffer.alloc(0);
      const held = await longestHold(async () => {
        answer = await ask(await connect(), frame);
      });
      expect(settled(answer)).toEqual(settled(plain[n] as Buffer));
      expect(held).toBeLessThan(HELD_MS);
    }
  });

  function settled(bytes: Buffer): unknown {
    const answer = JSON.parse(bytes.toString('utf8')) as unknown[] | { data: unknown[] };
    const list = Array.isArray(answer) ? answer : answer.data;
    expect(list.length).toBeGreaterThanOrEqual(RECORDS);
    if (Array.isArray(answer)) return answer;
    return { ...answer, _meta: null };
  }

  it('shows the whole list to its layers, and sends what they make of it, in its place', { timeout: WITHIN_MS }, async () => {
    let shown = 0;
    await start({
      outboundLayers: [
        (message, callback) => {
          if ('response' in message && Array.isArray(message.response)) {
            shown = message.response.length;
            for (const record of message.response.slice(0, -1) as { list?: unknown; mark?: string }[]) {
              delete record.list;
              record.mark = 'seen\u2028';
            }
          }
          callback(null, message);
        },
      ],
    });
    const socket = await connect();
    const frames: string[] = [];
    socket.on('message', (bytes) => void frames.push(String(bytes)));
    socket.send(JSON.stringify({ ...GET, eventId: 1 }));
    socket.send(JSON.stringify({ action: 'describe', eventId: 2 }));
    await until('both answers', () => frames.length === 2, WITHIN_MS);
    expect(shown).toBe(RECORDS + 1);
    const list = JSON.parse(frames.find((text) => text.startsWith('[')) as string) as { n: number; mark: string; list?: unknown }[];
    expect(list).toHaveLength(RECORDS + 1);
    expect(list.slice(0, -1).every(({ n, mark, list: left }, at) => n === at && mark === 'seen\u2028' && left === undefined)).toBe(true);
    expect(frames.join('')).not.toContain('\u2028');
  });

  it('answers an error when a layer leaves something in a long list that cannot be sent', { timeout: WITHIN_MS }, async () => {
    await start({
      outboundLayers: [
        (message, callback) => {
          if ('response' in message && Array.isArray(message.response)) message.response[50_000] = { n: 1n };
          callback(null, message);
        },
      ],
    });
    const socket = await connect();
    const refused = JSON.parse(String(await ask(socket, GET))) as { _meta: { status: string; error: { code: number } } };
    expect(refused._meta).toMatchObject({ status: 'error', error: { code: 500 } });
    const fine = JSON.parse(String(await ask(socket, { action: 'get', path: 'many/000001' }))) as { data: { n: number } };
    expect(fine.data.n).toBe(1);
  });
});
