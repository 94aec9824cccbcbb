// Run: what operations work on, and what one execution may change and report.

import type { Formats } from '../adapter.js';
import type { ExpirySweep } from '../data/expiry.js';
import type { Records } from '../data/records.js';
import type { QueueLimits } from '../durable/durable-session.js';
import type { DurableTable } from '../durable/table.js';
import type { ConnectionError } from '../errors.js';
import type { History } from '../history/history.js';
import type { Floor } from '../history/rules.js';
import type { Losses } from '../losses.js';
import type { DataRequest, Publication, SubscribeRequest } from '../message.js';
import type { PathIndex } from '../paths/path-index.js';
import type { Router } from '../routing/router.js';
import type { Access } from '../security/access.js';
import type { Audit } from '../security/audit.js';
import type { Directory } from '../security/directory.js';
import type { Session } from '../sessions/session.js';
import type { Sessions } from '../sessions/sessions.js';
import type { Store } from '../store/store.js';
import type { Outcome, Turn } from '../turn.js';

/** What operations work on; the engine's single instance. */
export interface State {
  readonly store: Store;
  readonly records: Records;
  readonly paths: PathIndex;
  readonly router: Router;
  readonly durables: DurableTable;
  readonly expiry: ExpirySweep;
  /** null: none is kept. */
  readonly history: History | null;
  readonly formats: Formats;
  readonly access: Access;
  readonly directory: Directory;
  readonly audit: Audit;
  /** Those that are open. */
  readonly sessions: Sessions;
  readonly queueLimits: QueueLimits;
  readonly losses: Losses;
  /** The body of a queued message that the store has; null: it is gone, or damaged, which is counted. */
  queuedPublication(number: number): Publication | null;
  /** Revision of the last executed change. */
  revision: number;
  /** Revision of the last change that the store holds. */
  committed: number;
  /** Number of the last executed operation that stores. */
  applied: number;
  /** Copies that publications make for their receivers, counted up as they are executed. */
  copies: number;
  /** Steps that queries took, and one for each byte of a body that was taken apart; counted up as requests are executed. */
  steps: number;
}

/** What is known of the past from now on, when nothing else is. */
export function presentOf({ revision }: State, time: number): Floor {
  return { revision, time };
}

/** What one execution may change and say. `turn` null: nothing is stored, outcomes take effect at once. */
export interface Run {
  readonly state: State;
  readonly turn: Turn | null;
  say(outcome: Outcome): void;
  /** Reads the store in slices and answers `request`; see scans/answers.ts. */
  scan(request: DataRequest | SubscribeRequest): void;
  removeByPattern(request: DataRequest): void;
  /** A connection is gone that was still opening its durable session. */
  leave(session: Session): void;
  /** Ends a connection, which is given what it waits for before; nothing that its adapter does comes back here. */
  end(session: Session, error: ConnectionError): void;
  /** Something that the session's adapter does with what it is told. Its connection ends if that fails. */
  tell(session: Session, work: () => void): void;
}
