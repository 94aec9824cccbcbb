// Meter: one measured run. Lanes keep a window of messages outstanding; the meter knows the time, the counts,
// the latencies, and what the server's and the generator's processors cost meanwhile.

import { cpuSeconds } from '../lib/processes.mjs';

const WARMING = 0;
const MEASURING = 1;
const DRAINING = 2;

/** Latencies are counted in steps of 10 µs up to 2 s. */
const STEP_MS = 0.01;
const STEPS = 200_000;
const STALL_MS = 5000;

export class Meter {
  #pid;
  #warmMs;
  #measureMs;
  #phase = WARMING;
  #begun = 0;
  #count = 0;
  #total = 0;
  #serverCpu = 0;
  #ownCpu = 0;
  #latencies = new Uint32Array(STEPS + 1);
  #lastAt = 0;
  #longestGapMs = 0;
  #lanes = [];
  #result = null;
  #watchdog = null;
  #resolve;
  #reject;
  done;

  constructor({ pid, warmSeconds, seconds }) {
    this.#pid = pid;
    this.#warmMs = warmSeconds * 1000;
    this.#measureMs = seconds * 1000;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** A window of messages; `transmit(n)` must send n more. */
  lane(window, transmit) {
    const lane = new Lane(this, window, transmit);
    this.#lanes.push(lane);
    return lane;
  }

  run() {
    this.#begun = performance.now();
    let seen = 0;
    this.#watchdog = setInterval(() => {
      if (this.#total === seen) this.fail(new Error(`stalled: ${this.#outstanding} messages outstanding after ${this.#total}`));
      seen = this.#total;
    }, STALL_MS);
    for (const lane of this.#lanes) lane.fill();
    return this.done;
  }

  get sending() {
    return this.#phase !== DRAINING;
  }

  fail(error) {
    clearInterval(this.#watchdog);
    this.#reject(error);
  }

  get #outstanding() {
    return this.#lanes.reduce((sum, lane) => sum + lane.outstanding, 0);
  }

  /** `n` messages reached the generator. Called once a chunk. */
  received(n, now) {
    this.#total += n;
    if (this.#phase === MEASURING) {
      this.#count += n;
      if (now - this.#begun >= this.#measureMs) this.#finish(now);
    } else if (this.#phase === WARMING && now - this.#begun >= this.#warmMs) {
      this.#phase = MEASURING;
      this.#serverCpu = cpuSeconds(this.#pid);
      this.#ownCpu = cpuSeconds(process.pid);
      this.#begun = performance.now();
    }
  }

  /** `n` messages were done `ms` after they were sent. */
  latency(ms, n) {
    if (this.#phase === MEASURING) this.#latencies[Math.min(STEPS, Math.floor(ms / STEP_MS))] += n;
  }

  /** Something was done; the longest time without that counts from the first message, also while warming. */
  completed(now) {
    if (this.#lastAt > 0) this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastAt);
    this.#lastAt = now;
  }

  drained() {
    if (this.#phase !== DRAINING || this.#outstanding !== 0) return;
    clearInterval(this.#watchdog);
    this.#resolve(this.#result);
  }

  #finish(now) {
    const seconds = (now - this.#begun) / 1000;
    const serverCpu = cpuSeconds(this.#pid) - this.#serverCpu;
    this.#result = {
      seconds,
      messages: this.#count,
      perSecond: this.#count / seconds,
      perCpuSecond: this.#count / serverCpu,
      serverCpu: serverCpu / seconds,
      generatorCpu: (cpuSeconds(process.pid) - this.#ownCpu) / seconds,
      p50Ms: this.#percentile(0.5),
      p99Ms: this.#percentile(0.99),
      longestGapMs: this.#longestGapMs,
    };
    this.#phase = DRAINING;
  }

  #percentile(share) {
    const all = this.#latencies.reduce((sum, n) => sum + n, 0);
    let seen = 0;
    for (let step = 0; step <= STEPS; step += 1) {
      seen += this.#latencies[step];
      if (seen > 0 && seen >= all * share) return (step + 1) * STEP_MS;
    }
    return 0;
  }
}

class Lane {
  #meter;
  #window;
  #transmit;
  /** Groups that were sent together, oldest first: their time and what is left of each. */
  #groups = [];
  #oldest = 0;
  outstanding = 0;

  constructor(meter, window, transmit) {
    this.#meter = meter;
    this.#window = window;
    this.#transmit = transmit;
  }

  fill() {
    this.#send(this.#window, performance.now());
  }

  /** The `n` oldest messages are done; as many follow. Call `meter.received` first. */
  complete(n, now) {
    if (n === 0) return;
    this.outstanding -= n;
    if (this.outstanding < 0) {
      this.#meter.fail(new Error(`${-this.outstanding} messages more came than were sent`));
      return;
    }
    this.#meter.completed(now);
    this.#time(n, now);
    if (this.#meter.sending) this.#send(n, now);
    else this.#meter.drained();
  }

  #send(n, now) {
    this.#groups.push({ at: now, left: n });
    this.outstanding += n;
    this.#transmit(n);
  }

  #time(n, now) {
    while (n > 0) {
      const group = this.#groups[this.#oldest];
      const taken = Math.min(n, group.left);
      this.#meter.latency(now - group.at, taken);
      group.left -= taken;
      n -= taken;
      if (group.left === 0) this.#oldest += 1;
    }
    if (this.#oldest > 256) {
      this.#groups.splice(0, this.#oldest);
      this.#oldest = 0;
    }
  }
}

/**
 * Tells how many messages became complete when receiver `index` got `n` more: a message is complete when all have it.
 * `waiting[slot]` counts the receivers that still miss the message of that slot.
 */
export function slowest(receivers, window) {
  const slots = window * 2;
  const waiting = new Uint32Array(slots).fill(receivers);
  const positions = new Uint32Array(receivers);
  return (index, n) => {
    let complete = 0;
    for (let i = 0; i < n; i += 1) {
      const slot = positions[index];
      positions[index] = (slot + 1) % slots;
      waiting[slot] -= 1;
      if (waiting[slot] === 0) {
        waiting[slot] = receivers;
        complete += 1;
      }
    }
    return complete;
  };
}

/** A connection that ends while the load runs fails it. */
export function watchFaults(meter, connections) {
  for (const connection of connections) connection.onFault = (error) => meter.fail(error);
}
