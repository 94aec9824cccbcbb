// What a run leaves behind: figures as JSON for programs, and as Markdown for people. No measuring here.

import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { makeFolder, removeFolder } from './folders.mjs';
import { median } from './measure.mjs';
import { ROOT } from './servers.mjs';

const output = (command, args) => {
  try {
    return execFileSync(command, args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return '';
  }
};

const packageVersion = (folder) => {
  try {
    return JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')).version;
  } catch {
    return 'not installed';
  }
};

/** Median milliseconds of appending 4 KiB to a file in the data directories' file system and syncing it. */
function syncMs() {
  const dir = makeFolder();
  const file = openSync(join(dir, 'sync'), 'w');
  const block = Buffer.alloc(4096);
  const times = [];
  for (let round = 0; round < 50; round += 1) {
    const begun = performance.now();
    writeSync(file, block);
    fsyncSync(file);
    times.push(performance.now() - begun);
  }
  closeSync(file);
  removeFolder(dir);
  return median(times);
}

/** The machine, the versions and the commit: without them a figure says nothing. */
export function surroundings() {
  return {
    date: new Date().toISOString(),
    commit: output('git', ['rev-parse', '--short', 'HEAD']) || 'none',
    changed: output('git', ['status', '--porcelain', '--', 'src']) !== '',
    machine: {
      processor: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      kernel: release(),
      fileSystem: output('stat', ['-f', '-c', '%T', tmpdir()]),
      syncMs: syncMs(),
      loadBefore: loadavg()[0],
    },
    versions: {
      node: process.version,
      trivium: packageVersion('.'),
      'happn-3': packageVersion('test/clients/happn3/node_modules/happn-3-v13'),
      aedes: packageVersion('node_modules/aedes'),
      ws: packageVersion('node_modules/ws'),
      mosquitto: /version (\S+)/.exec(output('sh', ['-c', '/usr/sbin/mosquitto -h; true']))?.[1] ?? 'not installed',
      redis: /v=(\S+)/.exec(output('/usr/bin/redis-server', ['--version']))?.[1] ?? 'not installed',
    },
    durability: 'sync (gateway, redis: appendfsync always); happn-3, aedes, mosquitto keep everything in memory',
  };
}

const rounded = (number) => Math.round(number).toLocaleString('en');
const ratio = (own, other) => (other > 0 ? `${(own / other).toFixed(2)} x` : '');
const row = (cells) => `| ${cells.join(' | ')} |`;
const table = (head, rows) => [row(head), row(head.map((_, index) => (index === 0 ? '---' : '--:'))), ...rows.map(row)].join('\n');

/** Figures that only some loads show, by the name of their field. */
const COLUMNS = {
  longestGapMs: { head: 'longest gap ms', cell: (each) => rounded(each.longestGapMs) },
  peakBytes: { head: 'peak MB', cell: (each) => rounded(each.peakBytes / 2 ** 20) },
};

const labelOf = ({ server, variant }) => (variant === null ? server : `${server}, ${variant}`);
const failed = (each, cells) => [
  labelOf(each),
  `failed: ${each.error.split('\n')[0].replace(/^Error: /, '')}`,
  ...Array(cells - 2).fill(''),
];

function steadyTable(load) {
  const { servers, columns = [] } = load;
  const find = (server, variant) => servers.find((each) => each.server === server && each.variant === variant && each.error === null);
  const base = servers[0].variant;
  const head = [
    'server',
    `${load.unit}/s`,
    'per s of server CPU',
    'p50 ms',
    'p99 ms',
    'RSS MB',
    ...columns.map((name) => COLUMNS[name].head),
    'server CPU',
    'generator CPU',
    'gateway is',
    'per CPU',
    ...(base === null ? [] : [`per CPU, of "${base}"`]),
  ];
  const rows = servers.map((each) => {
    if (each.error !== null) return failed(each, head.length);
    const own = each.server === 'trivium' ? undefined : find('trivium', each.variant);
    const first = each.variant === base ? undefined : find(each.server, base);
    return [
      labelOf(each),
      rounded(each.perSecond),
      rounded(each.perCpuSecond),
      each.p50Ms.toFixed(2),
      each.p99Ms.toFixed(2),
      rounded(each.rssBytes / 2 ** 20),
      ...columns.map((name) => COLUMNS[name].cell(each)),
      `${rounded(each.serverCpu * 100)} %`,
      `${rounded(each.generatorCpu * 100)} %`,
      own === undefined ? '' : ratio(own.perSecond, each.perSecond),
      own === undefined ? '' : ratio(own.perCpuSecond, each.perCpuSecond),
      ...(base === null ? [] : [first === undefined ? '' : ratio(each.perCpuSecond, first.perCpuSecond)]),
    ];
  });
  return table(head, rows);
}

/** A table of one row a server; `cells` makes what stands behind its name. */
const plainTable = (load, heads, cells) =>
  table(
    ['server', ...heads],
    load.servers.map((each) =>
      each.error === null ? [each.server, ...cells(each)] : failed({ variant: null, ...each }, heads.length + 1),
    ),
  );

const idleTable = (load) =>
  plainTable(load, ['KB a connection', 'RSS MB'], (each) => [
    (each.bytesPerConnection / 1024).toFixed(1),
    rounded(each.rssBytes / 2 ** 20),
  ]);

const crowdTable = (load) =>
  plainTable(load, ['all served ms', 'tried again', "others' p50 ms", 'p99 ms', 'longest ms', 'RSS MB'], (each) => [
    rounded(each.servedMs),
    rounded(each.retries),
    each.p50Ms.toFixed(2),
    each.p99Ms.toFixed(2),
    rounded(each.longestMs),
    rounded(each.rssBytes / 2 ** 20),
  ]);

const startTable = (load) => plainTable(load, ['ms'], (each) => [rounded(each.readyMs)]);

const TABLES = { steady: steadyTable, idle: idleTable, crowd: crowdTable, start: startTable };

export const loadText = (load) => `### ${load.title}\n\n\`${load.name}\`\n\n${TABLES[load.kind](load)}\n`;

export function targetText(targets) {
  const measured = targets.filter((target) => target.actual !== null);
  if (measured.length === 0) return '';
  const figure = (target, number) => (target.isRatio ? `${number.toFixed(2)} x` : rounded(number));
  return `## Targets\n\n${table(
    ['load', 'against', 'measure', 'target', 'actual', 'met'],
    measured.map((target) => [
      target.case === null ? target.load : `${target.load}, ${target.case}`,
      target.against ?? '',
      target.measure,
      `${target.bound} ${target.isRatio ? `${target.wanted} x` : rounded(target.wanted)}`,
      figure(target, target.actual),
      target.met ? 'yes' : '**no**',
    ]),
  )}\n`;
}

export function markdown(run) {
  const { machine, versions } = run;
  const facts = [
    `- commit ${run.commit}${run.changed ? ' with uncommitted changes in src' : ''}, ${run.date}`,
    `- ${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}; load average before the run ${machine.loadBefore.toFixed(2)}`,
    `- data on ${machine.fileSystem}; a synced append of 4 KiB takes ${machine.syncMs.toFixed(2)} ms`,
    `- ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}`,
    `- durability: ${run.durability}`,
    `- medians of ${run.rounds} rounds of ${run.seconds} s, servers in turn`,
  ];
  return ['# Benchmark results\n', `${facts.join('\n')}\n`, targetText(run.targets), ...run.loads.map(loadText)].join('\n');
}
