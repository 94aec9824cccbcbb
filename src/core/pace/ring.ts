// Ring: a growable circular queue with a maximum size. No closures, no wrapper objects; frees its memory when empty.

const FIRST_CAPACITY = 16;
const KEPT_CAPACITY = 1024;

/** First in, first out. Capacity doubles on demand up to `max` items (rounded up to a power of two at most once). */
export class Ring<T> {
  #items: (T | undefined)[] = [];
  #head = 0;
  #length = 0;

  constructor(readonly max: number = Number.POSITIVE_INFINITY) {}

  get length(): number {
    return this.#length;
  }

  /** False, and nothing changes, when the ring holds `max` items. */
  push(item: T): boolean {
    if (this.#length >= this.max) return false;
    if (this.#length === this.#items.length) this.#grow();
    this.#items[(this.#head + this.#length) & (this.#items.length - 1)] = item;
    this.#length += 1;
    return true;
  }

  /** The oldest item without taking it; undefined when empty. */
  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#items[this.#head];
  }

  /** Takes the oldest item; undefined when empty. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    this.#length -= 1;
    if (this.#length === 0 && this.#items.length > KEPT_CAPACITY) this.clear();
    return item;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.#length = 0;
  }

  #grow(): void {
    const old = this.#items;
    const grown: (T | undefined)[] = new Array(old.length === 0 ? FIRST_CAPACITY : old.length * 2);
    for (let i = 0; i < this.#length; i++) grown[i] = old[(this.#head + i) & (old.length - 1)];
    this.#items = grown;
    this.#head = 0;
  }
}
