// What is unsafe or broken about this machine for a gateway of a given configuration: directory, disk, ports, certificate, clock,
// handles. Changes nothing.

import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access, readdir, readFile, stat, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { type Config, usesTls } from '../config/index.js';
import { listenFault } from '../core/sockets/listen.js';
import { CERTIFICATE_FILE, DECLARED_FILE, nodeIdIn, STORE_FOLDER, TOKEN_KEYS_FILE } from '../data-directory.js';
import { connectionsWithin, handleLimit } from '../handles.js';
import { reasonOf } from '../system-error.js';
import { readPem, usableCertificate } from '../tls/pem.js';
import { bad, type Finding, ok, warn } from './finding.js';

const OTHERS = 0o077;
const SECRET_FILES = [TOKEN_KEYS_FILE, CERTIFICATE_FILE, DECLARED_FILE];
const DISK_BAD_BYTES = 256 * 1024 * 1024;
const DISK_WARN_BYTES = 2 * 1024 * 1024 * 1024;
const DAY_MS = 86_400_000;
const CERTIFICATE_WARN_MS = 14 * DAY_MS;
/** Nothing of this program is older. */
const EARLIEST = Date.UTC(2025, 0, 1);
/** Files may be this much younger than the clock says: file systems round. */
const CLOCK_SLACK_MS = 60_000;
const HEALTH_WITHIN_MS = 2_000;

/** `files`: of the configuration. */
export async function examineMachine(config: Config, files: readonly string[], now: number): Promise<Finding[]> {
  const directory = await directoryFindings(config.data.dir);
  return [
    ...(await configFiles(config, files)),
    ...directory,
    ...(await disk(config.data.dir)),
    await clock(config.data.dir, now),
    ...(await ports(config)),
    ...(await certificates(config, now)),
    handles(config),
  ];
}

async function directoryFindings(dir: string): Promise<Finding[]> {
  try {
    const found = await stat(dir);
    if (!found.isDirectory()) return [bad('data', `${dir} cannot be used: it is a file`, 'choose another data.dir')];
    await access(dir, constants.R_OK | constants.W_OK | constants.X_OK);
    // What is in a directory that nobody else can enter is out of reach, whatever its own mode.
    if ((found.mode & OTHERS) === 0) return [ok('data', `only its owner can read ${dir}`)];
    for (const name of SECRET_FILES) {
      const file = join(dir, name);
      if (await isOpen(file)) return [bad('data', `other users of this machine can read ${file}`, `chmod 600 ${file}; chmod 700 ${dir}`)];
    }
    return [warn('data', `other users of this machine can look into ${dir}`, `chmod 700 ${dir}`)];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [await futureDirectory(dir)];
    return [bad('data', `${dir} cannot be used: ${reasonOf(error)}`, 'give it to the user that runs the gateway')];
  }
}

async function futureDirectory(dir: string, above = dirname(resolve(dir))): Promise<Finding> {
  try {
    await access(above, constants.W_OK | constants.X_OK);
    return ok('data', `${dir} will be created at the first start`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && dirname(above) !== above) return await futureDirectory(dir, dirname(above));
    return bad(
      'data',
      `${dir} cannot be created: ${reasonOf(error)}`,
      'create it for the user that runs the gateway, or choose another data.dir',
    );
  }
}

async function configFiles(config: Config, files: readonly string[]): Promise<Finding[]> {
  const { admin, security, bridges, tls } = config;
  const people = [...security.users, ...bridges].some(({ password }) => password !== null);
  if (!people && [admin.password, security.tokens.secret, tls.key].every((secret) => secret === null)) return [];
  const found: Finding[] = [];
  for (const file of files) {
    if (await isOpen(file))
      found.push(warn('secrets', `other users of this machine can read ${file}, which holds secrets`, `chmod 600 ${file}`));
  }
  return found;
}

async function isOpen(file: string): Promise<boolean> {
  try {
    return ((await stat(file)).mode & OTHERS) !== 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** Of a directory that is still to be made: where it will be. */
async function disk(dir: string, above = resolve(dir)): Promise<Finding[]> {
  try {
    const { bavail, bsize } = await statfs(above);
    const free = bavail * bsize;
    const text = `${Math.floor(free / 1024 / 1024)} MiB are free for ${dir}`;
    if (free < DISK_BAD_BYTES) return [bad('disk', text, 'make room: a full disk stops all changes')];
    if (free < DISK_WARN_BYTES) return [warn('disk', text, 'make room')];
    return [ok('disk', text)];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && dirname(above) !== above) return await disk(dir, dirname(above));
    return [bad('disk', `cannot find out how much space is free for ${dir}: ${reasonOf(error)}`, 'choose another data.dir')];
  }
}

/** Tokens, certificates and deadlines go by it. */
async function clock(dir: string, now: number): Promise<Finding> {
  const last = await lastChange(join(dir, STORE_FOLDER));
  const shown = new Date(now).toISOString();
  if (now < EARLIEST)
    return bad('clock', `it shows ${shown}`, 'set the clock: tokens and certificates are refused, and records do not expire');
  if (now < last - CLOCK_SLACK_MS) {
    return bad(
      'clock',
      `it shows ${shown}, but the store was changed after that`,
      'set the clock: records may expire late, and tokens be refused',
    );
  }
  return ok('clock', `it shows ${shown}`);
}

async function lastChange(store: string): Promise<number> {
  try {
    const names = await readdir(store);
    const times = await Promise.all(names.map(async (name) => (await stat(join(store, name))).mtimeMs));
    return Math.max(0, ...times);
  } catch (error) {
    // A store that there is not, that is being changed or that is not for us says nothing.
    if ((error as NodeJS.ErrnoException).code !== undefined) return 0;
    throw error;
  }
}

async function ports(config: Config): Promise<Finding[]> {
  const { host, happn, mqtt, haven, admin } = config;
  const wanted = [
    [{ host: 'host', port: 'happn.port' }, host, happn.port],
    [{ host: 'host', port: 'mqtt.port' }, host, mqtt.port],
    [{ host: 'host', port: 'mqtt.tls.port' }, host, mqtt.tls.port],
    [{ host: 'host', port: 'haven.port' }, host, haven.port],
    [{ host: 'admin.host', port: 'admin.port' }, admin.host, admin.port],
  ] as const;
  const runs = await isRunning(config);
  /** By what is said: several listeners may have the same wrong address. */
  const found = new Map<string, Finding>();
  for (const [keys, at, port] of wanted) {
    const refusal = port === null ? null : await refusalOf(at, port);
    if (refusal === null || (refusal.code === 'EADDRINUSE' && runs)) continue;
    const { key, why } = listenFault(refusal, { host: at, port: port as number }, keys);
    const advice = refusal.code === 'EADDRINUSE' ? `stop that program, or choose another ${key}` : `choose another ${key}`;
    found.set(`${key}: ${why}`, bad('ports', `${key}: ${why}`, advice));
  }
  if (found.size > 0) return [...found.values()];
  return [ok('ports', runs ? 'the gateway of this data directory listens on them' : 'all are free')];
}

/** null: the port can be had. */
async function refusalOf(host: string, port: number): Promise<NodeJS.ErrnoException | null> {
  const server = createServer();
  try {
    server.listen({ host, port });
    await once(server, 'listening');
    return null;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  } finally {
    server.close();
  }
}

/** Whether the program behind the admin port is the gateway of this data directory. */
async function isRunning({ admin, data }: Config): Promise<boolean> {
  if (admin.port === 0) return false;
  try {
    const host = admin.host === '0.0.0.0' ? '127.0.0.1' : admin.host === '::' ? '[::1]' : admin.host;
    const response = await fetch(`http://${host}:${admin.port}/health`, { signal: AbortSignal.timeout(HEALTH_WITHIN_MS) });
    const { node } = (await response.json()) as { node?: { id?: string } };
    return node?.id !== undefined && node.id === (await nodeIdIn(data.dir));
  } catch {
    // Nobody answers there, or somebody else does.
    return false;
  }
}

async function certificates(config: Config, now: number): Promise<Finding[]> {
  if (!usesTls(config)) return [];
  const found = [await certificate(config, now)];
  const { clientCaFile } = config.mqtt.tls;
  if (clientCaFile !== null) found.push(await authorities(clientCaFile));
  return found;
}

async function certificate({ tls, data }: Config, now: number): Promise<Finding> {
  const madeFile = join(data.dir, CERTIFICATE_FILE);
  const isMade = tls.certFile === null && tls.cert === null;
  try {
    const cert = isMade ? await readFile(madeFile, 'utf8') : (tls.cert ?? (await readPem('tls.certFile', tls.certFile as string)));
    const key = isMade ? cert : (tls.key ?? (await readPem('tls.keyFile', tls.keyFile as string)));
    const names = isMade ? { certName: madeFile, keyName: madeFile } : { certName: 'tls.cert', keyName: 'tls.key' };
    const { validTo } = usableCertificate({ cert, key, ...names }, now);
    const text = `the certificate is valid until ${new Date(validTo).toISOString().slice(0, 10)}`;
    if (isMade || validTo - now > CERTIFICATE_WARN_MS) return ok('certificate', text);
    return warn('certificate', text, 'renew it: a running gateway adopts the new one by itself');
  } catch (error) {
    if (isMade && (error as NodeJS.ErrnoException).code === 'ENOENT') return ok('certificate', 'one will be created at the first start');
    return bad('certificate', (error as Error).message, 'set tls.certFile and tls.keyFile to a valid certificate and its key');
  }
}

async function authorities(file: string): Promise<Finding> {
  try {
    const text = await readPem('mqtt.tls.clientCaFile', file);
    new X509Certificate(text);
    return ok('certificate', `certificates of MQTT clients are checked with ${file}`);
  } catch (error) {
    return bad(
      'certificate',
      `mqtt.tls.clientCaFile: ${file} cannot be used: ${(error as Error).message}`,
      'give certificates in PEM form',
    );
  }
}

function handles({ mqtt }: Config): Finding {
  const limit = handleLimit();
  const possible = connectionsWithin(mqtt.maxConnections, limit);
  if (limit === null || possible === mqtt.maxConnections) return ok('handles', `enough for ${mqtt.maxConnections} MQTT connections`);
  return warn(
    'handles',
    `${limit} file handles are enough for ${possible} MQTT connections, not for ${mqtt.maxConnections}`,
    'raise ulimit -n, or lower mqtt.maxConnections',
  );
}
