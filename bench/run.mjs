// npm run bench: compares this gateway with its peers and writes what it found to bench/results.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CROWD, IDLE, START, STEADY } from './lib/loads.mjs';
import { measureCrowd, measureIdle, measureStart, measureSteady } from './lib/measure.mjs';
import { hottest } from './lib/profile.mjs';
import { loadText, markdown, surroundings, targetText } from './lib/report.mjs';
import { addBaseline, missing, useGateway } from './lib/servers.mjs';
import { judge } from './lib/targets.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const HELP = `npm run bench -- [options]
  --only A,B       loads whose name begins with one of these (default: all)
  --peers A,B      servers beside the gateway: happn-3, aedes, mosquitto, ws-echo, redis, haven-log (default: all installed; "none": no peer)
  --rounds N       counted rounds of each load and server (default 5)
  --seconds S      measured seconds of a round (default 1.25)
  --main FILE      main file of the gateway's build (default dist/main.js)
  --baseline FILE  main file of another build of the gateway, measured in the same rounds
  --profile        processor profiles of the gateway in bench/profiles, and its hottest functions
  --out NAME       name of the result files (default: date and commit; "none": write no files)
  --list           names of the loads`;

const KINDS = [
  ...STEADY.map((load) => ({ ...load, kind: 'steady', measure: measureSteady })),
  ...IDLE.map((load) => ({ ...load, kind: 'idle', measure: measureIdle })),
  ...CROWD.map((load) => ({ ...load, kind: 'crowd', measure: measureCrowd })),
  ...START.map((load) => ({ ...load, kind: 'start', measure: measureStart })),
];

const words = (text) => (text === undefined ? null : text.split(',').filter((word) => word !== ''));

function options() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      peers: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '1.25' },
      main: { type: 'string' },
      baseline: { type: 'string' },
      profile: { type: 'boolean', default: false },
      out: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  return {
    ...values,
    only: words(values.only),
    peers: words(values.peers),
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
  };
}

/** The servers of a load that were asked for and are there; says once what is not. */
function chooser({ peers, baseline }) {
  const told = new Set();
  return (load) =>
    [...load.servers, ...(baseline === undefined ? [] : ['baseline'])].filter((kind) => {
      if (kind !== 'trivium' && kind !== 'baseline' && peers !== null && !peers.includes(kind)) return false;
      const lack = missing(kind);
      if (lack !== null && !told.has(kind)) {
        told.add(kind);
        console.log(`${kind} is left out: it needs ${lack}\n`);
      }
      return lack === null;
    });
}

function showProfile(dir) {
  const lines = hottest(dir).map(({ where, share }) => `${(share * 100).toFixed(1).padStart(6)} %  ${where}`);
  console.log(`${lines.join('\n')}\n`);
}

async function main() {
  const chosen = options();
  if (chosen.help) return console.log(HELP);
  if (chosen.list) return console.log(KINDS.map((load) => `${load.name.padEnd(20)} ${load.title}`).join('\n'));
  if (chosen.main !== undefined) useGateway(resolve(chosen.main));
  if (chosen.baseline !== undefined) addBaseline(resolve(chosen.baseline));

  const chosenLoads = KINDS.filter(({ name }) => chosen.only === null || chosen.only.some((begin) => name.startsWith(begin)));
  if (chosenLoads.length === 0) throw new Error(`no load has a name like ${chosen.only.join(' or ')}: see --list`);
  const run = { ...surroundings(), rounds: chosen.rounds, seconds: chosen.seconds, loads: [], targets: [] };
  const serversOf = chooser(chosen);
  for (const { measure, ...load } of chosenLoads) {
    const kinds = serversOf(load);
    if (kinds.length === 0) continue;
    const profileDir = chosen.profile && load.kind === 'steady' ? join(HERE, 'profiles', `${load.name}-${Date.now()}`) : undefined;
    if (profileDir !== undefined) mkdirSync(profileDir, { recursive: true });
    const servers = await measure(load, kinds, { ...chosen, profileDir });
    const { name, title, kind, unit, options, columns } = load;
    const result = { name, title, kind, unit, options, columns, servers };
    run.loads.push(result);
    console.log(loadText(result));
    if (profileDir !== undefined) showProfile(profileDir);
  }
  run.targets = judge(run.loads);
  console.log(targetText(run.targets));
  if (chosen.out !== 'none') save(run, chosen.out ?? `${run.date.slice(0, 10)}-${run.commit}`);
}

function save(run, name) {
  const dir = join(HERE, 'results');
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, `${name}.json`), `${JSON.stringify(run, null, 1)}\n`);
  writeFileSync(join(dir, `${name}.md`), markdown(run));
  console.log(`written: bench/results/${name}.json and .md`);
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
await main();
