// What rules and patterns mean, said as naively as possible: by trying every way in which a path could match.

import type { Action, Permission } from '../../src/core/index.js';

/** `*` is any run of characters; both ends are anchored. */
export function globSays(pattern: string, path: string): boolean {
  if (pattern === '') return path === '';
  if (pattern[0] !== '*') return path[0] === pattern[0] && path !== '' && globSays(pattern.slice(1), path.slice(1));
  for (let at = 0; at <= path.length; at++) if (globSays(pattern.slice(1), path.slice(at))) return true;
  return false;
}

export type Rules = readonly (readonly [pattern: string, permission: Permission])[];

function speaks(list: Permission['actions'], action: Action): boolean {
  return list !== undefined && (list.includes(action) || (action !== 'control' && list.includes('*')));
}

export function isReserved(path: string): boolean {
  return /^\/?(_SYSTEM|_HAVEN)(\/|$)/.test(path) || path.startsWith('$');
}

/** Whether the rules allow the action on the path. */
export function rulesAllow(rules: Rules, action: Action, path: string): boolean {
  if (isReserved(path) && action !== 'control') return false;
  const matching = rules.filter(([pattern]) => globSays(pattern, path));
  if (matching.some(([, { prohibit }]) => speaks(prohibit, action))) return false;
  return matching.some(([, { actions }]) => speaks(actions, action));
}

/** Whether one allowance alone matches every one of the paths. */
export function oneCovers(rules: Rules, action: Action, paths: readonly string[]): boolean {
  return rules.some(([pattern, { actions }]) => speaks(actions, action) && paths.every((path) => globSays(pattern, path)));
}

export function prohibits(rules: Rules, action: Action, path: string): boolean {
  return rules.some(([pattern, { prohibit }]) => speaks(prohibit, action) && globSays(pattern, path));
}
