import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { QUEUE_LIMITS } from '../../../src/core/durable/durable-session.js';
import { GateStore } from '../../support/core-harness.js';
import { until } from '../../support/gateway-process.js';
import { type HouseOptions, MqttHouse, type MqttPacket, MqttWire, shown } from '../../support/mqtt-wire.js';

let house: MqttHouse;
const houses: MqttHouse[] = [];

async function start(options: HouseOptions = {}): Promise<MqttHouse> {
  house = await MqttHouse.start(options);
  houses.push(house);
  return house;
}

beforeEach(async () => {
  await start();
});

afterEach(async () => {
  for (const one of houses.splice(0)) await one.stop();
});

const client = (clientId: string, options: object = {}): Promise<MqttWire> => MqttWire.connected(house.port, clientId, options);
const durable = (clientId: string): Promise<MqttWire> => client(clientId, { clean: false });

/** Drops the connection and waits until the gateway knows it. */
async function lose(wire: MqttWire): Promise<void> {
  const sessions = (): number => house.counters.gauges.get('sessions')?.read() as number;
  const before = sessions();
  await wire.drop();
  await until('the session is gone', () => sessions() < before);
}

/** PUBLISH packets as text, acknowledged as they ask for. */
function take(wire: MqttWire, packets: readonly MqttPacket[]): string[] {
  const published = packets.filter(({ cmd }) => cmd === 'publish');
  for (const { qos, messageId } of published) {
    if (qos === 1) wire.send({ cmd: 'puback', messageId });
    if (qos === 2) wire.send({ cmd: 'pubrec', messageId });
  }
  return published.map(shown);
}

async function published(wire: MqttWire): Promise<string[]> {
  return take(wire, await wire.settled());
}

/** Sends at QoS 1 and waits until it is acknowledged. */
async function publish(wire: MqttWire, topic: string, payload: string, options: object = {}): Promise<void> {
  wire.publish(topic, payload, { qos: 1, messageId: 77, ...options });
  await wire.answer('puback', 77);
}

describe('PUBLISH from a client', () => {
  it('at QoS 1 is acknowledged when it is stored, and not before', async () => {
    const a = await client('a');
    house.store.held = true;
    a.publish('r', 'x', { qos: 1, messageId: 5, retain: true });
    expect(await a.settled()).toEqual([]);
    house.store.release();
    expect(await a.expect('puback')).toMatchObject({ messageId: 5 });
  });

  it('is acknowledged in the order in which it came', async () => {
    const a = await client('a');
    house.store.held = true;
    a.publish('r', 'x', { qos: 1, messageId: 5, retain: true });
    a.publish('e', 'x', { qos: 1, messageId: 6 });
    a.publish('e', 'x', { qos: 2, messageId: 7 });
    expect(await a.settled()).toEqual([]);
    house.store.release();
    expect([(await a.next()).messageId, (await a.next()).messageId, (await a.next()).messageId]).toEqual([5, 6, 7]);
  });

  it('that the store refuses is not acknowledged: the connection ends', async () => {
    const a = await client('a');
    house.store.failure = new Error('full');
    a.publish('r', 'x', { qos: 1, messageId: 5, retain: true });
    await a.closed();
    expect(a.rest()).toEqual([]);
  });

  it('at QoS 2 is published once, however often it comes before its release', async () => {
    const [a, b] = await Promise.all([client('a'), client('b')]);
    await b.subscribe('t', 2);
    for (const dup of [false, true, true]) {
      a.publish('t', 'x', { qos: 2, messageId: 9, dup });
      expect(await a.expect('pubrec')).toMatchObject({ messageId: 9 });
    }
    a.send({ cmd: 'pubrel', messageId: 9 });
    expect(await a.expect('pubcomp')).toMatchObject({ messageId: 9 });
    expect(await published(b)).toEqual(['t=x/2']);
    a.publish('t', 'y', { qos: 2, messageId: 9 });
    await a.expect('pubrec');
    expect(await published(b)).toEqual(['t=y/2']);
  });

  it('at QoS 2 is remembered for a durable session that comes back', async () => {
    const b = await client('b');
    await b.subscribe('t', 1);
    const a = await durable('a');
    a.publish('t', 'x', { qos: 2, messageId: 9 });
    await a.expect('pubrec');
    await a.drop();
    const again = await durable('a');
    again.publish('t', 'x', { qos: 2, messageId: 9, dup: true });
    await again.expect('pubrec');
    again.send({ cmd: 'pubrel', messageId: 9 });
    await again.expect('pubcomp');
    expect(await published(b)).toEqual(['t=x/1']);
  });

  it('is answered with PUBCOMP when its release is unknown', async () => {
    const a = await client('a');
    a.send({ cmd: 'pubrel', messageId: 3 });
    expect(await a.expect('pubcomp')).toMatchObject({ messageId: 3 });
  });

  it('reaches its own subscription after it', async () => {
    const a = await client('a');
    a.send(
      { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't', qos: 0 }] },
      { cmd: 'publish', topic: 't', payload: 'x', qos: 0, retain: false, dup: false },
    );
    await a.expect('suback');
    expect(await published(a)).toEqual(['t=x/0']);
  });

  it('keeps the very bytes', async () => {
    const [a, b] = await Promise.all([client('a'), client('b')]);
    await b.subscribe('#', 0);
    const payload = Buffer.from([0, 255, 0xed, 0xa0, 0x80, 10, 13]);
    a.send({ cmd: 'publish', topic: 't', payload, qos: 0, retain: false, dup: false });
    expect((await b.expect('publish')).payload).toEqual(payload);
  });

  it('at QoS 0 goes on as it came, but with its length in the shortest form and without flags of its own', async () => {
    const [a, b] = await Promise.all([client('a'), client('b')]);
    await b.subscribe('t', 0);
    const heard: Buffer[] = [];
    b.socket.on('data', (chunk) => heard.push(chunk));
    const body = Buffer.from('\0\x01tbody');
    a.bytes(Buffer.concat([Buffer.of(0x30, body.length), body, Buffer.of(0x30, 0x80 | body.length, 0), body]));
    a.bytes(Buffer.concat([Buffer.of(0x31, body.length), body]));
    for (let n = 0; n < 3; n++) await b.expect('publish');
    const packet = Buffer.concat([Buffer.of(0x30, body.length), body]);
    expect(Buffer.concat(heard)).toEqual(Buffer.concat([packet, packet, packet]));
  });

  it.each(['$SYS', '$SYS/broker/uptime', '$share/g/t'])('to %s ends the connection', async (topic) => {
    const a = await client('a');
    a.publish(topic, 'x');
    await a.closed();
  });
});

describe('retained messages', () => {
  it('come after the SUBACK, in path order, at the lower of both levels', async () => {
    const [a, b] = await Promise.all([client('a'), client('b')]);
    await publish(a, 'r/2', 'two', { retain: true });
    a.publish('r/1', 'one', { retain: true });
    a.publish('r/3', 'three', { retain: true, qos: 2, messageId: 2 });
    await a.expect('pubrec');
    b.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'r/+', qos: 2 }] });
    expect((await b.expect('suback')).granted).toEqual([2]);
    expect(await published(b)).toEqual(['r/1=one/0r', 'r/2=two/1r', 'r/3=three/2r']);
    await b.expect('pubrel');
    await b.subscribe('r/2', 0);
    expect(await published(b)).toEqual(['r/2=two/0r']);
  });

  it('of several filters all come after the SUBACK, and live ones after them', async () => {
    const [a, b] = await Promise.all([client('a'), client('b')]);
    for (const topic of ['r/1', 'r/2']) await publish(a, topic, 'old', { retain: true });
    b.send({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [
        { topic: 'r/+', qos: 1 },
        { topic: 'r/2', qos: 1 },
        { topic: 'live', qos: 0 },
      ],
    });
    for (let i = 0; i < 20; i++) a.publish('live', `${i}`);
    await a.settled();
    await b.expect('suback');
    const seen = await published(b);
    expect(seen.slice(0, 3)).toEqual(['r/1=old/1r', 'r/2=old/1r', 'r/2=old/1r']);
    expect(seen.slice(3).every((text) => text.startsWith('live='))).toBe(true);
  });

  it('come again with every SUBSCRIBE', async () => {
    const a = await client('a');
    await publish(a, 'r', 'x', { retain: true });
    for (let i = 0; i < 2; i++) {
      await a.subscribe('r', 0);
      expect(await published(a)).toEqual(['r=x/0r']);
    }
    a.publish('r', 'y');
    expect(await published(a)).toEqual(['r=y/0']);
  });

  it('are removed by an empty one, which subscribers hear', async () => {
    const [a, b] = await Promise.all([client('a'), client('b')]);
    await publish(a, 'r', 'x', { retain: true });
    await b.subscribe('r', 1);
    await publish(a, 'r', '', { retain: true });
    await publish(a, 'r', '', { retain: true });
    expect(await published(b)).toEqual(['r=x/1r', 'r=/1', 'r=/1']);
    await b.subscribe('r', 1);
    expect(await published(b)).toEqual([]);
  });

  it('are the records of the other protocols', async () => {
    const [a, other] = [await client('a'), house.other()];
    await other.set('r/json', { n: 1 });
    await other.set('r/text', 'plain');
    await a.subscribe('r/#', 2);
    expect(await published(a)).toEqual(['r/json={"n":1}/1r', 'r/text=plain/1r']);
    await other.remove('r/text');
    expect(await published(a)).toEqual(['r/text=/1']);
    await publish(a, 'r/json', '{"n":2}', { retain: true });
    expect((await other.get('r/json')).entry?.payload.value()).toEqual({ n: 2 });
  });
});

describe('SUBSCRIBE', () => {
  it('makes one delivery of overlapping filters, at the highest level', async () => {
    const a = await client('a');
    for (const [filter, qos] of [
      ['t/#', 0],
      ['t/+', 2],
      ['t/x', 1],
    ] as const)
      await a.subscribe(filter, qos);
    a.publish('t/x', 'm', { qos: 2, messageId: 1 });
    await a.until(() => a.packets.some(({ cmd }) => cmd === 'publish'), 'publish');
    expect(await published(a)).toEqual(['t/x=m/2']);
  });

  it('replaces a filter that it repeats', async () => {
    const a = await client('a');
    await a.subscribe('t', 2);
    await a.subscribe('t', 0);
    await publish(a, 't', 'm');
    expect(await published(a)).toEqual(['t=m/0']);
    a.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['t'] });
    await a.expect('unsuback');
    await publish(a, 't', 'm');
    expect(await published(a)).toEqual([]);
    expect(house.counters.gauges.get('subscriptions')?.read()).toBe(0);
  });

  it('refuses filters above its limits one by one', async () => {
    await start({ limits: { maxSubscriptions: 2 } });
    const a = await client('a');
    const topics = ['a', 'b'.repeat(1_025), 'c', 'd'];
    a.send({ cmd: 'subscribe', messageId: 1, subscriptions: topics.map((topic) => ({ topic, qos: 1 })) });
    expect((await a.expect('suback')).granted).toEqual([1, 128, 1, 128]);
    expect((await a.subscribe('a', 0)).granted).toEqual([0]);
  });

  it('has one return code for each filter, also for those that stand twice', async () => {
    const a = await client('a');
    const subscriptions = [0, 1, 2, 0].map((qos, i) => ({ topic: ['t', 'u', 't', '$SYS/x'][i], qos }));
    a.send({ cmd: 'subscribe', messageId: 9, subscriptions });
    expect(await a.expect('suback')).toMatchObject({ messageId: 9, granted: [0, 1, 2, 0] });
    await publish(a, 't', 'm');
    expect(await published(a)).toEqual(['t=m/1']);
  });

  it('with a leading wildcard does not hear topics that begin with $', async () => {
    const a = await client('a');
    for (const filter of ['#', '+/x']) await a.subscribe(filter, 0);
    a.publish('$mine/x', 'm');
    a.publish('mine/x', 'm');
    expect(await published(a)).toEqual(['mine/x=m/0']);
    await a.subscribe('$mine/#', 0);
    a.publish('$mine/x', 'm');
    expect(await published(a)).toEqual(['$mine/x=m/0']);
  });
});

describe('deliveries at QoS 1 and 2', () => {
  it('stop at the window and go on with every acknowledgement', async () => {
    const [a, b] = await Promise.all([client('a'), client('b')]);
    await b.subscribe('t', 1);
    for (let i = 0; i < 150; i++) a.publish('t', `${i}`, { qos: 1, messageId: i + 1 });
    await a.until(() => a.packets.filter(({ cmd }) => cmd === 'puback').length === 150, 'all PUBACKs');
    const first = await b.settled();
    expect(first.length).toBe(100);
    expect(new Set(first.map(({ messageId }) => messageId)).size).toBe(100);
    for (const { messageId } of first.slice(0, 10)) b.send({ cmd: 'puback', messageId });
    expect((await b.settled()).map(shown)).toEqual(Array.from({ length: 10 }, (_, i) => `t=${100 + i}/1`));
    for (const { messageId } of first.slice(10)) b.send({ cmd: 'puback', messageId });
    expect((await b.settled()).length).toBe(40);
  });

  it('that wait for the window do not hold back what the client itself is owed', async () => {
    const [a, b] = await Promise.all([client('a'), client('b')]);
    await b.subscribe('t', 1);
    for (let i = 0; i < 150; i++) a.publish('t', `${i}`, { qos: 1, messageId: i + 1 });
    await b.until(() => b.packets.length >= 101, 'a full window');
    await publish(b, 'other', 'x');
  });

  it('that wait for the window keep back later ones of QoS 0', async () => {
    await start({ limits: { outgoingWindow: 2 } });
    const [a, b] = await Promise.all([client('a'), client('b')]);
    await b.subscribe('t', 1);
    for (let i = 0; i < 3; i++) await publish(a, 't', `${i}`);
    a.publish('t', 'last');
    await a.settled();
    const first = await b.settled();
    expect(first.map(shown)).toEqual(['t=0/1', 't=1/1']);
    b.send({ cmd: 'puback', messageId: first[0]?.messageId });
    expect((await b.settled()).map(shown)).toEqual(['t=2/1', 't=last/0']);
  });

  it('at QoS 2 are released after PUBREC and done after PUBCOMP', async () => {
    await start({ limits: { outgoingWindow: 1 } });
    const [a, b] = await Promise.all([client('a'), client('b')]);
    await b.subscribe('t', 2);
    for (let i = 1; i <= 2; i++) a.publish('t', `${i}`, { qos: 2, messageId: i });
    const { messageId } = await b.expect('publish');
    b.send({ cmd: 'pubrec', messageId });
    expect(await b.expect('pubrel')).toMatchObject({ messageId });
    expect(await b.settled()).toEqual([]);
    b.send({ cmd: 'pubcomp', messageId });
    expect(shown(await b.expect('publish'))).toBe('t=2/2');
  });

  it('beyond what may wait end the connection, counted', async () => {
    await start({ limits: { outgoingWindow: 1 } });
    const [a, b] = await Promise.all([client('a'), client('b')]);
    await b.subscribe('t', 1);
    const payload = 'x'.repeat(1_000_000);
    for (let i = 0; i < 40 && !b.ended; i++) await publish(a, 't', payload);
    await b.closed();
    expect(house.counters.counter('slow_consumers_closed_total', '').value).toBe(1);
  });
});

describe('a durable session', () => {
  it('hears what came while it was away, in order, and is present', async () => {
    const [a, b] = [await client('a'), await durable('b')];
    await b.subscribe('q/#', 1);
    await lose(b);
    for (let i = 0; i < 5; i++) await publish(a, `q/${i}`, `${i}`);
    a.publish('q/zero', 'not kept');
    await a.settled();
    const again = await durable('b');
    expect(again.packets[0]).toMatchObject({ sessionPresent: true });
    expect(await published(again)).toEqual([0, 1, 2, 3, 4].map((i) => `q/${i}=${i}/1`));
    await publish(a, 'q/live', 'x');
    expect(await published(again)).toEqual(['q/live=x/1']);
  });

  it('is present without any subscription', async () => {
    await (await durable('b')).drop();
    expect((await durable('b')).packets[0]).toMatchObject({ sessionPresent: true });
  });

  it('gets again, with DUP and the same packet id, what it did not acknowledge', async () => {
    const [a, b] = [await client('a'), await durable('b')];
    await b.subscribe('q', 1);
    await publish(a, 'q', 'x');
    const { messageId } = await b.expect('publish');
    await b.drop();
    const again = await durable('b');
    expect(again.packets[0]).toMatchObject({ sessionPresent: true });
    const repeated = await again.expect('publish');
    expect([shown(repeated), repeated.messageId]).toEqual(['q=x/1d', messageId]);
    again.send({ cmd: 'puback', messageId });
    await again.settled();
    await until('the queue is empty', () => house.counters.gauges.get('queued_messages')?.read() === 0);
    await again.drop();
    expect(await (await durable('b')).settled()).toEqual([]);
  });

  it('goes on with PUBREL where the handshake of QoS 2 stood', async () => {
    const [a, b] = [await client('a'), await durable('b')];
    await b.subscribe('q', 2);
    a.publish('q', 'x', { qos: 2, messageId: 1 });
    const { messageId } = await b.expect('publish');
    b.send({ cmd: 'pubrec', messageId });
    await b.expect('pubrel');
    await b.drop();
    const again = await durable('b');
    expect(await again.expect('pubrel')).toMatchObject({ messageId });
    again.send({ cmd: 'pubcomp', messageId });
    await again.settled();
    await again.drop();
    expect(await (await durable('b')).settled()).toEqual([]);
  });

  it('writes PUBREL only when the receipt is stored', async () => {
    const [a, b] = [await client('a'), await durable('b')];
    await b.subscribe('q', 2);
    a.publish('q', 'x', { qos: 2, messageId: 1 });
    const { messageId } = await b.expect('publish');
    house.store.held = true;
    b.send({ cmd: 'pubrec', messageId });
    expect(await b.settled()).toEqual([]);
    house.store.release();
    await b.expect('pubrel');
  });

  // [MQTT-4.3.3-2], [MQTT5-4.3.3-10]
  it('publishes once what was under way on a connection that was taken over, however late that one is done', async () => {
    await house.other().set('r/1', 'x');
    const [hearer, a] = [await client('hearer'), await durable('a')];
    await hearer.subscribe('q', 1);
    house.store.scansHeld = true;
    a.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'r/#', qos: 0 }] });
    a.publish('q', 'x', { qos: 2, messageId: 7 });
    await a.settled();
    const b = await durable('a');
    b.publish('q', 'x', { qos: 2, messageId: 7, dup: true });
    await b.expect('pubrec');
    b.send({ cmd: 'pubrel', messageId: 7 });
    await b.expect('pubcomp');
    house.store.releaseScans();
    await until('all is done', () => house.counters.gauges.get('requests_unsettled')?.read() === 0);
    expect(await published(hearer)).toEqual(['q=x/1']);
  });

  it('gets its SUBACK and UNSUBACK when they are stored', async () => {
    const b = await durable('b');
    house.store.held = true;
    b.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'q', qos: 1 }] });
    expect(await b.settled()).toEqual([]);
    house.store.release();
    await b.expect('suback');
    house.store.held = true;
    b.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['q'] });
    expect(await b.settled()).toEqual([]);
    house.store.release();
    await b.expect('unsuback');
  });

  it('can unsubscribe from what it subscribed to before', async () => {
    const [a, b] = [await client('a'), await durable('b')];
    await b.subscribe('q', 1);
    await b.drop();
    const again = await durable('b');
    again.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['q'] });
    await again.expect('unsuback');
    await publish(a, 'q', 'x');
    expect(await again.settled()).toEqual([]);
  });

  it('is dropped by a clean one of the same client', async () => {
    const [a, b] = [await client('a'), await durable('b')];
    await b.subscribe('q', 1);
    await b.drop();
    await publish(a, 'q', 'x');
    expect((await client('b')).packets[0]).toMatchObject({ sessionPresent: false });
    const again = await durable('b');
    expect(again.packets[0]).toMatchObject({ sessionPresent: false });
    expect(await again.settled()).toEqual([]);
  });

  it('keeps retained messages apart from queued ones by their packet ids', async () => {
    const [a, b] = [await client('a'), await durable('b')];
    for (let i = 0; i < 20; i++) await publish(a, `r/${i}`, 'kept', { retain: true });
    await b.subscribe('q', 1);
    for (let i = 0; i < 20; i++) await publish(a, 'q', `${i}`);
    await b.subscribe('r/#', 1);
    for (let i = 20; i < 40; i++) await publish(a, 'q', `${i}`);
    const packets = await b.settled();
    expect(packets.length).toBe(60);
    expect(new Set(packets.map(({ messageId }) => messageId)).size).toBe(60);
    take(b, packets);
    await until('the queue is empty', () => house.counters.gauges.get('queued_messages')?.read() === 0);
  });

  it('survives the end of the gateway with its queue', async () => {
    const store = new GateStore();
    await start({ store });
    const [a, b] = [await client('a'), await durable('b')];
    await b.subscribe('q', 2);
    await b.drop();
    await publish(a, 'q', 'one');
    a.publish('q', 'two', { qos: 2, messageId: 1 });
    await a.expect('pubrec');
    await house.stop();
    houses.pop();
    await start({ store });
    const again = await durable('b');
    expect(again.packets[0]).toMatchObject({ sessionPresent: true });
    const packets = await again.settled();
    expect(packets.map((packet) => shown(packet).replace(/d$/, ''))).toEqual(['q=one/1', 'q=two/2']);
  });
});

describe('a client id', () => {
  it.each([true, false])('is taken over by its newest connection (clean %s)', async (clean) => {
    const first = await client('x', { clean });
    const second = await client('x', { clean });
    await first.closed();
    await second.subscribe('t', 1);
    await publish(second, 't', 'still here');
    expect(house.counters.gauges.get('sessions')?.read()).toBe(1);
  });

  it('may be any name, those of object members included', async () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'ä 日本', '"[]']) {
      const wire = await client(name);
      await publish(wire, 't', 'x');
    }
  });

  it('is made up for a client that brings none', async () => {
    const [a, b] = [await client(''), await client('')];
    await Promise.all([publish(a, 't', 'x'), publish(b, 't', 'x')]);
  });
});

describe('a will', () => {
  const will = (options: object = {}): object => ({
    will: { topic: 'w', payload: Buffer.from('gone'), qos: 1, retain: false, ...options },
  });

  it('is published when the client is gone without goodbye', async () => {
    const b = await client('b');
    await b.subscribe('w', 1);
    await (await client('a', will())).drop();
    expect(shown(await b.expect('publish'))).toBe('w=gone/1');
  });

  it('is not published after DISCONNECT', async () => {
    const b = await client('b');
    await b.subscribe('w', 1);
    const a = await client('a', will());
    a.send({ cmd: 'disconnect' });
    await a.closed();
    await (await client('c', will({ payload: Buffer.from('other') }))).drop();
    expect(shown(await b.expect('publish'))).toBe('w=other/1');
  });

  it('is published when the client breaks the protocol, and when it is taken over', async () => {
    const b = await client('b');
    await b.subscribe('w', 1);
    (await client('a', will({ payload: Buffer.from('broke') }))).bytes(Buffer.of(0, 0));
    expect(shown(await b.expect('publish'))).toBe('w=broke/1');
    await client('a', will({ payload: Buffer.from('taken') }));
    await client('a');
    expect(shown(await b.expect('publish'))).toBe('w=taken/1');
  });

  it('of a CONNECT that another one takes the place of before it is accepted is not published', async () => {
    const b = await client('b');
    await b.subscribe('w', 1);
    house.store.held = true;
    const [first, second] = [await MqttWire.open(house.port), await MqttWire.open(house.port)];
    first.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'a', keepalive: 0, ...will() });
    await until('it is being connected', () => house.store.isWriting);
    second.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'a', keepalive: 0 });
    await first.closed();
    house.store.release();
    await second.expect('connack');
    expect(await published(b)).toEqual([]);
  });

  it('with retain becomes the record', async () => {
    await (await client('a', will({ retain: true }))).drop();
    const other = house.other();
    await until('the record is there', async () => (await other.get('w')).entry !== null);
    const b = await client('b');
    await b.subscribe('w', 2);
    expect(await published(b)).toEqual(['w=gone/1r']);
  });

  it('is published once after a crash of the gateway', async () => {
    const store = new GateStore();
    await start({ store });
    await client('a', will({ retain: true }));
    // Another gateway on the same store, as it was at this moment.
    const second = await start({ store });
    const other = second.other();
    await until('the will was published', async () => (await other.get('w')).entry !== null);
    expect((await other.get('w')).entry?.revision).toBe(1);
  });
});

describe('time', () => {
  it('F2 ends a client that is silent for one and a half times its keep alive, and no sooner', async () => {
    const [silent, talking] = await Promise.all([client('silent', { keepalive: 10 }), client('talking', { keepalive: 10 })]);
    const begun = house.clock.mono;
    await until('the silent one is gone', async () => {
      house.clock.mono += 100;
      await talking.settled();
      return silent.ended;
    });
    expect(house.clock.mono - begun).toBeGreaterThan(15_000);
    expect(talking.ended).toBe(false);
  });

  it('ends a connection that brings no CONNECT in time', async () => {
    const wire = await MqttWire.open(house.port);
    wire.bytes(Buffer.of(0x10));
    house.clock.mono += 11_000;
    await wire.closed();
  });
});

describe('a crowd without CONNECT', () => {
  it('waits unread beyond the limit, and is let in as others arrive or go', async () => {
    await start({ limits: { maxConnecting: 2 } });
    const crowd = await Promise.all([MqttWire.open(house.port), MqttWire.open(house.port)]);
    const late = await MqttWire.open(house.port);
    late.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'late', keepalive: 0 });
    crowd[0]?.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'early', keepalive: 0 });
    await crowd[0]?.expect('connack');
    await late.expect('connack');
    const last = await MqttWire.open(house.port);
    await crowd[1]?.drop();
    last.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'last', keepalive: 0 });
    await last.expect('connack');
  });
});

describe.each([4, 5])('a crowd whose CONNECTs of version %i come at once', (version) => {
  it('is served a few at a time, each with what it sends behind its CONNECT, and not when it is gone meanwhile', async () => {
    const crowd = await Promise.all(Array.from({ length: 150 }, () => MqttWire.open(house.port, version)));
    for (const [i, wire] of crowd.entries()) {
      wire.send(
        { cmd: 'connect', protocolId: 'MQTT', protocolVersion: version, clean: true, clientId: `c${i}`, keepalive: 0 },
        { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: `t/${i}`, qos: 1 }] },
      );
      if (i % 10 === 9) wire.socket.resetAndDestroy();
    }
    // In one chunk with the rest, or in pieces behind it.
    for (const wire of crowd) if (!wire.socket.destroyed) wire.send({ cmd: 'pingreq' });
    const left = crowd.filter((_, i) => i % 10 !== 9);
    for (const wire of left) {
      await wire.expect('connack');
      await wire.answer('suback', 1);
      await wire.until(() => wire.packets.some(({ cmd }) => cmd === 'pingresp'), 'pingresp');
    }
    const connections = (): number => house.counters.gauges.get('mqtt_connections')?.read() as number;
    await until('those that are gone are forgotten', () => connections() === left.length);
    expect(house.counters.gauges.get('sessions')?.read()).toBe(left.length);
  });
});

describe('what a client cannot do', () => {
  it('is a packet of 256 MB', async () => {
    const a = await client('a');
    a.bytes(Buffer.of(0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 0x61));
    await a.closed();
  });

  it('is a CONNECT above 64 KB', async () => {
    const wire = await MqttWire.open(house.port);
    wire.bytes(Buffer.of(0x10, 0x81, 0x80, 0x04));
    await wire.closed();
  });

  it('is more unreleased messages of QoS 2 than its limit', async () => {
    await start({ limits: { maxIncomingOnce: 3 } });
    const a = await client('a');
    for (let messageId = 1; messageId <= 3; messageId++) {
      a.publish('t', 'x', { qos: 2, messageId });
      await a.expect('pubrec');
    }
    a.publish('t', 'x', { qos: 2, messageId: 3, dup: true });
    await a.expect('pubrec');
    a.publish('t', 'x', { qos: 2, messageId: 4 });
    await a.closed();
  });

  it('is a protocol of another level: it gets return code 1', async () => {
    const wire = await MqttWire.open(house.port);
    wire.bytes(Buffer.from('100f00064d514973647005020000000161', 'hex'));
    expect(await wire.expect('connack')).toMatchObject({ returnCode: 1 });
    await wire.closed();
  });
});

describe('paths', () => {
  it('that no topic can name are counted, logged once, and not forwarded', async () => {
    const [a, other] = [await client('a'), house.other()];
    await a.subscribe('#', 1);
    await other.set('a/+/b', 'x');
    await other.set('c#', 'x');
    await other.set('plain', 'x');
    expect(shown(await a.expect('publish'))).toBe('plain=x/1');
    expect(house.counters.counter('mqtt_unforwardable_total', '').value).toBe(2);
    expect(house.lines.filter(({ text }) => text.includes('cannot be an MQTT topic')).length).toBe(1);
  });

  it('that no topic can name take no room in the queue of a session that is away', async () => {
    await start({ queue: { ...QUEUE_LIMITS, maxMessages: 2 } });
    const before = await durable('kept');
    await before.subscribe('#', 1);
    await lose(before);
    const other = house.other();
    for (const path of ['a/+/b', 'c#', 'd/+', 'plain']) await other.set(path, 'x');
    const kept = await durable('kept');
    expect((await kept.settled()).map(shown)).toEqual(['plain=x/1']);
    expect(house.counters.counter('queue_no_topic_total', '').value).toBe(3);
    expect(house.lines.filter(({ text }) => text.includes('cannot be an MQTT topic')).length).toBe(1);
  });

  it('stand behind the mount point for every client', async () => {
    await start({ mountPoint: 'site/' });
    const [a, other] = [await client('a'), house.other()];
    await a.subscribe('#', 1);
    await publish(a, 'x', 'in', { retain: true });
    expect((await other.get('site/x')).entry?.payload.value()).toBe('in');
    await other.set('site/y', 'out');
    await other.set('elsewhere/y', 'no');
    await other.set('site/$z', 'no');
    await a.until(() => a.packets.some((packet) => packet.topic === 'y'), 'y');
    await a.subscribe('+', 0);
    expect((await a.settled()).map(({ topic }) => topic)).toEqual(['x', 'y', 'x', 'y']);
  });
});

describe('a reader that stops reading', () => {
  it('loses messages of QoS 0, counted, while another gets them all', async () => {
    const [a, fast, slow] = await Promise.all([client('a'), client('fast'), client('slow')]);
    await Promise.all([fast.subscribe('t', 0), slow.subscribe('t', 0)]);
    slow.socket.pause();
    const payload = 'x'.repeat(100_000);
    for (let i = 0; i < 300; i++) await publish(a, 'other', '').then(() => a.publish('t', payload));
    await fast.until(() => fast.packets.filter(({ cmd }) => cmd === 'publish').length === 300, 'all of them');
    expect(house.counters.counter('outbound_dropped_total', '').value).toBeGreaterThan(100);
    slow.socket.resume();
    await slow.settled();
    expect(slow.ended).toBe(false);
  });
});
