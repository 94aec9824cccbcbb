// Passwords for commands: from a file, from stdin, or typed without echo. Never from the command line, where
// everybody on the machine can read them.

import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { CommandFailure, readText } from './admin-client.js';

/** The first line of `file`. Without one: typed at a terminal (twice when `twice`), else the first line of stdin. Rejects with CommandFailure. */
export async function readPassword(file: string | undefined, twice: boolean): Promise<string> {
  if (file !== undefined || !process.stdin.isTTY) return checked(readText(file ?? '-', '--password-file').split(/\r?\n/, 1)[0] as string);
  const password = checked(await ask('Password: '));
  if (twice && (await ask('Again: ')) !== password) throw new CommandFailure(2, 'the two passwords differ');
  return password;
}

function checked(password: string): string {
  if (password === '') throw new CommandFailure(2, 'the password is empty');
  return password;
}

async function ask(question: string): Promise<string> {
  // What is typed is echoed to nowhere, from before anybody is asked for it.
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output, terminal: true });
  process.stderr.write(question);
  try {
    const aborted = new AbortController();
    lines.on('SIGINT', () => aborted.abort());
    return await lines.question('', { signal: aborted.signal });
  } catch (error) {
    throw new CommandFailure(1, 'given up', { cause: error });
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}
