// Glob matching in time linear in the path, whatever the number of `*` and their text.

/** Native search is linear up to about 250 characters; longer needles can make it compare each character hundreds of times. */
const NATIVE_SEARCH_MAX = 200;

/**
 * True if `path` is the first piece, then anything, the second piece, … and ends with the last piece. At least two pieces.
 * Taking the earliest place for each middle piece leaves the most room for the rest, so nothing is ever tried twice.
 */
export function globMatches(path: string, pieces: readonly string[]): boolean {
  const first = pieces[0] as string;
  const last = pieces[pieces.length - 1] as string;
  const end = path.length - last.length;
  let at = first.length;
  if (at > end || !path.startsWith(first) || !path.endsWith(last)) return false;
  for (let i = 1; i < pieces.length - 1; i++) {
    const piece = pieces[i] as string;
    const found = piece.length <= NATIVE_SEARCH_MAX ? path.indexOf(piece, at) : linearIndexOf(path, piece, at);
    if (found === -1) return false;
    at = found + piece.length;
    if (at > end) return false;
  }
  return true;
}

/** `indexOf` by Knuth, Morris and Pratt: never goes back in `text`. */
function linearIndexOf(text: string, needle: string, from: number): number {
  const borders = bordersOf(needle);
  let matched = 0;
  for (let at = from; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    while (matched > 0 && needle.charCodeAt(matched) !== unit) matched = borders[matched - 1] as number;
    if (needle.charCodeAt(matched) === unit) matched += 1;
    if (matched === needle.length) return at - matched + 1;
  }
  return -1;
}

/** For each beginning of `needle`: the length of its longest proper beginning that is also its end. */
function bordersOf(needle: string): Uint32Array {
  const borders = new Uint32Array(needle.length);
  let length = 0;
  for (let at = 1; at < needle.length; at++) {
    const unit = needle.charCodeAt(at);
    while (length > 0 && needle.charCodeAt(length) !== unit) length = borders[length - 1] as number;
    if (needle.charCodeAt(length) === unit) length += 1;
    borders[at] = length;
  }
  return borders;
}
