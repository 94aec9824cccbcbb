// The data directory: created and checked before the store is opened, and where the gateway's id and name are kept.

import { randomUUID } from 'node:crypto';
import { access, constants, mkdir, readFile, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { StartError } from './core/index.js';
import { reasonOf } from './system-error.js';
import { writeFileAtomically } from './write-file.js';

export const STORE_FOLDER = 'store';
/** The certificate that the gateway made, and its key. */
export const CERTIFICATE_FILE = 'tls.pem';
/** The keys that tokens are signed with. */
export const TOKEN_KEYS_FILE = 'token-keys.json';
/** What was applied of the users and groups that the configuration declares. */
export const DECLARED_FILE = 'declared.json';
const NODE_FILE = 'node.json';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Makes the directory (readable by its owner only) when it is missing. Rejects with StartError. */
export async function prepareDataDirectory(directory: string): Promise<void> {
  try {
    await makeDirectory(resolve(directory));
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new StartError(`data.dir: cannot write to ${resolve(directory)}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Parents first, one by one: the recursive mkdir of node 20 never ends where the system refuses with ENOENT (/proc). */
async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(directory)).isDirectory()) return;
    if (code !== 'ENOENT' || dirname(directory) === directory) throw error;
    await makeDirectory(dirname(directory));
    await mkdir(directory, { mode: 0o700 });
  }
}

/** Who this gateway is: made at the first start, the same ever after. Call it while the store is locked. */
export async function readNode(directory: string, configuredName: string | null): Promise<{ id: string; name: string }> {
  const file = join(directory, NODE_FILE);
  let known: { id?: unknown; name?: unknown } = {};
  try {
    known = JSON.parse(await readFile(file, 'utf8')) as typeof known;
    if (typeof known.id !== 'string' || !UUID.test(known.id)) throw new SyntaxError('it holds no id');
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new StartError(`${file} is damaged (${error.message}); delete it to give this gateway a new id`, { cause: error });
    }
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new StartError(`cannot read ${file}: ${reasonOf(error)}`, { cause: error });
    }
  }
  const id = (known.id as string | undefined) ?? randomUUID();
  const name = configuredName ?? (typeof known.name === 'string' ? known.name : hostname());
  if (known.id !== id || known.name !== name) await writeFileAtomically(file, `${JSON.stringify({ id, name })}\n`);
  return { id, name };
}

/** The id of the gateway whose data directory this is; null: it has none yet, or it cannot be read. */
export async function nodeIdIn(directory: string): Promise<string | null> {
  try {
    const { id } = JSON.parse(await readFile(join(directory, NODE_FILE), 'utf8')) as { id?: unknown };
    return typeof id === 'string' ? id : null;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code !== undefined) return null;
    throw error;
  }
}
