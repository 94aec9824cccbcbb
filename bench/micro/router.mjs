// What matching costs: kept and unkept paths with and without 1,000 wildcards in place, churn, path checks, memory.
// Usage: npm run build && node --expose-gc bench/micro/router.mjs

import { bench, group, run } from 'mitata';
import { checkPath } from '../../dist/core/paths/path.js';
import { parsePattern } from '../../dist/core/paths/pattern.js';
import { Router } from '../../dist/core/routing/router.js';
import { Subscription } from '../../dist/core/routing/subscription.js';

const OPTIONS = Object.freeze({ sets: true, removes: true, removals: 'each-record', qos: 0, noLocal: false });
const WILDCARDS = 1_000;
const SESSIONS = 10_000;

function subscription(text, dialect) {
  return new Subscription(null, null, parsePattern(text, dialect), OPTIONS, null);
}

function routerOf(count, text, dialect) {
  const router = new Router();
  router.subscribe(subscription('/own/path', 'glob'));
  for (let i = 0; i < count; i++) router.subscribe(subscription(text(i), dialect));
  return router;
}

/** A new text each time, as a frame brings it, so that its hash is not known. */
function texts(make, count) {
  let at = 0;
  const parts = Array.from({ length: count }, (_, i) => Buffer.from(make(i)));
  return () => parts[at++ % count].latin1Slice();
}

const ROUTERS = {
  'no wildcard': routerOf(0),
  '1,000 MQTT filters': routerOf(WILDCARDS, (i) => `/fleet/${i}/+/state`, 'mqtt'),
  '1,000 MQTT filters +/i/#': routerOf(WILDCARDS, (i) => `+/${i}/#`, 'mqtt'),
  '1,000 segment patterns': routerOf(WILDCARDS, (i) => `/fleet/${i}/**`, 'segments'),
  '1,000 globs': routerOf(WILDCARDS, (i) => `/fleet/${i}-*`, 'glob'),
  '1,000 globs under one prefix': routerOf(WILDCARDS, (i) => `/bench/*/${i}`, 'glob'),
};

group('text of a path alone', () => {
  const kept = texts((i) => `/bench/line/${i}/temp`, 100);
  bench('decode', () => kept());
  bench('decode and checkPath', () => checkPath(kept()));
});

group('kept path', () => {
  for (const [name, router] of Object.entries(ROUTERS)) {
    const next = texts((i) => `/bench/line/${i}/temp`, 100);
    bench(name, () => router.match(next()));
  }
});

group('path seen for the first time in long', () => {
  for (const [name, router] of Object.entries(ROUTERS)) {
    const next = texts((i) => `/bench/line/${i}/temp`, 50_000);
    bench(name, () => router.match(next()));
  }
});

group('subscribe, publish, unsubscribe', () => {
  const router = ROUTERS['1,000 MQTT filters'];
  const literal = subscription('/client/7/in', 'mqtt');
  const wildcard = subscription('client/7/#', 'mqtt');
  for (const [name, one] of [
    ['literal', literal],
    ['wildcard', wildcard],
  ]) {
    bench(name, () => {
      router.subscribe(one);
      router.match('/bench/line/1/temp');
      router.unsubscribe(one);
    });
  }
});

reportMemory();
await run();

function reportMemory() {
  if (globalThis.gc === undefined) return;
  const rows = [
    ['literal', (i) => `/client/${i}/in`, 'mqtt'],
    ['segment literal', (i) => `/client/${i}/in`, 'segments'],
    ['MQTT filter', (i) => `client/${i}/#`, 'mqtt'],
    ['segment pattern', (i) => `/client/${i}/**`, 'segments'],
    ['glob', (i) => `/client/${i}/*`, 'glob'],
  ];
  for (const [name, text, dialect] of rows) console.log(`${name}: ${memoryOf(text, dialect)} bytes in the router for each of ${SESSIONS}`);
}

function memoryOf(text, dialect) {
  const kept = [];
  const made = Array.from({ length: SESSIONS }, (_, i) => subscription(text(i), dialect));
  globalThis.gc();
  const before = process.memoryUsage().heapUsed;
  const router = new Router();
  for (const one of made) router.subscribe(one);
  kept.push(made, router);
  globalThis.gc();
  return kept.length === 0 ? 0 : Math.round((process.memoryUsage().heapUsed - before) / SESSIONS);
}
