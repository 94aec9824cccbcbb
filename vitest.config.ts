import { defineConfig } from 'vitest/config';

/** Times after which something hangs; no measure of anything, so long enough for a machine that is busy with much else. */
const DEFAULTS = { pool: 'forks', testTimeout: 120_000, hookTimeout: 120_000, teardownTimeout: 10_000 } as const;
const ALL = 'test/**/*.test.ts';
const NONE = ['test/clients/**', '**/node_modules/**'];
/** They leave nothing behind in their process: it runs many of them, and loads what they test and the runner once. */
const TOGETHER = [
  ...['core', 'adapters', 'conformance', 'config'].map((folder) => `test/${folder}/**/*.test.ts`),
  ...[
    'laws-{durability,matrix,order,paths,property,values}',
    'haven*',
    '*-history',
    'happn-clients',
    'happn-stories',
    'happn-secure',
    'lookups',
    'nested-permissions',
    'websockets',
    'profiles',
  ].map((name) => `test/interop/${name}.test.ts`),
];

export default defineConfig({
  test: {
    globalSetup: ['test/support/build-once.ts'],
    // Most files wait for clocks and clients most of the time.
    maxWorkers: 3,
    reporters: ['default'],
    projects: [
      { test: { ...DEFAULTS, name: 'alone', include: [ALL], exclude: [...NONE, ...TOGETHER] } },
      { test: { ...DEFAULTS, name: 'together', include: TOGETHER, exclude: NONE, isolate: false } },
    ],
  },
});
