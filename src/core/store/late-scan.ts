// Late scans: begin when LevelDB has everything that the journal had when they were requested (handover.ts).

import type { StoreKeyScan, StoreRow, StoreScan } from './store.js';

export type Opening<Scan> = { readonly scan: Scan } | { readonly error: unknown };

export class LateScan<Item, Scan extends StoreScan<Item>> implements StoreScan<Item> {
  /** Where the next slice begins; null: where the last one ended. */
  #target: string | null = null;

  constructor(protected readonly opening: Promise<Opening<Scan>>) {}

  async next(rows?: number): Promise<Item[]> {
    const opened = await this.opening;
    if ('error' in opened) throw opened.error;
    if (this.#target !== null) opened.scan.seek(this.#target);
    this.#target = null;
    return opened.scan.next(rows);
  }

  seek(key: string): void {
    this.#target = key;
  }

  async close(): Promise<void> {
    const opened = await this.opening;
    if ('scan' in opened) await opened.scan.close();
  }
}

export class LateKeyScan extends LateScan<string, StoreKeyScan> implements StoreKeyScan {
  #rows: StoreScan | null = null;

  rows(): StoreScan {
    this.#rows ??= new LateScan<StoreRow, StoreScan>(
      this.opening.then((opened) => ('scan' in opened ? { scan: opened.scan.rows() } : opened)),
    );
    return this.#rows;
  }
}
