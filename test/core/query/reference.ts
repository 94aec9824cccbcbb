// A second, plain implementation of criteria, to compare with: it first collects all values at a place, then asks each of them.

import type { Value } from '../../../src/core/data/payload.js';

type Seen = Value | undefined;
type Map = { [key: string]: Value };

const isMap = (value: Seen): value is Map => typeof value === 'object' && value !== null && !Array.isArray(value);
const own = (map: Map, key: string): Seen => (Object.hasOwn(map, key) ? map[key] : undefined);

/** The values that a dotted name leads to; lists are not yet taken apart. */
export function placesOf(value: Seen, names: readonly string[]): Seen[] {
  const [name, ...rest] = names;
  if (name === undefined) return [value];
  if (isMap(value)) return placesOf(own(value, name), rest);
  if (!Array.isArray(value)) return placesOf(undefined, rest);
  const found = value.filter(isMap).flatMap((item) => placesOf(own(item, name), rest));
  const index = Number(name);
  return String(index) === name && index in value ? [...found, ...placesOf(value[index], rest)] : found;
}

const candidates = (places: readonly Seen[]): Seen[] => places.flatMap((place) => (Array.isArray(place) ? [place, ...place] : [place]));

function canonical(value: Seen): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (!isMap(value)) return value === undefined ? 'null' : JSON.stringify(value === 0 ? 0 : value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(',')}}`;
}

const isSame = (a: Seen, b: Seen): boolean => canonical(a) === canonical(b);

/** Only for what the generated criteria compare: numbers, texts without surrogates, booleans. */
function order(a: Seen, b: Seen): number | null {
  if (typeof a !== typeof b || (typeof a !== 'number' && typeof a !== 'string' && typeof a !== 'boolean')) return null;
  return a === b ? 0 : (a as number) < (b as number) ? -1 : 1;
}

/** Inside $elemMatch, a list is a map from its numbers to its items. */
const isItem = (value: Seen): value is Map => isMap(value) || Array.isArray(value);

function passes(places: readonly Seen[], operator: string, operand: Value): boolean {
  const each = candidates(places);
  const compared = (accept: (by: number) => boolean): boolean =>
    each.some((value) => {
      const by = order(value, operand);
      return by !== null && accept(by);
    });
  switch (operator) {
    case '$eq':
      return each.some((value) => isSame(value, operand));
    case '$ne':
      return !passes(places, '$eq', operand);
    case '$gt':
      return compared((by) => by > 0);
    case '$gte':
      return compared((by) => by >= 0);
    case '$lt':
      return compared((by) => by < 0);
    case '$lte':
      return compared((by) => by <= 0);
    case '$in':
      return (operand as Value[]).some((one) => passes(places, '$eq', one));
    case '$nin':
      return !passes(places, '$in', operand);
    case '$all':
      return (operand as Value[]).length > 0 && (operand as Value[]).every((one) => passes(places, '$eq', one));
    case '$exists':
      return places.some((place) => place !== undefined) === operand;
    case '$size':
      return places.some((place) => Array.isArray(place) && place.length === operand);
    case '$not':
      return !operatorsPass(places, operand as Map);
    case '$elemMatch':
      return places.some((place) => Array.isArray(place) && place.some((item) => isItem(item) && matchesPlainly(operand, { ...item })));
    default:
      throw new Error(`the reference has no ${operator}`);
  }
}

const operatorsPass = (places: readonly Seen[], operators: Map): boolean =>
  Object.entries(operators).every(([operator, operand]) => passes(places, operator, operand));

/** Whether the document matches. */
export function matchesPlainly(criteria: Value, document: Value): boolean {
  return Object.entries(criteria as Map).every(([key, condition]) => {
    const parts = (): boolean[] => (condition as Value[]).map((part) => matchesPlainly(part, document));
    if (key === '$and') return parts().every(Boolean);
    if (key === '$or') return parts().some(Boolean);
    if (key === '$nor') return !parts().some(Boolean);
    if (key === '$not') return !matchesPlainly(condition, document);
    const places = placesOf(document, key.split('.'));
    const isOperators = isMap(condition) && Object.keys(condition).some((name) => name.startsWith('$'));
    return isOperators ? operatorsPass(places, condition) : passes(places, '$eq', condition);
  });
}
