// Operation: one operation of the API: its path, input, output and handler. Routes and description are generated from
// the same table of them.

import type { z } from 'zod';
import type { Administration, Caller } from './administration.js';

export interface Call<Query, Body> {
  readonly house: Administration;
  readonly caller: Caller;
  /** By the names in the path. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
}

export interface Result {
  readonly status: 200 | 201 | 204;
  /** null: nothing, with 204. */
  readonly body: object | null;
}

export interface Answer {
  readonly description: string;
  /** null: no body. */
  readonly schema: z.ZodType | null;
}

export interface Operation {
  readonly method: 'get' | 'put' | 'patch' | 'post' | 'delete';
  /** Below /api/v1, with names in braces. */
  readonly path: string;
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  /** 'anybody': also those who have not logged in. */
  readonly access: 'administrators' | 'anybody';
  readonly query: z.ZodObject | null;
  readonly body: z.ZodType | null;
  readonly answers: Readonly<Record<number, Answer>>;
  readonly run: (call: Call<never, never>) => Promise<Result> | Result;
}

interface Typed<Query extends z.ZodObject | null, Body extends z.ZodType | null>
  extends Omit<Operation, 'query' | 'body' | 'access' | 'run'> {
  readonly access?: Operation['access'];
  readonly query: Query;
  readonly body: Body;
  readonly run: (
    call: Call<Query extends z.ZodType ? z.output<Query> : null, Body extends z.ZodType ? z.output<Body> : null>,
  ) => Promise<Result> | Result;
}

/** An operation whose `run` gets what its schemas say. */
export function operation<Query extends z.ZodObject | null, Body extends z.ZodType | null>(typed: Typed<Query, Body>): Operation {
  return { access: 'administrators', ...typed, run: typed.run as Operation['run'] };
}

export const done = (body: object): Result => ({ status: 200, body });
export const made = (body: object): Result => ({ status: 201, body });
export const NOTHING: Result = Object.freeze({ status: 204, body: null });

/** A time of the core as JSON has it. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
