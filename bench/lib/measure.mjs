// The three kinds of measurement: a steady load in alternating rounds, idle connections, start to ready.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Generator } from './generator.mjs';
import { portOf } from './loads.mjs';
import { rssBytes } from './processes.mjs';
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

/**
 * Drives the servers in turn, `rounds` times after one round that does not count (it warms up the servers and the
 * generator). A server that fails is left out from then on and shown with its error.
 */
export function measureSteady(load, kinds, { rounds, seconds, profileDir }) {
  const options = (kind) => (kind === 'trivium' && profileDir ? { profileDir } : {});
  return withServers(kinds, options, (servers) =>
    withGenerator(async (generator) => {
      const results = new Map(servers.map((server) => [server, { rounds: [], error: null }]));
      for (let round = 0; round <= rounds; round += 1) {
        if (round === 1 && profileDir) process.kill(servers.find(({ kind }) => kind === 'trivium').pid, 'SIGUSR2');
        for (const server of servers) {
          const result = results.get(server);
          if (result.error !== null) continue;
          try {
            const figures = await generator.ask('drive', {
              load: load.driver[server.kind] ?? load.driver.default,
              options: { ...load.options, port: portOf(server, load.protocol) },
              meter: { pid: server.pid, warmSeconds: 0.25, seconds },
            });
            if (round > 0) result.rounds.push({ ...figures, rssBytes: rssBytes(server.pid) });
          } catch (error) {
            result.error = error.message;
          }
        }
      }
      return servers.map((server) => {
        const { rounds: figures, error } = results.get(server);
        return { server: server.kind, error, ...(figures.length > 0 ? medians(figures) : {}), rounds: figures };
      });
    }),
  );
}

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

async function idleOnce(generator, server, { protocol, count }) {
  const port = portOf(server, protocol);
  // First some that are closed again, so that code and buffers that any server makes once do not count.
  await generator.ask('openIdle', { protocol, port, count: Math.ceil(count / 10) });
  await generator.ask('closeIdle');
  const before = await settledRss(server);
  await generator.ask('openIdle', { protocol, port, count });
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

/** Fills a data directory through the gateway itself. */
async function filled(dataDir, records) {
  await withServers(
    ['trivium'],
    () => ({ dataDir, durability: 'none' }),
    ([server]) => withGenerator((generator) => generator.ask('fill', { port: server.ports.haven, records, payloadBytes: 64 })),
  );
}

export async function measureStart(load, kinds, { rounds }) {
  const results = [];
  for (const kind of kinds) {
    const dataDir = mkdtempSync(join(tmpdir(), 'trivium-bench-data-'));
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
      rmSync(dataDir, { recursive: true, force: true });
    }
  }
  return results;
}
