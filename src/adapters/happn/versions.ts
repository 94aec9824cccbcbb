// What differs between the protocol versions that happn clients speak, as data. Nothing else in the adapter asks for a version.

/**
 * What a `merge: true` subscription shows of a change. record: the record after it, as all subscriptions do. bare: the same, but what
 * is no object as it was sent, and null of a removal. request: the data as it was sent, and null of a removal.
 */
export type MergeForm = 'record' | 'bare' | 'request';

/** How one protocol version looks on the wire. */
export interface Version {
  /** The `protocol` field of responses and events. */
  readonly protocol: string;
  /** How the wildcards of its subscriptions are meant: `*` as any characters, or as one whole segment. */
  readonly dialect: 'glob' | 'segments';
  /** A `sessionId` that came with `configure-session`, `describe` or `login` is echoed. */
  readonly echoesEarlySessionId: boolean;
  /** `options.noDataResponse` shortens the answer to a set. */
  readonly noDataResponse: boolean;
  /** The paths of one record are a list of one: its clients fail on the answer without data that the others get. */
  readonly listsOnePath: boolean;
  /** `initialEmit` is answered with the values, and each value follows as an event. */
  readonly emitsInitialValues: boolean;
  /**
   * `off` says how many listeners of a channel go, by `refCount`, and the channel ends with the last. Else it names a reference;
   * without one it ends the whole channel, on `*` everything the session has.
   */
  readonly countsListeners: boolean;
  /** Who sends heartbeats. */
  readonly heartbeat: 'server' | 'client';
  /** The notice before an intended end carries `{reason}`; else only its own name. */
  readonly disconnectReason: boolean;
  /** What `merge: true` subscriptions show, unless the client says that it is of version 13 or later. */
  readonly mergeForm: MergeForm;
  /** The publisher is told what became of a publication that was not awaited. A client that knows no such notice fails on it. */
  readonly publicationNotices: boolean;
  /** It is told of changes to users, groups and permissions that concern it. */
  readonly directoryNotices: boolean;
}

const VERSION_1: Version = Object.freeze({
  protocol: 'happn_1',
  dialect: 'glob',
  echoesEarlySessionId: false,
  noDataResponse: false,
  listsOnePath: false,
  emitsInitialValues: true,
  countsListeners: true,
  heartbeat: 'client',
  disconnectReason: false,
  mergeForm: 'record',
  publicationNotices: true,
  directoryNotices: false,
});

const VERSION_2: Version = Object.freeze({
  ...VERSION_1,
  protocol: 'happn_2',
  emitsInitialValues: false,
  countsListeners: false,
  disconnectReason: true,
  mergeForm: 'bare',
});

const VERSION_3: Version = Object.freeze({ ...VERSION_2, protocol: 'happn_3', dialect: 'segments', directoryNotices: true });

const VERSION_4: Version = Object.freeze({
  ...VERSION_3,
  protocol: 'happn_4',
  echoesEarlySessionId: true,
  noDataResponse: true,
  heartbeat: 'server',
});

/** A session that never sent `configure-session`: a happn 1 or 2 client, or no client library at all. */
export const UNCONFIGURED: Version = Object.freeze({ ...VERSION_1, protocol: 'happn', publicationNotices: false, listsOnePath: true });

const BY_NAME: ReadonlyMap<string, Version> = new Map(
  [UNCONFIGURED, VERSION_1, VERSION_2, VERSION_3, VERSION_4].map((version) => [version.protocol, version]),
);

/**
 * The version that a `configure-session` names. Names of the 1.x time (`1.1.0`, `happn_1.3.0`) and unknown `happn…` names
 * mean version 1; null: not a happn protocol at all.
 */
export function versionNamed(name: string): Version | null {
  const version = BY_NAME.get(name);
  if (version !== undefined) return version;
  return name.startsWith('1') || name.startsWith('happn') ? VERSION_1 : null;
}

/**
 * Whether a request for data before a login ends the connection, as on the server of version 13. Older clients mean no harm by one:
 * those of versions 8 and 10 send what their program asks for as soon as they are connected again, and log in beside it.
 */
export function endsBeforeLogin(version: Version, clientVersion: string | null): boolean {
  return version === VERSION_4 && isSince13(clientVersion);
}

/** `clientVersion`: as the client told it; null or no number: it told nothing, as clients did until version 10. */
function isSince13(clientVersion: string | null): boolean {
  return clientVersion !== null && Number.parseInt(clientVersion, 10) >= 13;
}

/** Whether records of which a client sees chosen fields name their path all the same, as they did on servers before version 13. */
export function namesPaths(clientVersion: string | null): boolean {
  return !isSince13(clientVersion);
}

/** What the merge subscriptions of a client show. Measured on each generation. */
export function mergeFormFor(version: Version, clientVersion: string | null): MergeForm {
  return isSince13(clientVersion) ? 'request' : version.mergeForm;
}
