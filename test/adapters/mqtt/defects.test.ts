// What goes wrong with aedes as it comes, each as one scenario that is played twice: here it does not happen, there it does.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectBytes, field, publishBytes } from '../../support/mqtt-bytes.js';
import { BareAedes, type Broker, MqttHouse, type MqttPacket, MqttWire, shown } from '../../support/mqtt-wire.js';

let house: MqttHouse;
let aedes: BareAedes;

beforeAll(async () => {
  house = await MqttHouse.start();
  aedes = await BareAedes.start();
});

afterAll(async () => {
  await Promise.all([house.stop(), aedes.stop()]);
});

const topics = (packets: readonly MqttPacket[]): string[] =>
  packets.filter(({ cmd }) => cmd === 'publish').map(({ topic }) => String(topic));

describe('a retained message and a plain one behind it in one segment', () => {
  async function heard({ port }: Broker): Promise<string[]> {
    const [publisher, subscriber] = [await MqttWire.connected(port, 'p'), await MqttWire.connected(port, 's')];
    await subscriber.subscribe('d1/#');
    const message = { cmd: 'publish', payload: 'x', qos: 0, dup: false };
    publisher.send({ ...message, topic: 'd1/retained', retain: true }, { ...message, topic: 'd1/plain', retain: false });
    await publisher.settled();
    publisher.publish('d1/last', 'x');
    await subscriber.until(() => subscriber.packets.some(({ topic }) => topic === 'd1/last'), 'the last message');
    return topics(subscriber.rest());
  }

  it('are both delivered', async () => {
    expect(await heard(house)).toEqual(['d1/retained', 'd1/plain', 'd1/last']);
  });

  it('lose the first in bare aedes', async () => {
    expect(await heard(aedes)).not.toContain('d1/retained');
  });
});

describe('a subscriber that stops reading a busy topic', () => {
  /** Whether a message on another topic arrives while it does. */
  async function othersHear({ port }: Broker): Promise<boolean> {
    const [slow, calm, flood, other] = await Promise.all(
      ['slow', 'calm', 'flood', 'other'].map((id) => MqttWire.connected(port, `d2-${id}`)),
    );
    if (!slow || !calm || !flood || !other) throw new Error('not connected');
    await slow.subscribe('d2/busy');
    await calm.subscribe('d2/calm');
    slow.socket.pause();
    const payload = 'x'.repeat(64 * 1024);
    for (let i = 0; i < 300; i++) flood.publish('d2/busy', payload);
    // Everything that a broker reads on is on its way when the flood stops moving.
    await Promise.race([flood.settled().catch(() => []), wait(1_000)]);
    other.publish('d2/calm', 'x');
    const arrived = calm.next().then(
      () => true,
      () => false,
    );
    const result = await Promise.race([arrived, wait(1_500).then(() => false)]);
    for (const wire of [slow, calm, flood, other]) await wire.drop();
    return result;
  }

  it('does not keep other topics from others', async () => {
    expect(await othersHear(house)).toBe(true);
  });

  it('stops all topics of bare aedes', async () => {
    expect(await othersHear(aedes)).toBe(false);
  });
});

describe('the time of a SUBSCRIBE to one topic among many retained ones', () => {
  const FEW = 200;
  const MANY = 40_200;

  /** How many times longer it takes among many than among few. */
  async function growth(broker: Broker): Promise<number> {
    const wire = await MqttWire.connected(broker.port, 'd3');
    await retain(wire, 0, FEW);
    const few = await timeOfSubscribe(wire, `d3/${FEW - 1}/x`);
    await retain(wire, FEW, MANY);
    const many = await timeOfSubscribe(wire, `d3/${MANY - 1}/x`);
    await wire.drop();
    return many / few;
  }

  async function retain(wire: MqttWire, from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += 500) {
      const packets = Array.from({ length: Math.min(500, to - at) }, (_, i) => ({
        topic: `d3/${at + i}/x`,
        cmd: 'publish',
        payload: 'x',
        qos: 0,
        retain: true,
        dup: false,
      }));
      wire.send(...packets);
      await wire.settled();
    }
  }

  /** The fastest of several, in milliseconds: the machine may be busy with something else during the others. */
  async function timeOfSubscribe(wire: MqttWire, topic: string): Promise<number> {
    const times: number[] = [];
    for (let i = 0; i < 15; i++) {
      const begun = performance.now();
      await wire.subscribe(topic);
      await wire.expect('publish');
      times.push(performance.now() - begun);
      wire.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [topic] });
      await wire.expect('unsuback');
    }
    return Math.min(...times);
  }

  it('does not follow their number', async () => {
    expect(await growth(house)).toBeLessThan(4);
  }, 60_000);

  it('follows it in bare aedes', async () => {
    expect(await growth(aedes)).toBeGreaterThan(6);
  }, 60_000);
});

describe('levels', () => {
  /** At which level a message of QoS 2 comes by a wildcard of level 1, and by overlapping filters of levels 0 and 1. */
  async function heard({ port }: Broker): Promise<{ wildcard: unknown[]; overlapping: unknown[] }> {
    const [publisher, one, both] = await Promise.all(['p', 'one', 'both'].map((id) => MqttWire.connected(port, `d4-${id}`)));
    if (!publisher || !one || !both) throw new Error('not connected');
    await one.subscribe('d4/#', 1);
    await both.subscribe('d4/x', 0);
    await both.subscribe('d4/+', 1);
    publisher.publish('d4/x', 'x', { qos: 2, messageId: 1 });
    await publisher.answer('pubrec', 1);
    publisher.send({ cmd: 'pubrel', messageId: 1 });
    await publisher.answer('pubcomp', 1);
    const levels = async (wire: MqttWire): Promise<unknown[]> => {
      await wire.until(() => wire.unseen().some(({ cmd }) => cmd === 'publish'), 'the message');
      return (await wire.settled()).filter(({ cmd }) => cmd === 'publish').map(({ qos }) => qos);
    };
    return { wildcard: await levels(one), overlapping: await levels(both) };
  }

  it('are those of the subscriptions, the highest of overlapping ones', async () => {
    expect(await heard(house)).toEqual({ wildcard: [1], overlapping: [1] });
  });

  it('are others in bare aedes', async () => {
    expect(await heard(aedes)).toEqual({ wildcard: [2], overlapping: [0] });
  });
});

/** What a client has to acknowledge before it is sent more. */
const WINDOW = 100;

describe('a client that acknowledges nothing', () => {
  const MESSAGES = 1_000;

  /** How many messages of QoS 1 it is sent. */
  async function sent({ port }: Broker): Promise<number> {
    const [publisher, silent] = [await MqttWire.connected(port, 'd5-p'), await MqttWire.connected(port, 'd5-s')];
    await silent.subscribe('d5', 1);
    for (let id = 1; id <= MESSAGES; id++) publisher.publish('d5', 'x', { qos: 1, messageId: id });
    await publisher.answer('puback', MESSAGES);
    return (await silent.settled()).filter(({ cmd }) => cmd === 'publish').length;
  }

  it('is sent a window', async () => {
    expect(await sent(house)).toBe(WINDOW);
  });

  it('is sent without end by bare aedes', async () => {
    expect(await sent(aedes)).toBeGreaterThan(WINDOW);
  });
});

describe('a message of QoS 1 that cannot be kept for a session that is away', () => {
  async function acknowledged(broker: Broker): Promise<boolean> {
    const away = await MqttWire.connected(broker.port, 'd6-away', { clean: false });
    await away.subscribe('d6', 1);
    away.send({ cmd: 'disconnect' });
    await away.closed();
    const publisher = await MqttWire.connected(broker.port, 'd6');
    broker.failOnce();
    publisher.publish('d6', 'x', { qos: 1, messageId: 1 });
    await publisher.closed();
    return publisher.packets.some(({ cmd }) => cmd === 'puback');
  }

  it('is not acknowledged', async () => {
    expect(await acknowledged(house)).toBe(false);
  });

  it('is acknowledged by bare aedes', async () => {
    expect(await acknowledged(aedes)).toBe(true);
  });
});

describe('a session that comes back', () => {
  /** DUP of a message that was sent before and not acknowledged. */
  async function repeated({ port }: Broker): Promise<unknown> {
    const first = await MqttWire.connected(port, 'd7', { clean: false });
    await first.subscribe('d7', 1);
    const publisher = await MqttWire.connected(port, 'd7-p');
    publisher.publish('d7', 'x', { qos: 1, messageId: 1 });
    await publisher.answer('puback', 1);
    await first.expect('publish');
    // The second connection takes the first over.
    const second = await MqttWire.connected(port, 'd7', { clean: false });
    return (await second.expect('publish')).dup;
  }

  /** How many messages wait for it when so many were published. */
  async function waiting(broker: Broker, published: number): Promise<number> {
    const away = await MqttWire.connected(broker.port, 'd7-away', { clean: false });
    await away.subscribe('d7-queue', 1);
    away.send({ cmd: 'disconnect' });
    await away.closed();
    const publisher = await MqttWire.connected(broker.port, 'd7-q');
    for (let id = 1; id <= published; id++) publisher.publish('d7-queue', 'x', { qos: 1, messageId: id });
    await publisher.answer('puback', published);
    const back = await MqttWire.connected(broker.port, 'd7-away', { clean: false });
    const seen = new Set<unknown>();
    for (let packets = await back.settled(); packets.length > 0; packets = await back.settled()) {
      for (const { messageId } of packets) {
        seen.add(messageId);
        back.send({ cmd: 'puback', messageId });
      }
    }
    return seen.size;
  }

  it('is sent again with DUP', async () => {
    expect(await repeated(house)).toBe(true);
  });

  it('is sent again without DUP by bare aedes', async () => {
    expect(await repeated(aedes)).toBe(false);
  });

  it('finds as many messages as its queue may hold', async () => {
    expect(await waiting(house, 1_100)).toBe(1_000);
  });

  it('finds any number of them in bare aedes', async () => {
    expect(await waiting(aedes, 1_100)).toBe(1_100);
  });

  it.each([
    ['is present without subscriptions', (): Broker => house, true],
    ['is not present without subscriptions in bare aedes', (): Broker => aedes, false],
  ])('%s', async (_title, broker, present) => {
    const { port } = broker();
    await (await MqttWire.connected(port, 'd9', { clean: false })).drop();
    const back = await MqttWire.connected(port, 'd9', { clean: false });
    expect(back.packets[0]).toMatchObject({ sessionPresent: present });
  });
});

describe('a packet that the standard forbids', () => {
  const connected = (bytes: Buffer): Buffer => Buffer.concat([connectBytes({ payload: [field('d8')] }), bytes]);
  const FORBIDDEN: readonly (readonly [string, Buffer])[] = [
    ['U+0000 in a topic', connected(publishBytes(0x30, 'a\0b', null))],
    ['bad UTF-8 in a topic', connected(publishBytes(0x30, Buffer.of(0xc3, 0x28), null))],
    ['packet id 0', connected(publishBytes(0x32, 'a', 0))],
    ['DUP at QoS 0', connected(publishBytes(0x38, 'a', null))],
    ['a wildcard in a will topic', connectBytes({ flags: 0x06, payload: [field('d8'), field('a/#'), field('w')] })],
    ['bytes behind a CONNECT', connectBytes({ payload: [field('d8'), Buffer.from('more')] })],
  ];

  /** Whether the connection is served after it. */
  async function isTaken({ port }: Broker, bytes: Buffer): Promise<boolean> {
    const wire = await MqttWire.open(port);
    wire.bytes(Buffer.concat([bytes, Buffer.of(0xc0, 0)]));
    const answered = (): boolean => wire.packets.some(({ cmd }) => cmd === 'pingresp');
    await wire.until(() => answered() || wire.ended, 'an answer').catch(() => {});
    const taken = answered();
    await wire.drop();
    return taken;
  }

  it.each(FORBIDDEN)('ends the connection: %s', async (_what, bytes) => {
    expect(await isTaken(house, bytes)).toBe(false);
  });

  it.each(FORBIDDEN)('is taken by bare aedes: %s', async (_what, bytes) => {
    expect(await isTaken(aedes, bytes)).toBe(true);
  });
});

describe('a PUBLISH that declares 256 MB', () => {
  async function isTaken({ port }: Broker): Promise<boolean> {
    const wire = await MqttWire.connected(port, 'd10');
    wire.bytes(Buffer.of(0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 0x61));
    for (let i = 0; i < 64 && !wire.ended; i++) wire.bytes(Buffer.alloc(64 * 1024));
    const read = new Promise<boolean>((resolve) =>
      wire.socket.write(Buffer.alloc(1), (error) => resolve(error === undefined || error === null)),
    );
    const taken = (await read) && !(await isClosedAfterPing(port, wire));
    await wire.drop();
    return taken;
  }

  /** Another client's ping comes after what the broker did about the first. */
  async function isClosedAfterPing(port: number, wire: MqttWire): Promise<boolean> {
    const other = await MqttWire.connected(port, 'd10-other');
    for (let i = 0; i < 20 && !wire.ended; i++) await other.settled();
    await other.drop();
    return wire.ended;
  }

  it('ends the connection', async () => {
    expect(await isTaken(house)).toBe(false);
  });

  it('is collected by bare aedes', async () => {
    expect(await isTaken(aedes)).toBe(true);
  });
});

describe('a message of QoS 2 whose first attempt failed', () => {
  /** What a subscriber that was away gets after the sender completed its handshake on the second attempt. */
  async function delivered(broker: Broker): Promise<string[]> {
    const away = await connectedAtLast(broker.port, 'd11-away');
    await away.subscribe('d11', 2);
    away.send({ cmd: 'disconnect' });
    await away.closed();
    const first = await connectedAtLast(broker.port, 'd11');
    broker.failOnce();
    first.publish('d11', 'x', { qos: 2, messageId: 1 });
    await first.closed();
    const second = await connectedAtLast(broker.port, 'd11');
    second.publish('d11', 'x', { qos: 2, messageId: 1, dup: true });
    await second.answer('pubrec', 1);
    second.send({ cmd: 'pubrel', messageId: 1 });
    await second.answer('pubcomp', 1);
    const back = await connectedAtLast(broker.port, 'd11-away');
    return (await back.settled()).filter(({ cmd }) => cmd === 'publish').map(shown);
  }

  /** A broker whose store just failed may refuse for a while. */
  async function connectedAtLast(port: number, clientId: string): Promise<MqttWire> {
    for (;;) {
      const wire = await MqttWire.open(port);
      wire.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: false, clientId, keepalive: 0 });
      if ((await wire.expect('connack')).returnCode === 0) return wire;
      await wire.closed();
    }
  }

  it('arrives', async () => {
    expect(await delivered(house)).toEqual(['d11=x/2']);
  });

  it('is acknowledged and lost by bare aedes', async () => {
    expect(await delivered(aedes)).toEqual([]);
  });
});

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
