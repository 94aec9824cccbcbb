// Checks: the shape of criteria and of their operands. All errors are INVALID_REQUEST.

import type { Value } from '../data/payload.js';
import { type Document, isDocument } from '../data/value.js';
import { RequestError } from '../errors.js';
import type { Compiler } from './compiler.js';
import type { Test } from './fields.js';

/** What an operator asks of the values of its field. */
export interface Condition {
  readonly test: Test;
  /** Lists are tested as they are, not by their items. */
  readonly whole: boolean;
  /** No value may pass. */
  readonly negated: boolean;
}

/** `beside` is the map in which the operator stands. Throws RequestError INVALID_REQUEST. */
export type FieldOperator = (operand: unknown, compiler: Compiler, beside: Document, depth: number) => Condition;

export function invalid(text: string): RequestError {
  return new RequestError('INVALID_REQUEST', text);
}

export function asMap(value: unknown, what: string): Document {
  if (typeof value === 'object' && isDocument(value as Value) && !(value instanceof RegExp)) return value as Document;
  throw invalid(`${what} must be an object`);
}

export function asList(value: unknown, operator: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw invalid(`${operator} takes a list`);
}

export function asText(value: unknown, operator: string): string {
  if (typeof value === 'string') return value;
  throw invalid(`${operator} takes a text`);
}
