// What a bridge puts on the wire and when, against a remote that does only what the test says.

import { describe, expect, it } from 'vitest';
import { Meta } from '../../../../src/core/index.js';
import { GateStore } from '../../../support/core-harness.js';
import { FakeRemote } from '../../../support/fake-remote.js';
import { until } from '../../../support/gateway-process.js';
import { startHouse, untilHeard, valuesOf } from './support.js';

const withoutVia = (meta: Meta): Meta =>
  new Meta(
    meta.contentType,
    meta.responseTopic,
    meta.correlationData,
    meta.isText,
    meta.pairs.filter(([name]) => name !== 'trivium-via'),
  );

const both = [{ direction: 'both', filter: '#', qos: 2 }] as const;

describe.each(['5', '3.1.1'] as const)('over version %s', (version) => {
  const way = { version, bridgeMode: false, rules: [...both] };

  it('a message of QoS 1 is acknowledged when it is stored, and many wait for one write', async () => {
    const store = new GateStore();
    const remote = await FakeRemote.start();
    const house = await startHouse({ url: remote.url, ...way }, { store });
    await house.connected();
    const connection = await remote.connection(1);
    store.held = true;
    for (let i = 1; i <= 20; i++) connection.publish(`a/${i}`, 'x', { qos: 1, retain: true, messageId: i });
    await until('all messages came', () => house.count('bridge_messages_in_total') === 20);
    expect(connection.all('puback')).toEqual([]);
    const writes = store.writes;
    store.release();
    await connection.until('puback', 20);
    expect(connection.all('puback').map(({ messageId }) => messageId)).toEqual(Array.from({ length: 20 }, (_item, i) => i + 1));
    expect(store.writes - writes).toBeLessThan(20);
  });

  it('a message of QoS 2 is confirmed when it is stored, its release when that is', async () => {
    const store = new GateStore();
    const remote = await FakeRemote.start();
    const house = await startHouse({ url: remote.url, ...way }, { store });
    await house.connected();
    await house.session.subscribe('a');
    const connection = await remote.connection(1);
    store.held = true;
    connection.publish('a', 'x', { qos: 2, messageId: 7 });
    await until('the message came', () => house.count('bridge_messages_in_total') === 1);
    expect(connection.all('pubrec')).toEqual([]);
    store.release();
    await connection.until('pubrec');
    connection.publish('a', 'x', { qos: 2, messageId: 7, dup: true });
    await connection.until('pubrec', 2);
    store.held = true;
    connection.send({ cmd: 'pubrel', messageId: 7 });
    connection.publish('b', 'y', { qos: 0 });
    expect(connection.all('pubcomp')).toEqual([]);
    store.release();
    await connection.until('pubcomp');
    expect(valuesOf(house.session, 'a')).toEqual(['x']);
  });

  it('what is not acknowledged is sent again with the same packet id, marked, over a loss of the connection', async () => {
    const behaviour = { acknowledges: true, connack: () => ({ sessionPresent: true }) };
    const remote = await FakeRemote.start(behaviour);
    const house = await startHouse({ url: remote.url, ...way });
    await house.connected();
    const first = await remote.connection(1);
    behaviour.acknowledges = false;
    await house.session.emit('a', 'one', { qos: 1 });
    await house.session.emit('a', 'two', { qos: 2 });
    const sent = await first.until('publish', 2);
    first.socket.destroy();
    behaviour.acknowledges = true;
    const again = await (await remote.connection(2)).until('publish', 2);
    const seen = (packets: typeof sent): unknown[] =>
      packets.map(({ topic, payload, qos, messageId }) => [topic, String(payload), qos, messageId]);
    expect(seen(again)).toEqual(seen(sent));
    expect(sent.map(({ dup }) => dup)).toEqual([false, false]);
    expect(again.map(({ dup }) => dup)).toEqual([true, true]);
    await until('the queue is empty', () => house.count('bridge_queued_messages') === 0);
  });

  it('what the remote has received of QoS 2 is only released after a loss of the connection', async () => {
    const behaviour = { acknowledges: true, connack: () => ({ sessionPresent: true }) };
    const remote = await FakeRemote.start(behaviour);
    const house = await startHouse({ url: remote.url, ...way });
    await house.connected();
    const first = await remote.connection(1);
    behaviour.acknowledges = false;
    await house.session.emit('a', 'once', { qos: 2 });
    const [message] = await first.until('publish');
    first.send({ cmd: 'pubrec', messageId: message?.messageId });
    await first.until('pubrel');
    first.socket.destroy();
    behaviour.acknowledges = true;
    const second = await remote.connection(2);
    const [release] = await second.until('pubrel');
    expect(release?.messageId).toBe(message?.messageId);
    await until('the queue is empty', () => house.count('bridge_queued_messages') === 0);
    await house.session.emit('a', 'next', { qos: 1 });
    const published = await second.until('publish');
    expect(published.map(({ payload }) => String(payload))).toEqual(['next']);
  });

  it('PUBREL waits until it is stored that the remote has the message', async () => {
    const store = new GateStore();
    const behaviour = { acknowledges: true };
    const remote = await FakeRemote.start(behaviour);
    const house = await startHouse({ url: remote.url, ...way }, { store });
    await house.connected();
    const connection = await remote.connection(1);
    behaviour.acknowledges = false;
    await house.session.emit('a', 'x', { qos: 2 });
    const [message] = await connection.until('publish');
    store.held = true;
    const writes = store.writes;
    connection.send({ cmd: 'pubrec', messageId: message?.messageId });
    await until('the release is being written', () => store.writes > writes);
    expect(connection.all('pubrel')).toEqual([]);
    store.release();
    await connection.until('pubrel');
  });

  it('at most the window is on its way, and less when the remote takes less', async () => {
    const behaviour = { acknowledges: true, connack: () => (version === '5' ? { properties: { receiveMaximum: 3 } } : {}) };
    const remote = await FakeRemote.start(behaviour);
    const house = await startHouse({ url: remote.url, ...way, outgoingWindow: 5 });
    await house.connected();
    const connection = await remote.connection(1);
    behaviour.acknowledges = false;
    for (let i = 0; i < 10; i++) await house.session.emit('a', i, { qos: 1 });
    await connection.served();
    const window = version === '5' ? 3 : 5;
    expect(connection.all('publish')).toHaveLength(window);
    connection.send({ cmd: 'puback', messageId: connection.all('publish')[0]?.messageId });
    await connection.until('publish', window + 1);
    expect(connection.all('publish').map(({ payload }) => Number(String(payload)))).toEqual(
      Array.from({ length: window + 1 }, (_item, i) => i),
    );
  });

  it('of a session that is there nothing is subscribed anew; of one that is gone everything', async () => {
    let present = false;
    const remote = await FakeRemote.start({ connack: () => ({ sessionPresent: present }) });
    const house = await startHouse({ url: remote.url, ...way });
    await house.connected();
    const first = await remote.connection(1);
    const options = version === '5' ? { nl: true, rap: true, rh: 0 } : {};
    expect(first.all('subscribe').map(({ subscriptions }) => subscriptions)).toMatchObject([[{ topic: '#', qos: 2, ...options }]]);
    present = true;
    first.socket.destroy();
    const second = await remote.connection(2);
    await second.served();
    expect(second.all('subscribe')).toEqual([]);
    present = false;
    second.socket.destroy();
    await (await remote.connection(3)).until('subscribe');
  });

  it('a failed store ends the connection without acknowledgement; the bridge comes back when the store has', async () => {
    const store = new GateStore();
    const remote = await FakeRemote.start({ connack: () => ({ sessionPresent: true }) });
    const house = await startHouse({ url: remote.url, ...way }, { store });
    await house.connected();
    const first = await remote.connection(1);
    store.failure = new Error('disk full');
    first.publish('a', 'x', { qos: 1, retain: true, messageId: 1 });
    await until('the connection ends', () => first.ended);
    expect(first.all('puback')).toEqual([]);
    const second = await remote.connection(2);
    second.publish('a', 'x', { qos: 1, retain: true, messageId: 1, dup: true });
    await second.until('puback');
    expect((await house.session.get('a')).entry?.payload.value()).toBe('x');
    await house.session.set('out', 'y');
    await second.until('publish');
  });
});

describe('the level of CONNECT', () => {
  const rules = [...both];

  it('says that this is a bridge; a remote that refuses it is met as a client, at once and for good', async () => {
    const remote = await FakeRemote.start({
      connack: (connect) => ({ returnCode: (connect as { bridgeMode?: boolean }).bridgeMode === true ? 1 : 0 }),
    });
    const house = await startHouse({ url: remote.url, version: '3.1.1', rules, retryMinMs: 60_000, retryMaxMs: 60_000 });
    await house.connected();
    const levels = remote.connections.map(({ packets }) => (packets[0] as { bridgeMode?: boolean }).bridgeMode === true);
    expect(levels).toEqual([true, false]);
    expect(house.lines.filter(({ level }) => level === 'warn')).toEqual([]);
    expect(house.lines.some(({ text }) => text.startsWith('the remote does not know bridges'))).toBe(true);
  });

  it('is tried again as a client when the remote closes the connection instead of an answer', async () => {
    let refuses = true;
    const remote = await FakeRemote.start({
      connack: (connect) => ((connect as { bridgeMode?: boolean }).bridgeMode === true && refuses ? null : {}),
    });
    const house = await startHouse({ url: remote.url, version: '3.1.1', rules });
    await house.connected();
    expect(remote.connections).toHaveLength(2);
    refuses = false;
    (await remote.connection(2)).socket.destroy();
    expect((await remote.connection(3)).packets[0]).not.toHaveProperty('bridgeMode');
  });
});

describe('what a remote of version 5 says of itself is obeyed', () => {
  const start = async (properties: object): Promise<[Awaited<ReturnType<typeof startHouse>>, FakeRemote]> => {
    const remote = await FakeRemote.start({ connack: () => ({ properties }) });
    const house = await startHouse({ url: remote.url, rules: [{ direction: 'out', filter: '#', qos: 2 }] });
    await house.connected();
    return [house, remote];
  };

  it('its highest QoS', async () => {
    const [house, remote] = await start({ maximumQoS: 0 });
    await house.session.emit('a', 'x', { qos: 2 });
    const [message] = await (await remote.connection(1)).until('publish');
    expect(message?.qos).toBe(0);
    await until('the queue is empty', () => house.count('bridge_queued_messages') === 0);
  });

  it('that it retains nothing', async () => {
    const [house, remote] = await start({ retainAvailable: false });
    await house.session.set('a', 'x');
    const [message] = await (await remote.connection(1)).until('publish');
    expect(message?.retain).toBe(false);
  });

  it('its largest packet', async () => {
    const [house, remote] = await start({ maximumPacketSize: 1_000 });
    await house.session.set('a', 'x'.repeat(1_000));
    await house.session.set('a', 'small');
    const connection = await remote.connection(1);
    expect((await connection.until('publish')).map(({ payload }) => String(payload))).toEqual(['small']);
    expect(house.count('bridge_dropped_total', 'too-large')).toBe(1);
  });
});

describe('properties of version 5', () => {
  it('cross both ways, response topics renamed by the rules for the way back, and gateways are noted', async () => {
    const remote = await FakeRemote.start({ connack: () => ({ properties: { userProperties: { 'trivium-node': 'other' } } }) });
    const rules = [{ direction: 'both', filter: '#', localPrefix: 'here/', remotePrefix: 'there/' }] as const;
    const house = await startHouse({ url: remote.url, rules: [...rules] });
    await house.connected();
    await house.session.subscribe('here/*');
    const connection = await remote.connection(1);
    const properties = {
      contentType: 'text/plain',
      responseTopic: 'there/answer',
      correlationData: Buffer.from([1, 2]),
      payloadFormatIndicator: true,
      messageExpiryInterval: 60,
      userProperties: { a: ['1', '2'], b: '3' },
    };
    connection.publish('there/in', 'x', { properties });
    await untilHeard(house.session, 'here/in', 1);
    const meta = house.session.heard[0]?.publication.meta;
    expect(meta?.values()).toEqual({
      contentType: 'text/plain',
      responseTopic: 'here/answer',
      correlationData: Buffer.from([1, 2]),
      payloadFormat: 1,
      a: ['1', '2'],
      b: '3',
      'trivium-via': ['other', house.node],
    });
    expect(house.session.heard[0]?.publication.options.lifetimeMs).toBe(60_000);
    // The remote had it: only from somebody else it would go there.
    await house.session.emit('here/out', 'back', { qos: 1, meta: meta ?? null });
    const via = { userProperties: { 'trivium-via': ['elsewhere'] } };
    connection.publish('there/in', 'y', { properties: via });
    await untilHeard(house.session, 'here/in', 2);
    await house.session.emit('here/out', 'forth', {
      qos: 1,
      meta: meta === null || meta === undefined ? null : withoutVia(meta),
      lifetimeMs: 5_000,
    });
    const [sent] = await connection.until('publish');
    expect(sent).toMatchObject({
      topic: 'there/out',
      properties: {
        contentType: 'text/plain',
        responseTopic: 'there/answer',
        correlationData: Buffer.from([1, 2]),
        payloadFormatIndicator: true,
        messageExpiryInterval: 5,
        userProperties: { a: ['1', '2'], b: '3', 'trivium-via': house.node },
      },
    });
    expect(house.session.heard.at(-2)?.publication.meta?.values()).toEqual({ 'trivium-via': ['elsewhere', 'other', house.node] });
  });
});
