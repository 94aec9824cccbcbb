// The same random programs against the genuine happn-3 13.12.1 server and against the gateway, with the client of 13.12.1:
// answers and events are the same, but for what the rules below say.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cleanEnvironment, type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { GENERATIONS, type Generation, type HappnClient } from '../support/happn-clients.js';
import { CLIENTS, type Event, type Note, program, Runner, type Step } from '../support/happn-programs.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
const PROGRAMS = LONG ? 1_500 : 60;
const STEPS = 40;
/** How many runs may be spent on making a failing program smaller. */
const SHRINKS = 150;

const ORIGINAL = fileURLToPath(new URL('../support/happn-original.cjs', import.meta.url));
const generation = GENERATIONS.find(({ name }) => name === 'happn-3-v13') as Generation;

/** What the gateway refuses until a capability comes: not in the programs, and asserted to be refused still. */
const WAITS: readonly Step['op'][] = [];

let original: ChildProcess;
let gateway: GatewayProcess;
let clients: HappnClient[] = [];
let theirs: Runner;
let ours: Runner;

beforeAll(async () => {
  original = spawn(process.execPath, [ORIGINAL], { env: cleanEnvironment(), stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: original.stdout as NodeJS.ReadableStream });
  const ended = once(original, 'exit').then(() => Promise.reject(new Error('the genuine server did not start')));
  const [line] = (await Promise.race([once(lines, 'line'), ended])) as [string];
  ended.catch(() => null);
  gateway = await startGateway({ flags: ['--durability', 'os'] });
  const ports = [(JSON.parse(line) as { port: number }).port, gateway.ports.happn];
  const [left, right] = await Promise.all(
    ports.map((port) => Promise.all(Array.from({ length: CLIENTS }, () => generation.connect(port)))),
  );
  clients = [...(left as HappnClient[]), ...(right as HappnClient[])];
  theirs = new Runner(left as HappnClient[]);
  ours = new Runner(right as HappnClient[]);
});

afterAll(async () => {
  await Promise.all(clients.map((client) => client.disconnect()));
  original.kill();
  await gateway.stop();
});

// ---------------------------------------------------------------- intended differences

/** What is meant to differ: makes the notes of the genuine server, and where both leave a choice the gateway's, into one form. */
interface Rule {
  readonly name: string;
  readonly why: string;
  readonly event?: (event: Event, step: Step, answer: unknown) => Event | null;
  readonly answer?: (answer: unknown, step: Step) => unknown;
}

const THEIRS: readonly Rule[] = [
  {
    name: 'depth of another subscription',
    why: 'the genuine server writes the depth of one receiver into the events of those after it: depth belongs to channels that end in **',
    event: (event) => {
      if (String(event.meta.channel).endsWith('**')) return event;
      const { depth: _, ...meta } = event.meta;
      return { ...event, meta };
    },
  },
  {
    name: 'everything, by action',
    why: 'the genuine server lets a listener on * hear every action, whatever it asked for',
    event: (event) => {
      const [asked] = String(event.meta.channel).split('@');
      const [done] = String(event.meta.action).split('@');
      return asked === '/ALL' || asked === done || event.meta.initial === true ? event : null;
    },
  },
  {
    name: 'increments for merge listeners',
    why: 'the genuine server sends them the name of the counter, for it stands in the place of the data; here they get what others get',
    event: (event, step, answer) => {
      if (step.op !== 'increment' || event.data !== step.gauge) return event;
      return { ...event, data: (answer as { data: unknown }).data };
    },
  },
];

const BOTH: readonly Rule[] = [
  {
    name: 'initial values of a path with @',
    why: 'the genuine server reads the path up to its first @ only',
    answer: (answer, step) =>
      step.op === 'on' && step.path.includes('@') && step.options.initialCallback === true ? 'not compared' : answer,
    event: (event, step) => (step.op === 'on' && step.path.includes('@') && event.meta.initial === true ? null : event),
  },
  {
    name: 'order of initial values',
    why: 'both show the oldest change first, but the genuine server knows no order within a millisecond',
    answer: (answer, step) => {
      if (answer === 'not compared' || step.op !== 'on' || step.options.initialCallback !== true) return answer;
      const { subscribed } = answer as { subscribed: unknown[] };
      return Array.isArray(subscribed) ? { subscribed: subscribed.map((item) => JSON.stringify(item)).sort() } : answer;
    },
  },
];

const used = new Set<string>();

function apply(rules: readonly Rule[], step: Step, note: Note): Note {
  let { answer, heard } = note;
  for (const rule of rules) {
    const before = { answer, heard };
    if (rule.answer !== undefined) answer = rule.answer(answer, step);
    if (rule.event !== undefined) {
      const { event } = rule;
      heard = heard.flatMap((one) => event(one, step, answer) ?? []);
    }
    if (!isDeepStrictEqual(before, { answer, heard })) used.add(rule.name);
  }
  return { answer, heard };
}

/**
 * Answers by step, then events by listener in the order in which it heard them: nobody promises an order among listeners, and the
 * genuine server now and then sends an event after the next answer.
 */
function written(steps: readonly Step[], notes: readonly Note[]): string[] {
  const heard = new Map<number, Event[]>();
  for (const event of notes.flatMap((note) => note.heard)) {
    const { listener } = event;
    heard.set(listener, [...(heard.get(listener) ?? []), event]);
  }
  const answers = notes.map(({ answer }, n) => `answer to ${JSON.stringify(steps[n])}: ${JSON.stringify(answer)}`);
  const lines = [...heard].sort(([a], [b]) => a - b).map(([name, events]) => `heard by ${name}: ${sequence(events).join('\n    ')}`);
  return [...answers, ...lines];
}

/** Initial values come first; within a millisecond their order is open. */
function sequence(events: readonly Event[]): string[] {
  const texts = (initial: boolean): string[] =>
    events.filter(({ meta }) => (meta.initial === true) === initial).map((one) => JSON.stringify(one));
  return [...texts(true).sort(), ...texts(false)];
}

// ---------------------------------------------------------------- runs

interface Difference {
  readonly theirs: readonly string[];
  readonly ours: readonly string[];
}

let runs = 0;

async function difference(steps: readonly Step[]): Promise<Difference | null> {
  const root = `/d${++runs}`;
  const [left, right] = await Promise.all([theirs.run(steps, root), ours.run(steps, root)]);
  const genuine = written(
    steps,
    left.map((note, n) => apply(BOTH, steps[n] as Step, apply(THEIRS, steps[n] as Step, note))),
  );
  const gateways = written(
    steps,
    right.map((note, n) => apply(BOTH, steps[n] as Step, note)),
  );
  const only = (these: string[], those: string[]): string[] => these.filter((line) => !those.includes(line));
  const found = { theirs: only(genuine, gateways), ours: only(gateways, genuine) };
  return found.theirs.length + found.ours.length === 0 ? null : found;
}

/** Takes steps away as long as a difference stays, and shows what is left as a list that can be run again. */
async function shrunk(steps: readonly Step[], found: Difference): Promise<string> {
  let smallest = steps;
  let last = found;
  let left = SHRINKS;
  for (let size = Math.ceil(steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = smallest.length - size; at > -size && left > 0; at -= size) {
      const without = [...smallest.slice(0, Math.max(at, 0)), ...smallest.slice(at + size)];
      left -= 1;
      const still = await difference(without);
      if (still === null) continue;
      smallest = without;
      last = still;
    }
  }
  const list = smallest.map((step) => `  ${JSON.stringify(step)}`).join('\n');
  return `${list}\n  happn-3: ${last.theirs.join('\n    ')}\n  gateway: ${last.ours.join('\n    ')}`;
}

test(`${PROGRAMS} programs of ${STEPS} steps come out as on the genuine server`, async () => {
  const failures: string[] = [];
  for (let seed = 1; seed <= PROGRAMS && failures.length < 3; seed += 1) {
    const steps = program(seed, STEPS).filter(({ op }) => !WAITS.includes(op));
    const found = await difference(steps);
    if (found !== null) failures.push(`seed ${seed}:\n${await shrunk(steps, found)}`);
  }
  expect(failures.join('\n\n')).toBe('');
}, 3_600_000);

test('every rule was needed', () => {
  expect([...THEIRS, ...BOTH].map(({ name }) => name).filter((name) => !used.has(name))).toEqual([]);
});

test('what the programs leave out is refused by the gateway still', async () => {
  const steps = program(1, 1_000);
  const left = WAITS.map((op) => steps.find((step) => step.op === op) as Step);
  const notes = await ours.run(left, '/waits');
  expect(notes.map(({ answer }) => answer)).toMatchObject(WAITS.map(() => ({ refused: { code: 501 } })));
});
