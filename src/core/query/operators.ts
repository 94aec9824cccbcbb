// Operators: how each operator tests the values of a field. The list is complete; nothing runs code.

import type { Value } from '../data/payload.js';
import { type Document, isDocument } from '../data/value.js';
import { asList, asText, type Condition, type FieldOperator, invalid } from './checks.js';
import type { Compiler } from './compiler.js';
import type { Test } from './fields.js';
import { includesText, likeRegex, type Regex } from './regex.js';
import { compareTexts, compareValues, isEqual, isoText, kindOf, type Seen, shown, typeTest } from './values.js';

export const FIELD_OPERATORS: ReadonlyMap<string, FieldOperator> = new Map<string, FieldOperator>([
  ['$eq', equalTo],
  ['$ne', (operand, compiler) => negated(equals(compiler.value(operand)))],
  ['$gt', (operand, compiler) => byItem(ordered(compiler.value(operand), (order) => order > 0))],
  ['$gte', (operand, compiler) => byItem(ordered(compiler.value(operand), (order) => order >= 0))],
  ['$lt', (operand, compiler) => byItem(ordered(compiler.value(operand), (order) => order < 0))],
  ['$lte', (operand, compiler) => byItem(ordered(compiler.value(operand), (order) => order <= 0))],
  ['$between', (operand, compiler) => byItem(between(asList(operand, '$between'), compiler))],
  ['$in', (operand, compiler) => byItem(among(asList(operand, '$in'), compiler))],
  ['$nin', (operand, compiler) => negated(among(asList(operand, '$nin'), compiler))],
  ['$exists', (operand) => exists(operand)],
  ['$type', (operand) => byItem(ofType(Array.isArray(operand) ? operand : [operand]))],
  ['$regex', (operand, compiler, beside) => byItem(matches(regexOf(operand, beside, compiler)))],
  ['$like', (operand, compiler) => byItem(matches(compiler.keepRegex(likeRegex(asText(operand, '$like')), (operand as string).length)))],
  ['$mod', (operand) => byItem(remainder(asList(operand, '$mod')))],
  ['$size', (operand, compiler, _, depth) => wholly(ofSize(operand, compiler, depth))],
  ['$contains', (operand, compiler) => wholly(contains(operand, compiler))],
  ['$elemMatch', (operand, compiler, _, depth) => wholly(hasItem(operand, compiler, depth))],
  ['$options', () => unexpectedOptions()],
]);

/** A field that is, or has among its items, this value. */
export function equalTo(operand: unknown, compiler: Compiler): Condition {
  return byItem(equals(compiler.value(operand)));
}

function byItem(test: Test): Condition {
  return { test, whole: false, negated: false };
}

function wholly(test: Test): Condition {
  return { test, whole: true, negated: false };
}

function negated(test: Test): Condition {
  return { test, whole: false, negated: true };
}

/** Null equals what is not there. A date equals its ISO text and its milliseconds. */
function equals(operand: Value): Test {
  if (operand === null) return (value) => value === undefined || kindOf(value) === NOTHING;
  if (operand instanceof Date) {
    const time = operand.getTime();
    const text = isoText(operand);
    return (value) => value === time || value === text || (value instanceof Date && value.getTime() === time);
  }
  if (typeof operand === 'object') return (value, meter) => typeof value === 'object' && isEqual(value, operand, meter);
  return (value) => value === operand || (value instanceof Date && (value.getTime() === operand || isoText(value) === operand));
}

const NOTHING = kindOf(null);

/** Only values of the operand's kind are less or greater; null is as much as nothing, and neither less nor greater. */
function ordered(operand: Value, accepts: (order: number) => boolean): Test {
  if (typeof operand === 'number') return orderedNumber(operand, accepts);
  if (typeof operand === 'string') return orderedText(operand, accepts);
  if (operand instanceof Date) {
    const byTime = orderedNumber(operand.getTime(), accepts);
    const byText = orderedText(operand.toISOString(), accepts);
    return (value, meter) => (typeof value === 'string' ? byText(value, meter) : byTime(value, meter));
  }
  const kind = kindOf(operand);
  return (value, meter) => kindOf(value) === kind && accepts(compareValues(value, operand, meter));
}

function orderedNumber(operand: number, accepts: (order: number) => boolean): Test {
  return (value) => (typeof value === 'number' ? accepts(value - operand) : isTime(value) && accepts(value.getTime() - operand));
}

function orderedText(operand: string, accepts: (order: number) => boolean): Test {
  return (value) => {
    const text = isTime(value) ? isoText(value) : value;
    return typeof text === 'string' && accepts(compareTexts(text, operand));
  };
}

function isTime(value: Seen): value is Date {
  return value instanceof Date && !Number.isNaN(value.getTime());
}

/** Both ends belong to it. */
function between(ends: readonly unknown[], compiler: Compiler): Test {
  if (ends.length !== 2) throw invalid('$between takes a list of two values: the least and the greatest');
  const least = ordered(compiler.value(ends[0]), (order) => order >= 0);
  const greatest = ordered(compiler.value(ends[1]), (order) => order <= 0);
  return (value, meter) => least(value, meter) && greatest(value, meter);
}

/** Scalars are looked up; lists, maps and dates are compared one by one. */
function among(operands: readonly unknown[], compiler: Compiler): Test {
  const scalars = new Set<Seen>();
  const others: Test[] = [];
  for (const operand of operands) {
    const value = compiler.value(operand);
    if (typeof value !== 'object') scalars.add(value);
    else if (value === null) scalars.add(null).add(undefined);
    else others.push(equals(value));
  }
  return (value, meter) => {
    if (scalars.has(value)) return true;
    if (value instanceof Date && (scalars.has(value.getTime()) || scalars.has(isoText(value)))) return true;
    if (others.length > 0) meter.spend(others.length);
    return others.some((test) => test(value, meter));
  };
}

function exists(operand: unknown): Condition {
  if (typeof operand !== 'boolean' && typeof operand !== 'number') throw invalid('$exists takes true or false');
  return { test: (value) => value !== undefined, whole: true, negated: !operand };
}

function ofType(names: readonly unknown[]): Test {
  const tests = names.map((name) => {
    const test = typeTest(name as Value);
    if (test === undefined) throw invalid(`$type knows no such type: ${typeof name === 'string' ? name.slice(0, 60) : typeof name}`);
    return test;
  });
  return (value) => tests.some((test) => test(value));
}

function regexOf(operand: unknown, beside: Document, compiler: Compiler): Regex {
  if (typeof operand !== 'string' && !Array.isArray(operand)) throw invalid('$regex parameter value must be an Array or a string');
  const [source, flags] = typeof operand === 'string' ? [operand, beside.$options] : operand;
  if (flags !== undefined && flags !== null && typeof flags !== 'string') throw invalid('the flags of $regex must be a text');
  return compiler.regex(asText(source, '$regex'), flags ?? '');
}

function unexpectedOptions(): never {
  throw invalid('$options stands without $regex');
}

function matches(regex: Regex): Test {
  return (value, meter) => {
    const text = shown(value);
    return typeof text === 'string' && regex.test(text, meter);
  };
}

function remainder(operands: readonly unknown[]): Test {
  const [divisor, rest] = operands;
  if (
    operands.length !== 2 ||
    typeof divisor !== 'number' ||
    typeof rest !== 'number' ||
    !Number.isFinite(divisor) ||
    !Number.isFinite(rest)
  ) {
    throw invalid('$mod takes a list of two numbers: the divisor and the remainder');
  }
  const by = Math.trunc(divisor);
  if (by === 0) throw invalid('the divisor of $mod is zero');
  const sought = Math.trunc(rest);
  return (value) => typeof value === 'number' && Math.trunc(value) % by === sought;
}

/** A number of items, or operators on it. */
function ofSize(operand: unknown, compiler: Compiler, depth: number): Test {
  if (typeof operand === 'number' && Number.isInteger(operand) && operand >= 0) {
    return (value) => Array.isArray(value) && value.length === operand;
  }
  if (typeof operand !== 'object' || operand === null) throw invalid('$size takes a whole number that is not negative');
  const test = compiler.operatorsOn(operand, '$size', depth);
  return (value, meter) => Array.isArray(value) && test(value.length, meter);
}

/** All of the operands are items of the list, parts of the text, or keys of the map. */
function contains(operand: unknown, compiler: Compiler): Test {
  const sought = (Array.isArray(operand) ? operand : [operand]).map((item) => compiler.value(item));
  const tests = sought.map(equals);
  const texts = sought.map((item) => (typeof item === 'string' ? item : null));
  return (value, meter) => {
    const container = shown(value);
    if (typeof container === 'string') {
      return texts.every((text) => text !== null && includesText(container, text, meter));
    }
    if (Array.isArray(container)) {
      meter.spend(container.length * tests.length);
      return tests.every((test) => container.some((item) => test(item, meter)));
    }
    return container !== undefined && isDocument(container) && texts.every((text) => text !== null && Object.hasOwn(container, text));
  };
}

function hasItem(operand: unknown, compiler: Compiler, depth: number): Test {
  const predicate = compiler.itemPredicate(operand, depth);
  return (value, meter) => {
    if (!Array.isArray(value)) return false;
    meter.spend(value.length);
    return value.some((item) => predicate(item, meter));
  };
}
