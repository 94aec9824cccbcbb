// ChangedRecords: the records that a turn changes. They are only noted, and sorted by path when one is looked up: most turns are over
// before that happens.

import type { Entry } from './entry.js';

/** Changed entries by path; null: removed. */
export type View = Map<string, Entry | null>;

export class ChangedRecords {
  readonly #paths: string[] = [];
  readonly #entries: (Entry | null)[] = [];
  readonly #view: View = new Map();
  /** Of those that were noted, so many are in the view. */
  #viewed = 0;

  /** null: removed. */
  note(path: string, entry: Entry | null): void {
    this.#paths.push(path);
    this.#entries.push(entry);
  }

  /** The last change of each path. */
  get view(): View {
    for (; this.#viewed < this.#paths.length; this.#viewed++) {
      this.#view.set(this.#paths[this.#viewed] as string, this.#entries[this.#viewed] as Entry | null);
    }
    return this.#view;
  }
}
