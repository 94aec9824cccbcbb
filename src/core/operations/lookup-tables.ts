// Operations on lookup tables. A change of a table changes the rights of all members of groups that use it.

import { checkedTablePaths, checkName } from '../security/checks.js';
import type { SecurityCommand } from '../security/commands.js';
import type { Directory } from '../security/directory.js';
import { SECURITY_LIMITS } from '../security/model.js';
import type { Turn } from '../turn.js';
import { changing, checkWhen, missing, type Outcome, tooMany } from './directory-changes.js';

type Command<Type extends SecurityCommand['type']> = Extract<SecurityCommand, { type: Type }>;

const WHAT = 'lookup table';

export function putTable({ name, paths, when }: Command<'putTable'>, time: number, directory: Directory, turn: Turn): Outcome {
  const before = directory.lookupTable(name);
  checkWhen(when, before !== null, WHAT, name);
  if (before === null) {
    checkName(name, WHAT);
    if (directory.tableCount >= SECURITY_LIMITS.lookupTables) throw tooMany('lookup tables', SECURITY_LIMITS.lookupTables);
  }
  const table = { name, paths: checkedTablePaths(paths), created: before?.created ?? time, modified: time };
  return tableChange(name, directory, turn, () => directory.putTable(table, turn));
}

export function changeTable({ name, add, remove }: Command<'changeTable'>, time: number, directory: Directory, turn: Turn): Outcome {
  const before = directory.lookupTable(name);
  if (before === null) throw missing(WHAT, name);
  const gone = checkedTablePaths(remove);
  const kept = [...before.paths].filter((path) => !gone.has(path));
  const table = { ...before, paths: checkedTablePaths([...kept, ...checkedTablePaths(add)]), modified: time };
  return tableChange(name, directory, turn, () => directory.putTable(table, turn));
}

export function deleteTable({ name }: Command<'deleteTable'>, directory: Directory, turn: Turn): Outcome {
  if (directory.lookupTable(name) === null) throw missing(WHAT, name);
  return tableChange(name, directory, turn, () => directory.dropTable(name, turn));
}

function tableChange(name: string, directory: Directory, turn: Turn, change: () => void): Outcome {
  const groups = directory.groupsLookingUpIn(name);
  const users = new Set(groups.flatMap((group) => [...directory.memberNames(group)]));
  changing(users, 'table', directory, turn, change);
  return { users, change: { type: 'tableChanged', table: name, groups } };
}
