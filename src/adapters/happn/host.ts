// What a session needs of its adapter, and what the parts of a session see of it.

import type { AdapterContext, Session } from '../../core/index.js';
import type { Acknowledgements } from './acknowledgements.js';
import type { FrameWriter } from './frames.js';
import type { HappnLayers } from './layers.js';
import type { HappnSession } from './session.js';
import type { MergeForm, Version } from './versions.js';
import type { Frame, FrameLimits } from './wire.js';

/** The adapter, to its sessions. */
export interface Host {
  readonly context: AdapterContext;
  readonly writer: FrameWriter;
  readonly limits: FrameLimits;
  /** Calls `flush` soon, once. */
  touch(session: HappnSession): void;
  /** The session has sent its first valid request. */
  settled(session: HappnSession): void;
  ended(session: HappnSession): void;
  /** Sessions that called themselves members of a cluster. */
  readonly clusterMembers: Set<Session>;
  readonly acknowledgements: Acknowledgements;
  /** Absent: none, and messages take the short way. */
  readonly layers?: HappnLayers | null;
}

/** A session, to its parts. */
export interface Connection extends Session {
  readonly version: Version;
  readonly mergeForm: MergeForm;
  /** Nothing more is said or heard. */
  readonly ending: boolean;
  /** A valid request has come. Whoever has to log in first is fresh until then. */
  settle(): void;
  /** Sends a finished text behind those that wait. */
  answer(text: string): void;
  /** Answers a request that could not be done. */
  fail(frame: Frame, error: unknown): void;
}
