// Settings of history: the schema of one list entry.

import { z } from 'zod';
import { RequestError } from '../core/errors.js';
import { parsePattern } from '../core/paths/pattern.js';
import { allowed, distinct, wholeEntry } from './entries.js';

/** Every stored change looks for its pattern among so many. */
const RULES_MAX = 32;
/** The row that says which changes of one record are kept is written with each of them. */
const REVISIONS_MAX = 1_000;
const AGE_MAX_MS = 3_650 * 24 * 3_600_000;

const patternText = 'a path in which * is any run of characters';
const ageText = `a whole number of milliseconds from 1000 to ${AGE_MAX_MS}, or null`;

function isGlob(text: string): boolean {
  try {
    parsePattern(text, 'glob');
    return true;
  } catch (error) {
    if (error instanceof RequestError) return false;
    throw error;
  }
}

const rule = z.strictObject(
  {
    pattern: z.string(allowed(patternText)).refine(isGlob, patternText),
    revisions: wholeEntry(10, 1, REVISIONS_MAX),
    age: z.number(allowed(ageText)).int(ageText).min(1_000, ageText).max(AGE_MAX_MS, ageText).nullable().default(null),
  },
  allowed('a pattern, optionally with revisions and age'),
);

export const historyText = 'a list of patterns with revisions and age (in a flag or a variable as JSON)';

export const historyRules = z
  .array(rule, allowed(historyText))
  .max(RULES_MAX, `a list of at most ${RULES_MAX} patterns`)
  .superRefine(distinct('pattern', 'a pattern that is listed only once'))
  .default([]);

/** One entry, with all its defaults left out. */
export type HistoryRuleInput = z.input<typeof rule>;
