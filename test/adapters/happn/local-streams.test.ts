// Long answers to a client inside the process, while the store fails or others change what is read.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LocalClient, LocalDocument } from '../../../src/adapters/happn/index.js';
import { settled, until } from '../../support/core-harness.js';
import { type HappnGateway, startHappn } from '../../support/happn-wire.js';

/** Together more than is read ahead in any order. */
const RECORDS = 3_000;

let gateway: HappnGateway;
let client: LocalClient;

beforeEach(async () => {
  gateway = await startHappn();
  client = await gateway.localClient();
  const some = Array.from({ length: RECORDS }, (_, n) => client.set(`list/${String(n).padStart(4, '0')}`, { n, text: 'x'.repeat(3_000) }));
  await Promise.all(some);
});

afterEach(async () => {
  await client.disconnect();
  await gateway.stop();
});

const numbers = (records: unknown): unknown[] => (records as LocalDocument[]).map((record) => record['n']);
const all = Array.from({ length: RECORDS }, (_, n) => n);

/** The answer has begun, and what is still to be read waits for the store. */
async function begun(): Promise<void> {
  gateway.store.scansHeld = true;
  await until(() => gateway.store.reading > 0, 100_000);
}

describe('a list that is read while it is handed over', () => {
  it('is that of its moment', async () => {
    const list = client.get('list/*');
    await client.set('list/0000', { n: 'changed' });
    await client.remove('list/2999');
    expect(numbers(await list)).toEqual(all);
    expect(gateway.store.openScans).toBe(0);
  });

  it('rejects when the store fails, and the client goes on', async () => {
    const first: unknown[] = [];
    const emitting = client.on('list/*', { initialEmit: true }, (data) => void first.push(data['n']));
    emitting.catch(() => {});
    await until(() => first.length > 0);
    await begun();
    gateway.store.scanFailure = new Error('a disk, as a test asked for');
    gateway.store.releaseScans();
    await expect(emitting).rejects.toMatchObject({ name: 'SystemError', code: 500, message: expect.stringContaining('long answer') });
    gateway.store.scanFailure = null;
    expect(first.length).toBeLessThan(RECORDS);
    expect(client.connected).toBe(true);
    const before = first.length;
    await client.set('list/0001', { n: 1, text: 'unheard' });
    await settled();
    expect(first).toHaveLength(before);
    expect(numbers(await client.get('list/*'))).toEqual(all);
    expect(gateway.store.openScans).toBe(0);
  });

  it('is let go when its asker leaves or waits no longer', async () => {
    const late = client.get('list/*', { timeout: 20 });
    late.catch(() => {});
    await begun();
    await expect(late).rejects.toThrow('timed out');
    gateway.store.releaseScans();
    expect(await client.get('list/000*')).toHaveLength(10);
    const other = await gateway.localClient();
    const left = other.get('list/*');
    left.catch(() => {});
    await begun();
    await other.disconnect();
    gateway.store.releaseScans();
    await expect(left).rejects.toThrow('disconnected');
    await until(() => gateway.store.openScans === 0, 100_000);
  });
});
