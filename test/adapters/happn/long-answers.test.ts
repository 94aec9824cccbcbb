// Answers of many records in pieces: what is written at a time is bounded, whatever the records are.

import { describe, expect, test } from 'vitest';
import { encodeItem } from '../../../src/adapters/happn/codec.js';
import { type LongAnswer, RecordEvents, RecordList, Sequence } from '../../../src/adapters/happn/long-answers.js';
import type { Sink } from '../../../src/adapters/happn/session-layers.js';
import { Entry } from '../../../src/core/data/entry.js';
import { EntryList, type EntrySource } from '../../../src/core/data/entry-source.js';
import { Payload } from '../../../src/core/data/payload.js';
import { formats } from '../../support/core-harness.js';

const RECORDS = 100_000;
/** What is promised of a piece, and room for the record that goes beyond it. */
const PIECE_CHARACTERS = 64 * 1024 + 1024;
const PIECE_RECORDS = 512;

const all = (): boolean => true;
const form = { head: '[', shows: all, item: (entry: Entry) => encodeItem(entry, formats), end: '{}]', endsInList: true };

function entries(count: number, body = (n: number) => `{"n":${n},"text":"what is kept"}`): Entry[] {
  return Array.from({ length: count }, (_, n) => {
    const payload = Payload.fromBytes(Buffer.from(body(n)), formats.json);
    return new Entry(`long/${n}`, payload, 1, 2, n + 1, '');
  });
}

interface Fragment {
  readonly text: string;
  readonly first: boolean;
  readonly last: boolean;
}

class Written implements Sink {
  readonly length = 0;
  fragments: Fragment[] = [];
  texts: string[] = [];

  text(text: string): void {
    this.texts.push(text);
  }

  fragment(text: string, first: boolean, last: boolean): void {
    this.fragments.push({ text, first, last });
  }

  frame(): void {
    throw new Error('an answer is no frame that others get');
  }

  get whole(): string {
    return this.fragments.map(({ text }) => text).join('');
  }
}

/** Writes all of it, and looks at each step of it. */
function write(answer: LongAnswer, look: (step: Written) => void = () => {}): Written {
  const written = new Written();
  for (let progress = 'more'; progress !== 'done'; ) {
    const step = new Written();
    progress = answer.write(step);
    look(step);
    written.fragments.push(...step.fragments);
    written.texts.push(...step.texts);
  }
  return written;
}

describe('a list', () => {
  test('is one message of small pieces, however long it is', () => {
    const { fragments, whole } = write(new RecordList(new EntryList(entries(RECORDS)), form));
    expect(JSON.parse(whole)).toHaveLength(RECORDS + 1);
    expect(fragments.length).toBeGreaterThan(100);
    expect(Math.max(...fragments.map(({ text }) => text.length))).toBeLessThan(PIECE_CHARACTERS);
    expect(fragments.map(({ first }) => first)).toEqual(fragments.map((_, at) => at === 0));
    expect(fragments.map(({ last }) => last)).toEqual(fragments.map((_, at) => at === fragments.length - 1));
  });

  test('of few records is one piece', () => {
    const two = write(new RecordList(new EntryList(entries(2)), form));
    expect(two.fragments).toMatchObject([{ first: true, last: true }]);
    expect(JSON.parse(two.whole)).toHaveLength(3);
    const none = write(new RecordList(new EntryList([]), form));
    expect(none.fragments).toEqual([{ text: '[{}]', first: true, last: true }]);
  });

  test('that ends behind its records has no comma too many', () => {
    const wrapped = { ...form, head: '{"data":[', end: '],"_meta":{}}', endsInList: false };
    expect(JSON.parse(write(new RecordList(new EntryList(entries(3)), wrapped)).whole)).toMatchObject({
      data: [{ n: 0 }, { n: 1 }, { n: 2 }],
    });
    expect(JSON.parse(write(new RecordList(new EntryList([]), wrapped)).whole)).toEqual({ data: [], _meta: {} });
  });

  test('looks at few records at a time, also when it shows none of them', () => {
    let looked = 0;
    const shows = (): boolean => {
      looked += 1;
      return false;
    };
    const { whole } = write(new RecordList(new EntryList(entries(5_000)), { ...form, shows }), () => {
      expect(looked).toBeLessThanOrEqual(PIECE_RECORDS);
      looked = 0;
    });
    expect(whole).toBe('[{}]');
  });

  test('waits for records that are on their way', () => {
    const source = new LateSource(entries(3));
    const list = new RecordList(source, form);
    const written = new Written();
    expect(list.write(written)).toBe('waiting');
    expect(written.fragments).toMatchObject([{ text: '[', first: true, last: false }]);
    expect(list.write(written)).toBe('waiting');
    expect(written.fragments).toHaveLength(1);
    source.isHere = true;
    expect(list.write(written)).toBe('done');
    expect(JSON.parse(written.whole)).toHaveLength(4);
  });
});

/** Has nothing until `isHere`. */
class LateSource implements EntrySource {
  isHere = false;
  readonly #list: EntryList;

  constructor(entries: readonly Entry[]) {
    this.#list = new EntryList(entries);
  }

  get count(): number {
    return this.#list.count;
  }

  take(): readonly Entry[] | null {
    return this.isHere ? this.#list.take() : null;
  }

  rewind(): void {
    this.#list.rewind();
  }

  close(): void {}
}

describe('events', () => {
  test('of initial values are some at a time', () => {
    const events = new RecordEvents(new EntryList(entries(RECORDS)), all, form.item);
    const { texts } = write(events, (step) => {
      expect(step.texts.length).toBeLessThanOrEqual(PIECE_RECORDS);
      expect(step.texts.join('').length).toBeLessThan(PIECE_CHARACTERS);
    });
    expect(texts.map((text) => (JSON.parse(text) as { n: number }).n)).toEqual(Array.from({ length: RECORDS }, (_, n) => n));
  });

  test('of large records are one at a time', () => {
    const large = entries(5, (n) => `{"n":${n},"text":"${'x'.repeat(100_000)}"}`);
    const { texts } = write(new RecordEvents(new EntryList(large), all, form.item), (step) => {
      expect(step.texts.length).toBeLessThanOrEqual(1);
    });
    expect(texts).toHaveLength(5);
  });

  test('follow the list that shows the same records', () => {
    const source = new EntryList(entries(2_000));
    const list = new RecordList(source, form);
    const written = write(
      new Sequence(list, () => {
        source.rewind();
        return new RecordEvents(source, all, form.item);
      }),
      (step) => expect(step.fragments.length === 0 || step.texts.length === 0).toBe(true),
    );
    expect(JSON.parse(written.whole)).toHaveLength(2_001);
    expect(written.texts).toHaveLength(2_000);
  });
});
