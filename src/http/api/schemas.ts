// Schemas of the API's input and output: they check requests, and the OpenAPI description is generated from them.

import { z } from 'zod';
import { ACTIONS, AUDIT_ACTIONS, REQUEST_ERRORS, SECURITY_LIMITS } from '../../core/index.js';

/** Of one page; more are behind `next`. */
export const PAGE = Object.freeze({ usual: 100, max: 1_000 });
/** Longest life of a token that an administrator asks for. */
const TTL_MAX_MS = 3_650 * 24 * 3_600_000;
/** How deep custom data may be, as all values. */
const DEPTH_MAX = 32;
const PATH_MAX = 8_192;

const describe = <T extends z.ZodType>(type: T, description: string): T => type.meta({ description });
const time = (what: string) => describe(z.iso.datetime(), what);
const name = z.string().min(1).max(SECURITY_LIMITS.nameBytes);

const actions = z.array(z.enum(['*', ...ACTIONS])).max(32);
export const permission = z.strictObject({
  actions: describe(actions.optional(), 'Allowed actions. * is everything but control.'),
  prohibit: describe(actions.optional(), 'Forbidden actions; they override everything that is allowed.'),
});
const permissions = describe(z.record(z.string(), permission), 'By pattern of paths; * is any run of characters.');
/** null takes one away. */
const changedPermissions = describe(
  z.record(z.string(), permission.nullable()),
  'By pattern of paths. Each one given replaces the existing one; null removes it.',
);
const customData = describe(
  z.record(z.string(), z.unknown()).refine((data) => isShallow(data), `must be at most ${DEPTH_MAX} levels deep`),
  'Free data of administrators.',
);
const password = describe(z.string().nullable(), 'A text of 1 to 1024 bytes; null: no login by password.');
const publicKey = describe(
  z.string().min(1).nullable(),
  'For logins by signature: in PEM form, or as clients of happn-3 until version 11 make it.',
);
const groups = describe(z.array(name).max(SECURITY_LIMITS.memberships), 'Names of groups.');

const lookup = z.strictObject({
  table: describe(name, 'Name of a lookup table.'),
  regex: describe(z.string().min(1), 'Matched anywhere in the path; look-around and back-references are not supported.'),
  actions: actions.min(1),
  path: describe(
    z.string().min(1),
    'Entry to look for: {{$1}} is the first group of the expression, {{user.username}} and the like as in permissions.',
  ),
});
const lookups = describe(
  z.array(lookup).max(SECURITY_LIMITS.lookups),
  'A path is allowed if the table has its entry. Replaces all existing lookups.',
);
const tablePaths = describe(z.array(z.string().min(1)).max(SECURITY_LIMITS.tablePaths), 'Paths; a leading slash makes no difference.');

// What is asked.

export const putUser = z.strictObject({
  password: password.optional(),
  publicKey: publicKey.optional(),
  groups: groups.optional(),
  permissions: permissions.optional(),
  customData: customData.optional(),
});
export const patchUser = putUser.extend({ permissions: changedPermissions.optional() });
export const putGroup = z.strictObject({
  permissions: permissions.optional(),
  lookups: lookups.optional(),
  customData: customData.optional(),
});
export const patchGroup = putGroup.extend({ permissions: changedPermissions.optional() });
export const putPermission = z.strictObject({
  effect: describe(z.enum(['allow', 'prohibit']), 'A prohibition overrides everything that is allowed.'),
});
export const putTable = z.strictObject({ paths: tablePaths });
export const patchTable = z.strictObject({
  add: describe(tablePaths.optional(), 'Paths to add; existing ones stay.'),
  remove: describe(tablePaths.optional(), 'Paths to remove, unless they are also added.'),
});
export const login = z.strictObject({ username: z.string(), password: z.string() });
export const issueToken = z.strictObject({
  user: name,
  type: describe(z.enum(['stateful', 'stateless']).default('stateful'), 'stateful: for connections and HTTP; stateless: only for HTTP.'),
  ttlMs: describe(z.number().int().min(1_000).max(TTL_MAX_MS).optional(), 'How long it is valid; absent: as configured.'),
});
export const explain = z.strictObject({
  user: name,
  action: z.enum(ACTIONS),
  path: describe(z.string().min(1).max(PATH_MAX), 'A path; with a dialect, a pattern.'),
  dialect: describe(z.enum(['glob', 'segments', 'mqtt']).optional(), 'Dialect of the wildcards in the path; absent: no wildcards.'),
});

const limit = describe(
  z.preprocess((text) => (typeof text === 'string' ? Number(text) : text), z.number().int().min(1).max(PAGE.max).default(PAGE.usual)),
  'Maximum number of items.',
);
const after = describe(z.string().min(1).max(1_024).optional(), 'Continue after this one: `next` of the previous page.');
export const page = z.strictObject({ limit, after });
export const userPage = page.extend({ group: describe(name.optional(), 'Only members of this group.') });
export const pathPage = page.extend({
  after: describe(z.string().min(1).max(SECURITY_LIMITS.patternBytes).optional(), 'Continue after this one.'),
});
export const sessionPage = page.extend({
  user: describe(z.string().optional(), 'Only sessions of this user.'),
  protocol: describe(z.string().optional(), 'Only sessions of this protocol.'),
  state: describe(z.enum(['connected', 'away']).optional(), 'Only sessions with, or without, a connection.'),
});
const entryNumber = z.preprocess((text) => (typeof text === 'string' ? Number(text) : text), z.number().int().min(0).optional());
const instant = z.iso.datetime({ offset: true });
export const auditPage = z.strictObject({
  limit,
  after: describe(entryNumber, 'Only entries with greater numbers, oldest first; absent: the newest ones.'),
  before: describe(entryNumber, 'Only entries with smaller numbers: `previous` of the page after them.'),
  action: z.enum(AUDIT_ACTIONS).optional(),
  actor: describe(z.string().optional(), 'Only actions of this user; empty: of the gateway itself, or without a login.'),
  target: describe(z.string().optional(), 'Only actions on this user, group, token, session or path.'),
  outcome: z.enum(['done', 'refused']).optional(),
  since: describe(instant.optional(), 'From this time on.'),
  until: describe(instant.optional(), 'Before this time.'),
});

// What is answered.

export const user = z.strictObject({
  name,
  groups,
  permissions,
  customData: z.record(z.string(), z.unknown()),
  publicKey: z.string().nullable(),
  hasPassword: describe(z.boolean(), 'The password itself, and its hash, are never shown.'),
  lockedUntil: describe(z.iso.datetime().nullable(), 'Nobody can log in with the password until then; null: the user is not locked.'),
  created: time('When it was created.'),
  modified: time('When it was changed last.'),
});
export const group = z.strictObject({
  name,
  permissions,
  lookups,
  customData: z.record(z.string(), z.unknown()),
  members: describe(z.number().int(), 'Number of users in the group.'),
  created: time('When it was created.'),
  modified: time('When it was changed last.'),
});
export const session = z.strictObject({
  id: z.string(),
  state: describe(z.enum(['connected', 'away']), 'away: without a connection; its subscriptions and messages are kept for its client.'),
  user: describe(z.string().nullable(), 'null: not logged in.'),
  protocol: z.string(),
  client: describe(z.string().nullable(), 'Client id of a durable session; null: it is not durable.'),
  address: describe(z.string().nullable(), 'null: it has no connection of its own.'),
  connectedSince: describe(z.iso.datetime().nullable(), 'When the connection was made; null: there is none.'),
  awaySince: describe(z.iso.datetime().nullable(), 'When the last connection ended; null: there is one.'),
  expires: describe(z.iso.datetime().nullable(), 'When a session that is away ends for good; null: it does not end by itself.'),
  subscriptions: z.number().int(),
  requests: describe(z.number().int(), 'Executed since then.'),
  queued: describe(z.number().int(), 'Messages waiting for the session, including those on disk.'),
  queuedBytes: z.number().int(),
});
const next = describe(z.string().nullable(), 'For `after` of the next page; null: this is the last one.');
export const users = z.strictObject({ users: z.array(user), next });
export const groupList = z.strictObject({ groups: z.array(group), next });
export const sessions = z.strictObject({ sessions: z.array(session), next });
export const token = z.strictObject({
  id: describe(z.string(), 'For revoking the token.'),
  token: z.string(),
  user: name,
  expires: describe(z.iso.datetime().nullable(), 'null: valid until it is revoked.'),
});
export const explanation = z.strictObject({
  allowed: z.boolean(),
  user: name,
  action: z.enum(ACTIONS),
  path: z.string(),
  coverage: describe(
    z.enum(['all', 'checked', 'partial', 'none']).nullable(),
    'For a pattern. all: everything that it matches is allowed; checked: each path that it matches is checked; partial: it is not ' +
      'covered, and the permitted part is returned; none: it is refused.',
  ),
  rule: describe(
    z
      .strictObject({
        pattern: describe(z.string(), 'For a lookup: its expression.'),
        effect: z.enum(['allow', 'prohibit']),
        source: z.enum(['user', 'group', 'policy']),
        name,
        table: describe(z.string().optional(), 'For a lookup: the table that has the path’s entry.'),
      })
      .nullable(),
    'The permission that decides; null: none allows it.',
  ),
  reason: describe(z.string(), 'One sentence for a person.'),
});
export const table = z.strictObject({
  name,
  paths: describe(z.number().int(), 'Number of paths in the table.'),
  groups: describe(z.array(name), 'Groups that use the table.'),
  created: time('When it was created.'),
  modified: time('When it was changed last.'),
});
export const tables = z.strictObject({
  lookupTables: z.array(table),
  next: describe(z.string().nullable(), 'For `after`; null: there are no more.'),
});
export const tablePathList = z.strictObject({
  paths: z.array(z.string()),
  next: describe(z.string().nullable(), 'For `after`; null: there are no more.'),
});
const auditEntry = z.strictObject({
  number: describe(z.number().int(), 'Counted from 1, in the order in which entries were stored.'),
  time: time('When it happened.'),
  action: z.enum(AUDIT_ACTIONS),
  actor: describe(z.string().nullable(), 'null: the gateway itself, or without a login.'),
  target: z.string(),
  refusal: describe(z.enum(codes()).nullable(), 'null: the action was completed.'),
  protocol: z.string(),
  address: z.string().nullable(),
  details: z.record(z.string(), z.unknown()),
});
export const audit = z.strictObject({
  entries: z.array(auditEntry),
  next: describe(z.number().int(), 'For `after`, to get later entries.'),
  previous: describe(z.number().int().nullable(), 'For `before`, to get earlier entries; null: there are none, or `after` was given.'),
});
export const failure = z.strictObject({
  error: z.strictObject({ code: z.enum(codes()), message: describe(z.string(), 'A sentence for a person.') }),
});
export const description = z.looseObject({ openapi: z.string(), info: z.looseObject({ title: z.string(), version: z.string() }) });

/** What the description calls by a name. */
export const NAMED: ReadonlyMap<z.ZodType, string> = new Map<z.ZodType, string>([
  [putUser, 'UserChange'],
  [patchUser, 'UserPatch'],
  [putGroup, 'GroupChange'],
  [patchGroup, 'GroupPatch'],
  [putTable, 'LookupTableChange'],
  [patchTable, 'LookupTablePatch'],
  [putPermission, 'PermissionChange'],
  [login, 'Login'],
  [issueToken, 'TokenRequest'],
  [explain, 'Question'],
  [user, 'User'],
  [group, 'Group'],
  [users, 'Users'],
  [groupList, 'Groups'],
  [table, 'LookupTable'],
  [tables, 'LookupTables'],
  [tablePathList, 'LookupPaths'],
  [sessions, 'Sessions'],
  [token, 'Token'],
  [explanation, 'Explanation'],
  [audit, 'Audit'],
  [failure, 'Failure'],
]);

type Codes = [keyof typeof REQUEST_ERRORS, ...(keyof typeof REQUEST_ERRORS)[]];

function codes(): Codes {
  return Object.keys(REQUEST_ERRORS) as Codes;
}

/** Without recursion: a peer chooses how deep it is. */
function isShallow(data: unknown): boolean {
  let level: unknown[] = [data];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > DEPTH_MAX) return false;
    level = level.flatMap((value) => (typeof value === 'object' && value !== null ? Object.values(value) : []));
  }
  return true;
}
