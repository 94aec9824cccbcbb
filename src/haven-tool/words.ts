// Words: splits a line as a shell does (quotes, backslashes), with one convenience: an unquoted { or [ at the beginning of a word
// takes the whole JSON text that begins there, so that JSON needs no quotes.

import { UsageError } from './usage-error.js';

const OPENING = '{[';
const CLOSING = '}]';

/** No words for an empty line and for a comment. Throws UsageError for a quote or a bracket that is not closed. */
export function wordsOf(line: string): string[] {
  const words: string[] = [];
  let at = skipSpace(line, 0);
  if (line[at] === '#') return words;
  while (at < line.length) {
    const end = OPENING.includes(line[at] as string) ? jsonEnd(line, at) : null;
    const word = end === null ? shellWord(line, at) : { text: line.slice(at, end), end };
    words.push(word.text);
    at = skipSpace(line, word.end);
  }
  return words;
}

function isSpace(character: string | undefined): boolean {
  return character === ' ' || character === '\t';
}

function skipSpace(line: string, from: number): number {
  let at = from;
  while (isSpace(line[at])) at += 1;
  return at;
}

function shellWord(line: string, from: number): { text: string; end: number } {
  let text = '';
  let quote = '';
  let at = from;
  for (; at < line.length && (quote !== '' || !isSpace(line[at])); at++) {
    const character = line[at] as string;
    if (character === quote) quote = '';
    else if (quote === '' && (character === "'" || character === '"')) quote = character;
    else if (character === '\\' && escapes(line[at + 1], quote)) text += line[++at];
    else text += character;
  }
  if (quote !== '') throw new UsageError(`a quote (${quote}) is not closed`);
  return { text, end: at };
}

/** Within double quotes a backslash is one unless it stands before what it can save. */
function escapes(next: string | undefined, quote: string): boolean {
  if (next === undefined || quote === "'") return false;
  return quote === '' || next === '"' || next === '\\';
}

/** Behind the bracket that closes the one at `from`. */
function jsonEnd(line: string, from: number): number {
  let depth = 0;
  let inText = false;
  for (let at = from; at < line.length; at++) {
    const character = line[at] as string;
    if (inText) {
      if (character === '\\') at += 1;
      else if (character === '"') inText = false;
    } else if (character === '"') inText = true;
    else if (OPENING.includes(character)) depth += 1;
    else if (CLOSING.includes(character)) depth -= 1;
    if (depth === 0) return at + 1;
  }
  throw new UsageError(`a bracket (${line[from]}) is not closed`);
}
