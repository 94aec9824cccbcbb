// What a session needs of its adapter, and what the parts of a session see of it.

import type { AdapterContext, Counter, Request, Session } from '../../core/index.js';
import type { HavenConfig } from './config.js';
import type { Control } from './control.js';
import type { ScanLimits } from './scanner.js';
import type { HavenSession } from './session.js';
import type { Writer } from './writer.js';

/** The adapter, to its sessions. */
export interface Host {
  readonly context: AdapterContext;
  readonly config: HavenConfig;
  readonly writer: Writer;
  readonly early: ScanLimits;
  readonly full: ScanLimits;
  readonly received: Counter;
  readonly malformed: Counter;
  readonly missed: Counter;
  readonly control: Pick<Control, 'become' | 'discover' | 'quorum' | 'leads' | 'checkServed'>;
  /** Of the listener for TCP. */
  readonly port: number;
  /** State of this node as MessagePack. */
  state(): Uint8Array;
  /** It is connected, and somebody who may be here. */
  admitted(session: HavenSession): void;
}

/** A session, to its parts. */
export interface Connection extends Session {
  /** Address and port, for the log. */
  readonly peer: string;
  /** Hands a request to the core; its reply comes in its place. */
  submit(request: Request): void;
}
