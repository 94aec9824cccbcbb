// Value helpers that every protocol shares: the document form, and what counts as a map.

import type { Value } from './payload.js';

/** A plain map: not null, not a list, not bytes, not a date. */
export declare function isDocument(value: Value): value is { [key: string]: Value };
/**
 * The form in which happn shows a value and in which criteria, fields, sort and merge see it: a map as it is;
 * bytes as {"$binary":{"base64":…,"subType":"00"}}; anything else as {value: x}.
 */
export declare function documentOf(value: Value): { [key: string]: Value };
/** One level: keys of `change` replace those of `base`; neither is changed. Throws RequestError INVALID_REQUEST for the keys __proto__, constructor, prototype. */
export declare function mergeDocuments(base: { [key: string]: Value }, change: { [key: string]: Value }): { [key: string]: Value };
