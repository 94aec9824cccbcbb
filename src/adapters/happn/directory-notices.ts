// What sessions of protocol 3 and 4 are told when users, groups or permissions change that concern them (happn-protocol.md 11).

import type { DirectoryReader, Group, Permissions, SecurityChange, User } from '../../core/index.js';
import { jsonText } from './codec.js';
import type { Fields } from './wire.js';

const AREA = '/_SYSTEM/_SECURITY';

/** The notice as a frame. */
export function encodeNotice(change: SecurityChange, directory: DirectoryReader, protocol: string): string {
  const [whatHappnd, changedData] = told(change, directory);
  return jsonText({ _meta: { type: 'system' }, eventKey: 'security-data-changed', data: { whatHappnd, changedData }, protocol });
}

/** Clients decide by both what they subscribe to again, and what they forget. */
function told(change: SecurityChange, directory: DirectoryReader): readonly [string, Fields] {
  switch (change.type) {
    case 'userPut':
      return ['upsert-user', userFields(change.user)];
    case 'groupPut':
      return ['upsert-group', groupFields(change.group, change.permissions)];
    case 'groupDeleted':
      return ['delete-group', groupFields(change.group, change.group.permissions)];
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

function permissionTold({ of, path, action, authorized }: Extract<SecurityChange, { type: 'permission' }>): readonly [string, Fields] {
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
