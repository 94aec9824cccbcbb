// Haven's paths: any address of the data space; wildcards are globs, where `*` is any run of characters.

import { checkPath, type Pattern, parsePattern, RequestError } from '../../core/index.js';

/** Whether a path of a read, a delete or a watch names more than one address. */
export function isWildcard(path: string): boolean {
  return path.includes('*');
}

/** One address. Throws RequestError INVALID_PATH, also for one that only a pattern can reach. */
export function addressOf(path: string): string {
  if (isWildcard(path)) throw new RequestError('INVALID_PATH', 'one path is meant: it must not have a wildcard in it');
  return checkPath(path);
}

/** Throws RequestError INVALID_PATH. */
export function patternOf(path: string): Pattern {
  return parsePattern(path, 'glob');
}
