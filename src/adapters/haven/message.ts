// HavenMessage: one request as its peer sent it, in either shape.

import type { Credentials, Payload, RequestError, Value } from '../../core/index.js';
import type { Action, Mode, Shape } from './wire.js';

/** One request as the peer sent it; null or false: the field was left out. */
export class HavenMessage {
  action: Action | null = null;
  /** DATA: the verb. CONTROL, DISCOVER, HEARTBEAT: the `type` as it came. */
  type: string | null = null;
  /** The `id` as MessagePack, echoed as it came. */
  id: Uint8Array | null = null;
  path: string | null = null;
  /** What its connection's paths are relative to; empty: nothing. */
  base = '';
  value: Payload | null = null;
  version: string | number | null = null;
  magic: number | null = null;
  heartbeatMs: number | null = null;
  mode: Mode | null = null;
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
  /** Of a transaction: each has type, path, value, expect and merge, and its own fault. */
  operations: readonly HavenMessage[] | null = null;
  initial = false;
  push = false;
  /** What of many records is asked for, as it came; the core says whether it means something. */
  criteria: Value = null;
  fields: Value = null;
  sort: Value = null;
  credentials: Credentials | null = null;
  /** What is wrong with the request; it was read as far as possible, so that the answer has its id and shape. */
  fault: RequestError | null = null;

  constructor(readonly shape: Shape) {}
}
