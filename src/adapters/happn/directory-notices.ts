// What sessions of protocol 3 and 4 are told when users, groups or permissions change that concern them (happn-protocol.md 11).

import {
  type DirectoryReader,
  type Group,
  type Permissions,
  type Principal,
  parsePattern,
  type SecurityChange,
  type User,
} from '../../core/index.js';
import { jsonText } from './codec.js';
import type { Fields } from './wire.js';

const LISTENING: readonly string[] = ['on', '*'];
const AREA = '/_SYSTEM/_SECURITY';

/** What happened, and the data of it: clients decide by both what they subscribe to again, and what they forget. */
type Notice = readonly [whatHappnd: string, changedData: Fields];

/** The notices for a session of this user, as frames. */
export function encodeNotices(change: SecurityChange, directory: DirectoryReader, user: Principal | null, protocol: string): string[] {
  return [...takenAway(change, directory, user), told(change, directory)].map(([whatHappnd, changedData]) =>
    jsonText({ _meta: { type: 'system' }, eventKey: 'security-data-changed', data: { whatHappnd, changedData }, protocol }),
  );
}

/**
 * A client believes that it still hears what it listened to by a permission until that one is named as gone; and as long as it believes
 * so, it does not ask for it anew.
 */
function takenAway(change: SecurityChange, directory: DirectoryReader, user: Principal | null): Notice[] {
  switch (change.type) {
    case 'userPut': {
      const { name, groups, permissions } = change.user;
      const left = change.before?.groups.filter((group) => !groups.includes(group)) ?? [];
      const unlinked = left.map((group) =>
        told({ type: 'unlinked', user: name, group, permissions: directory.group(group)?.permissions ?? {} }, directory),
      );
      return [...lost({ username: name }, change.before?.permissions ?? {}, permissions, user), ...unlinked];
    }
    case 'groupPut':
      return lost({ groupName: change.group.name }, change.before, change.group.permissions, user);
    case 'groupDeleted':
      return lost({ groupName: change.group.name }, change.group.permissions, {}, user);
    default:
      return [];
  }
}

/** Patterns that could be listened to before and cannot any more, by whatever other permission. */
function lost(owner: Fields, before: Permissions, after: Permissions, user: Principal | null): Notice[] {
  return Object.entries(before).flatMap(([path, { actions = [] }]): Notice[] => {
    const action = actions.find((one) => LISTENING.includes(one));
    if (action === undefined || after[path]?.actions?.some((one) => LISTENING.includes(one)) === true) return [];
    if (user !== null && user.rights.covers('on', parsePattern(path, 'glob')) !== 'none') return [];
    return [['permission-removed', { ...owner, path, action }]];
  });
}

function told(change: SecurityChange, directory: DirectoryReader): Notice {
  switch (change.type) {
    case 'userPut':
      return ['upsert-user', userFields(change.user)];
    case 'groupPut':
      return ['upsert-group', groupFields(change.group, change.permissions)];
    case 'groupDeleted':
      return ['delete-group', { removed: 1, obj: groupFields(change.group, change.group.permissions) }];
    case 'tableChanged':
      return ['lookup-table-changed', { groups: change.groups, table: change.table }];
    case 'linked':
      return ['link-group', { _meta: linkMeta(change.user, change.group, directory) }];
    case 'unlinked':
      return ['unlink-group', { path: linkPath(change.user, change.group), permissions: change.permissions }];
    case 'permission':
      return permissionTold(change);
  }
}

function permissionTold({ of, path, action, authorized }: Extract<SecurityChange, { type: 'permission' }>): Notice {
  const owner = of.kind === 'group' ? { groupName: of.name } : { username: of.name };
  return authorized === null
    ? ['permission-removed', { ...owner, path, action }]
    : ['permission-upserted', { ...owner, path, action, authorized }];
}

function userFields({ name, id, customData, groups, permissions }: User): Fields {
  const linked = Object.fromEntries(groups.map((group) => [group, { data: {} }]));
  return { username: name, custom_data: customData, userid: id, groups: linked, permissions };
}

function groupFields({ name, created, modified, customData }: Group, permissions: Permissions): Fields {
  const shown = Object.keys(customData).length > 0 ? { custom_data: customData } : {};
  return { name, ...shown, _meta: { path: `${AREA}/_GROUP/${name}`, created, modified }, permissions };
}

/** The directory keeps no time of a link: it is that of the user's last change, which making the link was. */
function linkMeta(user: string, group: string, directory: DirectoryReader): Fields {
  const at = directory.user(user)?.modified ?? 0;
  return { path: linkPath(user, group), created: at, modified: at };
}

function linkPath(user: string, group: string): string {
  return `${AREA}/_USER/${user}/_USER_GROUP/${group}`;
}
