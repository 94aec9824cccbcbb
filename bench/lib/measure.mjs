// The kinds of measurement: a steady load in alternating rounds, idle connections, a crowd that reconnects, start to ready.

import { setTimeout as delay } from 'node:timers/promises';
import { makeFolder, removeFolder } from './folders.mjs';
import { Generator } from './generator.mjs';
import { portOf } from './loads.mjs';
import { clearPeak, peakBytes, rssBytes } from './processes.mjs';
import { startServer } from './servers.mjs';

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Medians, number by number, of objects with the same keys. */
const medians = (rounds) => Object.fromEntries(Object.keys(rounds[0]).map((key) => [key, median(rounds.map((round) => round[key]))]));

async function withServers(kinds, options, use) {
  const servers = [];
  try {
    for (const kind of kinds) servers.push(await startServer(kind, options(kind)));
    return await use(servers);
  } finally {
    for (const server of servers) await server.stop();
  }
}

async function withGenerator(use) {
  const generator = new Generator();
  try {
    return await use(generator);
  } finally {
    await generator.stop();
  }
}

const NO_VARIANT = { name: null, options: {} };

/** A server under one variant of the load. */
class Contestant {
  rounds = [];
  error = null;

  constructor(server, variant) {
    this.server = server;
    this.variant = variant;
  }

  async drive(generator, load, { seconds, counts }) {
    const { server, variant } = this;
    try {
      clearPeak(server.pid);
      const figures = await generator.ask('drive', {
        load: load.driver[server.kind] ?? load.driver.default,
        options: { ...load.options, ...variant.options, port: portOf(server, load.protocol) },
        meter: { pid: server.pid, warmSeconds: 0.25, seconds: load.seconds ?? seconds },
      });
      if (counts) this.rounds.push({ ...figures, rssBytes: rssBytes(server.pid), peakBytes: peakBytes(server.pid) });
    } catch (error) {
      this.error = error.message;
    }
  }

  get result() {
    const { server, variant, error, rounds } = this;
    return { server: server.kind, variant: variant.name, error, ...(rounds.length > 0 ? medians(rounds) : {}), rounds };
  }
}

/**
 * Drives the servers in turn, each in all variants, `rounds` times after one round that does not count (it warms up the
 * servers and the generator). Who fails is left out from then on and shown with the error.
 */
export function measureSteady(load, kinds, { rounds, seconds, profileDir }) {
  const options = (kind) => (kind === 'trivium' && profileDir ? { profileDir } : {});
  return withServers(kinds, options, (servers) =>
    withGenerator(async (generator) => {
      if (load.records !== undefined) for (const server of servers) await fill(generator, server, load.protocol, load.records);
      const variants = load.variants ?? [NO_VARIANT];
      const contestants = servers.flatMap((server) => variants.map((variant) => new Contestant(server, variant)));
      for (let round = 0; round <= rounds; round += 1) {
        if (round === 1 && profileDir) process.kill(servers.find(({ kind }) => kind === 'trivium').pid, 'SIGUSR2');
        for (const contestant of contestants) {
          if (contestant.error === null) await contestant.drive(generator, load, { seconds, counts: round > 0 });
        }
      }
      return contestants.map(({ result }) => result);
    }),
  );
}

const fill = (generator, server, protocol, records) =>
  generator.ask('fill', { protocol, port: portOf(server, protocol), records, payloadBytes: 64 });

/** Collects garbage where the server can, and waits until its memory stays the same (1%) for half a second. */
async function settledRss({ kind, pid }) {
  const collectable = kind !== 'mosquitto' && kind !== 'redis';
  let before = 0;
  for (let look = 0; look < 12; look += 1) {
    if (collectable) process.kill(pid, 'SIGUSR2');
    await delay(500);
    const now = rssBytes(pid);
    if (Math.abs(now - before) < now * 0.01) return now;
    before = now;
  }
  return before;
}

async function idleOnce(generator, server, { protocol, connect = protocol, count }) {
  const port = portOf(server, protocol);
  // First some that are closed again, so that code and buffers that any server makes once do not count.
  await generator.ask('openIdle', { protocol: connect, port, count: Math.ceil(count / 10) });
  await generator.ask('closeIdle');
  const before = await settledRss(server);
  await generator.ask('openIdle', { protocol: connect, port, count });
  const after = await settledRss(server);
  const open = await generator.ask('countIdle');
  await generator.ask('closeIdle');
  if (open !== count) throw new Error(`${count - open} of ${count} connections were closed by the server`);
  return { connections: count, bytesPerConnection: (after - before) / count, rssBytes: after };
}

export async function measureIdle(load, kinds) {
  const results = [];
  for (const kind of kinds) {
    await withServers(
      [kind],
      () => ({ collectable: true }),
      ([server]) =>
        withGenerator(async (generator) => {
          try {
            results.push({ server: kind, error: null, ...(await idleOnce(generator, server, load)) });
          } catch (error) {
            results.push({ server: kind, error: error.message });
          }
        }),
    );
  }
  return results;
}

/**
 * The crowd comes back `rounds` times. A round's figures: when the last one was served, how often one had to try again, and
 * how the messages of the others fared from the moment of the loss on.
 */
async function crowdRounds(server, { protocol, count, version, beside }, rounds) {
  const port = portOf(server, protocol);
  return withGenerator((crowd) =>
    withGenerator(async (others) => {
      await crowd.ask('gather', { port, count, version });
      const figures = [];
      for (let round = 0; round < rounds; round += 1) {
        await others.ask('beginBeside', { ...beside, port });
        await crowd.ask('scatter');
        const { servedMs, retries } = await crowd.ask('comeBack');
        const { p50Ms, p99Ms, longestMs } = await others.ask('endBeside');
        figures.push({ servedMs, retries, p50Ms, p99Ms, longestMs, rssBytes: rssBytes(server.pid) });
      }
      return figures;
    }),
  );
}

export async function measureCrowd(load, kinds, { rounds }) {
  const results = [];
  for (const kind of kinds) {
    await withServers(
      [kind],
      () => ({}),
      async ([server]) => {
        try {
          const figures = await crowdRounds(server, load, rounds);
          results.push({ server: kind, error: null, ...medians(figures), rounds: figures });
        } catch (error) {
          results.push({ server: kind, error: error.message });
        }
      },
    );
  }
  return results;
}

/** Fills a data directory through the gateway itself. */
async function filled(dataDir, records) {
  await withServers(
    ['trivium'],
    () => ({ dataDir, durability: 'none' }),
    ([server]) => withGenerator((generator) => fill(generator, server, 'haven', records)),
  );
}

export async function measureStart(load, kinds, { rounds }) {
  const results = [];
  for (const kind of kinds) {
    const dataDir = makeFolder();
    try {
      if (load.records > 0) await filled(dataDir, load.records);
      const times = [];
      for (let round = 0; round < rounds; round += 1) {
        await withServers(
          [kind],
          () => ({ dataDir }),
          async ([server]) => times.push(server.readyMs),
        );
      }
      results.push({ server: kind, error: null, readyMs: median(times), rounds: times });
    } catch (error) {
      results.push({ server: kind, error: error.message });
    } finally {
      removeFolder(dataDir);
    }
  }
  return results;
}
