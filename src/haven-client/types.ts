// Arguments and results of the Haven client. Times are milliseconds since 1970, revisions count all stored changes.

/** nil, booleans, finite numbers, text, bytes (Buffer), dates, lists, and maps with text keys. Anything else is MALFORMED, and not sent. */
export type HavenValue = unknown;

export interface HavenOptions {
  /** 127.0.0.1 when absent. */
  readonly host?: string;
  /** 7854 when absent. */
  readonly port?: number;
  readonly credentials?: { readonly username?: string; readonly password?: string; readonly token?: string };
  /** After so much silence the gateway may drop the session; the client says something three times as often. 30,000 when absent. */
  readonly heartbeatMs?: number;
  /** A connection takes no longer than this, and one that answers no heartbeat for so long is lost; 30,000 when absent. */
  readonly timeoutMs?: number;
  /** false: a lost connection is not made again. */
  readonly reconnect?: boolean;
  /** Events that wait in one watch for their reader, more than the records that it begins with; 10,000 when absent. */
  readonly watchMaxEvents?: number;
}

/**
 * What a message says of itself beside its value: `contentType`, `responseTopic`, `correlationData` (bytes), `payloadFormat` (1: text), and
 * whatever else its sender chose, such as the user properties of MQTT 5.
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
  /** There are further ones: ask again with `after` set to the last path. */
  readonly more: boolean;
}

export interface WriteOptions {
  /** Only if the record has this revision; 0: only if there is none. Else CONFLICT. */
  readonly expect?: number;
  /** One level is merged into the record. */
  readonly merge?: boolean;
  readonly meta?: HavenMeta;
}

/** A moment of the past. */
export type Moment =
  /** Milliseconds since 1970, or a Date. */
  | { readonly time: number | Date }
  /** Right behind the change that has this revision. */
  | { readonly revision: number };

export interface ReadOptions {
  readonly criteria?: object;
  readonly fields?: object;
  readonly sort?: object;
  readonly limit?: number;
  /** Only paths behind this one. */
  readonly after?: string;
  /** As it was then. */
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
 * A change of a record, or `resync`: events were missed, because the gateway does not know them any more, and the records as they are
 * follow; those not among them are gone.
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

/** The connection was made again, too many events waited, or the watch was to begin with `since`. */
export type ResyncReason = 'reconnected' | 'overflow' | 'missed';

export interface WatchOptions {
  /** The records that exist come first, as writes. */
  readonly initial?: boolean;
  /** The events behind this revision come first; a `resync`, and the records, when the gateway does not know all of them any more. */
  readonly since?: number;
}

/** Read it with `for await`; leaving the loop ends it. Ends with the client, and throws when the gateway refuses it later. */
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
  /** Of a quorum. */
  readonly path?: string;
  readonly leader?: string;
  readonly members?: readonly string[];
}

/** What the gateway said about itself when the connection was made. */
export interface Hello {
  readonly session: string;
  readonly node: { readonly uuid: string; readonly name: string };
  readonly heartbeat: number;
}

/**
 * `name` of the protocol's table of errors (docs/protocols/haven.md) with its code, or the client's own with code 0: CONNECTION_LOST
 * (what was asked may or may not have happened), TIMEOUT, CLOSED.
 */
export class HavenError extends Error {
  constructor(
    override readonly name: string,
    readonly code: number,
    message: string,
    /** The operation of a transaction that failed, counted from 0. */
    readonly op: number | null = null,
  ) {
    super(message);
  }
}
