// The suite that every adapter passes: what AdapterContext and Adapter promise, seen from a client of the protocol, and each
// direction between the protocol and a plain one that is made of the core's public face alone.

import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { INBOUND_LIMITS } from '../../src/core/engine/inbound-queue.js';
import { type Adapter, CLOSE_GRACE_MS, goodbye } from '../../src/core/index.js';
import { type Address, ContractHouse } from '../support/contract-house.js';
import { livedTime } from '../support/lived-time.js';
import { PlainAdapter } from '../support/plain-adapter/index.js';
import { PlainClient } from '../support/plain-client.js';
import type { ContractClient, Doc, Heard } from './contract-client.js';
import { rightsContract } from './rights-contract.js';

/** The nearest that a client of the protocol can try; must reject. null: there are no words for it at all. */
export interface Unspeakable {
  readonly refused: ((client: ContractClient) => Promise<unknown>) | null;
}

export interface Supports<Client extends ContractClient> {
  /** A pattern for everything below `prefix`, at least three levels deep. */
  below(prefix: string): string;
  /** Records by pattern, given as `below` writes it: [path, value] in path order. */
  readonly find: { readonly by: (client: Client, pattern: string) => Promise<[string, Doc][]> } | Unspeakable;
  /** Removal by pattern; answers how many. */
  readonly removeAll: { readonly by: (client: Client, pattern: string) => Promise<number> } | Unspeakable;
  /** A set only where nothing is; rejects where something is. */
  readonly create: { readonly by: (client: Client, path: string, value: Doc) => Promise<void> } | Unspeakable;
  /** Whether `emit` stores nothing; else it is a set. */
  readonly events: boolean;
  /** One watcher of a removal by pattern hears each path, or the pattern once. */
  readonly removals: 'each-record' | 'each-request';
}

export interface Malformed {
  readonly what: string;
  readonly bytes: Buffer;
  /** 'ends': the sender's connection; 'ignored': it lives on. */
  readonly effect: 'ends' | 'ignored';
}

export interface AdapterSubject<Client extends ContractClient> {
  readonly name: string;
  create(): Adapter;
  /** A connection, handshake done. */
  connect(at: Address): Promise<Client>;
  /** As `connect`, of a user; rejects when the credentials are refused. */
  connectAs(at: Address, username: string, password: string): Promise<Client>;
  /** Handshakes that must be refused; each resolves when the gateway has ended the connection. */
  readonly refusals: { readonly [what: string]: (at: Address) => Promise<void> };
  /** Sent over a connection whose handshake is done. */
  readonly malformed: readonly Malformed[];
  /** Sent on a fresh socket. */
  readonly strangers: readonly Buffer[];
  readonly supports: Supports<Client>;
}

const STOP_MS = 3_000;
/** A deadline that nothing comes near to. */
const FAR_MS = 80_000;

export function adapterContract<Client extends ContractClient>(subject: AdapterSubject<Client>): void {
  const { supports } = subject;
  let house: ContractHouse;
  let adapter: Adapter;
  let at: Address;
  let plainAt: Address;

  async function begin(next: ContractHouse): Promise<void> {
    house = next;
    await house.start();
    adapter = subject.create();
    at = await house.add(adapter);
    plainAt = await house.add(new PlainAdapter());
  }

  beforeEach(() => begin(new ContractHouse()));
  afterEach(() => house.stop());

  const connect = (): Promise<Client> => subject.connect(at);
  const connectPlain = (): Promise<PlainClient> => PlainClient.connect(plainAt);

  /** The gateway has dealt with everything that was sent before. */
  async function fenced(client: ContractClient): Promise<void> {
    const watch = await client.watch('fence/here');
    await client.emit('fence/here', { over: true });
    await watch.count(1);
    await client.unwatch(watch);
  }

  /** A helper's failure must not be silent: other connections still work, wholly. */
  async function expectUnharmed(client: ContractClient): Promise<void> {
    const path = `unharmed/${Math.random()}`;
    await client.set(path, { well: true });
    expect(await client.get(path)).toEqual({ well: true });
  }

  describe(`${subject.name}: connecting`, () => {
    it('takes connections beside each other and forgets them when they end', async () => {
      const clients = await Promise.all([connect(), connect(), connect()]);
      await Promise.all(clients.map((client, i) => client.set(`c/${i}`, { i })));
      await Promise.all(clients.map((client) => client.watch(supports.below('c'))));
      expect(house.gauge('sessions')).toBe(3);
      await Promise.all(clients.map((client) => client.close()));
      await become(() => house.gauge('sessions') === 0);
      expect(house.gauge('subscriptions')).toBe(0);
    });

    for (const [what, refusal] of Object.entries(subject.refusals)) {
      it(`refuses ${what}`, async () => {
        const other = await connect();
        await refusal(at);
        await expectUnharmed(other);
        await other.close();
        await become(() => house.gauge('sessions') === 0);
      });
    }

    it('ends strangers, and nobody else', async () => {
      const other = await connect();
      for (const bytes of subject.strangers) {
        const socket = connectSocket(at.port, at.host);
        socket.on('error', () => socket.destroy());
        const ended = new Promise((resolve) => socket.once('close', resolve));
        socket.resume();
        socket.write(bytes);
        await ended;
      }
      await expectUnharmed(other);
    });

    it('survives peers that vanish at any point', async () => {
      const other = await connect();
      for (let i = 0; i < 20; i++) {
        const socket = connectSocket(at.port, at.host);
        socket.on('error', () => socket.destroy());
        await once(socket, 'connect');
        if (i % 2 === 0) socket.write(subject.strangers[0]?.subarray(0, i) ?? Buffer.alloc(0));
        socket.resetAndDestroy();
      }
      await expectUnharmed(other);
      await become(() => house.gauge('sessions') === 1);
    });
  });

  describe(`${subject.name}: records`, () => {
    it('keeps what is set, replaces it, and removes it', async () => {
      const client = await connect();
      expect(await client.get('r/a')).toBeNull();
      await client.set('r/a', { n: 1, deep: { list: [1, 'two', null, true] } });
      expect(await client.get('r/a')).toEqual({ n: 1, deep: { list: [1, 'two', null, true] } });
      await client.set('r/a', { n: 2 });
      expect(await client.get('r/a')).toEqual({ n: 2 });
      await client.remove('r/a');
      expect(await client.get('r/a')).toBeNull();
      await client.remove('r/a');
    });

    it('reads its own writes without waiting for their answers', async () => {
      const client = await connect();
      const writes = Array.from({ length: 50 }, (_, n) => client.set('r/own', { n }));
      expect(await client.get('r/own')).toEqual({ n: 49 });
      await Promise.all(writes);
      const removal = client.remove('r/own');
      expect(await client.get('r/own')).toBeNull();
      await removal;
    });

    it('keeps addresses apart that differ in slashes alone', async () => {
      const client = await connect();
      const paths = ['s/b', '/s/b', 's/b/', 's//b'];
      await Promise.all(paths.map((path) => client.set(path, { path })));
      for (const path of paths) expect(await client.get(path)).toEqual({ path });
    });

    it('takes names of prototypes as plain data, or refuses them', async () => {
      const client = await connect();
      const nasty = JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}') as Doc;
      for (const path of ['p/__proto__', '__proto__', 'constructor', 'p/prototype/x']) {
        await client.set(path, nasty).catch(() => undefined);
      }
      expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
      await expectUnharmed(await connect());
    });

    it('answers only when the store has it', async () => {
      const client = await connect();
      const other = await connectPlain();
      house.store.held = true;
      let answered = false;
      const set = client.set('r/held', { n: 1 }).then(() => (answered = true));
      await become(() => house.store.writes === 1);
      await fenced(other);
      expect(answered).toBe(false);
      house.store.release();
      await set;
      expect(await client.get('r/held')).toEqual({ n: 1 });
    });

    it('never acknowledges what the store refused, and nobody hears of it', async () => {
      const client = await connect();
      const other = await connectPlain();
      const watch = await other.watch('*');
      house.store.failure = new Error('disk full');
      await expect(client.set('r/lost', { n: 1 })).rejects.toThrow();
      await become(
        async () =>
          await other.set('r/kept', { n: 2 }).then(
            () => true,
            () => false,
          ),
      );
      expect(watch.heard.map(({ path }) => path)).toEqual(['r/kept']);
      expect(await other.get('r/lost')).toBeNull();
      const again = await connect();
      await again.set('r/again', { n: 3 });
      expect(await again.get('r/again')).toEqual({ n: 3 });
    });

    it('does not read on while too much of its work waits', async () => {
      await house.stop();
      await begin(new ContractHouse({ ...INBOUND_LIMITS, sessionMessages: 64 }));
      const client = await connect();
      const other = await connectPlain();
      await client.set('r/first', { n: 0 });
      const before = house.store.writes;
      house.store.held = true;
      const all = Promise.all(Array.from({ length: 5_000 }, (_, n) => client.set(`r/many/${n % 10}`, { n })));
      await become(() => house.store.writes === before + 1);
      for (let i = 0; i < 20; i++) await fenced(other);
      // One chunk of the socket may be taken beyond the credit.
      expect(house.gauge('requests_unsettled')).toBeLessThan(3_000);
      house.store.release();
      await all;
      expect(await client.get('r/many/9')).toEqual({ n: 4_999 });
    });
  });

  describe(`${subject.name}: what it says it cannot`, () => {
    if ('by' in supports.find) {
      const { by } = supports.find;
      it('finds records by pattern', async () => {
        const client = await connect();
        const values = ['f/a', 'f/b/c', 'f/b/d', 'g/a'];
        await Promise.all(values.map((path) => client.set(path, { path })));
        expect(await by(client, supports.below('f'))).toEqual(values.slice(0, 3).map((path) => [path, { path }]));
        expect(await by(client, supports.below('nothing'))).toEqual([]);
      });
    } else expectRefused('finding records by pattern', supports.find.refused);

    if ('by' in supports.create) {
      const { by } = supports.create;
      it('creates where nothing is, and refuses where something is', async () => {
        const client = await connect();
        await by(client, 'k/a', { n: 1 });
        await expect(by(client, 'k/a', { n: 2 })).rejects.toThrow();
        expect(await client.get('k/a')).toEqual({ n: 1 });
      });
    } else expectRefused('setting only where nothing is', supports.create.refused);

    if ('by' in supports.removeAll) {
      const { by } = supports.removeAll;
      it('removes by pattern, and says how many', async () => {
        const client = await connect();
        const plain = await connectPlain();
        await Promise.all(['d/a', 'd/b', 'e/a'].map((path) => client.set(path, { path })));
        const watch = await client.watch(supports.below('d'));
        const plainWatch = await plain.watch('d/*');
        expect(await by(client, supports.below('d'))).toBe(2);
        expect(await by(client, supports.below('d'))).toBe(0);
        expect(await client.get('d/a')).toBeNull();
        expect(await client.get('e/a')).toEqual({ path: 'e/a' });
        const each = ['d/a', 'd/b'];
        const expected = supports.removals === 'each-record' ? each : [supports.below('d')];
        const heard = await watch.count(expected.length);
        expect(heard.map(({ action }) => action)).not.toContain('set');
        expect(heard.slice(0, expected.length).map(({ path }) => path)).toEqual(expected);
        await fenced(plain);
        expect(plainWatch.heard.map(({ path }) => path)).toEqual(each);
      });
    } else expectRefused('removing by pattern', supports.removeAll.refused);

    function expectRefused(what: string, refused: Unspeakable['refused']): void {
      if (refused === null) return;
      it(`refuses ${what}`, async () => {
        const other = await connect();
        await other.set('q/a', { n: 1 });
        await expect(refused(await connect())).rejects.toThrow();
        expect(await other.get('q/a')).toEqual({ n: 1 });
        await expectUnharmed(other);
      });
    }
  });

  describe(`${subject.name}: subscriptions`, () => {
    it('hears a path and nothing else', async () => {
      const writer = await connect();
      const client = await connect();
      const watch = await client.watch('w/a');
      await writer.set('w/b', { n: 0 });
      await writer.set('w/a', { n: 1 });
      await writer.emit('w/a', { n: 2 });
      await writer.remove('w/a');
      await writer.set('w/a/b', { n: 3 });
      await fenced(client);
      expect(watch.heard).toEqual([set('w/a', 1), set('w/a', 2), { action: 'remove', path: 'w/a', value: null }]);
    });

    it('hears what a wildcard covers', async () => {
      const writer = await connect();
      const client = await connect();
      const watch = await client.watch(supports.below('w'));
      await writer.set('w/a', { n: 1 });
      await writer.set('w/a/b/c', { n: 2 });
      await writer.set('x/a', { n: 3 });
      await writer.emit('w/e', { n: 4 });
      await fenced(client);
      expect(watch.heard).toEqual([set('w/a', 1), set('w/a/b/c', 2), set('w/e', 4)]);
    });

    it('hears its own changes once', async () => {
      const client = await connect();
      const watch = await client.watch('w/own');
      await client.set('w/own', { n: 1 });
      await client.emit('w/own', { n: 2 });
      await fenced(client);
      expect(watch.heard).toEqual([set('w/own', 1), set('w/own', 2)]);
    });

    it('hears the changes of a path in the order in which they were made, from several writers', async () => {
      const writers = await Promise.all([connect(), connect(), connect()]);
      const watches = await Promise.all([connect(), connect()].map(async (client) => (await client).watch(supports.below('o'))));
      const each = 100;
      await Promise.all(
        writers.flatMap((writer, w) =>
          Array.from({ length: each }, (_, n) => (n % 3 === 0 ? writer.emit('o/p', { w, n }) : writer.set('o/p', { w, n }))),
        ),
      );
      const [first, second] = await Promise.all(watches.map((watch) => watch.count(3 * each)));
      expect(first).toEqual(second);
      for (const w of writers.keys()) {
        const own = (first as Heard[]).filter(({ value }) => value?.w === w).map(({ value }) => value?.n);
        expect(own).toEqual(Array.from({ length: each }, (_, n) => n));
      }
    });

    it('begins with the records that exist and misses nothing that happens meanwhile', async () => {
      const writer = await connect();
      const steps = 300;
      for (let n = 0; n < 20; n++) void writer.set('i/a', { n });
      await writer.set('i/b', { other: true });
      const load = Array.from({ length: steps }, (_, n) => writer.set('i/a', { n: 20 + n }));
      const client = await connect();
      const watch = await client.watch(supports.below('i'), { initial: true });
      await Promise.all(load);
      await watch.until(({ value }) => value?.n === 19 + steps);
      await fenced(client);
      const numbers = watch.heard.filter(({ path }) => path === 'i/a').map(({ value }) => value?.n as number);
      expect(numbers).toEqual(Array.from(numbers, (_, i) => (numbers[0] as number) + i));
      expect(watch.heard.filter(({ path }) => path === 'i/b')).toHaveLength(1);
    });

    it('hears nothing any more once the end of the subscription was answered', async () => {
      const client = await connect();
      const kept = await client.watch('u/kept');
      const watch = await client.watch('u/a');
      await client.set('u/a', { n: 1 });
      await client.unwatch(watch);
      await client.set('u/a', { n: 2 });
      await client.set('u/kept', { n: 3 });
      await fenced(client);
      expect(watch.heard).toEqual([set('u/a', 1)]);
      expect(kept.heard).toEqual([set('u/kept', 3)]);
    });

    it('starts anew after a reconnect: the records are there, the subscriptions are not', async () => {
      const first = await connect();
      await first.watch(supports.below('n'));
      await first.set('n/a', { n: 1 });
      await first.close();
      const second = await connect();
      expect(await second.get('n/a')).toEqual({ n: 1 });
      const watch = await second.watch('n/b');
      await second.set('n/a', { n: 2 });
      await fenced(second);
      expect(watch.heard).toEqual([]);
    });
  });

  describe(`${subject.name}: bad peers`, () => {
    for (const { what, bytes, effect } of subject.malformed) {
      it(`${effect === 'ends' ? 'ends the sender of' : 'ignores'} ${what}, and harms nobody else`, async () => {
        const other = await connect();
        const watch = await other.watch(supports.below('m'));
        const sender = await connect();
        sender.raw(bytes);
        if (effect === 'ends') await sender.ended;
        else await expectUnharmed(sender);
        await other.set('m/a', { n: 1 });
        await fenced(other);
        expect(watch.heard).toEqual([set('m/a', 1)]);
        if (effect === 'ends') await become(() => house.gauge('sessions') === 1);
        expect(house.lines.filter(({ level }) => level === 'error')).toEqual([]);
      });
    }

    it('keeps memory bounded for a subscriber that does not read, and the others hear all of it', async () => {
      const [writer, fast, slow] = await Promise.all([connect(), connect(), connect()]);
      const heard = await fast.watch('slow/a');
      await slow.watch('slow/a');
      slow.stall();
      const text = 'x'.repeat(64 * 1024);
      const messages = 1_000;
      for (let n = 0; n < messages; n += 20) {
        await Promise.all(Array.from({ length: 20 }, (_, i) => writer.set('slow/a', { n: n + i, text })));
        // In this one process a reader may fall behind for good; the writer must not outrun the one that is to keep up.
        await heard.count(n + 20);
      }
      expect(heard.heard.map(({ value }) => value?.n)).toEqual(Array.from({ length: messages }, (_, n) => n));
      await become(() => house.counter('slow_consumers_closed_total') === 1);
      expect(house.lines.filter(({ text: line }) => line === 'receiver is too slow: ending the connection')).toHaveLength(1);
      slow.resume();
      await slow.ended;
      await become(() => house.gauge('sessions') === 2);
      await expectUnharmed(fast);
    });
  });

  describe(`${subject.name}: stopping`, () => {
    it('ends every connection within its deadline, and what was acknowledged is there', async () => {
      const clients = await Promise.all([connect(), connect()]);
      const acknowledged = new Map<string, number>();
      const writing = clients.map((client, c) => writeUntilEnded(client, `t/${c}`, acknowledged));
      await become(() => acknowledged.size === clients.length && Math.min(...acknowledged.values()) > 20);
      const begun = performance.now();
      await adapter.stop(STOP_MS, goodbye(true));
      expect(performance.now() - begun).toBeLessThan(STOP_MS + 1_000);
      await Promise.all([...writing, ...clients.map((client) => client.ended)]);
      const plain = await connectPlain();
      for (const [path, n] of acknowledged) expect(((await plain.get(path)) as { n: number }).n).toBeGreaterThanOrEqual(n);
      await become(() => house.gauge('sessions') === 1);
    });

    it('does not wait beyond its deadline for a peer that does not read', async () => {
      const [client, writer] = await Promise.all([connect(), connect()]);
      await client.watch('t/a');
      client.stall();
      const text = 'x'.repeat(64 * 1024);
      for (let n = 0; n < 100; n++) await writer.set('t/a', { n, text });
      const begun = performance.now();
      await adapter.stop(500, goodbye(true));
      expect(performance.now() - begun).toBeLessThan(2_500);
      client.resume();
      await Promise.all([client.ended, writer.ended]);
    });

    it('waits no longer than the grace for a peer that is owed nothing and does not close its side', async () => {
      const clients = await Promise.all([connect(), connect()]);
      await clients[0]?.set('t/a', { n: 1 });
      for (const client of clients) client.stall();
      const lived = livedTime();
      await adapter.stop(FAR_MS, goodbye(true));
      lived.end();
      expect(lived.ms()).toBeLessThan(4 * CLOSE_GRACE_MS);
      for (const client of clients) client.resume();
      await Promise.all(clients.map((client) => client.ended));
    });

    it('answers what is in flight, and ends a connection at once although its reading was paused', async () => {
      await house.stop();
      await begin(new ContractHouse({ ...INBOUND_LIMITS, sessionMessages: 64 }));
      const client = await connect();
      house.store.held = true;
      const answers = Promise.allSettled(Array.from({ length: 500 }, (_, n) => client.set('t/paused', { n })));
      await become(() => house.store.writes === 1);
      for (let i = 0; i < 10; i++) await fenced(await connectPlain());
      const begun = performance.now();
      const stopped = adapter.stop(STOP_MS, goodbye(true));
      house.store.release();
      await stopped;
      expect(performance.now() - begun).toBeLessThan(STOP_MS / 2);
      await client.ended;
      expect((await answers)[0]?.status).toBe('fulfilled');
    });

    it('takes no connection any more', async () => {
      await adapter.stop(STOP_MS, goodbye(true));
      await expect(connect()).rejects.toThrow();
    });
  });

  describe(`${subject.name}: with the plain protocol`, () => {
    const directions: {
      readonly name: string;
      readonly writerHasEvents: boolean;
      readonly pair: () => Promise<{ writer: ContractClient; reader: ContractClient; below: string }>;
    }[] = [
      {
        name: `${subject.name} to plain`,
        writerHasEvents: supports.events,
        pair: async () => ({ writer: await connect(), reader: await connectPlain(), below: 'x/*' }),
      },
      {
        name: `plain to ${subject.name}`,
        writerHasEvents: true,
        pair: async () => ({ writer: await connectPlain(), reader: await connect(), below: supports.below('x') }),
      },
    ];
    for (const { name, writerHasEvents, pair } of directions) {
      it(`${name}: read and heard, once and in order`, async () => {
        const { writer, reader, below } = await pair();
        const watch = await reader.watch(below);
        const own = await writer.watch('x/a');
        await writer.set('x/a', { n: 1 });
        expect(await reader.get('x/a')).toEqual({ n: 1 });
        await writer.emit('x/a', { n: 2 });
        if (writerHasEvents) expect(await reader.get('x/a')).toEqual({ n: 1 });
        await writer.set('x/b', { n: 3 });
        await writer.remove('x/a');
        expect(await reader.get('x/a')).toBeNull();
        await fenced(reader);
        const removed: Heard = { action: 'remove', path: 'x/a', value: null };
        expect(watch.heard).toEqual([set('x/a', 1), set('x/a', 2), set('x/b', 3), removed]);
        await fenced(writer);
        expect(own.heard).toEqual([set('x/a', 1), set('x/a', 2), removed]);
      });
    }
  });

  rightsContract(subject);
}

function set(path: string, n: number): Heard {
  return { action: 'set', path, value: { n } };
}

/** Several in flight all the time; notes the highest acknowledged number. */
async function writeUntilEnded(client: ContractClient, path: string, acknowledged: Map<string, number>): Promise<void> {
  let ended = false;
  void client.ended.then(() => (ended = true));
  let n = 0;
  const one = async (): Promise<void> => {
    while (!ended) {
      const mine = ++n;
      try {
        await client.set(path, { n: mine });
      } catch {
        return;
      }
      acknowledged.set(path, Math.max(acknowledged.get(path) ?? 0, mine));
    }
  };
  await Promise.all([one(), one(), one(), one()]);
}

/** Waits for a fact about this process; the test's own time limit bounds it. */
async function become(fact: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await fact())) await new Promise<void>((resolve) => setImmediate(resolve));
}
