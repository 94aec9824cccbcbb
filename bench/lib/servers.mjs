// How each compared server is started: as a process of its own, on free loopback ports, with a temporary data directory.

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeFolder, removeFolder } from './folders.mjs';
import { accepts, freePort, start, stop, until } from './processes.mjs';

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const PEERS = join(ROOT, 'bench', 'peers');
const HAPPN = { folder: join(ROOT, 'test', 'clients', 'happn3'), name: 'happn-3-v13' };

/**
 * @typedef {object} Server
 * @property {string} kind
 * @property {number} pid
 * @property {{happn?: number, mqtt?: number, haven?: number, redis?: number}} ports
 * @property {number} readyMs from the start of the process until it accepts connections (or says that it does)
 * @property {() => Promise<void>} stop ends the process and removes its data
 *
 * @typedef {object} StartOptions
 * @property {boolean} [collectable] SIGUSR2 collects all garbage (node servers only)
 * @property {string} [dataDir] kept by the caller; else a temporary one
 * @property {string} [durability] of the gateway
 * @property {string} [profileDir] SIGUSR2 begins a processor profile, written here at the end
 */

const nodeFlags = ({ collectable, profileDir }) => [
  ...(collectable ? ['--expose-gc', '--import', join(PEERS, 'collect-on-signal.mjs')] : []),
  ...(profileDir ? ['--import', join(PEERS, 'profile-on-signal.mjs')] : []),
];

/** Those that `npm start` gives to node. */
const GATEWAY_FLAGS = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  .scripts.start.split(' ')
  .filter((word) => word.startsWith('--'));
const GATEWAY_PORTS = ['--happn-port', '0', '--mqtt-port', '0', '--haven-port', '0', '--admin-port', '0'];

const gateway = (file) => async (dir, options) => {
  const readyFile = join(dir, 'ready.json');
  rmSync(readyFile, { force: true });
  const dataDir = options.dataDir ?? join(dir, 'data');
  const settings = ['--data-dir', dataDir, '--durability', options.durability ?? 'sync', '--log-level', 'error', '--ready-file', readyFile];
  const child = start(process.execPath, [...nodeFlags(options), ...GATEWAY_FLAGS, file, 'serve', ...GATEWAY_PORTS, ...settings], {
    env: { BENCH_PROFILE_DIR: options.profileDir ?? '' },
  });
  await until(child, () => existsSync(readyFile));
  return { child, ports: JSON.parse(readFileSync(readyFile, 'utf8')).ports };
};

/** A node script that prints `port N` once it listens. */
const script = (protocol, file, args) => async (dir, options) => {
  const child = start(process.execPath, [...nodeFlags(options), join(PEERS, file), ...(await args(dir))]);
  const port = await until(child, () => /^port (\d+)$/m.exec(child.lastOutput)?.[1]);
  return { child, ports: { [protocol]: Number(port) } };
};

async function mosquitto(dir) {
  const port = await freePort();
  const file = join(dir, 'mosquitto.conf');
  const settings = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'persistence false',
    'set_tcp_nodelay true',
    'max_inflight_messages 0',
    'log_type error',
    `user ${userInfo().username}`,
  ];
  writeFileSync(file, `${settings.join('\n')}\n`);
  const child = start('/usr/sbin/mosquitto', ['-c', file]);
  await until(child, () => accepts(port));
  return { child, ports: { mqtt: port } };
}

/** Acknowledges a write when it is on the disk, as the gateway does with durability sync. */
async function redis(dir) {
  const port = await freePort();
  const settings = ['--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always'];
  const child = start('/usr/bin/redis-server', ['--port', String(port), ...settings]);
  await until(child, () => accepts(port));
  return { child, ports: { redis: port } };
}

const KINDS = {
  'happn-3': script('happn', 'happn-3.mjs', async () => [HAPPN.folder, HAPPN.name, String(await freePort())]),
  aedes: script('mqtt', 'aedes.mjs', () => []),
  'ws-echo': script('happn', 'ws-echo.mjs', () => []),
  'haven-log': script('haven', 'haven-log.mjs', (dir) => [dir]),
  mosquitto,
  redis,
};

let main = join(ROOT, 'dist', 'main.js');
KINDS.trivium = gateway(main);

/** Measures the build with this main file instead of that in dist. */
export function useGateway(file) {
  main = file;
  KINDS.trivium = gateway(file);
}

/** Another build of the gateway (its main file), to compare with under the name `baseline`. */
export function addBaseline(file) {
  KINDS.baseline = gateway(file);
}

/** What is missing for this server to be started; null: nothing. */
export function missing(kind) {
  const needed = {
    trivium: [main, 'npm run build'],
    'happn-3': [join(HAPPN.folder, 'node_modules', HAPPN.name), 'npm ci in test/clients/happn3'],
    mosquitto: ['/usr/sbin/mosquitto', 'the Debian package mosquitto'],
    redis: ['/usr/bin/redis-server', 'the Debian package redis-server'],
  }[kind];
  return needed === undefined || existsSync(needed[0]) ? null : needed[1];
}

/** @returns {Promise<Server>} */
export async function startServer(kind, /** @type {StartOptions} */ options = {}) {
  const dir = makeFolder();
  const begun = performance.now();
  const { child, ports } = await KINDS[kind](dir, options);
  const readyMs = performance.now() - begun;
  return {
    kind,
    pid: child.pid,
    ports,
    readyMs,
    stop: async () => {
      await stop(child);
      removeFolder(dir);
    },
  };
}
