// What rights cost: decisions that are kept and not, coverage of patterns, and sets through the engine with security off and on, for a
// user of 100 groups with 50 permissions each.
// Usage: npm run build && node --expose-gc bench/micro/rights.mjs

import { bench, group, run } from 'mitata';
import { Counters } from '../../dist/core/counters.js';
import { binary, json, raw } from '../../dist/core/data/formats.js';
import { Payload } from '../../dist/core/data/payload.js';
import { QUEUE_LIMITS } from '../../dist/core/durable/durable-session.js';
import { INBOUND_LIMITS } from '../../dist/core/engine/inbound-queue.js';
import { Engine } from '../../dist/core/engine.js';
import { DataRequest, STORED, UNSTORED } from '../../dist/core/message.js';
import { parsePattern } from '../../dist/core/paths/pattern.js';
import { SCAN_LIMITS } from '../../dist/core/scans/scan-host.js';
import { OPEN_ACCESS } from '../../dist/core/security/access.js';
import { Audit } from '../../dist/core/security/audit.js';
import { Directory } from '../../dist/core/security/directory.js';
import { DirectoryAccess } from '../../dist/core/security/directory-access.js';
import { Session } from '../../dist/core/sessions/session.js';

const GROUPS = 100;
const PERMISSIONS = 50;
const SETS = 40_000;
const ROUNDS = 15;
const SILENT = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };
const CLOCK = { now: () => Date.now(), monotonic: () => performance.now() };
const formats = { json, raw, binary, msgpack: json, byId: new Map([json, raw, binary].map((format) => [format.id, format])) };

/** Keeps nothing. */
class NoStore {
  async open() {
    return { batch: 0, revision: 0, applied: 0 };
  }
  async close() {}
  read() {
    return undefined;
  }
  scan() {
    return { next: async () => [], seek() {}, close: async () => {} };
  }
  scanKeys() {
    return { ...this.scan(), rowsFrom: () => this.scan() };
  }
  batch() {
    return {
      length: 0,
      put() {
        this.length += 1;
      },
      delete() {
        this.length += 1;
      },
    };
  }
  async write() {}
  async size() {
    return 0;
  }
}

class CountingSession extends Session {
  replies = 0;
  refused = 0;
  wanted = 0;
  done = null;

  flush() {
    for (let next = this.outbound.shift(); next !== undefined; next = this.outbound.shift()) {
      this.replies += 1;
      if (next.error !== null) this.refused += 1;
    }
    if (this.replies >= this.wanted) this.done?.();
  }
  get bufferedBytes() {
    return 0;
  }
  pauseReading() {}
  resumeReading() {}
  close() {}
}

async function engineWith(access, directory) {
  const engine = new Engine({
    store: new NoStore(),
    durability: 'none',
    formats,
    access,
    directory,
    audit: new Audit(CLOCK, SILENT, new Counters()),
    clock: CLOCK,
    log: SILENT,
    counters: new Counters(),
    limits: { inbound: INBOUND_LIMITS, queue: QUEUE_LIMITS, scan: SCAN_LIMITS, cacheBytes: 64 * 1024 * 1024, pathIndexBytes: 0 },
  });
  await engine.start();
  return engine;
}

async function fill(engine) {
  const put = { when: 'any', merge: false };
  const names = Array.from({ length: GROUPS }, (_, g) => `group-${g}`);
  for (const [g, name] of names.entries()) {
    const patterns = Array.from({ length: PERMISSIONS }, (_, p) => [`/plant/${g}/line/${p}/*`, { actions: ['set', 'get', 'on'] }]);
    await engine.administer({ type: 'putGroup', name, fields: { permissions: Object.fromEntries(patterns) }, ...put });
  }
  await engine.administer({ type: 'putUser', name: 'ann', id: '1', fields: { groups: names }, ...put });
}

const pathOf = (n) => `/plant/${n % GROUPS}/line/${n % PERMISSIONS}/sensor/${n}`;
const payload = Payload.fromValue({ temperature: 21.5, unit: 'C' }, json);

/** Microseconds of CPU for each request. */
async function costOf(engine, identity, options, paths) {
  const session = new CountingSession('bench', 'bench', false);
  if (identity !== null) session.identity = identity;
  session.wanted = SETS;
  const finished = new Promise((resolve) => (session.done = resolve));
  globalThis.gc?.();
  const before = process.cpuUsage();
  // As a busy connection does it: a slice of requests, then the event loop.
  for (let n = 0; n < SETS; n++) {
    engine.submit(new DataRequest('set', session, n, paths[n % paths.length], null, payload, options, true, 0, null));
    if (n % 128 === 127) await new Promise((resolve) => setImmediate(resolve));
  }
  await finished;
  const { user, system } = process.cpuUsage(before);
  if (session.refused > 0) throw new Error(`${session.refused} sets were refused`);
  return (user + system) / SETS;
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

async function compare(what, options, count) {
  const directory = new Directory();
  const secure = await engineWith(new DirectoryAccess(directory, {}, CLOCK), directory);
  await fill(secure);
  const open = await engineWith(OPEN_ACCESS, new Directory());
  const identity = { name: 'ann', principal: directory.principal('ann'), login: null };
  const paths = Array.from({ length: count }, (_, n) => pathOf(n));
  const costs = { open: [], secure: [] };
  for (let round = -2; round < ROUNDS; round++) {
    const off = await costOf(open, null, options, paths);
    const on = await costOf(secure, identity, options, paths);
    if (round < 0) continue;
    costs.open.push(off);
    costs.secure.push(on);
  }
  const [off, on] = [median(costs.open), median(costs.secure)];
  console.log(
    `${what}: off ${off.toFixed(2)} µs, on ${on.toFixed(2)} µs of CPU a set: ${(on - off).toFixed(2)} µs, ${((on / off - 1) * 100).toFixed(1)} %`,
  );
  await secure.stop();
  await open.stop();
}

await compare('engine alone, stored, 1,000 paths', STORED, 1_000);
await compare('engine alone, event, 1,000 paths', UNSTORED, 1_000);
await compare('engine alone, event, 40,000 paths', UNSTORED, 40_000);

const directory = new Directory();
const engine = await engineWith(new DirectoryAccess(directory, {}, CLOCK), directory);
await fill(engine);
const { rights } = directory.principal('ann');
/** A new text each time, as a frame brings it, so that its hash is not known. */
function texts(count) {
  let at = 0;
  const parts = Array.from({ length: count }, (_, n) => Buffer.from(pathOf(n)));
  return () => parts[at++ % count].latin1Slice();
}
group('decision', () => {
  const [few, many] = [texts(1_000), texts(50_000)];
  bench('text alone', () => few());
  bench('kept', () => rights.allows('set', few()));
  bench('not kept', () => rights.allows('set', many()));
});
group('coverage', () => {
  const pattern = parsePattern('/plant/7/line/7/**', 'segments');
  bench('kept', () => rights.covers('on', pattern));
});
await run();
await engine.stop();
