// How the audit describes commands that change the directory.

import type { AuditAction, AuditEvent } from './audit-entries.js';
import type { SecurityCommand } from './commands.js';
import type { Asker } from './identity.js';

/** Names of what is listed in one entry; of more, their number is told. */
const LISTED_MAX = 20;

interface Described {
  readonly action: AuditAction;
  readonly target: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** null: it is nothing that somebody did. Holds no secrets: of a password, it is said that there is another. */
export function eventOf(command: SecurityCommand, { name, protocol, address, tokenId }: Asker): AuditEvent | null {
  const described = describe(command, name, tokenId);
  return described === null ? null : { ...described, actor: name, refusal: null, protocol, address };
}

function describe(command: SecurityCommand, asker: string, tokenId: string | null): Described | null {
  switch (command.type) {
    case 'putUser':
    case 'putGroup':
      return described(command);
    case 'deleteUser':
      return { action: 'user.delete', target: command.name, details: {} };
    case 'deleteGroup':
      return { action: 'group.delete', target: command.name, details: {} };
    case 'putTable':
      return { action: 'lookup.put', target: command.name, details: { paths: command.paths.length } };
    case 'changeTable': {
      const { name, add, remove } = command;
      return { action: 'lookup.put', target: name, details: { added: listed(add), removed: listed(remove) } };
    }
    case 'deleteTable':
      return { action: 'lookup.delete', target: command.name, details: {} };
    case 'password':
      // A new hash of the same password is nobody's doing.
      return command.endsTokens ? { action: 'user.password', target: command.name, details: own(command.name === asker) } : null;
    case 'link':
      return { action: 'user.link', target: command.user, details: { group: command.group } };
    case 'unlink':
      return { action: 'user.unlink', target: command.user, details: { group: command.group } };
    case 'permission': {
      const { of, path, action, authorized } = command;
      return { action: 'permission.change', target: of.name, details: { of: of.kind, path, action, authorized } };
    }
    case 'revoke':
      return { action: 'token.revoke', target: command.tokenId, details: own(command.tokenId === tokenId) };
    case 'lock':
      return { action: 'user.lock', target: command.name, details: { until: new Date(command.until).toISOString() } };
    case 'unlock':
      return { action: 'user.unlock', target: command.name, details: {} };
    case 'revokeAll':
      return { action: 'token.revokeAll', target: command.name, details: {} };
    case 'sweepRevocations':
    case 'enter':
      return null;
  }
}

function described({ type, name, fields, merge }: Extract<SecurityCommand, { type: 'putUser' | 'putGroup' }>): Described {
  const { permissions, groups } = { groups: undefined, ...fields };
  const details = {
    fields: Object.keys(fields),
    merge,
    ...(permissions === undefined ? {} : { permissions: listed(Object.keys(permissions)) }),
    ...(groups === undefined ? {} : { groups: listed(groups) }),
  };
  return { action: type === 'putUser' ? 'user.put' : 'group.put', target: name, details };
}

/** Of a user's own password or token. */
function own(isOwn: boolean): Described['details'] {
  return isOwn ? { own: true } : {};
}

function listed(names: readonly string[]): readonly string[] {
  return names.length <= LISTED_MAX ? names : [...names.slice(0, LISTED_MAX), `and ${names.length - LISTED_MAX} more`];
}
