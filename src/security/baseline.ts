// Baseline: users and groups that the configuration declares. Each is created at the first start that declares it, and updated when its
// declaration changes; what was changed at run time is left alone. What was applied is recorded in a file of the data directory.

import { createHash, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type {
  CustomData,
  DirectoryReader,
  Group,
  GroupFields,
  Log,
  Permissions,
  SecurityCommand,
  User,
  UserFields,
} from '../core/index.js';
import { RequestError, StartError } from '../core/index.js';
import { reasonOf } from '../system-error.js';
import { writeFileAtomically } from '../write-file.js';

export interface DeclaredGroup {
  readonly name: string;
  readonly permissions: Permissions;
  readonly customData: CustomData;
}

export interface DeclaredUser extends DeclaredGroup {
  /** Of a user who is made by this; afterwards it is changed as any user's. null: no login by password. */
  readonly password: string | null;
  /** The same as a hash, as it comes from elsewhere. */
  readonly passwordHash: string | null;
  readonly publicKey: string | null;
  readonly groups: readonly string[];
}

export interface BaselineParts {
  readonly directory: DirectoryReader;
  readonly change: (command: SecurityCommand) => Promise<void>;
  readonly hash: (password: string) => Promise<string>;
  readonly log: Log;
  /** Where it is remembered what was applied. */
  readonly file: string;
}

/** Of one declaration that was applied: digests of what was declared and of what became of it. */
interface Mark {
  readonly declared: string;
  readonly applied: string;
}

/** One user or group, whichever it is. */
interface Item {
  readonly key: string;
  /** What the declaration says, without what counts once only. */
  readonly declared: object;
  /** What there is of it now; null: nothing. */
  readonly found: () => object | null;
  /** `isNew`: it is made, else its fields are replaced. */
  readonly put: (isNew: boolean) => Promise<void>;
}

type Marks = Map<string, Mark>;

/** Groups first: users are linked to them. Rejects with StartError. */
export async function applyBaseline(groups: readonly DeclaredGroup[], users: readonly DeclaredUser[], parts: BaselineParts): Promise<void> {
  if (groups.length === 0 && users.length === 0) return;
  const marks = await readMarks(parts.file);
  const before = JSON.stringify([...marks]);
  for (const group of groups) await apply(groupItem(group, parts), marks, parts.log);
  for (const user of users) await apply(userItem(user, parts), marks, parts.log);
  if (JSON.stringify([...marks]) !== before) await writeMarks(parts.file, marks);
}

async function apply(item: Item, marks: Marks, log: Log): Promise<void> {
  const declared = digestOf(item.declared);
  const mark = marks.get(item.key);
  const found = item.found();
  if (mark?.declared === declared) return;
  if (mark === undefined ? found !== null : found === null || digestOf(found) !== mark.applied) {
    // A start that was interrupted has applied it, and not remembered.
    if (found !== null && digestOf(found) === declared) marks.set(item.key, { declared, applied: declared });
    else log.warn({ declared: item.key }, 'a declared user or group is left alone: it was created, changed or deleted at run time');
    return;
  }
  try {
    await item.put(found === null);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    throw new StartError(`security.${item.key.replace(' ', 's: ')}: ${error.message}`, { cause: error });
  }
  marks.set(item.key, { declared, applied: digestOf(item.found() as object) });
  log.info({ declared: item.key }, found === null ? 'created as declared' : 'changed as declared');
}

function groupItem({ name, permissions, customData }: DeclaredGroup, { directory, change }: BaselineParts): Item {
  const fields: GroupFields = { permissions, customData };
  return {
    key: `group ${name}`,
    declared: shownGroup({ permissions, customData }),
    found: () => mapped(directory.group(name), shownGroup),
    put: (isNew) => change({ type: 'putGroup', name, fields, when: isNew ? 'absent' : 'present', merge: false }),
  };
}

function userItem(user: DeclaredUser, { directory, change, hash }: BaselineParts): Item {
  const { name, password, passwordHash, publicKey, groups, permissions, customData } = user;
  const fields: UserFields = { publicKey, groups, permissions, customData };
  return {
    key: `user ${name}`,
    declared: shownUser(user),
    found: () => mapped(directory.user(name), shownUser),
    put: async (isNew) => {
      const secret = !isNew ? null : password === null ? passwordHash : await hash(password);
      const made = secret === null ? fields : { ...fields, password: secret };
      await change({ type: 'putUser', name, id: randomUUID(), fields: made, when: isNew ? 'absent' : 'present', merge: false });
    },
  };
}

function mapped<T>(value: T | null, show: (value: T) => object): object | null {
  return value === null ? null : show(value);
}

function shownGroup({ permissions, customData }: Pick<Group, 'permissions' | 'customData'>): object {
  return { permissions, customData };
}

function shownUser({
  publicKey,
  groups,
  permissions,
  customData,
}: Pick<User, 'publicKey' | 'groups' | 'permissions' | 'customData'>): object {
  return { publicKey, groups: [...groups].sort(), permissions, customData };
}

/** The same for the same content, in whatever order its keys stand; what is not there does not count. */
function digestOf(value: object): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(value)))
    .digest('base64url');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => [key, sorted(item)]);
}

async function readMarks(file: string): Promise<Marks> {
  try {
    const marks = JSON.parse(await readFile(file, 'utf8')) as Record<string, Mark>;
    return new Map(Object.entries(marks));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    const reason = error instanceof SyntaxError ? 'it is damaged; delete it to keep all users and groups as they are' : reasonOf(error);
    throw new StartError(`cannot read ${file}: ${reason}`, { cause: error });
  }
}

async function writeMarks(file: string, marks: Marks): Promise<void> {
  try {
    await writeFileAtomically(file, `${JSON.stringify(Object.fromEntries(marks))}\n`);
  } catch (error) {
    throw new StartError(`cannot write ${file}: ${reasonOf(error)}`, { cause: error });
  }
}
