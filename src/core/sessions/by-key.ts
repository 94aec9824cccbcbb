// ByKey: items grouped by their owner's key (a user name, a token id), so that the cost of an operation on one owner depends on
// that owner's items only.

export class ByKey<T> {
  readonly #things = new Map<string, Set<T>>();

  add(key: string, thing: T): void {
    const known = this.#things.get(key);
    if (known === undefined) this.#things.set(key, new Set([thing]));
    else known.add(thing);
  }

  delete(key: string, thing: T): void {
    const known = this.#things.get(key);
    if (known?.delete(thing) === true && known.size === 0) this.#things.delete(key);
  }

  /** How many are somebody's. */
  count(key: string): number {
    return this.#things.get(key)?.size ?? 0;
  }

  /** A list of its own: what is done with them may change what there is. */
  of(keys: Iterable<string>): T[] {
    const found: T[] = [];
    for (const key of keys) for (const thing of this.#things.get(key) ?? []) found.push(thing);
    return found;
  }
}
