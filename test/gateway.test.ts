// Gateway: order of start and stop, deadlines, and that a failed start leaves nothing behind. Parts are stand-ins.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../src/config/index.js';
import type { Engine } from '../src/core/engine.js';
import { type Adapter, type AdapterContext, Counters, type Listeners, StartError } from '../src/core/index.js';
import { StoreDamage, StoreLocked } from '../src/core/store/store.js';
import { Gateway, type GatewayParts } from '../src/gateway.js';
import type { AdminListener } from '../src/http/admin.js';
import type { HttpListener } from '../src/http/listener.js';
import { temporaryDirectory } from './support/gateway-process.js';
import { keptLog } from './support/silent-log.js';

let steps: string[];
let log: ReturnType<typeof keptLog>;
let parts: GatewayParts;
let readyFile: string;

const noted = <T>(step: string, value: T): Promise<T> => {
  steps.push(step);
  return Promise.resolve(value);
};

function adapter(name: string, more: Partial<Adapter> = {}): Adapter {
  return {
    name,
    start: (_context: AdapterContext) => noted<Listeners>(`${name} starts`, new Map([[name, { host: '127.0.0.1', port: 7 }]])),
    stop: () => noted(`${name} stops`, undefined),
    ...more,
  };
}

beforeEach(() => {
  steps = [];
  log = keptLog();
  const directory = temporaryDirectory();
  readyFile = join(directory, 'ready.json');
  const listening = { host: '127.0.0.1', port: 9 };
  parts = {
    config: loadConfig({ given: { readyFile, data: { dir: join(directory, 'a', 'b') } } }).config,
    engine: {
      start: () => noted('engine starts', undefined),
      stop: () => noted('engine stops', undefined),
      context: (own: object) => own,
    } as unknown as Engine,
    adapters: [adapter('one'), adapter('two')],
    room: null,
    http: {
      request: () => {},
      listen: () => noted('http listens', listening),
      stopAccepting: () => void steps.push('http stops accepting'),
      close: () => noted('http closes', undefined),
    } as unknown as HttpListener,
    security: null,
    tls: [],
    admin: () =>
      ({ listen: () => noted('admin listens', listening), close: () => noted('admin closes', undefined) }) as unknown as AdminListener,
    log,
    clock: { now: () => 1_000, monotonic: () => performance.now() },
    counters: new Counters(),
  };
});

afterEach(() => vi.useRealTimers());

const UP = ['engine starts', 'one starts', 'two starts', 'http listens', 'admin listens'];
const DOWN = ['admin closes', 'http stops accepting', 'one stops', 'two stops', 'http closes', 'engine stops'];

describe('Gateway', () => {
  it('starts engine, adapters, listeners, and stops in reverse', async () => {
    const gateway = new Gateway(parts);
    expect(gateway.state).toBe('new');
    const listeners = await gateway.start();
    expect(steps).toEqual(UP);
    expect(gateway.state).toBe('running');
    expect([...listeners.keys()].sort()).toEqual(['admin', 'happn', 'one', 'two']);
    expect(JSON.parse(readFileSync(readyFile, 'utf8'))).toEqual({ pid: process.pid, ports: { one: 7, two: 7, happn: 9, admin: 9 } });
    await gateway.stop();
    expect(steps).toEqual([...UP, ...DOWN]);
    expect(gateway.state).toBe('stopped');
    expect(existsSync(readyFile)).toBe(false);
    expect(log.lines).toEqual([]);
  });

  it('has no ready file of a run that was killed while it starts, and leaves that of one that runs', async () => {
    const killed = spawnSync(process.execPath, ['-e', '']).pid;
    const seen: string[] = [];
    const engine = {
      ...parts.engine,
      start: async () => void seen.push(existsSync(readyFile) ? readFileSync(readyFile, 'utf8') : ''),
    } as Engine;
    for (const text of [`{"pid":${killed}}`, `{"pid":${process.pid}}`, `{"pid":${process.ppid}}`, 'notes', 'null']) {
      writeFileSync(readyFile, text);
      const gateway = new Gateway({ ...parts, engine });
      await gateway.start();
      expect(JSON.parse(readFileSync(readyFile, 'utf8'))).toMatchObject({ pid: process.pid });
      await gateway.stop();
    }
    expect(seen).toEqual(['', '', `{"pid":${process.ppid}}`, 'notes', 'null']);
  });

  it('stops once, however often it is asked, also while it starts', async () => {
    const gateway = new Gateway(parts);
    const starting = gateway.start();
    await Promise.all([gateway.stop(), gateway.stop(), starting]);
    await gateway.stop();
    expect(steps).toEqual([...UP, ...DOWN]);
  });

  it('stops without having been started, and never starts afterwards', async () => {
    const gateway = new Gateway(parts);
    await gateway.stop();
    expect(steps).toEqual([]);
    await expect(gateway.start()).rejects.toThrow('a gateway that is stopped cannot start');
  });

  it('starts only once', async () => {
    const gateway = new Gateway(parts);
    await gateway.start();
    await expect(gateway.start()).rejects.toThrow('a gateway that is running cannot start');
    await gateway.stop();
  });

  it('undoes what was started when a step fails, and leaves the failed adapter alone', async () => {
    const failing = adapter('two', { start: () => Promise.reject(new StartError('two: port in use')) });
    const gateway = new Gateway({ ...parts, adapters: [adapter('one'), failing, adapter('three')] });
    await expect(gateway.start()).rejects.toThrow('two: port in use');
    expect(steps).toEqual(['engine starts', 'one starts', 'one stops', 'http closes', 'engine stops']);
    expect(gateway.state).toBe('stopped');
    expect(gateway.listeners.size).toBe(0);
    expect(existsSync(readyFile)).toBe(false);
    await gateway.stop();
  });

  it.each([
    [new StoreLocked('held'), 'is in use by another process'],
    [new StoreDamage('a hole'), 'cannot be used: a hole'],
  ])('says in one line what is wrong with the store: %s', async (error, text) => {
    const engine = {
      ...parts.engine,
      start: () => Promise.reject(error),
      stop: () => noted('engine stops', undefined),
    } as unknown as Engine;
    const failure = await new Gateway({ ...parts, engine }).start().catch((reason: unknown) => reason);
    expect(failure).toBeInstanceOf(StartError);
    expect((failure as StartError).message).toContain(text);
    expect((failure as StartError).cause).toBe(error);
    expect(steps).toEqual(['engine stops']);
  });

  it('goes on stopping when a part fails or hangs, and names it', async () => {
    const hanging = adapter('hanging', { stop: () => new Promise(() => {}) });
    const failing = adapter('failing', { stop: () => Promise.reject(new Error('no')) });
    // Without a ready file: its removal is real work, which a false clock would call late.
    const config = { ...parts.config, readyFile: null };
    const gateway = new Gateway({ ...parts, config, adapters: [hanging, failing, adapter('well')] });
    await gateway.start();
    vi.useFakeTimers();
    const stopping = gateway.stop();
    await vi.advanceTimersByTimeAsync(5_000);
    await stopping;
    expect(steps.slice(-4)).toEqual(['http stops accepting', 'well stops', 'http closes', 'engine stops']);
    expect(log.lines.map((line) => [line.level, line.text])).toEqual([
      ['error', 'an adapter could not stop properly'],
      ['error', 'a part of the gateway could not stop properly'],
    ]);
    const [, late] = log.lines.map((line) => String((line.fields as { err: Error }).err.message));
    expect(late).toMatch(/^adapters did not stop within \d+ ms$/);
  });
});
