// Side doors of rights: what is no read, and yet could tell what is in a record.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Meta } from '../../src/core/data/meta.js';
import { ADMIN, DataRequest, DELEGATES, Payload, parseQuery, STORED, TransactionRequest } from '../../src/core/index.js';
import { formats } from '../support/core-harness.js';
import { type SecureHarness, type SecureSession, startSecure } from '../support/secure-harness.js';

const SECRET = { pin: 4711, hits: { value: 42 } };
const WITH_PIN = parseQuery({ criteria: { pin: 4711 } });
const OTHER_PIN = parseQuery({ criteria: { pin: 1 } });

let house: SecureHarness;
let root: SecureSession;
/** May do everything in /s but read it. */
let mole: SecureSession;

beforeEach(async () => {
  house = await startSecure();
  await house.user('root', {}, { groups: [ADMIN] });
  await house.user('mole', { '/s/*': { actions: ['set', 'remove', 'on'] } });
  await house.user('reader', { '/s/*': { actions: ['remove', 'get'] }, '/s/hidden/*': { prohibit: ['get'] } });
  root = house.login('root');
  mole = house.login('mole');
  for (const path of ['/s/1', '/s/hidden/1']) await root.set(path, SECRET);
});
afterEach(() => house.stop());

const left = async (): Promise<unknown> => (await root.find('/s/*')).entries?.map(({ path }) => path);

describe('D10 criteria of a removal tell nothing to who may remove and not read', () => {
  it.each(['/s/1', '/s/*'])('at %s', async (path) => {
    const answers = [WITH_PIN, OTHER_PIN].map(async (query) => {
      const { error, count } = path.endsWith('*') ? await mole.removeAll(path, 1, { query }) : await mole.remove(path, 1, { query });
      return [error, count];
    });
    expect(await Promise.all(answers)).toEqual([
      [null, 0],
      [null, 0],
    ]);
    expect(await left()).toEqual(['/s/1', '/s/hidden/1']);
    expect((await mole.remove('/s/1')).count).toBe(1);
  });

  it('record by record', async () => {
    expect((await house.login('reader').removeAll('/s/*', 1, { query: WITH_PIN })).count).toBe(1);
    expect(await left()).toEqual(['/s/hidden/1']);
  });

  it('in a transaction', async () => {
    const options = { ...STORED, query: WITH_PIN };
    const operation = new DataRequest('remove', mole, null, '/s/1', null, null, options, false, 0, null);
    const { error, revisions } = await mole.submit(new TransactionRequest(mole, 1, [operation], null));
    expect([error, revisions]).toEqual([null, [0]]);
  });

  it('on behalf of somebody', async () => {
    await house.user('agent', {}, { groups: [DELEGATES] });
    const agent = house.login('agent');
    expect((await agent.remove('/s/1', 1, { query: WITH_PIN, actor: 'mole' })).count).toBe(0);
    expect((await agent.remove('/s/1', 1, { query: WITH_PIN, actor: 'reader' })).count).toBe(1);
  });
});

describe('D10 a count, and a look by a condition, need the right to get', () => {
  it('by path and by pattern', async () => {
    const query = parseQuery({ criteria: { pin: 4711 }, count: true });
    const answers = [await mole.get('/s/1', 1, { query }), await mole.find('/s/*', { query }), await mole.get('/s/1', 1, { expect: 1 })];
    expect(answers.map(({ error }) => error?.code)).toEqual(['ACCESS_DENIED', 'ACCESS_DENIED', 'ACCESS_DENIED']);
  });

  it('in a transaction', async () => {
    const options = { ...STORED, expect: 1 };
    const look = new DataRequest('get', mole, null, '/s/1', null, null, options, false, 0, null);
    expect((await mole.submit(new TransactionRequest(mole, 1, [look], null))).error?.code).toBe('ACCESS_DENIED');
  });
});

describe('D10 the answer to a change shows its own part alone to who may not read', () => {
  it('of a merge, the meta of the record included', async () => {
    await root.set('/s/2', SECRET, { meta: Meta.fromValues({ note: 'secret' }) });
    const { entry } = await mole.set('/s/2', { own: 1 }, { merge: true });
    expect([entry?.payload.value(), entry?.meta]).toEqual([{ own: 1 }, null]);
    expect((await root.get('/s/2')).entry?.meta).not.toBeNull();
  });

  it('of an increment, which could read a counter by adding nothing', async () => {
    const add = { increment: { name: 'hits', by: 0 } };
    const { counter, entry, error } = await mole.set('/s/1', 0, add);
    expect([error, counter, entry?.payload.value()]).toEqual([null, 0, { value: 0, gauge: 'hits' }]);
    expect((await root.set('/s/1', 0, add)).counter).toBe(42);
  });
});

it('D10 a snapshot by a tag is no way to copy what may not be read', async () => {
  // As the protocol does it: the record is got, and what came is set.
  expect((await mole.get('/s/1')).error?.code).toBe('ACCESS_DENIED');
  const payload = Payload.fromValue({ a: 1 }, formats.json);
  const set = new DataRequest('set', mole, null, '/_TAGS/s/1/1', null, payload, STORED, true, 0, null);
  expect((await mole.submit(set)).error?.code).toBe('ACCESS_DENIED');
});
