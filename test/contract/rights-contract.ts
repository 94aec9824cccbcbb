// What every adapter must let through and keep back of the rights that the core decides: refusals are told, prohibited paths are never
// shown, and what is taken away ends at once.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ADMIN, type Permissions } from '../../src/core/index.js';
import { type Address, type ContractHouse, passwordOf, secureHouse } from '../support/contract-house.js';
import { PlainAdapter } from '../support/plain-adapter/index.js';
import { PlainClient } from '../support/plain-client.js';
import type { AdapterSubject } from './adapter-contract.js';
import type { ContractClient } from './contract-client.js';

const ALL = { actions: ['*'] } as const;
const FENCE: Permissions = { 'fence/*': ALL };
/** What a lost right may still let through is over by then. */
const LOST_WITHIN_MS = 1_000;

export function rightsContract<Client extends ContractClient>(subject: AdapterSubject<Client>): void {
  const { supports } = subject;
  let house: ContractHouse;
  let at: Address;
  let root: PlainClient;

  const put = (name: string, permissions: Permissions, groups: readonly string[] = []): Promise<void> =>
    house.administer({ type: 'putUser', name, id: `${name}-id`, fields: { permissions, groups }, when: 'any', merge: false });
  const connectAs = (name: string): Promise<Client> => subject.connectAs(at, name, passwordOf(name));

  beforeEach(async () => {
    house = secureHouse();
    await house.start();
    at = await house.add(subject.create());
    const plainAt = await house.add(new PlainAdapter());
    await put('root', {}, [ADMIN]);
    root = await PlainClient.connect(plainAt, 1, { username: 'root', password: passwordOf('root') });
  });
  afterEach(() => house.stop());

  /** The gateway has sent the client everything that it was to hear. */
  async function fenced(client: ContractClient): Promise<void> {
    const watch = await client.watch('fence/here');
    await root.emit('fence/here', { over: true });
    await watch.count(1);
    await client.unwatch(watch);
  }

  describe(`${subject.name}: rights`, () => {
    it('lets in who is somebody, and nobody else', async () => {
      await put('ann', { ...FENCE, 'ok/*': ALL });
      await expect(subject.connectAs(at, 'ann', 'guessed')).rejects.toThrow();
      await expect(subject.connectAs(at, 'nobody', passwordOf('nobody'))).rejects.toThrow();
      const ann = await connectAs('ann');
      await ann.set('ok/1', { n: 1 });
      expect(await ann.get('ok/1')).toEqual({ n: 1 });
    });

    const attempts: { readonly [what: string]: (client: Client) => Promise<unknown> } = {
      'a set': (client) => client.set('no/1', { n: 2 }),
      'an event': (client) => client.emit('no/1', { n: 2 }),
      'a removal': (client) => client.remove('no/1'),
      'a read': (client) => client.get('no/1'),
      'a subscription': (client) => client.watch('no/1'),
      'a subscription by wildcard': (client) => client.watch(supports.below('no')),
      'a subscription that is wider than what is allowed': (client) => client.watch(supports.below('o')),
    };
    for (const [what, attempt] of Object.entries(attempts)) {
      it(`refuses ${what}`, async () => {
        await put('ann', { ...FENCE, 'ok/*': ALL, 'o/1/*': ALL });
        await root.set('no/1', { n: 1 });
        const ann = await connectAs('ann');
        await expect(attempt(ann)).rejects.toThrow();
        expect(await root.get('no/1')).toEqual({ n: 1 });
        const other = await connectAs('ann');
        await other.set('ok/1', { n: 3 });
        expect(await other.get('ok/1')).toEqual({ n: 3 });
      });
    }

    it('never shows what is prohibited below what is allowed', async () => {
      await put('ann', { ...FENCE, 'ok/*': ALL, 'ok/secret/*': { prohibit: ['*'] } });
      await root.set('ok/0', { n: 0 });
      await root.set('ok/secret/0', { n: 0 });
      const ann = await connectAs('ann');
      const watch = await ann.watch(supports.below('ok'), { initial: true });
      await watch.count(1);
      for (const path of ['ok/1', 'ok/secret/1', 'ok/2']) await root.set(path, { n: 1 });
      await root.emit('ok/secret/2', { n: 1 });
      await root.remove('ok/secret/0');
      await fenced(ann);
      expect(watch.heard.map(({ path }) => path)).toEqual(['ok/0', 'ok/1', 'ok/2']);
      if ('by' in supports.find) {
        const found = await supports.find.by(ann, supports.below('ok'));
        expect(found.map(([path]) => path)).toEqual(['ok/0', 'ok/1', 'ok/2']);
      }
      if ('by' in supports.removeAll) expect(await supports.removeAll.by(ann, supports.below('ok'))).toBe(3);
      expect(await root.get('ok/secret/1')).toEqual({ n: 1 });
    });

    it('shows nothing any more when the right for it is taken away, and shows it again to who asks again', async () => {
      await put('ann', { ...FENCE, 'ok/*': ALL, 'kept/*': ALL });
      const ann = await connectAs('ann');
      const lost = await ann.watch(supports.below('ok'));
      const kept = await ann.watch(supports.below('kept'));
      await root.set('ok/1', { n: 1 });
      await lost.count(1);
      const begun = performance.now();
      await put('ann', { ...FENCE, 'kept/*': ALL });
      await root.set('ok/2', { n: 2 });
      await root.set('kept/1', { n: 1 });
      await kept.count(1);
      expect(performance.now() - begun).toBeLessThan(LOST_WITHIN_MS);
      expect(lost.heard.map(({ path }) => path)).toEqual(['ok/1']);
      await put('ann', { ...FENCE, 'ok/*': ALL, 'kept/*': ALL });
      await root.set('ok/3', { n: 3 });
      await fenced(ann);
      expect(lost.heard.map(({ path }) => path)).toEqual(['ok/1']);
      const again = await ann.watch(supports.below('ok'));
      await root.set('ok/4', { n: 4 });
      await again.until(({ path }) => path === 'ok/4');
      expect(again.heard.map(({ path }) => path)).toEqual(['ok/4']);
    });

    it('ends the connections of a user who is deleted', async () => {
      await put('ann', { ...FENCE, 'ok/*': ALL });
      await put('bob', { ...FENCE, 'ok/*': ALL });
      const [ann, bob] = [await connectAs('ann'), await connectAs('bob')];
      await ann.watch(supports.below('ok'));
      await house.administer({ type: 'deleteUser', name: 'ann' });
      await ann.ended;
      await bob.set('ok/1', { n: 1 });
      await expect(connectAs('ann')).rejects.toThrow();
    });
  });
}
