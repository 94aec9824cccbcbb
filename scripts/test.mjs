// `npm test`: gets what the tests need, builds, runs them, and ends with one line that counts them.
//   --long   the large counts (TRIVIUM_TEST_LONG=1); anything else is handed to the runner, for example a file name

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { build, ROOT } from './build.mjs';

/** What the tests run that comes from Debian, a program or a file of a library, and the package that each is part of. */
const NEEDED = {
  mosquitto: 'mosquitto',
  mosquitto_pub: 'mosquitto-clients',
  mosquitto_sub: 'mosquitto-clients',
  mosquitto_rr: 'mosquitto-clients',
  chromium: 'chromium',
  gcc: 'gcc',
  '/usr/include/stdio.h': 'libc6-dev',
  '/usr/include/MQTTClient.h': 'libpaho-mqtt-dev',
  '/usr/lib/python3/dist-packages/paho/mqtt/client.py': 'python3-paho-mqtt',
  '/usr/lib/python3/dist-packages/msgpack/__init__.py': 'python3-msgpack',
};
const CLIENTS = join(ROOT, 'test', 'clients');

process.exit(main(process.argv.slice(2)));

function main(args) {
  installPackages();
  installClients();
  if (build() !== 0) fail('the sources do not compile');
  const long = args.includes('--long');
  return runTests(
    args.filter((arg) => arg !== '--long'),
    long ? { ...process.env, TRIVIUM_TEST_LONG: '1' } : process.env,
  );
}

function fail(line) {
  process.stderr.write(`npm test: ${line}\n`);
  process.exit(1);
}

/** `name`: a program, or the whole path of a file. */
function isInstalled(name) {
  if (isAbsolute(name)) return existsSync(name);
  const folders = `${process.env.PATH ?? ''}${delimiter}/usr/sbin`.split(delimiter);
  return folders.some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false; // Not in this folder: the next one may have it.
    }
  });
}

function installPackages() {
  const missing = Object.keys(NEEDED).filter((name) => !isInstalled(name));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((name) => NEEDED[name]))];
  const names = packages.join(' ');
  if (process.getuid?.() !== 0 || !isInstalled('apt-get')) {
    fail(`the tests need ${missing.join(', ')}; install them with: apt-get install ${names}`);
  }
  const apt = (...args) => spawnSync('apt-get', args, { stdio: 'inherit', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
  const install = () => apt('install', '-y', '--no-install-recommends', ...packages).status === 0;
  if (!install() && (apt('update').status !== 0 || !install())) fail(`apt-get could not install ${names}`);
}

/** Each folder below test/clients holds other programs' client libraries under a lock file of its own. */
function installClients() {
  if (!existsSync(CLIENTS)) return;
  for (const item of readdirSync(CLIENTS, { withFileTypes: true })) {
    const folder = join(CLIENTS, item.name);
    if (!item.isDirectory() || !existsSync(join(folder, 'package-lock.json'))) continue;
    const wanted = createHash('sha256')
      .update(readFileSync(join(folder, 'package-lock.json')))
      .digest('hex');
    const stamp = join(folder, 'node_modules', '.installed');
    if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) continue;
    process.stderr.write(`installing the clients of test/clients/${item.name}…\n`);
    const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    if (spawnSync('npm', ['ci', ...flags], { cwd: folder, stdio: 'inherit' }).status !== 0) {
      fail(`npm ci failed in test/clients/${item.name}`);
    }
    writeFileSync(stamp, wanted);
  }
}

function runTests(args, env) {
  const folder = mkdtempSync(join(tmpdir(), 'trivium-results-'));
  const results = join(folder, 'results.json');
  const vitest = join(createRequire(import.meta.url).resolve('vitest/package.json'), '..', 'vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`];
  const done = spawnSync(process.execPath, [vitest, 'run', ...reporters, ...args], { cwd: ROOT, stdio: 'inherit', env });
  try {
    return summarize(results, done.status ?? 1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A file that could not even be loaded counts as one failure: no test of it ran. */
function summarize(results, status) {
  if (!existsSync(results)) fail('the test runner ended without results');
  const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(readFileSync(results, 'utf8'));
  const unloaded = testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
  );
  const failed = numFailedTests + unloaded.length;
  const skipped = numPendingTests > 0 ? `, ${numPendingTests} skipped` : '';
  process.stdout.write(`${numPassedTests} passed, ${failed} failed${skipped}\n`);
  return status === 0 && failed > 0 ? 1 : status;
}
