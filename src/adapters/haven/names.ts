// Names: finds which known name a message contains by its bytes, without making a text of them.

/** A power of two, so that few names share a bucket. */
const BUCKETS = 128;

interface Known<T> {
  readonly bytes: Uint8Array;
  readonly meaning: T;
  /** The next one in its bucket. */
  readonly next: Known<T> | null;
}

export class Names<T> {
  readonly #buckets: (Known<T> | null)[] = new Array(BUCKETS).fill(null);

  /** Names of one or more ASCII characters. */
  constructor(names: Iterable<readonly [string, T]>) {
    for (const [name, meaning] of names) {
      const bytes = Buffer.from(name);
      const bucket = bucketOf(bytes, 0, bytes.length);
      this.#buckets[bucket] = { bytes, meaning, next: this.#buckets[bucket] as Known<T> | null };
    }
  }

  /** What the name from `bytes[from]` to `bytes[to]`, exclusive, means; null: it is not known. */
  meaning(bytes: Buffer, from: number, to: number): T | null {
    if (from === to) return null;
    let known = this.#buckets[bucketOf(bytes, from, to)] as Known<T> | null;
    while (known !== null && !isSame(known.bytes, bytes, from, to)) known = known.next;
    return known === null ? null : known.meaning;
  }
}

function bucketOf(bytes: Uint8Array, from: number, to: number): number {
  return (to - from + 5 * (bytes[from] as number) + 3 * (bytes[to - 1] as number)) & (BUCKETS - 1);
}

function isSame(name: Uint8Array, bytes: Buffer, from: number, to: number): boolean {
  const { length } = name;
  if (length !== to - from) return false;
  for (let i = 0; i < length; i++) if (name[i] !== bytes[from + i]) return false;
  return true;
}
