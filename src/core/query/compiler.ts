// Compiler: criteria from outside to one predicate on records. Everything is checked here: operators come from a list; nesting,
// terms, listed values and expressions are limited; and only copies of the criteria are kept.

import type { Value } from '../data/payload.js';
import { binaryDocument, binaryFromDocument, type Document, isDocument } from '../data/value.js';
import type { RequestError } from '../errors.js';
import { asList, asMap, type Condition, invalid } from './checks.js';
import { anyValue, checkKey, ITSELF, itemReader, type Reader, type RecordView, recordReader } from './fields.js';
import type { Meter } from './meter.js';
import { equalTo, FIELD_OPERATORS } from './operators.js';
import { Regex } from './regex.js';
import { isoText, type Seen } from './values.js';

/** $and, $or, $nor, $not, $elemMatch, and the criteria themselves, nest no deeper. */
const CRITERIA_DEPTH_MAX = 8;
/** Operators, and values that a field must equal, in all. */
const CRITERIA_TERMS_MAX = 100;
/** Values that fields are compared with, those in lists and maps included, in all. */
const CRITERIA_VALUES_MAX = 10_000;
/** Expressions in all, and characters of them in all. */
const CRITERIA_REGEXES_MAX = 10;
const CRITERIA_REGEX_CHARACTERS_MAX = 1_000;
/** Values that a field is compared with are nested no deeper. */
const VALUE_DEPTH_MAX = 32;
const NAME_SHOWN_MAX = 60;

export type Predicate<Subject> = (subject: Subject, meter: Meter) => boolean;

export class Compiler {
  /** To be compiled before the predicate is used. */
  readonly regexes: Regex[] = [];
  #terms = 0;
  #values = 0;
  #regexCharacters = 0;

  /** Throws RequestError INVALID_REQUEST. */
  criteria(criteria: unknown): Predicate<RecordView> {
    return this.#all(asMap(criteria, 'criteria'), recordReader, 1);
  }

  /** What all members of a map ask for together. */
  #all<Subject>(map: Document, readerOf: (name: string) => Reader<Subject>, depth: number): Predicate<Subject> {
    if (depth > CRITERIA_DEPTH_MAX) throw invalid(`criteria are nested deeper than ${CRITERIA_DEPTH_MAX} levels`);
    const terms = Object.keys(map).map((key) => {
      if (key.startsWith('$')) return this.#logical(key, map[key], readerOf, depth);
      checkKey(key);
      return this.#field(readerOf(key), map[key], depth);
    });
    return every(terms);
  }

  #logical<Subject>(operator: string, operand: unknown, readerOf: (name: string) => Reader<Subject>, depth: number): Predicate<Subject> {
    this.#count();
    if (operator === '$not') return not(this.#all(asMap(operand, '$not'), readerOf, depth + 1));
    const combine = COMBINATIONS.get(operator);
    if (combine === undefined) throw this.#unknown(operator, FIELD_OPERATORS.has(operator) || STRUCTURE.has(operator));
    return combine(asList(operand, operator).map((part) => this.#all(asMap(part, `an item of ${operator}`), readerOf, depth + 1)));
  }

  #unknown(operator: string, isMisplaced: boolean): RequestError {
    const shown = operator.slice(0, NAME_SHOWN_MAX);
    return invalid(
      isMisplaced ? `the operator ${shown} must stand below a field name` : `the operator ${shown} is not supported in criteria`,
    );
  }

  /** What a field is asked for: operators, or a value to equal. */
  #field<Subject>(reader: Reader<Subject>, condition: unknown, depth: number): Predicate<Subject> {
    if (isOperators(condition)) return this.#operators(reader, condition, depth);
    this.#count();
    return found(reader, equalTo(condition, this));
  }

  #operators<Subject>(reader: Reader<Subject>, operators: Document, depth: number): Predicate<Subject> {
    const terms: Predicate<Subject>[] = [];
    for (const key of Object.keys(operators)) {
      if (!key.startsWith('$')) throw invalid(`the operators of a field cannot stand beside a name (${key.slice(0, NAME_SHOWN_MAX)})`);
      if (key === '$options' && Object.hasOwn(operators, '$regex')) continue;
      terms.push(this.#operator(reader, key, operators, depth));
    }
    return every(terms);
  }

  #operator<Subject>(reader: Reader<Subject>, operator: string, beside: Document, depth: number): Predicate<Subject> {
    this.#count();
    const operand = beside[operator];
    const make = FIELD_OPERATORS.get(operator);
    if (make !== undefined) return found(reader, make(operand, this, beside, depth));
    if (operator === '$not') return not(this.#below(reader, operand, operator, depth));
    if (operator === '$all') return this.#allOf(reader, asList(operand, operator), depth);
    const combine = COMBINATIONS.get(operator);
    if (combine === undefined) throw this.#unknown(operator, false);
    return combine(asList(operand, operator).map((part) => this.#below(reader, part, operator, depth)));
  }

  #below<Subject>(reader: Reader<Subject>, operators: unknown, operator: string, depth: number): Predicate<Subject> {
    if (depth >= CRITERIA_DEPTH_MAX) throw invalid(`criteria are nested deeper than ${CRITERIA_DEPTH_MAX} levels`);
    if (!isOperators(operators)) throw invalid(`${operator} below a field name takes operators`);
    return this.#operators(reader, operators, depth + 1);
  }

  /** Each value is somewhere in the list, or each $elemMatch finds an item. Of nothing there is nothing. */
  #allOf<Subject>(reader: Reader<Subject>, values: readonly unknown[], depth: number): Predicate<Subject> {
    if (values.length === 0) return () => false;
    return every(
      values.map((value) => {
        const isMatch = isDocument(value as Value) && Object.hasOwn(value as Document, '$elemMatch');
        return isMatch ? this.#below(reader, value, '$all', depth) : found(reader, equalTo(value, this));
      }),
    );
  }

  /** Operators on a value that is no field: the number of items of a list, say. */
  operatorsOn(operand: unknown, operator: string, depth: number): Predicate<Seen> {
    return this.#below(ITSELF, operand, operator, depth);
  }

  /** $elemMatch: operators that an item passes, or criteria on its members. */
  itemPredicate(operand: unknown, depth: number): Predicate<Seen> {
    const map = asMap(operand, '$elemMatch');
    const [first] = Object.keys(map);
    if (first?.startsWith('$') && !COMBINATIONS.has(first)) return this.#below(ITSELF, map, '$elemMatch', depth);
    const members = this.#all(map, itemReader, depth + 1);
    return (item, meter) => typeof item === 'object' && item !== null && !(item instanceof Date) && members(item, meter);
  }

  /** Throws RequestError INVALID_REQUEST. */
  regex(source: string, flags: string): Regex {
    return this.keepRegex(new Regex(source, flags), source.length);
  }

  keepRegex(regex: Regex, characters: number): Regex {
    this.#regexCharacters += characters;
    this.regexes.push(regex);
    if (this.regexes.length > CRITERIA_REGEXES_MAX) throw invalid(`criteria have more than ${CRITERIA_REGEXES_MAX} expressions`);
    if (this.#regexCharacters > CRITERIA_REGEX_CHARACTERS_MAX) {
      throw invalid(`the expressions in criteria are longer than ${CRITERIA_REGEX_CHARACTERS_MAX} characters`);
    }
    return regex;
  }

  /** A copy of a value that fields are compared with: dates and bytes inside it as they are shown, a date itself as it is. */
  value(value: unknown): Value {
    return value instanceof Date && isoText(value) !== null ? new Date(value) : this.#copy(value, 0);
  }

  #copy(value: unknown, depth: number): Value {
    if (++this.#values > CRITERIA_VALUES_MAX) throw invalid(`criteria hold more than ${CRITERIA_VALUES_MAX} values`);
    if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    if (typeof value === 'object') return this.#copyObject(value, depth);
    throw invalid(`criteria hold something that is no value: ${typeof value}`);
  }

  #copyObject(value: object, depth: number): Value {
    if (value instanceof Date) return isoText(value);
    if (value instanceof Uint8Array) return binaryDocument(value);
    if (value instanceof RegExp) throw invalid('criteria hold a RegExp: use $regex with its source and flags');
    if (depth === VALUE_DEPTH_MAX) throw invalid(`a value in criteria is nested deeper than ${VALUE_DEPTH_MAX} levels`);
    if (Array.isArray(value)) return value.map((item) => this.#copy(item, depth + 1));
    return this.#copyMap(value as Document, depth);
  }

  #copyMap(map: Document, depth: number): Value {
    const bytes = binaryFromDocument(map);
    if (bytes !== null) return binaryDocument(bytes);
    const copy: Document = {};
    for (const key of Object.keys(map)) {
      checkKey(key);
      if (key.startsWith('$')) throw invalid(`the operator ${key.slice(0, NAME_SHOWN_MAX)} stands where a value is expected`);
      copy[key] = this.#copy(map[key], depth + 1);
    }
    return copy;
  }

  #count(): void {
    if (++this.#terms > CRITERIA_TERMS_MAX) throw invalid(`criteria have more than ${CRITERIA_TERMS_MAX} terms`);
  }
}

const COMBINATIONS: ReadonlyMap<string, <Subject>(terms: Predicate<Subject>[]) => Predicate<Subject>> = new Map([
  ['$and', every],
  ['$or', some],
  ['$nor', <Subject>(terms: Predicate<Subject>[]) => not(some(terms))],
]);
/** Operators below a field name that the table of tests does not hold. */
const STRUCTURE: ReadonlySet<string> = new Set(['$all', '$options']);

function found<Subject>(reader: Reader<Subject>, { test, whole, negated }: Condition): Predicate<Subject> {
  return negated
    ? (subject, meter) => !anyValue(reader, subject, test, whole, meter)
    : (subject, meter) => anyValue(reader, subject, test, whole, meter);
}

function every<Subject>(terms: Predicate<Subject>[]): Predicate<Subject> {
  const [only] = terms;
  if (only !== undefined && terms.length === 1) return only;
  return (subject, meter) => {
    for (const term of terms) if (!term(subject, meter)) return false;
    return true;
  };
}

function some<Subject>(terms: Predicate<Subject>[]): Predicate<Subject> {
  return (subject, meter) => {
    for (const term of terms) if (term(subject, meter)) return true;
    return false;
  };
}

function not<Subject>(term: Predicate<Subject>): Predicate<Subject> {
  return (subject, meter) => !term(subject, meter);
}

/** A map with an operator in it, but for the one that stands for bytes. */
function isOperators(condition: unknown): condition is Document {
  if (typeof condition !== 'object' || !isDocument(condition as Value)) return false;
  return Object.keys(condition as Document).some((key) => key.startsWith('$')) && binaryFromDocument(condition as Document) === null;
}
