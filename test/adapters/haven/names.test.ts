// Names are found by all of their bytes, and nothing else is.

import { expect, test } from 'vitest';
import { Names } from '../../../src/adapters/haven/names.js';

const WORDS = ['action', 'type', 'path', 'key', 'value', 'meta', 'push', 'time', 'sort', 'uuid', 'mode', 'ops', 'x'];
const names = new Names(WORDS.map((word) => [word, word.toUpperCase()]));

/** Somewhere within other bytes. */
function meaning(text: string): string | null {
  const name = Buffer.from(text);
  const bytes = Buffer.concat([Buffer.from('pathtype'), name, Buffer.from('keyvalue')]);
  return names.meaning(bytes, 8, 8 + name.length);
}

test('a known name is found', () => {
  for (const word of WORDS) expect(meaning(word)).toBe(word.toUpperCase());
});

test('what differs in any byte is not', () => {
  for (const word of WORDS) {
    expect(meaning(`${word}x`)).toBeNull();
    expect(meaning(`x${word}`)).toBeNull();
    expect(meaning(word.toUpperCase())).toBeNull();
    for (let at = 0; at < word.length; at++) {
      const others = ['a', 'b', 'z', '\0', 'ä'].filter((other) => other !== word[at]);
      for (const other of others) expect(meaning(word.slice(0, at) + other + word.slice(at + 1)), `${word} ${at} ${other}`).toBeNull();
    }
  }
});

test('what is empty, long, or a name of every object is not', () => {
  for (const text of ['', 'constructor', '__proto__', 'path'.repeat(1_000)]) expect(meaning(text)).toBeNull();
});

test('of equal names the last one counts', () => {
  const twice = new Names<number>([
    ['a', 1],
    ['a', 2],
  ]);
  expect(twice.meaning(Buffer.from('a'), 0, 1)).toBe(2);
});
