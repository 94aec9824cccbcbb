// What peers say, against what they mean: names of prototypes, keys that stand twice, operators where values are expected, and names that
// are looked up.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/gateway-process.js';
import { type HappnGateway, type HappnWire, startHappn, type WireFrame } from '../support/happn-wire.js';
import { by, happnAs, havenAs, isOk, type SecureGateway, startSecureGateway } from '../support/secure-roads.js';

const NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'then', 'hasOwnProperty', 'valueOf'];

describe('C5 names of prototypes', () => {
  let happn: HappnGateway;
  let wire: HappnWire;

  beforeAll(async () => {
    happn = await startHappn();
    wire = await (await happn.connect()).login();
  });
  afterAll(async () => {
    await wire.close();
    await happn.stop();
  });

  it('reach no prototype, in whatever place of whatever action they stand', async () => {
    const own = (): string[] => [Object.prototype, Array.prototype, Function.prototype].flatMap((one) => Object.getOwnPropertyNames(one));
    const before = own();
    const evil =
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"prototype":{"polluted":1},"a":{"__proto__":{"polluted":1}}}';
    let eventId = 1_000;
    for (const action of ['set', 'get', 'count', 'remove', 'on', 'off', 'login', 'configure-session', 'describe']) {
      for (const options of [
        evil,
        `{"merge":true,"x":${evil}}`,
        `{"criteria":${evil},"fields":${evil},"sort":${evil}}`,
        `{"meta":${evil}}`,
      ]) {
        eventId += 1;
        wire.send(
          `{"action":"${action}","eventId":${eventId},"path":"/p/${action === 'on' ? 'x' : 'y'}","data":${evil},"options":${options},"__proto__":${evil}}`,
        );
        await wire.answer(eventId).catch(() => null);
      }
    }
    for (const name of NAMES) {
      await wire.request('set', { path: `/p/${name}/x`, data: { [name]: 1 } });
      await wire.request('set', { path: `/p/${name}/x`, data: name, options: { increment: 1 } });
      await wire.request('get', {
        path: '/p/*',
        options: { criteria: { [`${name}.polluted`]: 1 }, sort: { [name]: 1 }, fields: { [name]: 1 } },
      });
    }
    expect(own()).toEqual(before);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    const found = (await wire.request('get', { path: '/p/toString/x' })) as WireFrame;
    expect(found._meta?.['status']).toBe('ok');
  });
});

describe('a secure gateway', () => {
  let house: SecureGateway;
  beforeAll(async () => {
    house = await startSecureGateway();
    await house.user('ann', { '/a/*': { actions: ['*'] } });
  });
  afterAll(async () => void (await house.process.stop()));

  it('C4 of a key that stands twice the last one counts, for the right as for what is done', async () => {
    const wire = await happnAs(house.process, by('ann'));
    const twice = (first: string, second: string): string =>
      `{"action":"set","action":"set","eventId":${++id},"path":"${first}","path":"${second}","data":{"v":1},"data":{"v":2}}`;
    let id = 5_000;
    wire.send(twice('/a/1', '/b/1'));
    expect(isOk(await wire.answer(id))).toBe(false);
    wire.send(twice('/b/1', '/a/1'));
    expect(isOk(await wire.answer(id))).toBe(true);
    expect((await wire.request('get', { path: '/a/1' })).data).toMatchObject({ v: 2 });
    wire.socket.terminate();

    const haven = await havenAs(house.process, by('ann'));
    const text = (value: string): Buffer => Buffer.concat([Buffer.of(0xa0 | value.length), Buffer.from(value)]);
    const pairs = (first: string, second: string): Buffer =>
      Buffer.concat([Buffer.of(0x85), ...['action', 'query', 'type', 'write', 'path', first, 'path', second, 'value', 'x'].map(text)]);
    const framed = (body: Buffer): Buffer => Buffer.concat([Buffer.of(0, 0, 0, body.length), body]);
    for (const body of [pairs('/a/2', '/b/2'), pairs('/b/2', '/a/2')]) {
      const answered = haven.strays.length;
      haven.raw(framed(body));
      await until('its answer', () => haven.strays.length > answered);
    }
    expect(haven.strays.map(({ result }) => result)).toEqual([false, true]);
    await haven.close();
    const root = await havenAs(house.process, by('_ADMIN'));
    await expect(root.read('/b/2')).rejects.toMatchObject({ errorName: 'NOT_FOUND' });
    expect((await root.read('/a/2')).value).toBe('x');
    await root.close();
  });

  it('C6 operators in the place of a name, a password, a token or an id let nobody in', async () => {
    const operators: unknown[] = [
      { $ne: null },
      { $gt: '' },
      { $regex: '.*' },
      { $where: 'true' },
      ['ann'],
      [['ann']],
      true,
      1,
      { toString: 'ann' },
    ];
    for (const what of operators) {
      for (const shown of [
        { username: 'ann', password: what },
        { username: what, password: 'secret of ann' },
        { token: what },
        { username: what, password: what },
        { username: 'ann', publicKey: what, digest: what },
      ]) {
        const where = JSON.stringify(shown);
        await expect(happnAs(house.process, shown as never), where).rejects.toThrow();
        await expect(havenAs(house.process, shown as never), where).rejects.toThrow();
        const { status } = await house.api.ask('POST', '/login', shown);
        expect([400, 401, 403], where).toContain(status);
      }
    }
  }, 120_000);

  it('F5 names of members of objects are no actions, types or protocols', async () => {
    const wire = await happnAs(house.process, by('ann'));
    const haven = await havenAs(house.process, by('ann'));
    for (const name of NAMES) {
      expect(isOk(await wire.request(name, { path: '/a/1', data: { a: 1 } })), name).toBe(false);
      for (const fields of [
        { action: name, type: 'read', path: '/a/1' },
        { action: 'query', type: name, path: '/a/1' },
        { action: 'control', type: name },
        { action: 'query', type: 'read', path: '/a/1', mode: name },
      ]) {
        expect((await haven.ask(fields)).result, JSON.stringify(fields)).toBe(false);
      }
      for (const path of [`/api/v1/${name}`, `/api/v1/users/ann/${name}`, `/${name}`]) {
        const response = await fetch(`${house.api.url}${path}`, { headers: { authorization: `Bearer ${house.api.token}` } });
        expect(response.status, path).toBe(404);
        await response.body?.cancel();
      }
      // A client of a protocol that nobody knows is sent away.
      await expect(happnAs(house.process, by('ann'), name), name).rejects.toThrow();
    }
    wire.socket.terminate();
    await haven.close();
  }, 60_000);
});
