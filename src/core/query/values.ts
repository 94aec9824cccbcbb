// How searches see and compare values: as MongoDB does, on the document form. Dates are their ISO text, except beside numbers
// and other dates; bytes are their $binary document; the members of a map have no order.

import type { Value } from '../data/payload.js';
import { binaryDocument, type Document, isDocument } from '../data/value.js';
import type { Meter } from './meter.js';

/** undefined: there is nothing at the place that was looked at. */
export type Seen = Value | undefined;

/** Null for a date that is none. */
export function isoText(date: Date): string | null {
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

/** The value as JSON would show it; only its outermost level is looked at. */
export function shown(value: Seen): Seen {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return isoText(value);
  return value instanceof Uint8Array ? binaryDocument(value) : value;
}

const NOTHING = 1;
const NUMBER = 2;
const TEXT = 3;
const MAP = 4;
const LIST = 5;
const TRUTH = 6;

/** Values of different kinds never compare as less or greater in criteria; when sorted, the kinds follow each other. */
export function kindOf(value: Seen): number {
  switch (typeof value) {
    case 'number':
      return NUMBER;
    case 'string':
      return TEXT;
    case 'boolean':
      return TRUTH;
    default:
      if (value === null || value === undefined) return NOTHING;
      if (value instanceof Date) return isoText(value) === null ? NOTHING : TEXT;
      return Array.isArray(value) ? LIST : MAP;
  }
}

/** Whether both are the same value. Recursion ends where the smaller of them does. */
export function isEqual(a: Seen, b: Seen, meter: Meter | null): boolean {
  if (a === b) return true;
  const left = shown(a);
  const right = shown(b);
  if (typeof left !== 'object' || left === null || typeof right !== 'object' || right === null) {
    return left === right || (kindOf(left) === NOTHING && kindOf(right) === NOTHING);
  }
  if (Array.isArray(left)) return Array.isArray(right) && areListsEqual(left, right, meter);
  return !Array.isArray(right) && areMapsEqual(left as Document, right as Document, meter);
}

function areListsEqual(a: readonly Value[], b: readonly Value[], meter: Meter | null): boolean {
  if (a.length !== b.length) return false;
  meter?.spend(a.length);
  for (const [i, item] of a.entries()) if (!isEqual(item, b[i], meter)) return false;
  return true;
}

function areMapsEqual(a: Document, b: Document, meter: Meter | null): boolean {
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  meter?.spend(keys.length);
  for (const key of keys) if (!Object.hasOwn(b, key) || !isEqual(a[key], b[key], meter)) return false;
  return true;
}

/**
 * The order of all values: nothing and null, numbers, texts (by code points), maps, lists, false, true. Maps compare by their
 * members in the order of their keys, lists by their items; the shorter one comes first.
 */
export function compareValues(a: Seen, b: Seen, meter: Meter | null): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'string' && typeof b === 'string') return compareTexts(a, b);
  const kind = kindOf(a);
  const difference = kind - kindOf(b);
  if (difference !== 0 || kind === NOTHING) return difference;
  const left = shown(a);
  const right = shown(b);
  if (kind === TEXT) return compareTexts(left as string, right as string);
  if (kind === TRUTH) return Number(left) - Number(right);
  return kind === LIST
    ? compareLists(left as readonly Value[], right as readonly Value[], meter)
    : compareMaps(left as Document, right as Document, meter);
}

function compareLists(a: readonly Value[], b: readonly Value[], meter: Meter | null): number {
  const shared = Math.min(a.length, b.length);
  meter?.spend(shared);
  for (let i = 0; i < shared; i++) {
    const order = compareValues(a[i], b[i], meter);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

function compareMaps(a: Document, b: Document, meter: Meter | null): number {
  const left = membersOf(a, meter);
  const right = membersOf(b, meter);
  const shared = Math.min(left.keys.length, right.keys.length);
  meter?.spend(shared);
  for (let i = 0; i < shared; i++) {
    const order = compareTexts(left.keys[i] as string, right.keys[i] as string) || compareValues(left.values[i], right.values[i], meter);
    if (order !== 0) return order;
  }
  return left.keys.length - right.keys.length;
}

/** Of a map, in the order of the keys. */
interface Members {
  readonly keys: readonly string[];
  readonly values: readonly Seen[];
}

/** What was ordered once, for as long as somebody holds on to the map: what records are sorted by is compared again and again. */
const ordered = new WeakMap<Document, Members>();

function membersOf(map: Document, meter: Meter | null): Members {
  const known = ordered.get(map);
  if (known !== undefined) return known;
  const keys = Object.keys(map);
  meter?.spend(Math.ceil(keys.length * Math.log2(keys.length + 1)));
  keys.sort(compareTexts);
  const members = { keys, values: keys.map((key) => map[key]) };
  ordered.set(map, members);
  return members;
}

/** Does once what comparing the value with others would begin with each time, in all that is in it; `meter` counts it. */
export function makeComparable(value: Seen, meter: Meter): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    meter.spend(value.length);
    for (const item of value) makeComparable(item, meter);
  } else if (isDocument(value)) {
    for (const member of membersOf(value, meter).values) makeComparable(member, meter);
  }
}

const SURROGATES = 0xd800;
const BEHIND_SURROGATES = 0xe000;

/** By code points, as the store orders its keys: code units differ from that where surrogates stand beside what is above them. */
export function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left === right) continue;
    if (left < SURROGATES || right < SURROGATES) return left - right;
    return lifted(left) - lifted(right);
  }
  return a.length - b.length;
}

/** Puts surrogates above all other code units. */
function lifted(unit: number): number {
  return unit < BEHIND_SURROGATES ? unit + 0x2000 : unit - 0x800;
}

/** The names under which $type knows the kinds, as MongoDB and as typeof calls them. */
const TYPES: ReadonlyMap<string | number, (value: Seen) => boolean> = new Map(
  (
    [
      [['number'], (value) => typeof value === 'number'],
      [['double', 1], (value) => typeof value === 'number' && !Number.isInteger(value)],
      [['int', 16], isInt],
      [['long', 18], (value) => Number.isInteger(value) && !isInt(value)],
      [['string', 2], (value) => kindOf(value) === TEXT],
      [['object', 3], (value) => value !== undefined && isDocument(value)],
      [['array', 4], (value) => Array.isArray(value)],
      [['binData', 5], (value) => value instanceof Uint8Array],
      [['undefined', 6], (value) => value === undefined],
      [['bool', 'boolean', 8], (value) => typeof value === 'boolean'],
      [['date', 9], (value) => value instanceof Date],
      [['null', 10], (value) => value !== undefined && kindOf(value) === NOTHING],
    ] satisfies [(string | number)[], (value: Seen) => boolean][]
  ).flatMap(([names, test]) => names.map((name): [string | number, (value: Seen) => boolean] => [name, test])),
);

function isInt(value: Seen): boolean {
  return typeof value === 'number' && (value | 0) === value;
}

/** Undefined when there is no such type. */
export function typeTest(name: Value): ((value: Seen) => boolean) | undefined {
  return typeof name === 'string' || typeof name === 'number' ? TYPES.get(name) : undefined;
}
