// Entries: what the schemas of lists (bridges, users, history and so on) share. Their refusals read after "must be".

import { z } from 'zod';

/** The refusal of a key that has no default. */
export const MISSING = 'missing';

export function allowed(what: string): { error: (issue: { readonly input?: unknown }) => string } {
  return { error: ({ input }) => (input === undefined ? MISSING : what) };
}

const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const nameText = '1 to 64 letters, digits, - and _';

export function entryName() {
  return z.string(allowed(nameText)).regex(NAME, nameText);
}

export function wholeEntry(value: number, min: number, max: number) {
  const what = `a whole number from ${min} to ${max}`;
  return z.number(allowed(what)).int(what).min(min, what).max(max, what).default(value);
}

/** No two entries have the same text under that key. */
export function distinct<Key extends string>(key: Key, what: string) {
  return (entries: readonly { readonly [K in Key]: string }[], context: z.RefinementCtx): void => {
    const texts = entries.map((entry) => entry[key]);
    const twice = texts.findIndex((text, at) => texts.indexOf(text) < at);
    if (twice >= 0) context.addIssue({ code: 'custom', path: [twice, key], message: what });
  };
}
