// All rows of a section, slice by slice, as of one moment: how in-memory state is loaded.

import { unsealed } from './seal.js';
import type { Section, Store, StoreRow } from './store.js';

const SLICE_ROWS = 1_000;

/** In the order of the keys. Rejects as `visit` throws, or with StoreFailure. */
export async function eachRow(store: Store, section: Section, visit: (row: StoreRow) => void): Promise<void> {
  await eachSlice(store, section, async (rows) => {
    for (const row of rows) visit(row);
  });
}

/** The same, each row without its seal. Rejects with StoreDamage for one that is not what was written. */
export async function eachContent(store: Store, section: Section, visit: (key: string, content: Buffer) => void): Promise<void> {
  await eachRow(store, section, ({ key, value }) => visit(key, unsealed(section, key, value)));
}

/** Some rows at a time: the next ones are read when `use` is done with them. */
export async function eachSlice(store: Store, section: Section, use: (rows: readonly StoreRow[]) => Promise<void>): Promise<void> {
  const scan = store.scan({ section }, SLICE_ROWS);
  try {
    for (let rows = await scan.next(); rows.length > 0; rows = await scan.next()) await use(rows);
  } finally {
    await scan.close();
  }
}
