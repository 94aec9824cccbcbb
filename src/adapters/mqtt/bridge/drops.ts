// Drops: messages that a bridge does not carry, counted by reason and logged once per episode.

import { type Clock, type Counter, type Counters, Episode, type Log } from '../../../core/index.js';

const TEXTS = {
  away: 'the remote is away: messages that nothing is kept of are dropped',
  slow: 'the remote is slow: messages for it are dropped',
  'queue-full': 'the queue for the remote is full, or messages waited too long in it: they are dropped',
  'no-rule': 'messages that no rule carries are dropped',
  'no-topic': 'messages on paths that no topic can name there, or here, are dropped',
  'too-large': 'messages that are too large are dropped',
  expired: 'messages that expired while they waited are dropped',
  hops: 'messages that crossed too many bridges are dropped: bridges form a ring',
  loop: 'messages that came back are dropped: bridges form a ring',
  refused: 'the remote refuses messages: they are dropped',
  'refused-here': 'messages of the remote are refused here: they are dropped',
} as const;

export type DropReason = keyof typeof TEXTS;

/** Those of one reason. */
interface Kind {
  readonly counter: Counter;
  readonly episode: Episode;
}

export class Drops {
  readonly #kinds = new Map<DropReason, Kind>();
  total = 0;

  constructor(
    bridge: string,
    counters: Counters,
    private readonly clock: Clock,
    private readonly log: Log,
  ) {
    for (const reason of Object.keys(TEXTS) as DropReason[]) {
      const name = `bridge_dropped_total{bridge="${bridge}",reason="${reason}"}`;
      const counter = counters.counter(name, 'Messages that a bridge did not carry');
      this.#kinds.set(reason, { counter, episode: new Episode() });
    }
  }

  /** `about`: the path, or what the remote said. */
  add(reason: DropReason, about: string): void {
    const { counter, episode } = this.#kinds.get(reason) as Kind;
    counter.add();
    this.total += 1;
    if (episode.begins(this.clock.monotonic())) this.log.warn({ about }, TEXTS[reason]);
  }
}
