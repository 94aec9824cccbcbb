// The commands that administer a running gateway: trivium login, user, group, lookup, session, token, explain, audit.

import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { ACTIONS } from '../core/security/model.js';
import { reasonOf } from '../system-error.js';
import { type AdminClient, CommandFailure, type Json } from './admin-client.js';
import { addAudit } from './audit.js';
import { add, collect, type Flags, type Printed, type Work, wholeNumber } from './command.js';
import { addHelp } from './help.js';
import { fields, lookupTable, permissionTable, table, when } from './output.js';
import { readPassword } from './passwords.js';

export function addAdminCommands(program: Command): void {
  const login = add(program, 'login <username>', 'get a token for name and password, valid for HTTP only', logIn);
  login.option('--password-file <file>', 'file whose first line is the password, - for stdin (default: ask, or stdin)');
  login.option('--out <file>', 'write the token to this file (for --token-file) instead of printing it');
  topic(program, 'user', 'manage users and their permissions', addUsers);
  topic(program, 'group', 'manage groups and their permissions', addGroups);
  topic(program, 'lookup', 'manage the tables that lookup permissions consult', addLookups);
  topic(program, 'session', 'list and end sessions', addSessions);
  topic(program, 'token', 'issue and revoke tokens, which replace passwords', addTokens);
  const explain = add(
    program,
    'explain <user> <action> <path>',
    `say whether a user may do something, and why (actions: ${ACTIONS.join(', ')})`,
    explainRight,
  );
  explain.option('--dialect <name>', 'the path is a pattern of this dialect: glob, segments or mqtt');
  addAudit(program);
}

function topic(program: Command, name: string, description: string, addCommands: (command: Command) => void): void {
  const command = program.command(name).description(description);
  command.exitOverride().configureOutput({ outputError: () => {} });
  addCommands(command);
  addHelp(command);
}

function addUsers(users: Command): void {
  add(users, 'list', 'list all users', listUsers).option('--group <name>', 'only members of this group');
  add(users, 'show <name>', 'show a user', async (client, _flags, [name]) => shownUser(await client.ask('GET', ['users', name as string])));
  const put = add(users, 'put <name>', 'create a user, or change the given fields', putUser);
  put.option('--group <name>', 'a group of the user; repeat it for every group', collect);
  put.option('--ask-password', 'set a password, asked at the terminal');
  put.option('--password-file <file>', 'set the password from the first line of a file, - for stdin');
  withPermissions(put);
  const password = add(
    users,
    'password <name>',
    'set a password, asked at the terminal or read from stdin; invalidates all tokens',
    setPassword,
  );
  password.option('--password-file <file>', 'file whose first line is the password, - for stdin');
  add(users, 'unlock <name>', 'unlock a user who was locked after wrong passwords', async (client, _flags, [name]) => {
    await client.ask('DELETE', ['users', name as string, 'lock']);
    return { json: null, text: `${name} is no longer locked\n` };
  });
  add(users, 'link <name> <group>', 'add a user to a group', linkUser('PUT', 'is in'));
  add(users, 'unlink <name> <group>', 'remove a user from a group', linkUser('DELETE', 'is not in'));
  addPermissions(users, 'users');
  add(users, 'delete <name>', 'delete a user, with all sessions and tokens', remove('users', 'user'));
}

/** Single permissions, of users and of groups. */
function addPermissions(parent: Command, path: 'users' | 'groups'): void {
  const what = path === 'users' ? 'the user' : 'the members';
  add(parent, 'allow <name> <pattern> <action...>', `allow ${what} these actions on a pattern`, changePermission(path, 'allow'));
  add(parent, 'prohibit <name> <pattern> <action...>', `forbid ${what} these actions on a pattern`, changePermission(path, 'prohibit'));
  add(parent, 'withdraw <name> <pattern> <action...>', 'neither allow nor forbid these actions on a pattern', changePermission(path, null));
}

function addGroups(groups: Command): void {
  add(groups, 'list', 'list all groups', listGroups);
  add(groups, 'show <name>', 'show a group', async (client, _flags, [name]) =>
    shownGroup(await client.ask('GET', ['groups', name as string])),
  );
  const put = add(groups, 'put <name>', 'create a group, or change the given fields', putGroup);
  withPermissions(put);
  put.option('--lookups <json>', 'all lookups of the group: a list of {table, regex, actions, path}');
  addPermissions(groups, 'groups');
  add(groups, 'delete <name>', 'delete a group', remove('groups', 'group'));
}

function addLookups(lookups: Command): void {
  add(lookups, 'list', 'list all lookup tables', listTables);
  add(lookups, 'show <table>', 'show the paths of a table', showTable);
  const put = add(lookups, 'put <table>', 'create a table, or add and remove paths', putTable);
  put.option('--add <path>', 'a path to add', collect).option('--remove <path>', 'a path to remove', collect);
  put.option('--replace', 'remove all paths that are not added');
  add(lookups, 'delete <table>', 'delete a table', remove('lookup-tables', 'lookup table'));
}

function addSessions(sessions: Command): void {
  const list = add(sessions, 'list', 'list sessions of all protocols, including those kept while their client is away', listSessions);
  list.option('--user <name>', 'only of this user').option('--protocol <name>', 'only of this protocol');
  list.option('--state <connected|away>', 'only those with, or without, a connection');
  add(sessions, 'end <id>', 'end a session; its client may log in again; one that is away is discarded', remove('sessions', 'session'));
}

function addTokens(tokens: Command): void {
  const issue = add(tokens, 'issue <user>', 'issue a token for logging in as the user', issueToken);
  issue.option('--type <type>', 'stateful: for connections and HTTP; stateless: only for HTTP', 'stateful');
  issue.option('--ttl-ms <number>', 'how long it is valid (default: as configured)');
  issue.option('--out <file>', 'write the token to this file instead of printing it');
  add(tokens, 'revoke <id>', 'revoke a token, by its id', remove('tokens', 'token'));
  add(tokens, 'revoke-all <user>', 'revoke all tokens of a user', async (client, _flags, [name]) => {
    await client.ask('DELETE', ['users', name as string, 'tokens']);
    return { json: null, text: `all tokens of ${name} are revoked\n` };
  });
}

function withPermissions(command: Command): void {
  command.option('--allow <rule>', 'PATTERN=ACTION,… such as "/plant/*=get,on"', collect);
  command.option('--prohibit <rule>', 'PATTERN=ACTION,…; overrides everything that is allowed', collect);
  command.option('--forget <pattern>', 'remove the permission with this pattern', collect);
  command.option('--custom-data <json>', 'custom data, an object');
  command.option('--replace', 'replace all existing permissions and data instead of adding to them');
}

// What the commands do.

const logIn: Work = async (client, flags, [username]) => {
  const password = await readPassword(flags.passwordFile, false);
  const token = (await client.ask('POST', ['login'], { body: { username, password } })) as Json;
  return shownToken(token, flags);
};

const listUsers: Work = async (client, { group }) => {
  const users = await client.list(['users'], 'users', { group: group as string | undefined });
  const rows = users.map(({ name, groups, hasPassword, modified }) => [name, groups, hasPassword === true ? 'yes' : 'no', modified]);
  return { json: users, text: table(['NAME', 'GROUPS', 'PASSWORD', 'CHANGED'], rows) };
};

const putUser: Work = async (client, flags, [name]) => {
  const isNamed = flags.passwordFile !== undefined || flags.askPassword === true;
  const body = {
    ...(isNamed ? { password: await readPassword(flags.passwordFile, true) } : {}),
    ...(flags.group === undefined ? {} : { groups: flags.group }),
    ...described(flags),
  };
  return shownUser(await put(client, ['users', name as string], body, flags));
};

const setPassword: Work = async (client, { passwordFile }, [name]) => {
  const password = await readPassword(passwordFile, true);
  const user = await client.ask('PATCH', ['users', name as string], { body: { password } });
  return { json: user, text: `${name} has a new password; earlier tokens are no longer valid\n` };
};

function linkUser(method: string, what: string): Work {
  return async (client, _flags, [name, group]) => {
    await client.ask(method, ['users', name as string, 'groups', group as string]);
    return { json: null, text: `${name} ${what} ${group}\n` };
  };
}

function changePermission(path: 'users' | 'groups', effect: 'allow' | 'prohibit' | null): Work {
  return async (client, _flags, [name, pattern, actions]) => {
    let owner: Json | null = null;
    for (const action of actions as unknown as string[]) {
      const place = [path, name as string, 'permissions', pattern as string, action];
      owner = await client.ask(effect === null ? 'DELETE' : 'PUT', place, effect === null ? {} : { body: { effect } });
    }
    return path === 'users' ? shownUser(owner) : shownGroup(owner);
  };
}

const listGroups: Work = async (client) => {
  const groups = await client.list(['groups'], 'groups', {});
  const rows = groups.map(({ name, members, permissions, modified }) => [
    name,
    members,
    Object.keys(permissions as object).length,
    when(modified),
  ]);
  return { json: groups, text: table(['NAME', 'MEMBERS', 'PERMISSIONS', 'CHANGED'], rows) };
};

const putGroup: Work = async (client, flags, [name]) => {
  const body = { ...described(flags), ...(flags.lookups === undefined ? {} : { lookups: jsonOf(flags.lookups, '--lookups') }) };
  return shownGroup(await put(client, ['groups', name as string], body, flags));
};

const listTables: Work = async (client) => {
  const tables = await client.list(['lookup-tables'], 'lookupTables', {});
  const rows = tables.map(({ name, paths, groups, modified }) => [name, paths, groups, modified]);
  return { json: tables, text: table(['NAME', 'PATHS', 'GROUPS', 'CHANGED'], rows) };
};

const showTable: Work = async (client, _flags, [name]) => {
  const paths = await client.list<string>(['lookup-tables', name as string, 'paths'], 'paths', {});
  return { json: paths, text: paths.map((path) => `${path}\n`).join('') };
};

const putTable: Work = async (client, { add: added = [], remove: removed = [], replace }, [name]) => {
  const path = ['lookup-tables', name as string];
  if (replace === true && removed.length > 0) throw new CommandFailure(2, '--remove cannot be used together with --replace');
  const changed = replace === true ? null : await patch(client, path, { add: added, remove: removed });
  const made = changed ?? ((await client.ask('PUT', path, { body: { paths: added } })) as Json);
  return { json: made, text: `${name} has ${made['paths']} path${made['paths'] === 1 ? '' : 's'}\n` };
};

const listSessions: Work = async (client, { user, protocol, state }) => {
  const sessions = await client.list(['sessions'], 'sessions', { user, protocol, state });
  const rows = sessions.map((one) => [
    one['id'],
    one['user'],
    one['protocol'],
    one['client'],
    one['state'],
    one['address'],
    one['connectedSince'] ?? one['awaySince'],
    one['subscriptions'],
    one['queued'],
    one['queuedBytes'],
    one['expires'],
  ]);
  const heads = ['ID', 'USER', 'PROTOCOL', 'CLIENT', 'STATE', 'ADDRESS', 'SINCE', 'SUBSCRIPTIONS', 'QUEUED', 'BYTES', 'EXPIRES'];
  return { json: sessions, text: table(heads, rows) };
};

const issueToken: Work = async (client, flags, [user]) => {
  const { type, ttlMs } = flags;
  const body = { user, type, ...(ttlMs === undefined ? {} : { ttlMs: wholeNumber(ttlMs, '--ttl-ms') }) };
  return shownToken((await client.ask('POST', ['tokens'], { body })) as Json, flags);
};

const COVERAGE_TEXTS: Readonly<Record<string, string>> = {
  checked: '; each path that it matches is checked',
  partial: '; only the permitted part of what it matches is given',
};

const explainRight: Work = async (client, { dialect }, [user, action, path]) => {
  const body = { user, action, path, ...(dialect === undefined ? {} : { dialect }) };
  const answer = (await client.ask('POST', ['explain'], { body })) as Json;
  const allowed = answer['allowed'] === true;
  const coverage = COVERAGE_TEXTS[String(answer['coverage'])] ?? '';
  return { json: answer, text: `${allowed ? 'allowed' : 'denied'}: ${answer['reason']}${coverage}\n`, exitCode: allowed ? 0 : 3 };
};

function remove(path: string, what: string): Work {
  return async (client, _flags, [name]) => {
    await client.ask('DELETE', [path, name as string]);
    return { json: null, text: `the ${what} ${name} is deleted\n` };
  };
}

/** Adds to what is there, makes it when nothing is, or replaces what is named. */
async function put(client: AdminClient, path: readonly string[], body: Json, { replace, forget }: Flags): Promise<Json | null> {
  if (replace === true && forget !== undefined) throw new CommandFailure(2, '--forget cannot be used together with --replace');
  const changed = replace === true ? null : await patch(client, path, body);
  if (changed !== null) return changed;
  const { permissions, ...others } = body;
  const kept = Object.entries((permissions ?? {}) as Json).filter(([, permission]) => permission !== null);
  return await client.ask('PUT', path, {
    body: { ...others, ...(permissions === undefined ? {} : { permissions: Object.fromEntries(kept) }) },
  });
}

/** null: there is no such thing. Looked for first, since a change that is refused would stand in the audit. */
async function patch(client: AdminClient, path: readonly string[], body: Json): Promise<Json | null> {
  return (await client.find('GET', path)) === null ? null : await client.find('PATCH', path, { body });
}

/** What the flags say of permissions and custom data. */
function described({ allow = [], prohibit = [], forget = [], customData }: Flags): Json {
  const permissions: Record<string, { actions?: string[]; prohibit?: string[] } | null> = {};
  for (const pattern of forget) permissions[pattern] = null;
  for (const [list, rules] of [
    ['actions', allow],
    ['prohibit', prohibit],
  ] as const) {
    for (const rule of rules) {
      const [pattern, actions] = ruleOf(rule);
      permissions[pattern] = { ...permissions[pattern], [list]: actions };
    }
  }
  return {
    ...(Object.keys(permissions).length === 0 ? {} : { permissions }),
    ...(customData === undefined ? {} : { customData: jsonOf(customData, '--custom-data') }),
  };
}

/** A pattern may hold `=`, actions do not. */
function ruleOf(rule: string): [string, string[]] {
  const at = rule.lastIndexOf('=');
  const actions = rule
    .slice(at + 1)
    .split(',')
    .map((action) => action.trim());
  const unknown = actions.find((action) => action !== '*' && !(ACTIONS as readonly string[]).includes(action));
  if (at < 1 || unknown !== undefined) {
    const why = at < 1 ? 'it has no pattern, or no actions' : `there is no action ${unknown}`;
    throw new CommandFailure(2, `${rule} is not a rule such as /plant/*=get,on: ${why}`);
  }
  return [rule.slice(0, at), actions];
}

function jsonOf(text: string, flag: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new CommandFailure(2, `${flag}: this is not valid JSON`, { cause: error });
  }
}

function shownUser(user: Json | null): Printed {
  const { name, groups, hasPassword, lockedUntil, publicKey, customData, created, modified, permissions } = user as Json;
  const text = fields([
    ['name', name],
    ['groups', groups],
    ['password', hasPassword === true ? 'set' : 'none'],
    ...(lockedUntil === null ? [] : ([['locked until', lockedUntil]] as const)),
    ['public key', publicKey === null ? 'none' : 'set'],
    ['custom data', customData],
    ['created', created],
    ['changed', modified],
  ]);
  return { json: user, text: text + permissionTable(permissions) };
}

function shownGroup(group: Json | null): Printed {
  const { name, members, customData, created, modified, permissions, lookups } = group as Json;
  const text = fields([
    ['name', name],
    ['members', members],
    ['custom data', customData],
    ['created', when(created)],
    ['changed', when(modified)],
  ]);
  return { json: group, text: text + permissionTable(permissions) + lookupTable(lookups) };
}

/** The token alone goes to stdout, so that a shell can take it; the rest is for the person. */
function shownToken(token: Json, { out, json }: Flags): Printed {
  const { token: text, id, expires } = token;
  if (json !== true) {
    const until = expires === null ? 'valid until it is revoked' : `valid until ${expires}`;
    process.stderr.write(`token ${id}, ${until}${out === undefined ? '' : `, written to ${out}`}\n`);
  }
  if (out === undefined) return { json: token, text: `${text}\n` };
  try {
    writeFileSync(out, `${text}\n`, { mode: 0o600 });
  } catch (error) {
    throw new CommandFailure(1, `--out: cannot write ${out}: ${reasonOf(error)}`, { cause: error });
  }
  return { json: { ...token, token: undefined }, text: '' };
}
