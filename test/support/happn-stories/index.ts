// All stories that each client generation runs, and those that wait for something the gateway does not offer yet.

import { DATA } from './data.js';
import { DATES } from './dates.js';
import { LIFECYCLE, RESTART } from './lifecycle.js';
import { METHODS } from './methods.js';
import { PUBLICATION } from './publication.js';
import { SEARCH } from './search.js';
import type { Story } from './stage.js';
import { SUBSCRIPTIONS } from './subscriptions.js';

export { RESTART } from './lifecycle.js';
export { Stage, type Story, TRAITS } from './stage.js';

/** Without those around the restart, which share one. */
export const STORIES: readonly Story[] = [...DATA, ...DATES, ...METHODS, ...SEARCH, ...SUBSCRIPTIONS, ...PUBLICATION, ...LIFECYCLE];

export const ALL_STORIES: readonly Story[] = [...STORIES, ...RESTART];

/** Stories of what is refused until a capability comes, by name: they must end with code 501, so that none stays here too long. */
export const WAITS: ReadonlyMap<string, string> = new Map([]);
