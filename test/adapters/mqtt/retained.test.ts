// Retained messages at SUBSCRIBE: streamed as window and socket take them, and of durable sessions kept until they are acknowledged
// ([MQTT-4.4.0-1], [MQTT5-4.4.0-1]), however the connection ends.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreFailure } from '../../../src/core/store/store.js';
import { GateStore } from '../../support/core-harness.js';
import { until } from '../../support/gateway-process.js';
import { type HouseOptions, MqttHouse, type MqttPacket, MqttWire } from '../../support/mqtt-wire.js';

const WINDOW = 10;
const RECORDS = 1_500;
const topicOf = (n: number): string => `r/${String(n).padStart(5, '0')}`;
const topics = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => topicOf(from + i));

/** One PUBLISH that came. */
interface Told {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly messageId: number;
}

describe.each([
  ['3.1.1', 4],
  ['5', 5],
] as const)('version %s', (_name, version) => {
  let house: MqttHouse;
  let store: GateStore;
  let lastId = 0;

  const start = async (options: HouseOptions = {}): Promise<void> => {
    house = await MqttHouse.start({ store, limits: { outgoingWindow: WINDOW }, ...options });
  };
  beforeEach(async () => {
    store = new GateStore();
    await start();
  });
  afterEach(() => house.stop());

  const restart = async (options: HouseOptions = {}): Promise<void> => {
    await house.stop();
    await start(options);
  };

  const connect = (clientId: string, options: object = {}): Promise<MqttWire> =>
    MqttWire.connected(house.port, clientId, { protocolVersion: version, ...options });
  const durable = (clientId = 'durable'): Promise<MqttWire> =>
    connect(clientId, { clean: false, ...(version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {}) });

  async function fill(from: number, to: number, qos: 0 | 1 | 2 = 1, text = 'old'): Promise<void> {
    const other = house.other();
    for (let n = from; n < to; n++) await other.set(topicOf(n), text, { qos });
  }

  const publishes = (packets: readonly MqttPacket[]): Told[] => packets.filter(({ cmd }) => cmd === 'publish') as unknown as Told[];

  /** That many PUBLISH packets more; no other packets are looked at. */
  async function take(wire: MqttWire, count: number): Promise<Told[]> {
    await wire.until(() => publishes(wire.unseen()).length >= count, `${count} publications`);
    return publishes(wire.rest());
  }

  /** Takes and acknowledges what comes until there were so many. */
  async function takeAll(wire: MqttWire, count: number): Promise<Told[]> {
    const told: Told[] = [];
    let answered = 0;
    while (told.length < count) {
      await wire.until(() => wire.unseen().length > 0, `${count - told.length} more publications`);
      for (const packet of wire.rest()) {
        const { cmd, qos, messageId } = packet as unknown as Told & { cmd: string };
        if (cmd === 'pubrel') wire.send({ cmd: 'pubcomp', messageId });
        if (cmd !== 'publish') continue;
        told.push(packet as unknown as Told);
        if (qos === 1) wire.send({ cmd: 'puback', messageId });
        if (qos === 2) wire.send({ cmd: 'pubrec', messageId });
        answered += 1;
      }
    }
    expect(answered).toBe(count);
    return told;
  }

  const subscribe = (wire: MqttWire, filter: string, qos: number): Promise<MqttPacket> => {
    lastId += 1;
    return wire.subscribe(filter, qos, lastId);
  };

  async function lose(wire: MqttWire): Promise<void> {
    const sessions = (): number => house.counters.gauges.get('sessions')?.read() as number;
    const before = sessions();
    await wire.drop();
    await until('the session is gone', () => sessions() < before);
  }

  const queued = (): number => house.counters.gauges.get('queued_messages')?.read() as number;
  /** Every exchange is finished. */
  const emptied = (wire: MqttWire): Promise<void> =>
    until('the queue is empty', () => {
      for (const { cmd, messageId } of wire.rest()) if (cmd === 'pubrel') wire.send({ cmd: 'pubcomp', messageId });
      return queued() === 0;
    });
  const remainders = (): number => store.dump().filter(([key, value]) => isRemainder(key, value as Uint8Array)).length;
  const names = (told: readonly Told[]): string[] => told.map(({ topic }) => topic);

  describe('that nobody takes', () => {
    it.each([true, false])('hold no scan open after their time, and go on where they were (durable %s)', async (isDurable) => {
      await fill(0, RECORDS);
      const wire = isDurable ? await durable() : await connect('passing');
      await subscribe(wire, 'r/#', 1);
      await subscribe(wire, 'r/+', 1);
      const sent = await take(wire, WINDOW);
      await until('the scans are read', () => store.openScans > 0);
      // The streams are looked at once a second, and a client of version 5 may be silent for 90 s.
      let polls = 0;
      await until('the scans are closed', () => {
        if (polls++ % 100 === 0) house.clock.mono += 11_000;
        return store.openScans === 0;
      });
      await house.other().set(topicOf(RECORDS - 1), 'new', { qos: 1 });
      for (const { messageId } of sent) wire.send({ cmd: 'puback', messageId });
      const told = await takeAll(wire, 2 * RECORDS - WINDOW - 2 + 1);
      const wanted = topics(0, RECORDS - 1);
      expect(names([...sent, ...told])).toEqual([...wanted, ...wanted, topicOf(RECORDS - 1)]);
      expect(told.at(-1)).toMatchObject({ retain: false });
      await emptied(wire);
    });
  });

  it.each([true, false])(
    'that nobody wants any more do not come, also if that is said before they are there (durable %s)',
    async (isDurable) => {
      await fill(0, 100);
      const wire = isDurable ? await durable() : await connect('hasty');
      const subscriptions = version === 5 ? [{ topic: 'r/#', qos: 1, rh: 0 }] : [{ topic: 'r/#', qos: 1 }];
      wire.send({ cmd: 'subscribe', messageId: 8, subscriptions }, { cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['r/#'] });
      await wire.answer('unsuback', 9);
      expect(publishes(await wire.settled())).toEqual([]);
      expect(remainders()).toBe(0);
      expect(store.openScans).toBe(0);
    },
  );

  describe('of a durable session', () => {
    it.each([1, 2] as const)('at QoS %i what was not acknowledged is sent again under the same ids, and the rest follows', async (qos) => {
      await fill(0, 30, qos);
      const first = await durable();
      await subscribe(first, 'r/+', qos);
      const sent = await take(first, WINDOW);
      expect(sent.map(({ topic, qos: level, retain, dup }) => [topic, level, retain, dup])).toEqual(
        topics(0, WINDOW).map((topic) => [topic, qos, true, false]),
      );
      await lose(first);
      const second = await durable();
      const again = await take(second, WINDOW);
      expect(again).toMatchObject(sent.map(({ topic, messageId }) => ({ topic, messageId, retain: true, dup: true })));
      for (const { messageId } of again) second.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId });
      if (qos === 2) for (const { messageId } of again) second.send({ cmd: 'pubcomp', messageId });
      const rest = await takeAll(second, 20);
      expect(names(rest)).toEqual(topics(WINDOW, 30));
      expect(rest.every(({ retain, dup }) => retain && !dup)).toBe(true);
    });

    it.each([1, 2] as const)('at QoS %i survive the end of the gateway', async (qos) => {
      await fill(0, 25, qos);
      const first = await durable();
      await subscribe(first, 'r/#', qos);
      const sent = await take(first, WINDOW);
      await restart();
      const second = await durable();
      const told = await takeAll(second, 25);
      expect(told.slice(0, WINDOW)).toMatchObject(sent.map(({ topic, messageId }) => ({ topic, messageId, dup: true })));
      expect(names(told)).toEqual(topics(0, 25));
      await emptied(second);
      await restart();
      expect(publishes(await (await durable()).settled())).toEqual([]);
      expect(remainders()).toBe(0);
    });

    it('go on where they were when another connection takes over', async () => {
      await fill(0, 30);
      const first = await durable();
      await subscribe(first, '#', 1);
      const sent = await take(first, WINDOW);
      for (const { messageId } of sent.slice(0, 4)) first.send({ cmd: 'puback', messageId });
      await take(first, 4);
      const second = await durable();
      await first.closed();
      const told = await takeAll(second, 26);
      expect(names(told)).toEqual(topics(4, 30));
      expect(told.map(({ dup }) => dup)).toEqual(Array.from({ length: 26 }, (_, i) => i < WINDOW));
      await emptied(second);
    });

    it('of an exact filter are kept, too', async () => {
      await fill(0, 3, 2);
      const first = await durable();
      for (const n of [0, 1, 7]) await subscribe(first, topicOf(n), 2);
      const sent = await take(first, 2);
      await lose(first);
      const second = await durable();
      expect(await take(second, 2)).toMatchObject(
        sent.map(({ topic, messageId }) => ({ topic, messageId, qos: 2, dup: true, retain: true })),
      );
      for (const { messageId } of sent) second.send({ cmd: 'pubrec', messageId }, { cmd: 'pubcomp', messageId });
      await emptied(second);
      expect(remainders()).toBe(0);
    });

    it('come before what happened meanwhile, on every connection', async () => {
      await fill(0, 30);
      const first = await durable();
      await subscribe(first, 'before', 1);
      await house.other().emit('before', 'x', { qos: 1 });
      await subscribe(first, 'r/#', 1);
      expect(names(await take(first, WINDOW))).toEqual(['before', ...topics(0, WINDOW - 1)]);
      for (const n of [2, 29, 40]) await house.other().set(topicOf(n), 'new', { qos: 1 });
      await lose(first);
      const second = await durable();
      // What is not queued yet and has changed is news alone.
      const told = await takeAll(second, 1 + 29 + 3);
      expect(told.map(({ topic, payload }) => `${topic}=${payload.toString()}`)).toEqual([
        'before=x',
        ...topics(0, 29).map((topic) => `${topic}=old`),
        ...[2, 29, 40].map((n) => `${topicOf(n)}=new`),
      ]);
      expect(told.map(({ retain }) => retain)).toEqual([false, ...topics(0, 29).map(() => true), false, false, false]);
      await emptied(second);
    });

    it('of several filters follow each other over a restart', async () => {
      await fill(0, 40);
      const first = await durable();
      await subscribe(first, '+/00001', 1);
      await subscribe(first, 'r/+', 1);
      await subscribe(first, 'r/#', 2);
      await subscribe(first, topicOf(3), 1);
      await take(first, WINDOW);
      await restart();
      const second = await durable();
      const told = await takeAll(second, 1 + 40 + 40 + 1);
      expect(names(told)).toEqual([topicOf(1), ...topics(0, 40), ...topics(0, 40), topicOf(3)]);
      await emptied(second);
    });

    it('are not lost when they cannot be read on another connection, and neither is their filter', async () => {
      await fill(0, 30);
      const first = await durable();
      await subscribe(first, 'r/#', 1);
      await take(first, WINDOW);
      await lose(first);
      store.scanFailure = new StoreFailure('the disk is gone');
      await (await durable()).closed();
      store.scanFailure = null;
      const second = await durable();
      expect(names(await takeAll(second, 30))).toEqual(topics(0, 30));
      await house.other().set(topicOf(7), 'new', { qos: 1 });
      expect(names(await takeAll(second, 1))).toEqual([topicOf(7)]);
      await emptied(second);
    });

    it('end with UNSUBSCRIBE, but for what was sent', async () => {
      await fill(0, 30);
      const first = await durable();
      await subscribe(first, 'r/#', 1);
      const sent = await take(first, WINDOW);
      first.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['r/#'] });
      await first.answer('unsuback', 9);
      for (const { messageId } of sent.slice(0, 5)) first.send({ cmd: 'puback', messageId });
      expect(publishes(await first.settled())).toEqual([]);
      await lose(first);
      const second = await durable();
      expect(names(await takeAll(second, 5))).toEqual(topics(5, WINDOW));
      await emptied(second);
    });

    it('begin again with every SUBSCRIBE to the filter', async () => {
      await fill(0, 30);
      const first = await durable();
      await subscribe(first, 'r/#', 1);
      await take(first, WINDOW);
      await subscribe(first, 'r/#', 1);
      await lose(first);
      const second = await durable();
      const told = await takeAll(second, WINDOW + 30);
      expect(names(told)).toEqual([...topics(0, WINDOW), ...topics(0, 30)]);
      await emptied(second);
    });

    it('of QoS 0 among them are sent in their place', async () => {
      await fill(0, 5, 1);
      await fill(5, 10, 0);
      await fill(10, 20, 2);
      await fill(20, 600, 0);
      const wire = await durable();
      await subscribe(wire, 'r/#', 2);
      const told = await takeAll(wire, 600);
      expect(names(told)).toEqual(topics(0, 600));
      expect(told.filter(({ qos }) => qos === 0)).toHaveLength(585);
      await emptied(wire);
    });

    it.each([1, 2] as const)(
      '[MQTT-4.3.3-1] [MQTT5-4.3.3-6] [MQTT5-4.4.0-1] at QoS %i do not bring what another filter has brought meanwhile',
      async (qos) => {
        await fill(0, 3, 0);
        const wire = await durable();
        await subscribe(wire, 'r/live', qos);
        store.scansHeld = true;
        wire.send({ cmd: 'subscribe', messageId: 9, subscriptions: [{ topic: 'r/+', qos }] });
        await until('they are read', () => store.reading > 0);
        await house.other().emit('r/live', 'x', { qos });
        store.releaseScans();
        const told = await take(wire, 4);
        expect(names(told).sort()).toEqual([...topics(0, 3), 'r/live']);
        const { messageId } = told.find(({ topic }) => topic === 'r/live') as Told;
        if (qos === 2) {
          wire.send({ cmd: 'pubrec', messageId });
          await wire.answer('pubrel', messageId);
        }
        // What the client says now is not executed before the batch is written.
        store.held = true;
        const batch = house.other().set('other', 'x');
        await until('a batch is being written', () => store.isWriting);
        wire.send({ cmd: qos === 1 ? 'puback' : 'pubcomp', messageId });
        expect(publishes(await wire.settled())).toEqual([]);
        store.release();
        await batch;
        await emptied(wire);
        await house.other().emit('r/live', 'y', { qos });
        expect(names(await take(wire, 1))).toEqual(['r/live']);
      },
    );

    it('are no more in the queue at a time than may be unacknowledged', async () => {
      await fill(0, RECORDS);
      const wire = await durable();
      await subscribe(wire, 'r/#', 1);
      await take(wire, WINDOW);
      expect(queued()).toBe(WINDOW);
      let most = 0;
      const watch = setInterval(() => (most = Math.max(most, queued())), 1);
      for (const { messageId } of publishes(wire.packets)) wire.send({ cmd: 'puback', messageId });
      expect(names(await takeAll(wire, RECORDS - WINDOW))).toEqual(topics(WINDOW, RECORDS));
      clearInterval(watch);
      expect(most).toBeLessThanOrEqual(WINDOW);
      await emptied(wire);
    });

    it('come although the queue is full of what happened meanwhile', async () => {
      await restart({ queue: { maxMessages: 5, maxBytes: 10_000, maxAgeMs: 1_000_000, overflow: 'newest', maxSessions: 100 } });
      await fill(0, 20);
      const wire = await durable();
      await subscribe(wire, 'live', 1);
      await house.other().emit('live', 'before', { qos: 1 });
      await take(wire, 1);
      await subscribe(wire, 'r/#', 1);
      for (let n = 0; n < 20; n++) await house.other().emit('live', `${n}`, { qos: 1 });
      await lose(wire);
      const told = await takeAll(await durable(), 1 + 20);
      expect(names(told)).toEqual(['live', ...topics(0, 20)]);
    });
  });
});

/** A subscription of which initial values are still to be handed out: section s, the flag in its second byte. */
function isRemainder(key: string, value: Uint8Array): boolean {
  return key.startsWith('s') && key.includes('/') && ((value[1] as number) & 4) !== 0;
}
