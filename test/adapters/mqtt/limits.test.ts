// Limits of what one client may send, each filled to one more. Those of connections are in listeners.test.ts.

import { afterEach, describe, expect, it, vi } from 'vitest';
import { QUEUE_LIMITS } from '../../../src/core/durable/durable-session.js';
import { until } from '../../support/gateway-process.js';
import { encode, type HouseOptions, MqttHouse, MqttWire } from '../../support/mqtt-wire.js';

let house: MqttHouse;
let ticking: NodeJS.Timeout | null = null;

afterEach(async () => {
  if (ticking !== null) clearInterval(ticking);
  ticking = null;
  vi.useRealTimers();
  await house.stop();
});

async function start(limits: NonNullable<HouseOptions['limits']>): Promise<void> {
  house = await MqttHouse.start({ limits });
}

const TICK_MS = 5;

/** As the clock of the house, timers stand still from now on, however long the real time of the test is. */
function stand(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
}

/** Both go. */
function tick(): void {
  ticking = setInterval(() => {
    house.clock.mono += TICK_MS;
    vi.advanceTimersByTime(TICK_MS);
  }, TICK_MS);
}

const counter = (name: string): number => house.counters.counters.get(name)?.value ?? 0;
const client = (clientId: string, options: object = {}): Promise<MqttWire> => MqttWire.connected(house.port, clientId, options);
const heard = (wire: MqttWire): number => wire.packets.filter(({ cmd }) => cmd === 'publish').length;

const VERSIONS = [3, 4, 5];
const CONNECT = { cmd: 'connect', clean: true, keepalive: 0 };
const connectAs = (version: number, clientId: string): Buffer =>
  encode({ ...CONNECT, protocolId: version === 3 ? 'MQIsdp' : 'MQTT', protocolVersion: version, clientId }, version);

describe('the length of a client id', () => {
  it.each([
    [4, 'ä'.repeat(20), 0],
    [4, `${'ä'.repeat(20)}x`, 2],
    [5, 'ä'.repeat(20), 0],
    [5, `${'ä'.repeat(20)}x`, 0x85],
    [3, 'x'.repeat(23), 0],
    [3, 'x'.repeat(24), 2],
  ])('in version %i is judged: %s', async (version, clientId, code) => {
    await start({ maxClientIdBytes: 40 });
    const wire = await MqttWire.open(house.port, version);
    wire.bytes(connectAs(version, clientId));
    const { returnCode, reasonCode } = await wire.expect('connack');
    expect(version === 5 ? reasonCode : returnCode).toBe(code);
    if (code !== 0) await wire.closed();
  });
});

describe.each(VERSIONS)('the rate of messages in version %i', (version) => {
  it('is kept by reading more slowly: nothing is lost, nobody else waits', async () => {
    await start({ maxPublishesPerSecond: 20 });
    const reader = await client('reader');
    await reader.subscribe('t');
    const wire = await MqttWire.open(house.port, version);
    wire.bytes(connectAs(version, 'writer'));
    await wire.expect('connack');
    stand();
    for (let i = 0; i < 30; i++)
      wire.bytes(encode({ cmd: 'publish', topic: 't', payload: `${i}`, qos: 0, retain: false, dup: false }, version));
    // The clock stands still: what a second brings, and the one that is over it.
    await reader.until(() => heard(reader) === 21, 'what is let through');
    expect(await reader.settled()).toHaveLength(21);
    expect(counter('mqtt_slowed_total')).toBe(1);
    const other = await client('other');
    other.publish('t', 'other');
    await reader.until(() => heard(reader) === 22, 'the other client');
    tick();
    await reader.until(() => heard(reader) === 31, 'the rest');
    const texts = reader.packets.filter(({ cmd }) => cmd === 'publish').map(({ payload }) => String(payload));
    expect(texts.filter((text) => text !== 'other')).toEqual(Array.from({ length: 30 }, (_, i) => `${i}`));
    expect(house.lines.filter(({ text }) => text.includes('publishes faster than allowed'))).toHaveLength(1);
  });
});

describe.each([4, 5])('the number of durable sessions in version %i', (version) => {
  it('is bounded: a CONNECT that asks for one more is refused, and leaves no will', async () => {
    house = await MqttHouse.start({ queue: { ...QUEUE_LIMITS, maxSessions: 1 } });
    const connect = async (clientId: string, options: object): Promise<MqttWire> => {
      const wire = await MqttWire.open(house.port, version);
      wire.bytes(encode({ ...CONNECT, protocolId: 'MQTT', protocolVersion: version, clientId, ...options }, version));
      return wire;
    };
    const kept = { clean: false, ...(version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {}) };
    const codeOf = async (wire: MqttWire): Promise<unknown> => {
      const { returnCode, reasonCode } = await wire.expect('connack');
      return version === 5 ? reasonCode : returnCode;
    };
    expect(await codeOf(await connect('a', kept))).toBe(0);
    const refused = await connect('b', { ...kept, will: { topic: 'status', payload: Buffer.from('gone'), qos: 0, retain: true } });
    expect(await codeOf(refused)).toBe(version === 5 ? 0x97 : 3);
    await refused.closed();
    expect(await codeOf(await connect('c', {}))).toBe(0);
    expect((await house.other().get('status')).entry).toBeNull();
    expect(await codeOf(await connect('a', kept))).toBe(0);
  });
});

describe('the rate of bytes', () => {
  it('is kept in the same way, whatever the size of a message', async () => {
    await start({ maxPublishBytesPerSecond: 100_000 });
    const [reader, writer] = [await client('reader'), await client('writer')];
    await reader.subscribe('t');
    stand();
    for (let i = 0; i < 4; i++) writer.publish('t', 'x'.repeat(60_000));
    await reader.until(() => heard(reader) === 2, 'what is let through');
    expect(await reader.settled()).toHaveLength(2);
    tick();
    await reader.until(() => heard(reader) === 4, 'the rest');
  });

  it('makes nobody silent who is not read', async () => {
    await start({ maxPublishBytesPerSecond: 1_000 });
    const writer = await client('writer', { keepalive: 1 });
    writer.publish('t', 'x'.repeat(5_000));
    await until('it is slowed', () => counter('mqtt_slowed_total') === 1);
    house.clock.mono = 3_000;
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(writer.ended).toBe(false);
    // Read again, it has one and a half times its keep alive.
    house.clock.mono = 3_500;
    await until('it is silent', () => {
      house.clock.mono += 100;
      return writer.ended;
    });
  });

  it('ends with the connection', async () => {
    await start({ maxPublishBytesPerSecond: 1 });
    const writer = await client('writer');
    writer.publish('t', 'x');
    await until('it is slowed', () => counter('mqtt_slowed_total') === 1);
    await writer.drop();
    await until('it is gone', () => house.adapter.clients.admission.open === 0);
  });
});

/** Resolves when a figure stays what it is. */
async function settled(read: () => number): Promise<void> {
  let last = read();
  let same = 0;
  await until('a figure that stays', () => {
    same = read() === last ? same + 1 : 0;
    last = read();
    return same > 20;
  });
}

describe('what comes before the CONNACK', () => {
  it('is not collected without limit', async () => {
    await start({});
    house.store.held = true;
    const wire = await MqttWire.open(house.port);
    // A session that is kept has to be stored first.
    wire.send({ ...CONNECT, protocolId: 'MQTT', protocolVersion: 4, clientId: 'early', clean: false });
    const publish = encode({ cmd: 'publish', topic: 't', payload: 'x'.repeat(100_000), qos: 0, retain: false, dup: false });
    wire.bytes(Buffer.concat(Array<Buffer>(400).fill(publish)));
    await settled(() => wire.socket.writableLength);
    expect(wire.socket.writableLength).toBeGreaterThan(20_000_000);
    house.store.release();
    await wire.expect('connack');
    await until('all is read', () => wire.socket.writableLength === 0);
    expect(await wire.settled()).toEqual([]);
  });
});

describe('answers that are not read', () => {
  it('B2 end the connection after ten seconds when there are many', async () => {
    await start({});
    const wire = await client('asks', { protocolVersion: 5 });
    const [session] = house.engine.sessions();
    wire.socket.pause();
    const pings = Buffer.concat(Array<Buffer>(64 * 1024).fill(encode({ cmd: 'pingreq' }, 5)));
    await until('nothing of many is read any more', () => {
      if (wire.socket.writableLength === 0) wire.bytes(pings);
      return (session?.bufferedBytes ?? 0) > 9 * 1024 * 1024;
    });
    house.clock.mono += 9_000;
    expect(counter('slow_consumers_closed_total')).toBe(0);
    house.clock.mono += 2_000;
    await until('it is ended', () => counter('slow_consumers_closed_total') === 1);
    expect(counter(`connections_ended_total{protocol="mqtt",code="SLOW_CONSUMER"}`)).toBe(1);
    wire.socket.destroy();
  });
});

describe.each([4, 5])('a packet that names filters, in version %i', (version) => {
  it.each(['subscribe', 'unsubscribe'])('B8 names at most 4,096 of them: %s', async (cmd) => {
    await start({});
    const names = (count: number): object => {
      const filters = Array.from({ length: count }, (_, n) => `t/${n}`);
      const named = cmd === 'subscribe' ? { subscriptions: filters.map((topic) => ({ topic, qos: 0 })) } : { unsubscriptions: filters };
      return { cmd, messageId: 7, ...named };
    };
    const wire = await MqttWire.open(house.port, version);
    wire.bytes(connectAs(version, 'names'));
    await wire.expect('connack');
    wire.send(names(4_096));
    await wire.expect(cmd === 'subscribe' ? 'suback' : 'unsuback');
    wire.send(names(4_097));
    await wire.closed();
    expect(counter('connections_ended_total{protocol="mqtt",code="FRAME_TOO_LARGE"}')).toBe(1);
  });
});

describe.each([4, 5])('sessions that are kept, in version %i', (version) => {
  it('B3 are so many: who needs a further one is refused, with a will as without, and leaves nothing', async () => {
    house = await MqttHouse.start({ queue: { ...QUEUE_LIMITS, maxSessions: 1 } });
    const hearer = await client('hearer');
    await hearer.subscribe('w');
    const enter = async (clientId: string, more: object = {}): Promise<unknown> => {
      const properties = version === 5 ? { properties: { sessionExpiryInterval: 60 } } : {};
      const wire = await MqttWire.open(house.port, version);
      wire.bytes(
        encode({ ...CONNECT, protocolId: 'MQTT', protocolVersion: version, clientId, clean: false, ...properties, ...more }, version),
      );
      const { returnCode, reasonCode } = await wire.expect('connack');
      return version === 5 ? reasonCode : returnCode;
    };
    const refusal = version === 5 ? 0x97 : 3;
    expect(await enter('a')).toBe(0);
    expect(await enter('b')).toBe(refusal);
    expect(await enter('c', { will: { topic: 'w', payload: Buffer.from('x'), qos: 0, retain: false } })).toBe(refusal);
    expect(await enter('a')).toBe(0);
    expect(counter('durable_sessions_refused_total')).toBe(2);
    expect(await hearer.settled()).toEqual([]);
  });
});
