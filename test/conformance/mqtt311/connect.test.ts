// MQTT 3.1.1 sections 3.1 and 3.2: CONNECT and CONNACK.

import { describe, expect, it } from 'vitest';
import { RequestError } from '../../../src/core/index.js';
import { identityNamed, NOBODY } from '../../../src/core/security/identity.js';
import { accessOf } from '../../support/access.js';
import { connectBytes, field, packet, publishBytes } from '../../support/mqtt-bytes.js';
import { publish, published, stage } from '../stage.js';

const NAMES = { alice: 'a', bob: 'b' };

/** Who brings a name has to bring its password. */
const access = accessOf(
  () => true,
  async ({ username, password }) => {
    if (username === undefined) return NOBODY;
    if (NAMES[username as keyof typeof NAMES] === password?.toString()) return identityNamed(username);
    throw new RequestError('NOT_AUTHENTICATED', 'wrong name or password');
  },
);

const on = stage({ access });

const plain = (clientId: string): Buffer => connectBytes({ payload: [field(clientId)] });

describe('the first packet', () => {
  it.each([
    ['PUBLISH', publishBytes(0x30, 'a', null)],
    ['PINGREQ', packet(0xc0)],
    ['SUBSCRIBE', packet(0x82, Buffer.of(0, 1, 0, 1, 0x61, 0))],
    ['DISCONNECT', packet(0xe0)],
  ])('[MQTT-3.1.0-1] may not be %s', async (_name, bytes) => await on.expectEndWithoutConnack(bytes));

  it('[MQTT-3.1.0-2] may not come a second time', async () => {
    const clientId = on.clientId();
    const wire = await on.client({ clientId });
    wire.bytes(plain(clientId));
    await wire.closed();
    expect(wire.rest()).toEqual([]);
  });
});

describe('protocol name and level', () => {
  it.each(['MQTx', 'mqtt', '', 'HTTP'])('[MQTT-3.1.2-1] %j as a name ends the connection', async (name) => {
    await on.expectEndWithoutConnack(connectBytes({ name, payload: [field('c')] }));
  });

  it.each([3, 0x83, 0x84])('[MQTT-3.1.2-2] level %i is answered with return code 1', async (level) => {
    await on.expectRefusal(connectBytes({ level, payload: [field('c')] }), 1);
  });

  it.each([0, 1, 2, 6, 255])(
    '[MQTT-3.1.2-2] level %i, of no version that has return codes, is answered as version 5 does it',
    async (level) => {
      await on.expectRefusal(connectBytes({ level, payload: [field('c')] }), 0x84);
    },
  );
});

describe('connect flags', () => {
  it('[MQTT-3.1.2-3] end the connection when the reserved one is set', async () => {
    await on.expectEndWithoutConnack(connectBytes({ flags: 0x03, payload: [field('c')] }));
  });

  const will = [field('c'), field('t'), field('w')];

  it.each([
    ['no will topic', [field('c')]],
    ['no will message', [field('c'), field('t')]],
  ])('[MQTT-3.1.2-9] with a will flag and %s in the payload end the connection', async (_what, payload) => {
    await on.expectEndWithoutConnack(connectBytes({ flags: 0x06, payload }));
  });

  it('[MQTT-3.1.2-11] without a will flag end the connection when will fields are in the payload', async () => {
    await on.expectEndWithoutConnack(connectBytes({ flags: 0x02, payload: will }));
  });

  it.each([0x0a, 0x12])('[MQTT-3.1.2-13] %i, a will QoS without a will flag, ends the connection', async (flags) => {
    await on.expectEndWithoutConnack(connectBytes({ flags, payload: [field('c')] }));
  });

  it('[MQTT-3.1.2-14] end the connection with a will QoS of 3', async () => {
    await on.expectEndWithoutConnack(connectBytes({ flags: 0x1e, payload: will }));
  });

  it('[MQTT-3.1.2-15] end the connection with will retain without a will flag', async () => {
    await on.expectEndWithoutConnack(connectBytes({ flags: 0x22, payload: [field('c')] }));
  });

  it.each([
    ['[MQTT-3.1.2-18] no user name flag, and a user name', 0x02, [field('c'), field('alice')]],
    ['[MQTT-3.1.2-19] a user name flag, and no user name', 0x82, [field('c')]],
    ['[MQTT-3.1.2-20] no password flag, and a password', 0x82, [field('c'), field('alice'), field('a')]],
    ['[MQTT-3.1.2-21] a password flag, and no password', 0xc2, [field('c'), field('alice')]],
    ['[MQTT-3.1.2-22] a password flag without a user name flag', 0x42, [field('c'), field('a')]],
  ])('%s end the connection', async (_what, flags, payload) => await on.expectEndWithoutConnack(connectBytes({ flags, payload })));
});

describe('the payload', () => {
  it('[MQTT-3.1.3-1] is read as client id, will topic, will message, user name, password', async () => {
    const [watcher, clientId] = [await on.client(), on.clientId()];
    await watcher.subscribe('order/#', 0);
    const wire = await on.wire();
    const payload = [field(clientId), field('order/will'), field('message'), field('alice'), field('a')];
    wire.bytes(connectBytes({ flags: 0xc6, payload }));
    expect(await wire.expect('connack')).toMatchObject({ returnCode: 0 });
    await on.lose(wire);
    expect(await published(watcher)).toEqual(['order/will=message/0']);
    const swapped = [field(clientId), field('order/will'), field('message'), field('a'), field('alice')];
    await on.expectRefusal(connectBytes({ flags: 0xc6, payload: swapped }), 4);
  });

  it('[MQTT-3.1.3-3] has a client id first', async () => {
    await on.expectEndWithoutConnack(connectBytes({ payload: [] }));
  });

  it('[MQTT-3.1.3-4] may not have a client id that is no UTF-8 text', async () => {
    await on.expectEndWithoutConnack(connectBytes({ payload: [field(Buffer.of(0xff))] }));
  });

  it('[MQTT-3.1.3-10] may not have a will topic that is no UTF-8 text', async () => {
    await on.expectEndWithoutConnack(connectBytes({ flags: 0x06, payload: [field('c'), field(Buffer.of(0xff)), field('w')] }));
  });

  it('[MQTT-3.1.3-11] may not have a user name that is no UTF-8 text', async () => {
    await on.expectEndWithoutConnack(connectBytes({ flags: 0x82, payload: [field('c'), field(Buffer.of(0xff))] }));
  });
});

describe('the client id', () => {
  const ALL = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

  it('[MQTT-3.1.3-2] is what a session is found by', async () => {
    const [mine, other] = [on.clientId(), on.clientId()];
    const wire = await on.durable(mine);
    await wire.subscribe('found', 1);
    await on.leave(wire);
    const publisher = await on.client();
    await publish(publisher, 'found', 'x');
    expect(await published(await on.durable(other))).toEqual([]);
    expect(await published(await on.durable(mine))).toEqual(['found=x/1']);
  });

  it('[MQTT-3.1.3-5] may have 1 to 23 letters and digits', async () => {
    const ids = [...ALL, ALL.slice(0, 23), ALL.slice(20, 43), ALL.slice(-23)];
    for (const clientId of ids) await (await on.client({ clientId })).drop();
  });

  it('[MQTT-3.1.3-6] is made up for each client that brings none, and is a client id like any other', async () => {
    const [first, second] = [await on.client({ clientId: '' }), await on.client({ clientId: '' })];
    await first.subscribe('nameless', 1);
    await second.subscribe('nameless', 1);
    await publish(second, 'nameless', 'x');
    expect(await published(first)).toEqual(['nameless=x/1']);
    expect(await published(second)).toEqual(['nameless=x/1']);
  });

  it('[MQTT-3.1.3-8] that is empty is rejected without a clean session', async () => {
    await on.expectRefusal(connectBytes({ flags: 0x00, payload: [field('')] }), 2);
  });

  it('[MQTT-3.1.3-9] that is too long is rejected', async () => {
    await on.expectRefusal(plain('x'.repeat(1_025)), 2);
    await (await on.client({ clientId: 'x'.repeat(1_024) })).drop();
  });
});

describe('the answer', () => {
  it('[MQTT-3.1.4-1] [MQTT-3.2.2-6] to a CONNECT that breaks the standard is the end of the connection, without a CONNACK', async () => {
    for (const cut of [1, 5, 9, 11]) {
      const whole = plain('client');
      const body = whole.subarray(2, whole.length - cut);
      await on.expectEndWithoutConnack(packet(0x10, body));
    }
    await on.expectEndWithoutConnack(connectBytes({ payload: [field('client'), Buffer.of(0)] }));
  });

  it('[MQTT-3.1.4-2] to a client id that is connected already ends the older connection', async () => {
    const clientId = on.clientId();
    const first = await on.client({ clientId });
    const second = await on.client({ clientId });
    await first.closed();
    expect(await second.settled()).toEqual([]);
  });

  it('[MQTT-3.1.4-3] [MQTT-3.1.4-4] to one that is valid is return code 0, with the session that its flag asks for', async () => {
    const clientId = on.clientId();
    const connacks: object[] = [];
    for (const flags of [0x00, 0x00, 0x02, 0x00]) {
      const wire = await on.wire();
      wire.bytes(connectBytes({ flags, payload: [field(clientId)] }));
      connacks.push(await wire.expect('connack'));
      await on.leave(wire);
    }
    expect(connacks).toMatchObject([false, true, false, false].map((sessionPresent) => ({ sessionPresent, returnCode: 0 })));
  });

  it('[MQTT-3.1.4-5] that rejects it is followed by nothing: what the client sent behind it is not looked at', async () => {
    const watcher = await on.client();
    await watcher.subscribe('behind', 0);
    const will = publishBytes(0x31, 'behind', null);
    await on.expectRefusal(Buffer.concat([connectBytes({ level: 3, payload: [field('c')] }), will]), 1);
    await on.expectRefusal(Buffer.concat([connectBytes({ flags: 0, payload: [field('')] }), will]), 2);
    const payload = [field('c'), field('alice'), field('wrong')];
    await on.expectRefusal(Buffer.concat([connectBytes({ flags: 0xc2, payload }), will]), 4);
    expect(await published(watcher)).toEqual([]);
    await watcher.subscribe('behind', 0);
    expect(await published(watcher)).toEqual([]);
  });

  it('[MQTT-3.2.0-1] is a CONNACK before anything else, also when messages wait', async () => {
    const clientId = on.clientId();
    const first = await on.durable(clientId);
    await first.subscribe('waiting', 1);
    await on.leave(first);
    const publisher = await on.client();
    for (let i = 0; i < 3; i++) await publish(publisher, 'waiting', `${i}`);
    const wire = await on.wire();
    wire.bytes(Buffer.concat([connectBytes({ flags: 0, payload: [field(clientId)] }), packet(0xc0)]));
    await wire.until(() => wire.packets.length >= 5, 'all of them');
    expect(wire.packets.map(({ cmd }) => cmd)[0]).toBe('connack');
  });

  it('[MQTT-3.2.2-1] has no session present for a clean session', async () => {
    const clientId = on.clientId();
    await on.leave(await on.durable(clientId));
    const wire = await on.client({ clientId });
    expect(wire.packets[0]).toMatchObject({ sessionPresent: false, returnCode: 0 });
  });

  it('[MQTT-3.2.2-2] has session present for one that is kept', async () => {
    const clientId = on.clientId();
    await on.leave(await on.durable(clientId));
    expect((await on.durable(clientId)).packets[0]).toMatchObject({ sessionPresent: true, returnCode: 0 });
  });

  it('[MQTT-3.2.2-3] has no session present where none is kept', async () => {
    expect((await on.durable(on.clientId())).packets[0]).toMatchObject({ sessionPresent: false, returnCode: 0 });
  });

  it('[MQTT-3.2.2-4] [MQTT-3.2.2-5] with another return code has no session present, and ends the connection', async () => {
    const clientId = on.clientId();
    const alice = { username: 'alice', password: Buffer.from('a') };
    await on.leave(await on.durable(clientId, alice));
    const payload = [field(clientId), field('alice'), field('wrong')];
    await on.expectRefusal(connectBytes({ flags: 0xc0, payload }), 4);
    expect((await on.durable(clientId, alice)).packets[0]).toMatchObject({ sessionPresent: true });
  });
});

describe('keep alive', () => {
  it('[MQTT-3.1.2-24] ends the connection of a client that is silent for one and a half times of it', async () => {
    const watcher = await on.client();
    await watcher.subscribe('silence', 0);
    const will = { topic: 'silence', payload: Buffer.from('gone'), qos: 0, retain: false };
    const silent = await on.client({ keepalive: 10, will });
    const talking = await on.client({ keepalive: 10 });
    const { clock } = on.house;
    const begun = clock.mono;
    while (!silent.ended) {
      clock.mono += 250;
      await talking.settled();
    }
    expect(clock.mono - begun).toBeGreaterThan(15_000);
    expect(talking.ended).toBe(false);
    expect(await published(watcher)).toEqual(['silence=gone/0']);
  });
});
