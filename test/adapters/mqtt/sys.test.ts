// $SYS: what it says, to whom, when, and that nothing else can be there.

import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { type Snapshot, SysFigures } from '../../../src/adapters/mqtt/sys-figures.js';
import { WireCounts } from '../../../src/adapters/mqtt/wire-counts.js';
import { Counters, type GatewayFigures } from '../../../src/core/index.js';
import { until } from '../../support/gateway-process.js';
import { MqttHouse } from '../../support/mqtt-wire.js';

let house: MqttHouse;
afterEach(async () => await house?.stop());

interface Heard {
  readonly topic: string;
  readonly value: string;
  readonly retain: boolean;
  readonly qos: number;
}

class Reader {
  readonly heard: Heard[] = [];

  private constructor(readonly client: MqttClient) {
    client.on('message', (topic, payload, { retain, qos }) => void this.heard.push({ topic, value: String(payload), retain, qos }));
  }

  static async connect(version: 4 | 5, options: IClientOptions = {}): Promise<Reader> {
    const client = await connectAsync({ host: '127.0.0.1', port: house.port, protocolVersion: version, reconnectPeriod: 0, ...options });
    onTestFinished(async () => await client.endAsync(true));
    return new Reader(client);
  }

  /** The last value of a topic below $SYS/broker. */
  value(name: string): string | undefined {
    return this.heard.findLast(({ topic }) => topic === `$SYS/broker/${name}`)?.value;
  }

  /** Everything that was to come by now has come. */
  async served(): Promise<void> {
    const { client } = this;
    await client.subscribeAsync(`fence/${client.options.clientId}`);
    await client.publishAsync(`fence/${client.options.clientId}`, 'x', { qos: 1 });
  }
}

describe.each([4, 5] as const)('a client of level %i', (version) => {
  it('gets the values of all topics of its filter when it subscribes, retained, and then those that change', async () => {
    house = await MqttHouse.start({ sysIntervalMs: 50 });
    const reader = await Reader.connect(version);
    await reader.client.subscribeAsync('$SYS/#', { qos: 1 });
    await until('the retained values', () => reader.value('version') !== undefined);
    expect(reader.value('version')).toBe('trivium version 0');
    const first = reader.heard.filter(({ retain }) => retain);
    expect(new Set(first.map(({ topic }) => topic)).size).toBe(first.length);
    expect(first.every(({ topic, qos }) => topic.startsWith('$SYS/broker/') && qos === 0)).toBe(true);
    await reader.client.publishAsync('x', 'y', { qos: 1, retain: true });
    await until('the new count', () => reader.value('retained messages/count') === '1');
    const live = reader.heard.slice(first.length);
    expect(live.every(({ retain }) => !retain)).toBe(true);
    // The version never changes: it came once.
    expect(reader.heard.filter(({ topic }) => topic === '$SYS/broker/version')).toHaveLength(1);
  });

  it('gets what its filters match, once, and nothing by filters that begin with a wildcard', async () => {
    house = await MqttHouse.start({ sysIntervalMs: 50 });
    const reader = await Reader.connect(version);
    for (const filter of ['#', '+/broker/version', '+/#']) await reader.client.subscribeAsync(filter);
    await reader.client.subscribeAsync(['$SYS/broker/clients/+', '$SYS/broker/uptime']);
    await until('both', () => reader.value('clients/total') !== undefined && reader.value('uptime') !== undefined);
    await reader.served();
    const topics = new Set(reader.heard.map(({ topic }) => topic).filter((topic) => topic.startsWith('$')));
    const clients = ['connected', 'disconnected', 'expired', 'maximum', 'total'].map((name) => `$SYS/broker/clients/${name}`);
    expect([...topics].sort()).toEqual([...clients, '$SYS/broker/uptime'].sort());
    await reader.client.unsubscribeAsync(['$SYS/broker/clients/+', '$SYS/broker/uptime']);
    reader.heard.length = 0;
    const other = await Reader.connect(version);
    await other.client.subscribeAsync('$SYS/broker/clients/connected');
    await until('the other sees itself', () => other.value('clients/connected') === '2');
    await reader.served();
    expect(reader.heard.filter(({ topic }) => topic.startsWith('$'))).toEqual([]);
  });

  it('keeps its filter below $SYS over a loss of its connection', async () => {
    house = await MqttHouse.start({ sysIntervalMs: 50 });
    const session: IClientOptions = {
      clientId: 'kept',
      clean: false,
      ...(version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {}),
    };
    const before = await Reader.connect(version, session);
    await before.client.subscribeAsync('$SYS/broker/clients/#');
    await before.client.endAsync(true);
    const other = await Reader.connect(version);
    await other.client.subscribeAsync('$SYS/broker/clients/#');
    const values = (): string => ['disconnected', 'total', 'connected', 'maximum'].map((name) => other.value(`clients/${name}`)).join();
    await until('one is away', () => values() === '1,2,1,1');
    const after = await Reader.connect(version, session);
    await until('changes are heard again', () => after.value('clients/maximum') === '2');
  });

  it('that is no administrator is refused', async () => {
    house = await MqttHouse.start({ sysIntervalMs: 50, isAdministrator: ({ name }) => name === 'admin' });
    const reader = await Reader.connect(version);
    await expect(reader.client.subscribeAsync('$SYS/#')).rejects.toThrow();
    await reader.client.subscribeAsync('ordinary');
    await reader.served();
    expect(reader.heard.filter(({ topic }) => topic.startsWith('$'))).toEqual([]);
  });

  it('hears nothing that others put there', async () => {
    house = await MqttHouse.start({ sysIntervalMs: 0 });
    const reader = await Reader.connect(version);
    const other = house.other();
    await other.set('$SYS/broker/version', 'forged');
    await reader.client.subscribeAsync('$SYS/#', { qos: 2 });
    await other.set('$SYS/broker/uptime', 'forged');
    await other.emit('$SYS/broker/uptime', 'forged', { qos: 1 });
    await reader.served();
    expect(reader.heard.filter(({ topic }) => topic.startsWith('$'))).toEqual([]);
  });
});

describe('MQTT 5', () => {
  it('retain handling, retain as published and subscription identifiers mean here what they mean elsewhere', async () => {
    house = await MqttHouse.start({ sysIntervalMs: 50 });
    const reader = await Reader.connect(5);
    const packets: { topic: string; retain: boolean; id: unknown }[] = [];
    reader.client.on('message', (topic, _payload, { retain, properties }) => {
      packets.push({ topic, retain, id: properties?.subscriptionIdentifier });
    });
    const topic = '$SYS/broker/messages/received';
    await reader.client.subscribeAsync(topic, { qos: 0, rap: true, rh: 2, properties: { subscriptionIdentifier: 7 } });
    await until('a change', () => packets.length > 0);
    expect(packets[0]).toEqual({ topic, retain: true, id: 7 });
    // Nothing retained came first: what came is newer than the subscription.
    expect(Number(reader.heard[0]?.value)).toBeGreaterThanOrEqual(2);
    await expect(reader.client.subscribeAsync('$share/g/$SYS/#')).rejects.toThrow();
  });
});

describe('the figures', () => {
  it('D12 count what happens, and hold no client id and no filter', async () => {
    house = await MqttHouse.start({ sysIntervalMs: 50 });
    const writer = await Reader.connect(4, { clientId: 'secret-id', username: 'secret-user', password: 'secret' });
    await writer.client.subscribeAsync('secret/filter');
    await writer.client.publishAsync('secret/filter', 'payload', { qos: 1, retain: true });
    const reader = await Reader.connect(5);
    await reader.client.subscribeAsync('$SYS/#');
    await until('all is counted', () => reader.value('publish/messages/received') === '1' && reader.value('subscriptions/count') === '2');
    expect(reader.value('store/messages/count')).toBe('1');
    expect(reader.value('store/messages/bytes')).toBe('7');
    expect(reader.value('trivium/mqtt/sessions')).toBe('2');
    expect(Number(reader.value('bytes/received'))).toBeGreaterThan(50);
    expect(Number(reader.value('heap/current'))).toBeGreaterThan(1_000_000);
    expect(reader.value('uptime')).toMatch(/^\d+ seconds$/);
    expect(JSON.stringify(reader.heard)).not.toContain('secret');
  });

  it('are none at all with an interval of 0', async () => {
    house = await MqttHouse.start({ sysIntervalMs: 0 });
    const reader = await Reader.connect(4);
    await reader.client.subscribeAsync('$SYS/#');
    await reader.served();
    expect(reader.heard.filter(({ topic }) => topic.startsWith('$'))).toEqual([]);
  });

  it('are skipped for a reader that does not read, and counted', async () => {
    house = await MqttHouse.start({ sysIntervalMs: 20 });
    const reader = await Reader.connect(4);
    await reader.client.subscribeAsync(['$SYS/#', 'big']);
    await until('it hears', () => reader.heard.length > 0);
    reader.client.stream.pause();
    const other = house.other();
    const skipped = (): number => house.counters.counters.get('mqtt_system_skipped_total')?.value ?? 0;
    await until('values are skipped', async () => {
      await other.emit('big', 'x'.repeat(200_000), { qos: 0 });
      return skipped() > 0;
    });
    reader.client.stream.resume();
  });
});

describe('loads', () => {
  const figures: GatewayFigures = {
    ...{ records: 0, recordBytes: 0, messages: 0, messageBytes: 0, queued: 0, queuedBytes: 0, subscriptions: 0 },
    ...{ durableSessions: 0, durableAway: 0, durableExpired: 0, dropped: 0, unsettled: 0, eventLoopDelayMs: 0 },
    protocols: new Map([['haven', { sessions: 1, requests: 600 }]]),
  };

  it('are events a minute, averaged over 1, 5 and 15 minutes', () => {
    const counts = new WireCounts(new Counters());
    const snapshot = (monotonic: number): Snapshot => ({
      node: { id: 'n', name: 'n', version: '1', startedAt: 0 },
      ...{ figures, counts, heapBytes: 1, now: monotonic, monotonic },
    });
    const table = new SysFigures(0);
    counts.receivedPublishes.add(60);
    let values = table.read(snapshot(60_000));
    const load = (name: string): string | undefined => values.get(`$SYS/broker/load/${name}`);
    // 60 in the first minute: 1 - e^-1, 1 - e^-1/5 and 1 - e^-1/15 of them.
    expect([load('publish/received/1min'), load('publish/received/5min'), load('publish/received/15min')]).toEqual([
      '37.93',
      '10.88',
      '3.87',
    ]);
    expect(values.get('$SYS/broker/trivium/haven/load/requests/1min')).toBe('379.27');
    values = table.read(snapshot(120_000));
    expect(load('publish/received/1min')).toBe('13.95');
    for (let minute = 3; minute < 60; minute++) {
      counts.receivedPublishes.add(60);
      values = table.read(snapshot(minute * 60_000));
    }
    expect(load('publish/received/1min')).toBe('60.00');
    expect(Number(load('publish/received/15min'))).toBeGreaterThan(58);
  });
});
