// Adapts history to the configuration when the store has been opened: history of patterns that are no longer configured is dropped,
// and that of new patterns begins. If interrupted, the next start does it again.

import { digits } from '../store/digits.js';
import { eachSlice } from '../store/each-row.js';
import { SECTION, type Section, type Store, StoreDamage, type StoreRow, type StoreState, type WriteBatch } from '../store/store.js';
import { changedPathIn, decodeTimeline, type PastState, pastExpiryKey, putHistoryBytes, readHistoryBytes, sizeOf } from './rows.js';
import { type Floor, HistoryRules, type HistorySettings } from './rules.js';

export interface OpenedHistory {
  readonly rules: HistoryRules;
  /** That of the store, now. */
  readonly state: StoreState;
}

/** `time`: of the start. Rejects with StoreFailure or StoreDamage. */
export async function openHistory(settings: HistorySettings, store: Store, state: StoreState, time: number): Promise<OpenedHistory> {
  const now: Floor = { revision: state.revision, time };
  const { rules, kept, same } = HistoryRules.read(settings, store, now);
  if (same) return { rules, state };
  const writer = new BatchWriter(store, state);
  await writer.write((batch) => rules.writeFirst(kept, batch));
  if (kept === 0) {
    for (const section of [SECTION.history, SECTION.timeline, SECTION.pastExpiry]) await dropSection(section, writer);
  } else {
    await dropUncovered(rules, kept, writer);
  }
  await writer.write((batch) => {
    rules.write(batch);
    if (kept === 0) putHistoryBytes(batch, 0);
  });
  return { rules, state: writer.state };
}

/** Writes outside of turns, before there are any. */
class BatchWriter {
  constructor(
    readonly store: Store,
    public state: StoreState,
  ) {}

  async write(fill: (batch: WriteBatch) => void): Promise<void> {
    const batch = this.store.batch();
    fill(batch);
    if (batch.length === 0) return;
    const next = { ...this.state, batch: this.state.batch + 1 };
    await this.store.write(batch, next);
    this.state = next;
  }
}

async function dropSection(section: Section, writer: BatchWriter): Promise<void> {
  await eachSlice(writer.store, section, (rows) =>
    writer.write((batch) => {
      for (const { key } of rows) batch.delete(section, key);
    }),
  );
}

/** What is not kept by the first `count` rules, which are what they were. */
async function dropUncovered(rules: HistoryRules, count: number, writer: BatchWriter): Promise<void> {
  const isKept = (path: string): boolean => {
    const rule = rules.of(path);
    return rule !== null && rules.rules.indexOf(rule) < count;
  };
  await eachSlice(writer.store, SECTION.timeline, (rows) =>
    writer.write((batch) => {
      let bytes = 0;
      for (const row of rows) if (!isKept(row.key)) bytes += dropTimeline(row, batch);
      takeOff(bytes, writer.store, batch);
    }),
  );
  // Changes that no timeline knows, because that was damaged.
  await eachSlice(writer.store, SECTION.history, (rows) =>
    writer.write((batch) => {
      let bytes = 0;
      for (const { key, value } of rows) {
        const path = changedPathIn(value);
        if (isKept(path)) continue;
        batch.delete(SECTION.history, key);
        bytes += sizeOf(value, path);
      }
      takeOff(bytes, writer.store, batch);
    }),
  );
}

/** So many bytes of history are gone. */
function takeOff(bytes: number, store: Store, batch: WriteBatch): void {
  if (bytes > 0) putHistoryBytes(batch, Math.max(0, readHistoryBytes(store) - bytes));
}

/** How many bytes it counted. */
function dropTimeline({ key: path, value }: StoreRow, batch: WriteBatch): number {
  batch.delete(SECTION.timeline, path);
  let bytes = 0;
  for (const { revision, deadline, size } of statesIn(path, value)) {
    batch.delete(SECTION.history, digits(revision));
    if (deadline !== 0) batch.delete(SECTION.pastExpiry, pastExpiryKey(deadline, path, revision));
    bytes += size;
  }
  return bytes;
}

function statesIn(path: string, row: Uint8Array): readonly PastState[] {
  try {
    return decodeTimeline(path, row).states;
  } catch (error) {
    if (error instanceof StoreDamage) return [];
    throw error;
  }
}
