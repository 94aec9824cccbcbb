// Query: which of many records are wanted: criteria, fields, sort, limit and skip, checked and prepared. Pure: knows records, no
// store and no protocol. docs/search.md defines names and operators.

import type { Entry } from '../data/entry.js';
import { documentOf } from '../data/value.js';
import { asMap, invalid } from './checks.js';
import { Compiler, type Predicate } from './compiler.js';
import { metaOf, RecordView } from './fields.js';
import { Meter } from './meter.js';
import { compareSorted, parseSort, Selection, type Sort, type SortValues, sortValues } from './order.js';
import { type Projected, Projection } from './projection.js';
import type { Regex } from './regex.js';
import { compareTexts } from './values.js';

export type { Projected } from './projection.js';

/** Steps that comparing one record with the criteria may take: 25 ms at the very worst. */
const RECORD_STEPS_MAX = 250_000;

/** As it came from outside: any of these may be absent or null, and each may be anything. */
export interface QueryInput {
  readonly criteria?: unknown;
  readonly fields?: unknown;
  readonly sort?: unknown;
  /** At most so many records; 0: all. */
  readonly limit?: unknown;
  /** Without the first so many. */
  readonly skip?: unknown;
  /** true: only the number of records is wanted. */
  readonly count?: unknown;
  /** true: only the paths are wanted. */
  readonly pathsOnly?: unknown;
}

const KNOWN: ReadonlySet<string> = new Set(['criteria', 'fields', 'sort', 'limit', 'skip', 'count', 'pathsOnly']);

/** Throws RequestError INVALID_REQUEST, with a text that names what is wrong. */
export function parseQuery(input: QueryInput): Query {
  const unknown = Object.keys(asMap(input, 'a query')).find((key) => !KNOWN.has(key));
  if (unknown !== undefined) throw invalid(`a query has no ${unknown.slice(0, 60)}`);
  const compiler = new Compiler();
  const { criteria = null, fields = null, sort = null } = input;
  const predicate = criteria === null || isEmpty(criteria) ? null : compiler.criteria(criteria);
  return new Query({
    predicate,
    regexes: compiler.regexes,
    sort: sort === null ? [] : parseSort(sort),
    projection: fields === null || isEmpty(fields) ? null : Projection.parse(fields),
    limit: wholeNumber(input.limit, 'limit') || Number.POSITIVE_INFINITY,
    skip: wholeNumber(input.skip, 'skip'),
    count: flag(input.count, 'count'),
    pathsOnly: flag(input.pathsOnly, 'pathsOnly'),
  });
}

function isEmpty(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype && Object.keys(value).length === 0
  );
}

function wholeNumber(value: unknown, name: string): number {
  if (value === undefined || value === null) return 0;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(`${name} must be a whole number that is not negative`);
}

function flag(value: unknown, name: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === 'boolean') return value;
  throw invalid(`${name} must be true or false`);
}

/** What a query is made of, checked. */
interface QueryParts {
  /** null: all records meet it. */
  readonly predicate: Predicate<RecordView> | null;
  /** The expressions in it. */
  readonly regexes: readonly Regex[];
  readonly sort: Sort;
  /** null: all of a record is shown. */
  readonly projection: Projection | null;
  readonly limit: number;
  readonly skip: number;
  readonly count: boolean;
  readonly pathsOnly: boolean;
}

/** Immutable; may be used any number of times. Made by `parseQuery`. */
export class Query {
  /** Infinity: all. */
  readonly limit: number;
  readonly skip: number;
  readonly count: boolean;
  readonly pathsOnly: boolean;
  readonly #predicate: Predicate<RecordView> | null;
  readonly #regexes: readonly Regex[];
  readonly #sort: Sort;
  readonly #projection: Projection | null;

  constructor({ predicate, regexes, sort, projection, limit, skip, count, pathsOnly }: QueryParts) {
    this.#predicate = predicate;
    this.#regexes = regexes;
    this.#sort = sort;
    this.#projection = projection;
    this.limit = limit;
    this.skip = skip;
    this.count = count;
    this.pathsOnly = pathsOnly;
  }

  /** Records may be left out. */
  get hasCriteria(): boolean {
    return this.#predicate !== null;
  }

  /** The order is another than that of the paths, in which records are read. */
  get isSorted(): boolean {
    return this.#sort.length > 0 && !this.count;
  }

  /** Only a part of each record is shown. */
  get hasFields(): boolean {
    return this.#projection !== null;
  }

  /** Steps that `begin` will take: many the first time when there are expressions. */
  get beginSteps(): number {
    let steps = 0;
    for (const regex of this.#regexes) steps += regex.compileSteps;
    return steps;
  }

  /** Begins to look at records. Throws RequestError INVALID_REQUEST when an expression is not one. */
  begin(stepsMax = RECORD_STEPS_MAX): Search {
    for (const regex of this.#regexes) regex.compile();
    return new Search(this.#predicate, this.#sort, stepsMax);
  }

  /** For one record; see Search.matches. */
  matches(entry: Entry): boolean {
    return this.begin().matches(entry);
  }

  /** The order of found records: by the fields of sort, then by path. */
  compare(a: Entry, b: Entry): number {
    const search = this.begin();
    return compareSorted(this.#sort, search.sortValues(a), search.sortValues(b)) || compareTexts(a.path, b.path);
  }

  /** Keeps the first `size` of the records that are added, in the order of this query. */
  selection<T>(size = this.skip + this.limit): Selection<T, SortValues> {
    const sort = this.#sort;
    return new Selection((a, b) => compareSorted(sort, a, b), size);
  }

  /** What is shown of a found record. */
  project(entry: Entry): Projected {
    if (this.pathsOnly) return { document: null, meta: { path: entry.path } };
    if (this.#projection !== null) return this.#projection.project(entry);
    return { document: documentOf(entry.payload.value()), meta: metaOf(entry) };
  }
}

/** One use of a query: looks at record after record. */
export class Search {
  readonly #predicate: Predicate<RecordView> | null;
  readonly #sort: Sort;
  readonly #meter: Meter;
  readonly #record = new RecordView();

  constructor(predicate: Predicate<RecordView> | null, sort: Sort, stepsMax: number) {
    this.#predicate = predicate;
    this.#sort = sort;
    this.#meter = new Meter(stepsMax);
  }

  /** Steps that were taken on all records. */
  get steps(): number {
    return this.#meter.steps;
  }

  /** Throws RequestError LIMIT_EXCEEDED when that takes too many steps. */
  matches(entry: Entry): boolean {
    this.#meter.begin(entry.path);
    return this.#predicate === null || this.#predicate(this.#record.show(entry), this.#meter);
  }

  /** What the record is sorted by. Throws as `matches` does. */
  sortValues(entry: Entry): SortValues {
    this.#meter.begin(entry.path);
    return sortValues(this.#sort, this.#record.show(entry), this.#meter);
  }
}
