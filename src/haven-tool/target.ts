// Target: the gateway to talk to, and the credentials. Secrets come from files or the environment, never from the command line, which
// others can see.

import type { HavenOptions } from '../haven-client/index.js';
import { UsageError } from './usage-error.js';
import { fileBytes } from './values.js';

const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_PORT = 7_854;

/** What the command line says about it. */
export interface TargetFlags {
  readonly host?: string;
  readonly port?: number;
  readonly user?: string;
  readonly passwordFile?: string;
  readonly tokenFile?: string;
  readonly timeout?: number;
}

export type Target = HavenOptions & { readonly host: string; readonly port: number };

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws UsageError. */
export function targetOf(flags: TargetFlags, env: Environment): Target {
  const { host = DEFAULT_HOST, port = DEFAULT_PORT, timeout } = flags;
  const credentials = credentialsOf(flags, env);
  return {
    host,
    port,
    ...(credentials === null ? {} : { credentials }),
    ...(timeout === undefined ? {} : { timeoutMs: timeout }),
  };
}

function credentialsOf(flags: TargetFlags, env: Environment): NonNullable<HavenOptions['credentials']> | null {
  const token = secretOf(flags.tokenFile, env['TRIVIUM_HAVEN_TOKEN']);
  if (token !== null) return { token };
  const username = flags.user ?? env['TRIVIUM_HAVEN_USER'];
  if (username === undefined || username === '') return null;
  const password = secretOf(flags.passwordFile, env['TRIVIUM_HAVEN_PASSWORD']);
  if (password === null) throw new UsageError('a user needs --password-file or TRIVIUM_HAVEN_PASSWORD');
  return { username, password };
}

/** The file first; without the end of its line. */
function secretOf(file: string | undefined, variable: string | undefined): string | null {
  if (file !== undefined)
    return fileBytes(file)
      .toString('utf8')
      .replace(/\r?\n$/, '');
  return variable === undefined || variable === '' ? null : variable;
}
