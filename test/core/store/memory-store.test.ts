import { expect, test } from 'vitest';
import { SECTION, StoreFailure } from '../../../src/core/store/store.js';
import { storeContract } from '../../contract/store-contract.js';
import { MemoryDisk, MemoryStore } from '../../support/memory-store.js';

storeContract('a store in memory', async () => {
  const disk = new MemoryDisk();
  return { store: () => new MemoryStore(disk), destroy: async () => disk.rows.clear() };
});

test('a store in memory accepts nothing after a failed write until it is reopened', async () => {
  const store = new MemoryStore();
  await store.open();
  const batch = store.batch();
  batch.put(SECTION.record, 'a', Buffer.from('1'));
  store.failNextWrite();
  const next = { batch: 1, revision: 1, applied: 1 };
  await expect(store.write(batch, next)).rejects.toThrow(StoreFailure);
  await expect(store.write(batch, next)).rejects.toThrow(StoreFailure);
  expect(await store.reopen()).toEqual({ batch: 0, revision: 0, applied: 0 });
  await store.write(batch, next);
  expect(Buffer.from(store.read(SECTION.record, 'a') as Uint8Array).toString()).toBe('1');
});
