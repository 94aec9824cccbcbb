// The records of the directory: users, groups and their permissions. Plain data; limits of their sizes.

/** What somebody does to a path. `control`: changes the roles that CONTROL_AREA keeps. The other verbs are those of HTTP routes. */
export type Action = 'set' | 'remove' | 'get' | 'on' | 'control' | 'put' | 'post' | 'delete' | 'head' | 'options' | 'patch';

export const ACTIONS: readonly Action[] = Object.freeze([
  'set',
  'remove',
  'get',
  'on',
  'control',
  'put',
  'post',
  'delete',
  'head',
  'options',
  'patch',
]);

/** `*`: every action but `control`, which must be spelled out. */
export type PermittedAction = Action | '*';

/** What is allowed and what is forbidden on the paths of one pattern. A prohibition wins over every allowance, wherever it stands. */
export interface Permission {
  readonly actions?: readonly PermittedAction[];
  readonly prohibit?: readonly PermittedAction[];
}

/**
 * By pattern: a path in which `*` is any run of characters, slashes included; anchored at both ends, a leading slash counts, and so
 * does case. `{{user.username}}` and the like are replaced, see templates.ts.
 */
export type Permissions = Readonly<Record<string, Permission>>;

/**
 * A permission that asks a table (happn-protocol.md 10.7). A path of which a part matches `regex` is taken apart by its groups; put
 * together anew as `path` says, it is allowed if the table has the outcome. It allows, and prohibits nothing.
 */
export interface Lookup {
  /** Name of the table. One that does not exist permits nothing. */
  readonly table: string;
  /** A linear-time expression, as in searches; anchored only where it says so. */
  readonly regex: string;
  readonly actions: readonly PermittedAction[];
  /** `{{$1}}` stands for the first group of the expression, `{{user.username}}` and the like as in permissions. */
  readonly path: string;
}

/** Paths, without their leading slash, which counts for nothing here. */
export interface LookupTable {
  readonly name: string;
  readonly paths: ReadonlySet<string>;
  readonly created: number;
  readonly modified: number;
}

/** What an administrator keeps with a user or group: JSON. */
export type CustomData = Readonly<Record<string, unknown>>;

export interface User {
  readonly name: string;
  /** Made at each creation: a user who is deleted and created anew is another one. */
  readonly id: string;
  /** The encoded hash; null: no login by password. */
  readonly password: string | null;
  /** PEM, for logins by signature; null: none. */
  readonly publicKey: string | null;
  /** Names of groups. One that does not exist permits nothing. */
  readonly groups: readonly string[];
  readonly permissions: Permissions;
  readonly customData: CustomData;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly modified: number;
  /** Tokens that were issued before this millisecond are no longer good; 0: all are. */
  readonly tokensSince: number;
}

export interface Group {
  readonly name: string;
  readonly permissions: Permissions;
  readonly lookups: readonly Lookup[];
  readonly customData: CustomData;
  readonly created: number;
  readonly modified: number;
}

/** The user that the first secure start makes, and the group whose members may do everything. Neither can be deleted. */
export const ADMIN = '_ADMIN';
/** The user in whose name those act who show no credentials, where that is permitted. It cannot be deleted. */
export const ANONYMOUS = '_ANONYMOUS';
/** Members may act on behalf of others. */
export const DELEGATES = '_MESH_DELEGATE';

/** At each of these a command is LIMIT_EXCEEDED or INVALID_REQUEST, and changes nothing. */
export const SECURITY_LIMITS = Object.freeze({
  /** UTF-8 bytes of a user's or group's name. */
  nameBytes: 256,
  users: 100_000,
  groups: 10_000,
  /** Groups of one user. */
  memberships: 1_000,
  /** Patterns of one user or group. */
  permissions: 1_000,
  /** UTF-8 bytes of one pattern. */
  patternBytes: 1_024,
  /** UTF-8 bytes of one user's or group's custom data as JSON. */
  customDataBytes: 64 * 1024,
  /** UTF-8 bytes of a password's hash, and of a public key. */
  secretBytes: 16 * 1024,
  revocations: 1_000_000,
  /** Users who are locked at once. */
  locks: 20_000,
  lookupTables: 256,
  /** Paths of one table, and their UTF-8 bytes together. */
  tablePaths: 10_000,
  tableBytes: 1024 * 1024,
  /** Lookups of one group. */
  lookups: 32,
  /** Lookups of all groups of one user that count; those of the groups that were linked last do not. */
  lookupsOfUser: 128,
  /** UTF-16 units of one lookup's expression. */
  lookupRegex: 256,
  /** A longer path (in UTF-16 units) is allowed by no lookup. */
  lookupPath: 512,
});
