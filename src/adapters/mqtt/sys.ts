// SystemTopics: the $SYS topics. A table in the adapter; the core knows the filters of their readers, but not their
// contents: nobody can publish there, and no protocol finds them among the records.

import { type AdapterContext, type Counter, Entry, type Identity, type Pattern, Payload, Publication, STORED } from '../../core/index.js';
import { SysFigures } from './sys-figures.js';
import type { WireCounts } from './wire-counts.js';

/** Retained, at QoS 0: the next value comes soon enough. */
const OPTIONS = Object.freeze({ ...STORED, qos: 0 as const });

/** A session with filters below $SYS. */
export interface SystemReader {
  hearSystem(publication: Publication): void;
}

export interface SystemTopicsOptions {
  /** Between publications; 0: there are none. */
  readonly intervalMs: number;
  readonly mountPoint: string;
  /** Who reads these topics. */
  readonly isReadableBy: (identity: Identity) => boolean;
}

/** Administrators, of a gateway that knows users; where nobody has to log in everybody is one. */
export function isAdministrator({ principal }: Identity): boolean {
  return principal === null || principal.isAdministrator;
}

export class SystemTopics {
  readonly #options: SystemTopicsOptions;
  readonly #context: AdapterContext;
  readonly #counts: WireCounts;
  readonly #figures: SysFigures;
  readonly #readers = new Set<SystemReader>();
  readonly #skipped: Counter;
  /** By path. */
  #table = new Map<string, Entry>();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: SystemTopicsOptions, context: AdapterContext, counts: WireCounts) {
    this.#options = options;
    this.#context = context;
    this.#counts = counts;
    this.#figures = new SysFigures(context.clock.monotonic());
    this.#skipped = context.counters.counter('mqtt_system_skipped_total', '$SYS values not sent because the reader is slow');
  }

  start(): void {
    const { intervalMs } = this.#options;
    if (intervalMs === 0) return;
    this.#publish();
    this.#timer = setInterval(() => this.#publish(), intervalMs);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  isReadableBy(identity: Identity): boolean {
    return this.#options.isReadableBy(identity);
  }

  /** What a new subscription is sent, in the order of the topics. */
  entriesFor(pattern: Pattern): readonly Entry[] {
    return [...this.#table.values()].filter(({ path }) => this.#matches(pattern, path)).sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  add(reader: SystemReader): void {
    this.#readers.add(reader);
  }

  delete(reader: SystemReader): void {
    this.#readers.delete(reader);
  }

  /** A reader's socket takes no more: the next value that differs is for it again. */
  onSkipped(): void {
    this.#skipped.add();
  }

  /** Below a mount point the core sees no `$`, so a pattern that begins with a wildcard might match: [MQTT-4.7.2-1]. */
  #matches(pattern: Pattern, path: string): boolean {
    const { mountPoint } = this.#options;
    return pattern.text.startsWith('$SYS', mountPoint.length) && pattern.matches(path);
  }

  /** Only what has changed. */
  #publish(): void {
    const { clock, node } = this.#context;
    const [now, monotonic] = [clock.now(), clock.monotonic()];
    const heapBytes = process.memoryUsage().heapUsed;
    const figures = this.#context.figures();
    const values = this.#figures.read({ node, figures, counts: this.#counts, heapBytes, now, monotonic });
    const table = new Map<string, Entry>();
    for (const [topic, value] of values) {
      const path = this.#options.mountPoint + topic;
      const known = this.#table.get(path);
      const payload = Payload.fromBytes(Buffer.from(value), this.#context.formats.raw);
      if (known !== undefined && isSame(known.payload, payload)) {
        table.set(path, known);
        continue;
      }
      table.set(path, new Entry(path, payload, now, now, 0, '', 0));
      this.#hand(path, payload, now);
    }
    this.#table = table;
  }

  #hand(path: string, payload: Payload, now: number): void {
    if (this.#readers.size === 0) return;
    const publication = new Publication('set', path, payload, payload, null, 0, 0, now, OPTIONS, '', null, '', 'all');
    for (const reader of this.#readers) reader.hearSystem(publication);
  }
}

function isSame(a: Payload, b: Payload): boolean {
  return Buffer.compare(a.ownBytes(), b.ownBytes()) === 0;
}
