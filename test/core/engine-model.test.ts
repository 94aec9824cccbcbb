// Random programs of requests by several sessions, with a store that is held back, fails and is reopened, and with sessions
// that go at any moment. One listener to everything writes the history; whatever anybody was answered or heard must fit it.

import { randomUUID } from 'node:crypto';
import { describe, it } from 'vitest';
import { Payload } from '../../src/core/data/payload.js';
import type { ConnectionError } from '../../src/core/errors.js';
import {
  type DataOptions,
  DataRequest,
  type Publication,
  type Reply,
  type Request,
  STORED,
  SubscribeRequest,
  UNSTORED,
} from '../../src/core/message.js';
import { type Pattern, parsePattern } from '../../src/core/paths/pattern.js';
import { SUBSCRIBED, Subscription } from '../../src/core/routing/subscription.js';
import { Session } from '../../src/core/sessions/session.js';
import type { Durability } from '../../src/core/store/store.js';
import { formats, type Harness, StreamTaker, startEngine, until } from '../support/core-harness.js';
import { must, mustBe, mustEqual } from '../support/must.js';
import { type Random, randomOf } from '../support/random.js';

const PROGRAMS = process.env.TRIVIUM_TEST_LONG === '1' ? 100_000 : 2_000;
const STEPS = 40;
const PATHS = ['a', 'b', 'r/1', 'r/2', 'r/3'];
const PATTERNS = ['*', 'r/*', 'a', 'r/1', '*1'].map((text) => parsePattern(text, 'glob'));

/** What a session was given, in order. */
interface Given {
  readonly reply: Reply | null;
  readonly publication: Publication | null;
  readonly subscription: Subscription | null;
}

class Actor extends Session {
  readonly given: Given[] = [];
  readonly #taking: StreamTaker = new StreamTaker();

  constructor(
    readonly house: Harness,
    ordered: boolean,
    override readonly takesStreams = false,
    override readonly writesAhead = false,
  ) {
    super(randomUUID(), 'model', ordered);
    house.context.openSession(this);
  }

  override flush(): void {
    if (!this.#taking.goOn((reply) => this.#give(reply))) return;
    for (let next = this.outbound.peek(); next !== undefined; next = this.outbound.peek()) {
      const subscription = this.outbound.peekSubscription();
      const run = this.outbound.peekRun();
      this.outbound.shift();
      if (run !== null) for (const reply of run.replies) this.#give(reply);
      else if (next.kind === 'publication') this.given.push({ reply: null, publication: next, subscription });
      else if (!this.#taking.take(next, (reply) => this.#give(reply))) return;
    }
  }

  override writeAhead(replies: readonly Reply[]): Buffer | null {
    return replies.some(({ stream }) => stream !== null) ? null : Buffer.alloc(1);
  }

  #give(reply: Reply): void {
    this.given.push({ reply, publication: null, subscription: null });
  }
  override get bufferedBytes(): number {
    return 0;
  }
  override pauseReading(): void {}
  override resumeReading(): void {}
  override close(error: ConnectionError | null): void {
    this.house.context.closeSession(this, error);
  }
}

/** One request of a program. Positions are lengths of the history. */
interface Step {
  readonly request: Request;
  readonly session: Actor;
  /** What it reads or changes. */
  readonly touches: Pattern;
  /** History when it was submitted: all of it happened before. */
  readonly from: number;
  /** History after it was answered: nothing later shows in the answer. */
  to: number;
  /** The first request that was submitted after it was answered. */
  next: number;
  reply: Reply | null;
}

class Program {
  readonly steps: Step[] = [];
  readonly actors: Actor[];
  readonly everyone: Actor[];
  readonly listener: Actor;
  #value = 0;
  #open: Step[] = [];
  #subscriptions: Step[] = [];
  failed = false;

  constructor(
    readonly house: Harness,
    readonly random: Random,
    /** Whether the store may refuse a batch. */
    readonly mayFail: boolean,
  ) {
    this.listener = new Actor(house, false);
    this.actors = [
      new Actor(house, false, random(2) === 0),
      new Actor(house, true, random(2) === 0, random(2) === 0),
      new Actor(house, random(2) === 0, random(2) === 0, random(2) === 0),
    ];
    this.everyone = [...this.actors];
  }

  get history(): Publication[] {
    return this.listener.given.flatMap(({ publication }) => (publication === null ? [] : [publication]));
  }

  /** Of the history. The listener is given publications, and the answer to its one request before them. */
  get length(): number {
    const { given } = this.listener;
    return given[0]?.reply == null ? given.length : given.length - 1;
  }

  /** For whom a program fails: what was asked, and what happened. */
  describe(): string {
    const names = new Map(
      this.everyone.map((actor, i) => [actor, `${i}${actor.ordered ? ' ordered' : ''}${actor.closed ? ' closed' : ''}`]),
    );
    const asked = this.steps.map(({ request, session, touches, from, to, reply }) => {
      const kind = request.op === 'set' && !request.options.store ? 'emit' : request.op;
      const outcome = reply === null ? 'unanswered' : (reply.error?.code ?? 'ok');
      const initial = request.op === 'subscribe' && request.initial !== null ? ' initial' : '';
      return `${String(request.id)}: session ${names.get(session)} ${kind}${initial} ${touches.text} ${outcome} ${from}..${to}`;
    });
    const happened = this.history.map(
      ({ action, path, requestId, revision }, i) => `${i}: ${action} ${path} by ${String(requestId)} revision ${revision}`,
    );
    return [...asked, 'history', ...happened].join('\n');
  }

  async run(): Promise<void> {
    const everything = new Subscription(this.listener, null, parsePattern('*', 'glob'), SUBSCRIBED, null);
    this.house.context.submit(new SubscribeRequest('subscribe', this.listener, 'listen', everything, null, null));
    await this.#turns(2);
    for (let i = 0; i < STEPS; i++) await this.#step();
    this.house.store.releaseScans();
    this.house.store.release();
    await until(() => {
      this.#note();
      return this.house.engine.writable && this.everyone.every(({ inFlight, streams }) => inFlight === 0 && (streams?.size ?? 0) === 0);
    });
    await this.#turns(3);
  }

  async #step(): Promise<void> {
    const { random, house } = this;
    const { store } = house;
    const dice = random(100);
    if (dice < 62) this.#submit();
    else if (dice < 78) await this.#turns(1 + random(3));
    else if (dice < 84) store.held = true;
    else if (dice < 88) store.release();
    else if (dice < 91) store.scansHeld = true;
    else if (dice < 94) store.releaseSlice();
    else if (dice < 96) store.releaseScans();
    else if (dice < 98) this.#fail();
    else this.#close();
  }

  #fail(): void {
    if (!this.mayFail) return;
    this.failed = true;
    this.house.store.failure = new Error('ENOSPC');
  }

  #close(): void {
    const index = this.random(this.actors.length);
    (this.actors[index] as Actor).close(null);
    const next = new Actor(this.house, this.random(2) === 0);
    this.actors[index] = next;
    this.everyone.push(next);
  }

  #submit(): void {
    const session = this.#pick(this.actors);
    const path = this.#pick(PATHS);
    const pattern = this.#pick(PATTERNS);
    const exact = parsePattern(path, 'glob');
    switch (this.random(12)) {
      case 0:
      case 1:
      case 2:
        return this.#submitData('set', session, path, null, STORED);
      case 3:
      case 4:
        return this.#submitData('set', session, path, null, UNSTORED);
      case 5:
        return this.#submitData('remove', session, path, null, STORED);
      case 6:
      case 7:
        return this.#submitData('get', session, path, null, STORED);
      case 8:
        return this.#submitData('get', session, '', pattern, STORED);
      case 9:
        return this.#submitData('remove', session, '', this.random(4) === 0 ? exact : pattern, STORED);
      case 10:
        return this.#subscribe(session, pattern);
      default:
        return this.#unsubscribe();
    }
  }

  #submitData(op: 'set' | 'remove' | 'get', session: Actor, path: string, pattern: Pattern | null, options: DataOptions): void {
    this.#value += 1;
    const payload = op === 'set' ? Payload.fromValue(this.#value, formats.json) : null;
    const request = new DataRequest(op, session, this.steps.length, path, pattern, payload, options, true, 0, null);
    this.#give(session, request, pattern ?? parsePattern(path, 'glob'));
  }

  #subscribe(session: Actor, pattern: Pattern): void {
    const subscription = new Subscription(session, null, pattern, SUBSCRIBED, null);
    const initial = this.random(3) > 0 ? pattern : null;
    this.#give(session, new SubscribeRequest('subscribe', session, this.steps.length, subscription, initial, null), pattern);
    this.#subscriptions.push(this.steps[this.steps.length - 1] as Step);
  }

  #unsubscribe(): void {
    const step = this.#pick(this.#subscriptions);
    if (step === undefined || step.session.closed) return;
    const { subscription } = step.request as SubscribeRequest;
    this.#give(step.session, new SubscribeRequest('unsubscribe', step.session, this.steps.length, subscription, null, null), step.touches);
  }

  #give(session: Actor, request: Request, touches: Pattern): void {
    const step: Step = {
      request,
      session,
      touches,
      from: this.length,
      to: Number.POSITIVE_INFINITY,
      next: Number.POSITIVE_INFINITY,
      reply: null,
    };
    this.steps.push(step);
    this.#open.push(step);
    this.house.context.submit(request);
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.random(items.length)] as T;
  }

  async #turns(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
    this.#note();
  }

  #note(): void {
    const { length } = this;
    this.#open = this.#open.filter((step) => {
      const given = step.session.given.find(({ reply }) => reply?.request === step.request);
      if (given === undefined) return true;
      step.reply = given.reply;
      step.to = length;
      step.next = this.steps.length;
      return false;
    });
  }
}

/** The laws, as questions to a finished program. */
class Judge {
  readonly #history: Publication[];
  /** Places in the history of what each request caused. */
  readonly #caused = new Map<number, number[]>();
  readonly #place = new Map<Publication, number>();

  constructor(readonly program: Program) {
    this.#history = program.history;
    for (const [place, publication] of this.#history.entries()) {
      this.#place.set(publication, place);
      const id = publication.requestId as number;
      const places = this.#caused.get(id) ?? [];
      places.push(place);
      this.#caused.set(id, places);
    }
  }

  async judge(): Promise<void> {
    this.#judgeAnswers();
    this.#judgeHistory();
    for (const step of this.program.steps) this.#judgeStep(step);
    await this.#judgeEnd();
  }

  /** Every request is answered once, and an ordered session in the order in which it asked. */
  #judgeAnswers(): void {
    for (const actor of this.program.everyone) {
      const answered = actor.given.flatMap(({ reply }) => (reply === null ? [] : [reply.request.id as number]));
      const asked = this.program.steps.filter(({ session }) => session === actor).map(({ request }) => request.id as number);
      if (!actor.closed)
        mustEqual(
          [...answered].sort((a, b) => a - b),
          asked,
          'answers',
        );
      if (actor.ordered) mustEqual(answered, asked.slice(0, answered.length), 'answers in order');
      mustEqual([actor.inFlight, actor.inFlightBytes, actor.uncommitted, actor.barriers], [0, 0, 0, 0], 'credit');
      mustEqual([actor.backlog, actor.behind], [null, null], 'nothing waits');
    }
    for (const { reply } of this.program.steps) {
      if (reply !== null && reply.error !== null) mustEqual([reply.error.code, this.program.failed], ['STORE_FAILED', true]);
    }
  }

  /** Stored changes come in the order of their revisions; each session's requests in the order in which it asked. */
  #judgeHistory(): void {
    const revisions = this.#history.filter(({ revision }) => revision > 0).map(({ revision }) => revision);
    mustEqual(
      revisions,
      [...new Set(revisions)].sort((a, b) => a - b),
      'revisions',
    );
    const steps = this.program.steps.filter(({ request }) => this.#caused.has(request.id as number));
    for (const [index, later] of steps.entries()) {
      for (const earlier of steps.slice(0, index)) {
        if (earlier.session !== later.session) continue;
        if (later.session.ordered || isRemovalOfMany(earlier)) {
          must(Math.max(...this.#placesOf(earlier)) < Math.min(...this.#placesOf(later)), 'program order');
          continue;
        }
        for (const place of this.#placesOf(earlier)) {
          const { path } = this.#history[place] as Publication;
          const same = this.#placesOf(later).filter((other) => this.#history[other]?.path === path);
          for (const other of same) must(place < other, 'program order of a path');
        }
      }
    }
  }

  #placesOf(step: Step): number[] {
    return this.#caused.get(step.request.id as number) ?? [];
  }

  #judgeStep(step: Step): void {
    const { request, reply } = step;
    if (request.op === 'subscribe') this.#judgeHeard(step, request);
    if (reply === null) return;
    const places = this.#placesOf(step);
    if (reply.error !== null) {
      if (!isRemovalOfMany(step)) mustEqual(places, [], 'nothing of what failed');
      return;
    }
    switch (request.op) {
      case 'set':
        mustBe(places.length, 1, 'published once');
        break;
      case 'remove':
        mustBe(places.length, reply.count, 'removals heard');
        this.#judgeRemoved(step);
        break;
      case 'get':
        this.#judgeRead(step, reply);
        break;
      default:
    }
  }

  /** All that was there is gone, or was changed since. */
  #judgeRemoved(step: Step): void {
    const before = this.#stateAt(step.from);
    for (const own of this.#ownPlaces(step, 'earlier', isStored)) {
      const { path, action } = this.#history[own] as Publication;
      if (action === 'set') before.set(path, own);
    }
    for (const [path, place] of before) {
      if (!step.touches.matches(path)) continue;
      const later = this.#history.some((publication, at) => at > place && publication.path === path && publication.revision > 0);
      mustBe(later, true, `${path} is still as it was`);
    }
  }

  /** The answer shows the state of one moment between question and answer, with all of the session's earlier changes. */
  #judgeRead(step: Step, reply: Reply): void {
    const shown = reply.entries ?? (reply.entry === null ? [] : [reply.entry]);
    const [from, to] = this.#window(step, isStored);
    const found = shown.map(({ path, payload }) => `${path}=${String(payload.value())}`);
    const possible: string[] = [];
    for (let moment = from; moment <= to; moment++) possible.push(this.#shownAt(moment, step.touches).join());
    must(possible.includes(found.join()), `${found.join()} is what was read from ${from} to ${to}`);
  }

  /** Moments at which a request can have been executed, as far as publications of one kind tell. */
  #window(step: Step, kind: Kind): [number, number] {
    const earlier = this.#ownPlaces(step, 'earlier', kind);
    const later = this.#ownPlaces(step, 'later', kind);
    const to = Math.min(step.to, this.#history.length, ...later);
    return [Math.max(step.from, ...earlier.map((place) => place + 1)), to];
  }

  /** Where its session's other requests that touch the same show in the history. */
  #ownPlaces(step: Step, side: 'earlier' | 'later', kind: Kind): number[] {
    const index = this.program.steps.indexOf(step);
    const others = side === 'earlier' ? this.program.steps.slice(0, index) : this.program.steps.slice(index + 1);
    return others
      .filter(({ session }) => session === step.session)
      .flatMap((other) => this.#placesOf(other))
      .filter((place) => {
        const publication = this.#history[place] as Publication;
        return step.touches.matches(publication.path) && kind(publication);
      });
  }

  /** Where each record of the moment was stored. */
  #stateAt(moment: number): Map<string, number> {
    const state = new Map<string, number>();
    for (const [place, { path, revision, action }] of this.#history.slice(0, moment).entries()) {
      if (revision === 0) continue;
      if (action === 'set') state.set(path, place);
      else state.delete(path);
    }
    return state;
  }

  #shownAt(moment: number, pattern: Pattern): string[] {
    return [...this.#stateAt(moment)]
      .filter(([path]) => pattern.matches(path))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, place]) => `${path}=${String(this.#history[place]?.payload?.value())}`);
  }

  /** Of each path, everything from one place of the history on to another, once and in order; what is shown first fits. */
  #judgeHeard(step: Step, { subscription, initial }: SubscribeRequest): void {
    const { session, reply } = step;
    const places = session.given.flatMap((given) =>
      given.subscription === subscription ? [this.#place.get(given.publication as Publication) as number] : [],
    );
    if (reply === null || reply.error !== null) {
      if (reply !== null) mustEqual(places, [], 'nothing for what failed');
      return;
    }
    const end = this.#endOf(step, subscription);
    for (const path of PATHS) {
      if (!step.touches.matches(path)) continue;
      const [from] = this.#window(step, (publication) => publication.path === path);
      this.#judgePath(path, places, from, step.next, end);
    }
    if (initial === null) return;
    const [from, to] = this.#window(step, isStored);
    const found = (reply.entries ?? []).map((entry) => `${entry.path}=${String(entry.payload.value())}`);
    const fits = (moment: number): boolean =>
      this.#shownAt(moment, step.touches).join() === found.join() && this.#startsAt(moment, step.touches, places, end.sure);
    const moments = Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i);
    mustBe(moments.some(fits), true, `initial values ${found.join()} between ${from} and ${to}, then ${places.join()}`);
  }

  /** `sure`: everything before this place must be heard. `last`: nothing from here on may be. */
  #endOf(step: Step, subscription: Subscription): { sure: number; last: number } {
    const { session } = step;
    if (session.closed) return { sure: 0, last: this.#history.length };
    const ending = this.program.steps.find(({ request }) => request.op === 'unsubscribe' && request.subscription === subscription);
    if (ending === undefined || (ending.reply !== null && ending.reply.error !== null)) {
      const all = this.#history.length;
      return { sure: ending === undefined ? all : ending.from, last: all };
    }
    // Who ends it before its initial values are there hears nothing of what waited behind them.
    const sure = (ending.request.id as number) < step.next ? 0 : ending.from;
    const answered = session.given.findIndex(({ reply }) => reply !== null && reply === ending.reply);
    const late = session.given.slice(answered).some((given) => given.subscription === subscription);
    mustBe(late, false, 'nothing is heard after the answer to an unsubscribe');
    return { sure, last: this.#history.length };
  }

  #judgePath(path: string, all: number[], from: number, next: number, { sure, last }: { sure: number; last: number }): void {
    const heard = all.filter((place) => this.#history[place]?.path === path);
    const there = [...this.#history.keys()].filter((place) => this.#history[place]?.path === path && place < last);
    const first = heard[0] ?? Number.POSITIVE_INFINITY;
    const stretch = there.filter((place) => place >= first).slice(0, heard.length);
    mustEqual(heard, stretch, `events of ${path}, once and in order`);
    if (heard.length > 0) must(first >= from, `${path} is heard from the subscription on`);
    for (const place of there) {
      const cause = this.#history[place]?.requestId as number;
      if (cause >= next && place < sure) must(heard.includes(place), `${path} at ${place} is heard`);
    }
  }

  /** Stored changes are in the initial values or heard, never both and never neither. */
  #startsAt(moment: number, pattern: Pattern, heard: number[], sure: number): boolean {
    return this.#history.every(({ revision, path }, place) => {
      if (revision === 0 || !pattern.matches(path)) return true;
      return place < moment ? !heard.includes(place) : place >= sure || heard.includes(place);
    });
  }

  /** What is stored is what the history says. */
  async #judgeEnd(): Promise<void> {
    const { house } = this.program;
    const reader = house.session();
    const { entries } = await reader.find('*');
    const found = entries?.map(({ path, payload, revision }) => `${path}=${String(payload.value())} ${revision}`);
    const state = [...this.#stateAt(this.#history.length)].sort(([a], [b]) => (a < b ? -1 : 1));
    const told = state.map(([path, place]) => {
      const { payload, revision } = this.#history[place] as Publication;
      return `${path}=${String(payload?.value())} ${revision}`;
    });
    mustEqual(found, told, 'what is stored');
    mustBe(house.counters.gauges.get('requests_unsettled')?.read(), 0, 'requests unsettled');
    for (const actor of [this.program.listener, ...this.program.everyone]) actor.close(null);
    mustBe(house.counters.gauges.get('subscriptions')?.read(), 0, 'subscriptions of nobody');
    mustBe(house.counters.gauges.get('sessions')?.read(), 1, 'sessions');
  }
}

type Kind = (publication: Publication) => boolean;

function isStored({ revision }: Publication): boolean {
  return revision > 0;
}

function isRemovalOfMany({ request, touches }: Step): boolean {
  return request.op === 'remove' && touches.exact === null;
}

async function runProgram(seed: number, durability: Durability): Promise<void> {
  const house = await startEngine({
    durability,
    // Of two records, answers are streams to sessions that take streams.
    scan: { headBytes: 1, windowBytes: 6 },
    cacheBytes: seed % 4 === 0 ? 0 : 1024 * 1024,
  });
  try {
    // Without durability what was said may be lost with a batch: the history would not be what is stored.
    const program = new Program(house, randomOf(seed), durability !== 'none');
    await program.run();
    try {
      await new Judge(program).judge();
    } catch (error) {
      throw new Error(`program ${seed} breaks a law: ${(error as Error).message}\n${program.describe()}`, { cause: error });
    }
  } finally {
    house.store.releaseScans();
    house.store.release();
    await house.stop();
  }
}

describe('random programs', () => {
  it(`keep the laws of order (${PROGRAMS} programs)`, { timeout: PROGRAMS * 60 }, async () => {
    for (let seed = 1; seed <= PROGRAMS; seed++) await runProgram(seed, 'sync');
  });

  it(`keep them without durability (${PROGRAMS / 4} programs)`, { timeout: PROGRAMS * 60 }, async () => {
    for (let seed = 1; seed <= PROGRAMS / 4; seed++) await runProgram(-seed, 'none');
  });
});
