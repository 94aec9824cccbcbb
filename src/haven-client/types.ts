// Arguments and results of the Haven client. Times are milliseconds since 1970, revisions count all stored changes.

/** nil, booleans, finite numbers, text, bytes (Buffer), dates, lists, and maps with text keys. Anything else is MALFORMED, and not sent. */
export type HavenValue = unknown;

export interface HavenOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 7854. */
  readonly port?: number;
  readonly credentials?: { readonly username?: string; readonly password?: string; readonly token?: string };
  /** The gateway may drop the session after this much silence; the client sends three heartbeats in that time. Default 30,000. */
  readonly heartbeatMs?: number;
  /** Limit for connecting, and for the answer to a heartbeat, after which the connection counts as lost. Default 30,000. */
  readonly timeoutMs?: number;
  /** false: a lost connection is not re-established. Default true. */
  readonly reconnect?: boolean;
  /** Events that may wait in one watch for their reader; must exceed the number of its initial records. Default 10,000. */
  readonly watchMaxEvents?: number;
}

/**
 * Data about a value: `contentType`, `responseTopic`, `correlationData` (bytes), `payloadFormat` (1: text), and
 * custom names, such as the user properties of MQTT 5.
 */
export type HavenMeta = { readonly [name: string]: HavenValue };

export interface Written {
  readonly revision: number;
  readonly created: number;
  readonly modified: number;
}

export interface Found extends Written {
  readonly value: HavenValue;
  readonly meta?: HavenMeta;
}

export interface Item extends Found {
  readonly path: string;
}

export interface Items {
  readonly items: readonly Item[];
  /** There are more: ask again with `after` set to the last path. */
  readonly more: boolean;
}

export interface WriteOptions {
  /** Only if the record has this revision; 0: only if there is no record. Else CONFLICT. */
  readonly expect?: number;
  /** Merge one level into the record instead of replacing it. */
  readonly merge?: boolean;
  readonly meta?: HavenMeta;
}

/** A moment of the past. */
export type Moment =
  /** Milliseconds since 1970, or a Date. */
  | { readonly time: number | Date }
  /** Right after the change with this revision. */
  | { readonly revision: number };

export interface ReadOptions {
  readonly criteria?: object;
  readonly fields?: object;
  readonly sort?: object;
  readonly limit?: number;
  /** Only paths after this one. */
  readonly after?: string;
  /** Read the state at this moment. */
  readonly at?: Moment;
}

export interface Operation {
  readonly type: 'create' | 'write' | 'update' | 'delete' | 'read';
  readonly path: string;
  readonly value?: HavenValue;
  readonly expect?: number;
  readonly merge?: boolean;
  readonly meta?: HavenMeta;
}

/**
 * A change of a record, or `resync`: events were missed that the gateway no longer knows, and the current records
 * follow; records not among them are gone.
 */
export type WatchEvent =
  | {
      readonly type: 'write';
      readonly path: string;
      readonly value: HavenValue;
      readonly revision: number;
      readonly time: number;
      readonly by: string;
      readonly meta?: HavenMeta;
    }
  | {
      readonly type: 'delete';
      readonly path: string;
      readonly revision: number;
      readonly time: number;
      readonly by: string;
      readonly meta?: HavenMeta;
    }
  | { readonly type: 'resync'; readonly reason: ResyncReason };

/** The connection was re-established, too many events waited, or `since` was too long ago. */
export type ResyncReason = 'reconnected' | 'overflow' | 'missed';

export interface WatchOptions {
  /** Deliver existing records first, as writes. */
  readonly initial?: boolean;
  /** Deliver events after this revision first; if the gateway no longer knows them all, a `resync` and the current records. */
  readonly since?: number;
}

/** Read it with `for await`; leaving the loop ends the watch. It ends with the client, and throws if the gateway refuses it later. */
export interface Watch extends AsyncIterableIterator<WatchEvent> {
  close(): Promise<void>;
}

export interface Become {
  readonly path?: string;
  readonly uuid?: string;
  readonly force?: boolean;
}

export interface HavenLocation {
  readonly address: string;
  readonly port: number;
  readonly uuid: string;
  readonly role: string;
  readonly versions: readonly string[];
  /** For a quorum. */
  readonly path?: string;
  readonly leader?: string;
  readonly members?: readonly string[];
}

/** How the gateway introduced itself when the connection was made. */
export interface Hello {
  readonly session: string;
  readonly node: { readonly uuid: string; readonly name: string };
  readonly heartbeat: number;
}

/**
 * `name` and `code` from the protocol's table of errors (docs/protocols/haven.md), or the client's own with code 0: CONNECTION_LOST
 * (the request may or may not have been executed), TIMEOUT, CLOSED.
 */
export class HavenError extends Error {
  constructor(
    override readonly name: string,
    readonly code: number,
    message: string,
    /** Index of the failed operation of a transaction, from 0. */
    readonly op: number | null = null,
  ) {
    super(message);
  }
}
