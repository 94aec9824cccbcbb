// Law 7: acknowledged means stored. The gateway is killed with SIGKILL while clients of all protocols write; each keeps a
// ledger of what it sent and what was acknowledged, and after the restart nothing acknowledged is missing or undone.

import { describe, expect, it } from 'vitest';
import type { ContractClient } from '../contract/contract-client.js';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { HappnContractClient } from '../support/happn-contract-client.js';
import { HavenContractClient } from '../support/haven-contract-client.js';
import { MqttContractClient } from '../support/mqtt-contract-client.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
const ROUNDS = LONG ? 100 : 4;
const PATHS = 8;
const IN_FLIGHT = 16;
/** Every n-th change of a path removes it. */
const REMOVES = 5;

const PROTOCOLS: readonly [name: string, connect: (gateway: GatewayProcess) => Promise<ContractClient>][] = [
  ['happn', ({ ports }) => HappnContractClient.connect({ host: '127.0.0.1', port: ports.happn, httpPort: ports.happn })],
  ['mqtt', ({ ports }) => MqttContractClient.connect({ host: '127.0.0.1', port: ports.mqtt, httpPort: ports.happn })],
  ['haven', ({ ports }) => HavenContractClient.connect({ host: '127.0.0.1', port: ports.haven, httpPort: ports.happn })],
];

/** What happened to one path: change number i sets {n: i}, or removes. */
class Ledger {
  sent = 0;
  acknowledged = 0;

  constructor(readonly path: string) {}

  static removes(n: number): boolean {
    return n % REMOVES === 0;
  }

  /** The change after which the path looks like this; NaN if none that may have happened does. */
  changeBehind(found: number | null): number {
    for (let n = this.sent; n >= this.acknowledged; n--) {
      if (found === (n === 0 || Ledger.removes(n) ? null : n)) return n;
    }
    return Number.NaN;
  }
}

/** Keeps changes in flight until the connection is gone; `onAcknowledged` after each answer. */
async function write(client: ContractClient, ledgers: readonly Ledger[], onAcknowledged: () => void): Promise<void> {
  let ended = false;
  void client.ended.then(() => (ended = true));
  const worker = async (number: number): Promise<void> => {
    for (let i = number; !ended; i += IN_FLIGHT) {
      const ledger = ledgers[i % ledgers.length] as Ledger;
      const n = ++ledger.sent;
      try {
        await (Ledger.removes(n) ? client.remove(ledger.path) : client.set(ledger.path, { n }));
      } catch {
        // Sent and not answered: it may or may not have happened.
        return;
      }
      ledger.acknowledged = Math.max(ledger.acknowledged, n);
      onAcknowledged();
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, (_, number) => worker(number)));
}

/** A small generator with a seed, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe.each(['sync', 'os'])('durability %s', (durability) => {
  it(`loses nothing acknowledged in ${ROUNDS} rounds of kill -9 under load`, { timeout: LONG ? 3_600_000 : 120_000 }, async () => {
    const next = random(LONG ? Date.now() >>> 0 : 2);
    const ledgers = PROTOCOLS.map(([name]) => Array.from({ length: PATHS }, (_, i) => new Ledger(`ledger/${name}/${i}`)));
    const gateway = await startGateway({ flags: ['--durability', durability, '--log-level', 'warn'] });
    let revision = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const killAfter = 50 + Math.floor(next() * 1_500);
      let acknowledged = 0;
      const clients = await Promise.all(PROTOCOLS.map(([, connect]) => connect(gateway)));
      const enough = new Promise<void>((resolve) => {
        const count = (): void => {
          acknowledged += 1;
          if (acknowledged === killAfter) resolve();
        };
        for (const [i, client] of clients.entries()) void write(client, ledgers[i] as Ledger[], count);
      });
      await enough;
      await gateway.kill();
      await Promise.all(clients.map((client) => client.ended));
      await gateway.restart();
      revision = await expectKept(gateway, ledgers, revision);
    }
    await gateway.stop();
  });
});

/** Returns the highest revision found, which never falls behind. */
async function expectKept(gateway: GatewayProcess, ledgers: readonly (readonly Ledger[])[], before: number): Promise<number> {
  const client = (await HavenContractClient.connect({ host: '127.0.0.1', port: gateway.ports.haven, httpPort: 0 })) as HavenContractClient;
  for (const ledger of ledgers.flat()) {
    const found = ((await client.get(ledger.path)) as { n: number } | null)?.n ?? null;
    const change = ledger.changeBehind(found);
    expect({ path: ledger.path, found, acknowledged: ledger.acknowledged, sent: ledger.sent, known: !Number.isNaN(change) }).toMatchObject({
      known: true,
    });
    // From here on the path is as it was found; what was sent and lost is sent no more.
    ledger.sent = Math.max(ledger.sent, change);
    ledger.acknowledged = change;
  }
  const { revision } = (await client.client.write('ledger/revision', 1)) as { revision: number };
  expect(revision).toBeGreaterThan(before);
  await client.close();
  return revision;
}
