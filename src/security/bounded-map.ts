// BoundedMap: a map that forgets what was used longest ago when it is full.

export class BoundedMap<K, V> {
  readonly #items = new Map<K, V>();

  constructor(readonly max: number) {}

  get size(): number {
    return this.#items.size;
  }

  /** A look at it is a use. */
  get(key: K): V | undefined {
    const value = this.#items.get(key);
    if (value === undefined) return undefined;
    this.#items.delete(key);
    this.#items.set(key, value);
    return value;
  }

  set(key: K, value: V): void {
    this.#items.delete(key);
    this.#items.set(key, value);
    if (this.#items.size <= this.max) return;
    const oldest = this.#items.keys().next();
    if (oldest.done !== true) this.#items.delete(oldest.value);
  }

  delete(key: K): void {
    this.#items.delete(key);
  }

  clear(): void {
    this.#items.clear();
  }
}
