// HavenMessage: one request as its peer sent it, in either shape.

import type { Credentials, Payload, RequestError, Value } from '../../core/index.js';
import type { Action, Mode, Shape } from './wire.js';

/** What few requests say; null or false: it was left out. */
export class Details {
  version: string | number | null = null;
  magic: number | null = null;
  heartbeatMs: number | null = null;
  /** Mode rt: a time or the two ends of an interval, as it came; or the revision. */
  time: Value = null;
  revision: number | null = null;
  /** Mode rb: milliseconds. */
  bound: number | null = null;
  expect: number | null = null;
  limit: number | null = null;
  after: string | null = null;
  watch: number | null = null;
  /** watch: the changes behind this revision come first. */
  since: number | null = null;
  uuid: string | null = null;
  merge = false;
  /** What the message says of itself beside its value, as it came. */
  meta: Value = null;
  force = false;
  /** Of a transaction: each has type, path, value, expect, merge and meta, and its own fault. */
  operations: readonly HavenMessage[] | null = null;
  initial = false;
  push = false;
  /** What of many records is asked for, as it came; the core says whether it means something. */
  criteria: Value = null;
  fields: Value = null;
  sort: Value = null;
}

const NO_DETAILS: Readonly<Details> = Object.freeze(new Details());

/** One request as the peer sent it; null: the field was left out. Small: there is one for each write and each read. */
export class HavenMessage {
  action: Action | null = null;
  /** DATA: the verb. CONTROL, DISCOVER, HEARTBEAT: the `type` as it came. */
  type: string | null = null;
  /** Where the `id` stands as MessagePack, which is echoed as it came. */
  idIn: Buffer | null = null;
  idFrom = 0;
  idTo = 0;
  path: string | null = null;
  /** What its connection's paths are relative to; empty: nothing. */
  base = '';
  value: Payload | null = null;
  mode: Mode | null = null;
  details = NO_DETAILS;
  credentials: Credentials | null = null;
  /** What is wrong with the request; it was read as far as possible, so that the answer has its id and shape. */
  fault: RequestError | null = null;

  constructor(readonly shape: Shape) {}

  /** The details of this message alone, to be filled in. */
  ownDetails(): Details {
    if (this.details === NO_DETAILS) this.details = new Details();
    return this.details;
  }
}
