import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LevelStore } from '../../../src/core/store/level-store.js';
import { storeContract } from '../../contract/store-contract.js';
import { makeDirectory } from '../../support/temporary.js';

for (const durability of ['os', 'sync'] as const) {
  storeContract(`the store on LevelDB (${durability})`, async () => {
    const directory = await makeDirectory();
    const location = join(directory, 'store');
    return {
      store: () => new LevelStore({ location, durability }),
      destroy: () => rm(directory, { recursive: true }),
    };
  });
}
