// MQTT 3.1.1 sections 3.1.2.4, 3.1.2.5, 3.14, 4.1, 4.4, 4.5: sessions, what is kept in them, and wills.

import { describe, expect, it } from 'vitest';
import { connectBytes, field, packet, publishBytes } from '../../support/mqtt-bytes.js';
import { type ClientOptions, publish, published, stage } from '../stage.js';

const on = stage();

const will = (topic: string, options: object = {}): ClientOptions => ({
  will: { topic, payload: Buffer.from('gone'), qos: 1, retain: false, ...options },
});

describe('a session that is not clean', () => {
  it('[MQTT-3.1.2-4] is made when there is none, kept, and gone on with', async () => {
    const clientId = on.clientId();
    const first = await on.durable(clientId);
    expect(first.packets[0]).toMatchObject({ sessionPresent: false });
    await first.subscribe('kept/+', 2);
    await on.lose(first);
    const second = await on.durable(clientId);
    expect(second.packets[0]).toMatchObject({ sessionPresent: true });
    await publish(second, 'kept/a', 'x');
    expect(await published(second)).toEqual(['kept/a=x/1']);
  });

  it('[MQTT-3.1.2-5] collects messages of QoS 1 and 2 while its client is away', async () => {
    const clientId = on.clientId();
    const wire = await on.durable(clientId);
    await wire.subscribe('away/#', 2);
    await on.leave(wire);
    const publisher = await on.client();
    await publish(publisher, 'away/1', 'one');
    await publish(publisher, 'away/2', 'two', { qos: 2 });
    await publish(publisher, 'elsewhere', 'three');
    expect(await published(await on.durable(clientId))).toEqual(['away/1=one/1', 'away/2=two/2']);
  });

  it('[MQTT-4.1.0-1] keeps filters, unacknowledged and waiting messages, and ids of QoS 2, as long as it lasts', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await first.subscribe('state/#', 2);
    await publish(publisher, 'state/1', 'sent');
    await publish(publisher, 'state/2', 'half', { qos: 2 });
    publisher.send({ cmd: 'pubrel', messageId: 4_000 });
    const sent = await first.expect('publish');
    const half = await first.expect('publish');
    first.send({ cmd: 'pubrec', messageId: half.messageId });
    await first.expect('pubrel');
    first.publish('other', 'x', { qos: 2, messageId: 11 });
    await first.answer('pubrec', 11);
    await on.lose(first);
    await publish(publisher, 'state/3', 'waiting');

    const second = await on.durable(clientId);
    const packets = (await second.settled()).map(({ cmd, messageId, topic }) => ({ cmd, messageId, topic }));
    expect(packets).toMatchObject([
      { cmd: 'pubrel', messageId: half.messageId },
      { cmd: 'publish', messageId: sent.messageId, topic: 'state/1' },
      { cmd: 'publish', topic: 'state/3' },
    ]);
    const watcher = await on.client();
    await watcher.subscribe('other', 2);
    second.publish('other', 'x', { qos: 2, messageId: 11, dup: true });
    await second.answer('pubrec', 11);
    expect(await published(watcher)).toEqual([]);
  });

  it('[MQTT-4.4.0-1] gets again what it did not acknowledge, PUBLISH and PUBREL, under the same ids', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await first.subscribe('again', 2);
    for (const [i, qos] of ([1, 2, 2] as const).entries()) await publish(publisher, 'again', `${i}`, { qos, messageId: 50 + i });
    const packets = (await first.settled()).filter(({ cmd }) => cmd === 'publish');
    const [one, two, three] = packets.map(({ messageId }) => messageId);
    first.send({ cmd: 'pubrec', messageId: three });
    await first.answer('pubrel', three as number);
    await on.lose(first);

    const second = await on.durable(clientId);
    expect(await second.settled()).toMatchObject([
      { cmd: 'pubrel', messageId: three },
      { cmd: 'publish', messageId: one, qos: 1, dup: true },
      { cmd: 'publish', messageId: two, qos: 2, dup: true },
    ]);
    second.send({ cmd: 'puback', messageId: one }, { cmd: 'pubrec', messageId: two }, { cmd: 'pubcomp', messageId: three });
    await second.answer('pubrel', two as number);
    second.send({ cmd: 'pubcomp', messageId: two });
    await on.leave(second);
    expect(await (await on.durable(clientId)).settled()).toEqual([]);
  });

  it('[MQTT-4.4.0-1] [MQTT-4.1.0-1] gets again what was retained and is not acknowledged, and then the rest', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    for (const n of [1, 2]) await publish(publisher, `saved/${n}`, 'x', { qos: 2, retain: true, messageId: 60 + n });
    for (const n of [3, 4]) await publish(publisher, `saved/${n}`, 'x', { retain: true });
    const first = await on.durable(clientId);
    await first.subscribe('saved/#', 2);
    await first.until(() => first.unseen().length === 4, 'what is retained');
    const packets = first.rest();
    expect(packets.map(({ topic, qos, retain, dup }) => [topic, qos, retain, dup])).toEqual(
      [2, 2, 1, 1].map((qos, i) => [`saved/${i + 1}`, qos, true, false]),
    );
    const [one, two, three, four] = packets.map(({ messageId }) => messageId);
    first.send({ cmd: 'pubrec', messageId: one }, { cmd: 'puback', messageId: three });
    await first.answer('pubrel', one as number);
    await on.lose(first);
    expect(await (await on.durable(clientId)).settled()).toMatchObject([
      { cmd: 'pubrel', messageId: one },
      { cmd: 'publish', topic: 'saved/2', messageId: two, qos: 2, retain: true, dup: true },
      { cmd: 'publish', topic: 'saved/4', messageId: four, qos: 1, retain: true, dup: true },
    ]);
  });

  it('[MQTT-4.5.0-1] has a message as soon as its publisher is acknowledged', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await first.subscribe('owned', 1);
    first.socket.pause();
    for (const qos of [1, 2] as const) await publish(publisher, 'owned', `${qos}`, { qos, messageId: qos });
    await on.lose(first);
    const again = await published(await on.durable(clientId));
    expect(again.map((text) => text.replace(/d$/, ''))).toEqual(['owned=1/1', 'owned=2/1']);
  });
});

describe('a clean session', () => {
  it('[MQTT-3.1.2-6] begins with nothing of the one before, and leaves nothing behind', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const old = await on.durable(clientId);
    await old.subscribe('clean', 1);
    await on.leave(old);
    await publish(publisher, 'clean', 'waits');

    const clean = await on.client({ clientId });
    await publish(publisher, 'clean', 'live');
    expect(await clean.settled()).toEqual([]);
    await clean.subscribe('clean', 1);
    await on.leave(clean);
    await publish(publisher, 'clean', 'nobody');

    const next = await on.durable(clientId);
    expect(next.packets[0]).toMatchObject({ sessionPresent: false });
    expect(await next.settled()).toEqual([]);
  });

  it('[MQTT-3.1.2-7] leaves the retained messages that were published in it', async () => {
    const first = await on.client();
    await publish(first, 'stays', 'x', { retain: true });
    await on.leave(first);
    const second = await on.client();
    await second.subscribe('stays', 1);
    expect(await published(second)).toEqual(['stays=x/1r']);
  });

  it('[MQTT-4.1.0-2] lasts as long as its connection', async () => {
    const wire = await on.client();
    await wire.subscribe('lasting', 1);
    on.house.clock.mono += 600_000;
    await publish(wire, 'lasting', 'x');
    expect(await published(wire)).toEqual(['lasting=x/1']);
  });
});

describe('a will', () => {
  it('[MQTT-3.1.2-8] is published when the connection ends, however it ends but by DISCONNECT', async () => {
    const watcher = await on.client();
    await watcher.subscribe('will/#', 1);
    await on.lose(await on.client(will('will/cut')));
    const rude = await on.client(will('will/breach'));
    rude.bytes(Buffer.of(0xf0, 0));
    await rude.closed();
    const clientId = on.clientId();
    const old = await on.client({ clientId, ...will('will/takeover') });
    await on.client({ clientId });
    await old.closed();
    const half = await on.client(will('will/end'));
    half.socket.end();
    await half.closed();
    expect((await published(watcher)).sort()).toEqual(['breach', 'cut', 'end', 'takeover'].map((why) => `will/${why}=gone/1`));
  });

  it('[MQTT-3.1.2-8] of a CONNECT that was not accepted is not', async () => {
    const watcher = await on.client();
    await watcher.subscribe('refused', 1);
    await on.expectRefusal(connectBytes({ flags: 0x04, payload: [field(''), field('refused'), field('gone')] }), 2);
    expect(await published(watcher)).toEqual([]);
  });

  it('[MQTT-3.1.2-10] is gone when it was published', async () => {
    const [watcher, clientId] = [await on.client(), on.clientId()];
    await watcher.subscribe('once', 1);
    await on.lose(await on.durable(clientId, will('once')));
    expect(await published(watcher)).toEqual(['once=gone/1']);
    await on.lose(await on.durable(clientId));
    expect(await published(watcher)).toEqual([]);
  });

  it('[MQTT-3.1.2-12] is not published when the CONNECT had none', async () => {
    const [watcher, clientId] = [await on.client(), on.clientId()];
    await watcher.subscribe('none', 1);
    await on.leave(await on.durable(clientId, will('none')));
    await on.lose(await on.durable(clientId));
    expect(await published(watcher)).toEqual([]);
  });

  it.each([0, 1, 2])('[MQTT-3.1.2-14] is published at QoS %i as asked for', async (qos) => {
    const watcher = await on.client();
    await watcher.subscribe(`level/${qos}`, 2);
    await on.lose(await on.client(will(`level/${qos}`, { qos })));
    expect(await published(watcher)).toEqual([`level/${qos}=gone/${qos}`]);
  });

  it('[MQTT-3.1.2-16] without will retain is not retained', async () => {
    await on.lose(await on.client(will('fleeting')));
    const late = await on.client();
    await late.subscribe('fleeting', 1);
    expect(await published(late)).toEqual([]);
  });

  it('[MQTT-3.1.2-17] with will retain is retained', async () => {
    await on.lose(await on.client(will('lasting/will', { retain: true })));
    const late = await on.client();
    await late.subscribe('lasting/will', 1);
    expect(await published(late)).toEqual(['lasting/will=gone/1r']);
  });
});

describe('DISCONNECT', () => {
  it('[MQTT-3.14.1-1] ends the connection when its reserved bits are set, and is none', async () => {
    const watcher = await on.client();
    await watcher.subscribe('goodbye', 1);
    for (const flag of [1, 2, 4, 8]) {
      const wire = await on.client(will('goodbye'));
      wire.bytes(packet(0xe0 | flag));
      await wire.closed();
      expect(await published(watcher)).toEqual(['goodbye=gone/1']);
    }
  });

  it('[MQTT-3.14.4-3] [MQTT-3.1.2-10] takes the will back', async () => {
    const watcher = await on.client();
    await watcher.subscribe('unsaid', 1);
    await on.leave(await on.client(will('unsaid')));
    expect(await published(watcher)).toEqual([]);
  });

  it('[MQTT-3.14.4-2] is the last packet: what follows it is not looked at', async () => {
    const watcher = await on.client();
    await watcher.subscribe('after', 0);
    const wire = await on.client();
    wire.bytes(Buffer.concat([publishBytes(0x30, 'after', null, 'before'), packet(0xe0), publishBytes(0x30, 'after', null, 'behind')]));
    await wire.closed();
    expect(await published(watcher)).toEqual(['after=before/0']);
  });
});
