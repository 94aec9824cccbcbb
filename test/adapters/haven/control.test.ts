import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CONTROL_MAX } from '../../../src/adapters/haven/control.js';
import { HavenAdapter } from '../../../src/adapters/haven/index.js';
import { INBOUND_LIMITS } from '../../../src/core/engine/inbound-queue.js';
import { type Access, OPEN_ACCESS } from '../../../src/core/security/access.js';
import { accessOf } from '../../support/access.js';
import { type Address, ContractHouse } from '../../support/contract-house.js';
import { type Answer, type Fields, HavenClient, type HavenClientOptions } from '../../support/haven-client.js';

let house: ContractHouse;
let at: Address;
let client: HavenClient;
let node: string;

async function begin(access: Access = OPEN_ACCESS): Promise<void> {
  house = new ContractHouse(INBOUND_LIMITS, access);
  await house.start();
  at = await house.add(new HavenAdapter({ port: 0 }));
  client = await connect();
  node = client.hello.node.uuid;
}

beforeEach(() => begin());
afterEach(() => house.stop());

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const connect = (options: HavenClientOptions = {}): Promise<HavenClient> => HavenClient.connect(at.port, options);
const become = (type: string, fields: Fields = {}): Promise<Answer> => client.ask({ action: 'become', type, ...fields });
const discover = (type: string, fields: Fields = {}): Promise<Answer> => client.ask({ action: 'discover', type, ...fields });
const failure = (code: number): Answer => ({ result: false, error: { code, name: expect.any(String), message: expect.any(String) } });

describe('CONTROL', () => {
  it('begins with no role and no quorum, which is what the state says', async () => {
    expect((await client.heartbeat()).state).toMatchObject({ uuid: node, roles: [], quorums: [] });
    for (const type of ['location', 'quorum']) expect(await discover(type, { path: '/' })).toEqual(failure(7));
  });

  it('roles and quorums are taken, shown and given up', async () => {
    expect(await become('location', { id: 1 })).toEqual({ result: true, uuid: node, id: 1 });
    expect(await become('processor', { path: '/plant' })).toEqual({ result: true, uuid: node });
    const { uuid } = await become('leader', { path: '/plant' });
    expect(uuid).toMatch(UUID);
    expect((await client.heartbeat()).state).toMatchObject({
      roles: [{ type: 'location' }, { type: 'processor', path: '/plant' }],
      quorums: [{ uuid, path: '/plant', role: 'leader', members: 1 }],
    });
    expect(await become('exit')).toEqual(failure(8));
    expect(await become('exit', { force: true })).toEqual({ result: true, uuid: node });
    expect((await client.heartbeat()).state).toMatchObject({ roles: [], quorums: [] });
    expect(await become('exit')).toEqual({ result: true, uuid: node });
  });

  it('what is not found is named', async () => {
    const missing = (message: RegExp): object => ({ error: { code: 7, message: expect.stringMatching(message) } });
    expect(await discover('location')).toMatchObject(missing(/location service/));
    expect(await discover('quorum', { path: '/plant' })).toMatchObject(missing(/quorum/));
    expect(await discover('uuid', { uuid: '00000000-0000-0000-0000-000000000000' })).toMatchObject(missing(/node or quorum/));
  });

  it('what this node is already, it stays', async () => {
    await become('location');
    expect(await become('location_leader')).toEqual({ result: true, uuid: node });
    const { uuid } = await become('leader', { path: '/plant' });
    expect(await become('leader', { path: '/plant' })).toEqual(failure(8));
    for (const fields of [{ uuid }, { path: '/plant' }, { uuid: Buffer.from(uuid.replaceAll('-', ''), 'hex') }]) {
      expect(await become('follower', fields)).toEqual({ result: true, uuid });
      expect(await become('join', fields)).toEqual({ result: true, uuid });
      expect(await become('leave', fields)).toEqual(failure(8));
    }
    expect(await become('destroy', { uuid })).toEqual({ result: true, uuid });
    expect(await become('follower', { uuid })).toEqual(failure(7));
  });

  it('destroying a quorum leaves its records', async () => {
    await become('leader', { path: '/plant' });
    await client.write('/plant/1', 'kept');
    expect(await become('destroy', { path: '/plant' })).toMatchObject({ result: true });
    expect((await client.read('/plant/1')).value).toBe('kept');
  });

  it('destroying a quorum with force removes its records, and nothing else', async () => {
    await become('leader', { path: '/plant' });
    await become('leader', { path: '/plant/east' });
    for (const path of ['/plant', '/plant/1', '/plant/east/1', '/plants/1', '/other']) await client.write(path, 1);
    expect(await become('destroy', { path: '/plant', force: true })).toEqual(failure(8));
    expect((await client.read('/plant/1')).value).toBe(1);
    expect(await become('destroy', { path: '/plant/east', force: true })).toMatchObject({ result: true });
    const { uuid } = await become('destroy', { path: '/plant', force: true });
    expect((await client.read('*')).items.map((item: { path: string }) => item.path)).toEqual(['/other', '/plants/1']);
    expect(await discover('uuid', { uuid })).toEqual(failure(7));
    const logged = house.lines.filter(({ text }) => text.startsWith('Haven control'));
    expect(logged.at(-1)?.fields).toMatchObject({ type: 'destroy', uuid, removed: 2, user: '', peer: expect.any(String) });
    const [, , other] = await client.ask([3, 0x07, null, '/plants']);
    expect(await client.ask([3, 0x03, other, null, null, { force: true }])).toEqual([0x0d, 0, other]);
    expect((await client.read('*')).items).toHaveLength(1);
  });

  it('a node that forwards serves what it leads, or is a processor for', async () => {
    await client.write('/plant/1', 1);
    await client.write('other', 1);
    expect(await become('router', { path: '/plant' })).toEqual({ result: true, uuid: node });
    const refused = { code: 9, errorName: 'UNSUPPORTED' };
    for (const path of ['/plant', '/plant/1', '/plant/*', '/pl*', '*']) await expect(client.read(path)).rejects.toMatchObject(refused);
    await expect(client.watch('/plant/*')).rejects.toMatchObject(refused);
    await expect(client.write('/plant/1', 2)).rejects.toMatchObject(refused);
    const ops = [{ type: 'write', path: '/plant/1', value: 2 }];
    await expect(client.request({ action: 'query', type: 'transaction', ops })).rejects.toMatchObject(refused);
    expect((await client.read('other')).value).toBe(1);
    await expect(client.read('/pl')).rejects.toMatchObject({ code: 7 });
  });

  it('a proxy forwards everything, but for what it leads', async () => {
    await client.write('/plant/1', 1);
    expect(await client.ask([3, 0x04, null, null])).toEqual([0x0d, 0, node]);
    expect(await become('proxy')).toEqual({ result: true, uuid: node });
    const refused = { code: 9, errorName: 'UNSUPPORTED' };
    for (const path of ['/plant/1', 'other', '*']) await expect(client.read(path)).rejects.toMatchObject(refused);
    expect((await client.read('/_HAVEN/*')).items).toHaveLength(1);
    await become('leader', { path: '/plant' });
    expect((await client.read('/plant/1')).value).toBe(1);
    expect((await client.read('/plant/*')).items).toHaveLength(1);
    await expect(client.read('/plant*')).rejects.toMatchObject(refused);
    await become('processor', { path: '/other' });
    await client.write('/other/1', 1);
    expect((await client.heartbeat()).state).toMatchObject({ uuid: node });
    await become('exit', { force: true });
    expect((await client.read('*')).items).toHaveLength(2);
  });

  it('attached to a quorum, a connection knows its paths alone', async () => {
    await client.write('/plant/1', 'before');
    await client.write('/plants', 'outside');
    const { uuid } = await become('leader', { path: '/plant' });
    expect(await become('attach', { uuid })).toEqual({ result: true, uuid });
    expect((await client.read('/1')).value).toBe('before');
    await client.write('', 'the base itself');
    const watch = await client.watch('/*', { initial: true });
    await client.write('/2', 'two');
    await client.delete('/1');
    expect((await client.events(3)).map((event) => [event.watch, event.type, event.path])).toEqual([
      [watch, 'write', '/1'],
      [watch, 'write', '/2'],
      [watch, 'delete', '/1'],
    ]);
    expect((await client.read('/*')).items.map((item: { path: string }) => item.path)).toEqual(['/2']);
    expect((await client.read('/*', { after: '/2' })).items).toEqual([]);
    const ops = [{ type: 'create', path: '/3', value: 3 }];
    await client.request({ action: 'query', type: 'transaction', ops });
    for (const path of ['1', '*', 'x/1']) await expect(client.read(path)).rejects.toMatchObject({ code: 11 });

    const other = await connect();
    await other.watch('/plant*', { push: true });
    await client.write('/4', 4);
    await expect.poll(() => other.pushed).toMatchObject([{ path: '/plant/4' }]);
    expect((await other.read('*')).items.map((item: { path: string }) => item.path)).toEqual([
      '/plant',
      '/plant/2',
      '/plant/3',
      '/plant/4',
      '/plants',
    ]);
    await client.request({ action: 'query', type: 'unwatch', path: '/*' });

    expect(await become('attach', { uuid: node })).toEqual({ result: true, uuid: node });
    expect((await client.read('/plants')).value).toBe('outside');
  });

  it('attached to a quorum that is gone, a connection finds nothing until it attaches elsewhere', async () => {
    const { uuid } = await become('leader', { path: '/plant' });
    const other = await connect();
    expect(await other.ask([3, 0x01, uuid, null])).toEqual([0x0d, 0, uuid]);
    expect(await other.ask([2, 3, null, null, '/1', 1])).toMatchObject([0x14, 0, {}]);
    await become('destroy', { uuid });
    expect(await other.ask([2, 1, null, null, '/1'])).toMatchObject([0x34, 7, {}]);
    expect(await other.ask([3, 0x01, uuid, null])).toMatchObject([0x1c, 7, {}]);
    expect(await other.ask([3, 0x01, node, null])).toEqual([0x0d, 0, node]);
    expect(await other.ask([2, 1, null, null, '/plant/1'])).toEqual([0x14, 0, 1]);
  });

  it.each<[string, Fields, number]>([
    ['router', { path: '/UPPER' }, 11],
    ['attach', { uuid: '8f97f89a-372a-4f06-9e64-2a6ad3399c35' }, 7],
    ['attach', {}, 1],
    ['emperor', {}, 9],
    ['leader', {}, 1],
    ['leader', { path: 'no/slash' }, 11],
    ['leader', { path: '/UPPER' }, 11],
    ['leader', { path: `/${'a'.repeat(1_024)}` }, 11],
    ['processor', { path: '/a*' }, 11],
    ['follower', {}, 1],
    ['follower', { path: '/none' }, 7],
    ['follower', { uuid: 'no uuid' }, 1],
    ['leave', { path: '/none' }, 7],
    ['destroy', { path: '/none' }, 7],
  ])('%s with %j is answered with its error', async (type, fields, code) => {
    expect(await become(type, fields)).toEqual(failure(code));
    expect((await client.read('/_HAVEN/*')).items).toEqual([]);
  });

  it('in arrays', async () => {
    expect(await client.ask([3, 0x05, null, null])).toEqual([0x0d, 0, node]);
    const [status, code, uuid] = await client.ask([3, 0x07, null, '/plant']);
    expect([status, code]).toEqual([0x0d, 0]);
    expect(await client.ask([3, 0x06, uuid, null])).toEqual([0x0d, 0, uuid]);
    expect(await client.ask([3, 0x03, Buffer.from(uuid.replaceAll('-', ''), 'hex'), null])).toEqual([0x0d, 0, uuid]);
    const detail = { name: expect.any(String), message: expect.any(String) };
    expect(await client.ask([3, 0x06, uuid, null])).toEqual([0x1c, 7, detail]);
    expect(await client.ask([3, 0x0c, null, '/x'])).toEqual([0x0d, 0, node]);
    expect(await client.ask([3, 0x55, null, null])).toEqual([0x1d, 9, detail]);
  });

  it('each change is announced and logged, with who made it', async () => {
    await client.watch('/_HAVEN/*', { push: true });
    const { uuid } = await become('leader', { path: '/plant' });
    await become('destroy', { uuid });
    await expect
      .poll(() => client.pushed)
      .toMatchObject([
        { path: '/_HAVEN/control/quorums/plant', type: 'write', value: { uuid, path: '/plant', leader: node, members: [node] }, by: '' },
        { path: '/_HAVEN/control/quorums/plant', type: 'delete', by: '' },
      ]);
    const logged = house.lines.filter(({ text }) => text.startsWith('Haven control'));
    expect(logged.map(({ level, fields }) => [level, fields])).toEqual([
      ['info', { user: '', peer: expect.stringMatching(/:\d+$/), type: 'leader', path: '/plant', uuid, changed: true }],
      ['info', { user: '', peer: expect.any(String), type: 'destroy', path: null, uuid, changed: true }],
    ]);
  });

  it('is the only way to change what it keeps', async () => {
    await become('location');
    const path = '/_HAVEN/control/roles/location';
    const denied = { code: 6, errorName: 'ACCESS_DENIED' };
    await expect(client.write(path, 1)).rejects.toMatchObject(denied);
    for (const target of [path, '/_HAVEN/*', '/_HAVEN/control/*', '/_HAVEN/c*l/roles/*']) {
      await expect(client.delete(target)).rejects.toMatchObject(denied);
    }
    const ops = [{ type: 'delete', path }];
    expect(await client.ask({ action: 'query', type: 'transaction', ops })).toMatchObject({ result: false, error: { code: 6, op: 0 } });
    await client.write('/_HAVEN/other', 1);
    expect((await client.delete('/_HAVEN/o*')).removed).toBe(1);
    expect((await client.delete('*')).removed).toBe(0);
    expect((await discover('location')).result).toBe(true);
  });

  it('needs the right control', async () => {
    await house.stop();
    await begin(accessOf((action) => action !== 'control'));
    for (const type of ['location', 'exit']) expect(await become(type)).toEqual(failure(6));
    expect((await client.heartbeat()).state.roles).toEqual([]);
  });

  it('destroying with force, or attaching, needs the rights of what is done, on whole paths', async () => {
    await house.stop();
    await begin(accessOf((action, path) => action !== 'remove' || path.startsWith('/_HAVEN')));
    const { uuid } = await become('leader', { path: '/plant' });
    await client.write('/plant/1', 1);
    expect(await become('destroy', { uuid, force: true })).toEqual(failure(6));
    expect(await discover('uuid', { uuid })).toMatchObject({ result: true });
    await become('attach', { uuid });
    await expect(client.delete('/1')).rejects.toMatchObject({ code: 6, message: expect.stringContaining('/plant/1') });
    expect((await client.read('/1')).value).toBe(1);
  });

  it('two of a kind at the same time: one is done, the other is told', async () => {
    const other = await connect();
    const ask = (who: HavenClient): Promise<Answer> => who.ask({ action: 'become', type: 'leader', path: '/plant' });
    const answers = await Promise.all([ask(client), ask(other)]);
    const done = answers.find(({ result }) => result === true);
    expect(answers.find(({ result }) => result === false)).toEqual(failure(8));
    expect(await discover('quorum', { path: '/plant' })).toMatchObject({ location: { uuid: done.uuid } });
  });

  it('is limited in what it keeps', async () => {
    const name = (n: number): string => `/${String.fromCharCode(97 + Math.floor(n / 26), 97 + (n % 26))}`;
    for (let n = 0; n < CONTROL_MAX; n++) expect(await become('processor', { path: name(n) })).toMatchObject({ result: true });
    expect(await become('processor', { path: name(CONTROL_MAX) })).toEqual(failure(10));
    expect(await become('exit')).toMatchObject({ result: true });
  });

  it('answers keep the order of the requests, and what follows sees the change', async () => {
    const answers = await Promise.all([
      client.write('/a', 1),
      become('leader', { path: '/a' }),
      discover('quorum', { path: '/a/b' }),
      client.read('/a'),
      become('emperor'),
      client.heartbeat(),
    ]);
    expect(answers[2].location.uuid).toBe(answers[1].uuid);
    expect(answers[3].value).toBe(1);
    expect(answers[4]).toEqual(failure(9));
    expect(client.strays).toEqual([]);
  });
});

describe('DISCOVER', () => {
  const location = (fields: Fields): Fields => ({ address: '127.0.0.1', port: at.port, versions: ['1'], ...fields });

  it('finds the quorum whose base key is the longest prefix', async () => {
    const made: { [path: string]: string } = {};
    for (const path of ['/plant', '/plant/hall', '/']) made[path] = (await become('leader', { path })).uuid;
    const found = async (path: string): Promise<string> => (await discover('quorum', { path })).location.path;
    expect(await Promise.all(['/plant', '/plant/1', '/plant/hall/x', '/plantation', '/plant/hallway'].map(found))).toEqual([
      '/plant',
      '/plant',
      '/plant/hall',
      '/',
      '/plant',
    ]);
    expect(await discover('quorum', { path: 'elsewhere' })).toEqual(failure(7));
    expect(await discover('quorum', { path: '/plant/1', id: 5 })).toEqual({
      result: true,
      location: location({ uuid: made['/plant'], role: 'leader', path: '/plant', leader: node, members: [node] }),
      id: 5,
    });
  });

  it('finds the location service, this node and quorums by their uuid', async () => {
    await become('location');
    const { uuid } = await become('leader', { path: '/plant' });
    expect(await discover('location')).toEqual({ result: true, location: location({ uuid: node, role: 'location' }) });
    expect(await discover('uuid', { uuid: node.toUpperCase() })).toEqual({
      result: true,
      location: location({ uuid: node, role: 'node' }),
    });
    expect((await discover('uuid', { uuid })).location).toMatchObject({ uuid, role: 'leader', path: '/plant' });
    expect(await discover('uuid', { uuid: '8f97f89a-372a-4f06-9e64-2a6ad3399c35' })).toEqual(failure(7));
  });

  it('in arrays, and over a websocket', async () => {
    await become('location');
    expect(await client.ask([6, 'location', null, null])).toEqual([0x0d, 0, location({ uuid: node, role: 'location' })]);
    expect(await client.ask([6, 'quorum', '/x', null])).toEqual([0x1c, 7, { name: 'NOT_FOUND', message: expect.any(String) }]);
    const over = await connect({ url: `ws://127.0.0.1:${at.httpPort}/haven` });
    expect(await over.ask({ action: 'discover', type: 'uuid', uuid: node })).toMatchObject({ location: { port: at.port } });
  });

  it.each<[Fields]>([[{ type: 'quorum' }], [{ type: 'uuid' }], [{ type: 'moon' }], [{}], [{ type: 'uuid', uuid: 5 }]])(
    '%j is answered with error 1',
    async (fields) => expect(await client.ask({ action: 'discover', ...fields })).toEqual(failure(1)),
  );
});
