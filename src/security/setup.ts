// Setup: the users that exist before anybody can create one. The first secure start creates _ADMIN, with a given password or
// a random one; none is built in.

import { randomBytes, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ADMIN, ANONYMOUS, type DirectoryReader, type SecurityCommand, StartError } from '../core/index.js';
import { reasonOf } from '../system-error.js';
import { isPassword, PASSWORD_TEXT } from './passwords.js';

export interface FirstPassword {
  readonly password: string | null;
  readonly passwordFile: string | null;
}

export interface SetupParts {
  readonly directory: DirectoryReader;
  readonly change: (command: SecurityCommand) => Promise<void>;
  readonly hash: (password: string) => Promise<string>;
  /** Is told the password when one was made, this once. */
  readonly tell: (password: string) => void;
}

const RANDOM_BYTES = 18;

/** Rejects with StartError. */
export async function makeAdmin(given: FirstPassword, { directory, change, hash, tell }: SetupParts): Promise<void> {
  if (directory.user(ADMIN) !== null) return;
  const chosen = await chosenPassword(given);
  const password = chosen ?? randomBytes(RANDOM_BYTES).toString('base64url');
  const fields = { password: await hash(password), groups: [ADMIN] };
  await change({ type: 'putUser', name: ADMIN, id: randomUUID(), fields, when: 'absent', merge: false });
  if (chosen === null) tell(password);
}

/** Who shows nothing has no rights until some are given. */
export async function makeAnonymous({ directory, change }: SetupParts): Promise<void> {
  if (directory.user(ANONYMOUS) !== null) return;
  await change({ type: 'putUser', name: ANONYMOUS, id: randomUUID(), fields: {}, when: 'absent', merge: false });
}

/** A line break at the end of a file is not part of it. */
async function chosenPassword({ password, passwordFile }: FirstPassword): Promise<string | null> {
  if (password !== null || passwordFile === null) return password;
  const inFile = (await textOf(passwordFile)).replace(/\r?\n$/, '');
  if (!isPassword(inFile)) throw new StartError(`admin.passwordFile: ${passwordFile}: the password must be ${PASSWORD_TEXT}`);
  return inFile;
}

async function textOf(passwordFile: string): Promise<string> {
  try {
    return await readFile(passwordFile, 'utf8');
  } catch (error) {
    throw new StartError(`admin.passwordFile: cannot read ${passwordFile}: ${reasonOf(error)}`, { cause: error });
  }
}
