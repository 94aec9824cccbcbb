// Credentials: what a bridge shows the remote, read again from the configured place for every attempt, so that a
// replaced password or certificate is used without a restart.

import { readFile } from 'node:fs/promises';
import type { BridgeConfig } from './config.js';

export interface Credentials {
  readonly password: string | null;
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

/** Rejects with an Error whose message says what cannot be read. */
export async function readCredentials(config: BridgeConfig, env: Readonly<Record<string, string | undefined>>): Promise<Credentials> {
  return {
    password: await passwordOf(config, env),
    ca: await textOf('caFile', config.caFile),
    cert: await textOf('certFile', config.certFile),
    key: await textOf('keyFile', config.keyFile),
  };
}

async function passwordOf(
  { password, passwordFile, passwordEnv }: BridgeConfig,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | null> {
  if (passwordEnv !== null) {
    const value = env[passwordEnv];
    if (value === undefined || value === '') throw new Error(`passwordEnv: the environment variable ${passwordEnv} is not set`);
    return value;
  }
  if (passwordFile === null) return password;
  // Editors end a file with a line feed; no password does.
  return (await textOf('passwordFile', passwordFile))?.replace(/\r?\n$/, '') ?? null;
}

async function textOf(name: string, file: string | null): Promise<string | null> {
  if (file === null) return null;
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`${name}: cannot read ${file} (${code ?? (error as Error).message})`, { cause: error });
  }
}
