// The error for an unknown key or other name, with a suggestion of what may be meant.

import { ConfigError } from '../core/errors.js';

export function unknownKey(name: string, origin: string, known: readonly string[]): ConfigError {
  return new ConfigError(`unknown key ${name} (${origin})${suggestion(name, known)}`);
}

/** What is put behind the complaint about a name; empty when nothing like it is known. */
export function suggestion(name: string, known: readonly string[]): string {
  const flat = (text: string): string => text.toLowerCase().replace(/[^a-z]/g, '');
  const near = known.find((other) => flat(other) === flat(name)) ?? known.find((other) => isOneEditAway(flat(other), flat(name)));
  return near === undefined ? '' : `; did you mean ${near}?`;
}

/** One letter more, less or different, or two neighbours swapped. */
function isOneEditAway(a: string, b: string): boolean {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  const left = a.slice(start, a.length - end);
  const right = b.slice(start, b.length - end);
  if (left.length <= 1 && right.length <= 1) return true;
  return left.length === 2 && right.length === 2 && left[0] === right[1] && left[1] === right[0];
}
