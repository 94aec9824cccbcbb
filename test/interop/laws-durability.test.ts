// Law 7: acknowledged means stored. The gateway is killed with SIGKILL while clients of all protocols write; each keeps a
// ledger of what it sent and what was acknowledged, and after the restart nothing acknowledged is missing or undone. Over Haven also
// transactions, of which none is half there, what a record was before, and what the node was told to be.

import { describe, expect, it } from 'vitest';
import type { ContractClient } from '../contract/contract-client.js';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { HappnContractClient } from '../support/happn-contract-client.js';
import { type Answer, type Fields, HavenClient } from '../support/haven-client.js';
import { HavenContractClient } from '../support/haven-contract-client.js';
import { MqttContractClient } from '../support/mqtt-contract-client.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
const ROUNDS = LONG ? 100 : 4;
const PATHS = 8;
const IN_FLIGHT = 16;
/** Every n-th change of a path removes it. */
const REMOVES = 5;
/** Records that one transaction changes. */
const RECORDS = 4;
const HISTORY = JSON.stringify([{ pattern: 'ledger/transaction/*', revisions: 20 }]);

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

  /** From here on the path is as it was found; what was sent and lost is sent no more. */
  expectKept(found: number | null): void {
    const change = this.changeBehind(found);
    const { path, acknowledged, sent } = this;
    expect({ path, found, acknowledged, sent, known: !Number.isNaN(change) }).toMatchObject({ known: true });
    this.acknowledged = change;
  }
}

/** Somebody who writes, round after round. */
interface Load {
  /** Connects and writes until the connection is gone, which is when the promise in the answer resolves. */
  begin(gateway: GatewayProcess, onAcknowledged: () => void): Promise<{ readonly ended: Promise<void> }>;
  /** Compares what there is after a restart with what was acknowledged. */
  expectKept(client: HavenClient): Promise<void>;
}

class Records implements Load {
  readonly #ledgers: readonly Ledger[];

  constructor(
    name: string,
    private readonly connect: (gateway: GatewayProcess) => Promise<ContractClient>,
  ) {
    this.#ledgers = Array.from({ length: PATHS }, (_, i) => new Ledger(`ledger/${name}/${i}`));
  }

  async begin(gateway: GatewayProcess, onAcknowledged: () => void): Promise<{ readonly ended: Promise<void> }> {
    const client = await this.connect(gateway);
    void this.#write(client, onAcknowledged);
    return client;
  }

  /** Keeps changes in flight; calls `onAcknowledged` after each answer. */
  async #write(client: ContractClient, onAcknowledged: () => void): Promise<void> {
    let ended = false;
    void client.ended.then(() => (ended = true));
    const worker = async (number: number): Promise<void> => {
      for (let i = number; !ended; i += IN_FLIGHT) {
        const ledger = this.#ledgers[i % this.#ledgers.length] as Ledger;
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

  async expectKept(client: HavenClient): Promise<void> {
    for (const ledger of this.#ledgers) ledger.expectKept(await numberAt(client, ledger.path));
  }
}

/** Each transaction sets or removes all records of its group, and knows what it had before: one that is half there is found out. */
class Transactions implements Load {
  readonly #groups = Array.from({ length: PATHS }, (_, i) => new Ledger(`ledger/transaction/${i}`));
  /** Of each group, the last transactions that were answered: what their first record was then. */
  readonly #answered = new Map<Ledger, { readonly n: number; readonly revision: number }[]>();

  async begin(gateway: GatewayProcess, onAcknowledged: () => void): Promise<{ readonly ended: Promise<void> }> {
    const client = await HavenClient.connect(gateway.ports.haven);
    for (const group of this.#groups) void this.#write(client, group, onAcknowledged);
    return client;
  }

  async #write(client: HavenClient, group: Ledger, onAcknowledged: () => void): Promise<void> {
    for (;;) {
      const n = ++group.sent;
      const type = Ledger.removes(n) ? 'delete' : 'write';
      const paths = Array.from({ length: RECORDS }, (_, i) => `${group.path}/${i}`);
      const ops = paths.map((path): Fields => ({ type, path, ...(type === 'write' ? { value: { n } } : {}) }));
      try {
        const { revisions } = await client.request({ action: 'query', type: 'transaction', ops });
        group.acknowledged = n;
        if (type === 'write') this.#answered.set(group, [...(this.#answered.get(group) ?? []), { n, revision: revisions[0] }].slice(-5));
        onAcknowledged();
      } catch {
        // Sent and not answered: it may or may not have happened.
        return;
      }
    }
  }

  async expectKept(client: HavenClient): Promise<void> {
    for (const group of this.#groups) {
      const paths = Array.from({ length: RECORDS }, (_, i) => `${group.path}/${i}`);
      const found = await Promise.all(paths.map((path) => numberAt(client, path)));
      expect({ path: group.path, found: [...new Set(found)] }).toMatchObject({ found: [found[0]] });
      group.expectKept(found[0] ?? null);
      for (const { n, revision } of this.#answered.get(group) ?? []) {
        const { value } = await client.read(`${group.path}/0`, { mode: 'rt', revision });
        expect({ path: group.path, revision, value }).toMatchObject({ value: { n } });
      }
    }
  }
}

/** What the node is told to be: a processor, a router and a leader, one after the other, and now and then nothing at all. */
class Roles implements Load {
  #kept: readonly string[] = [];
  /** As it is if the last message was taken. */
  #sent: readonly string[] = [];
  #count = 0;

  async begin(gateway: GatewayProcess, onAcknowledged: () => void): Promise<{ readonly ended: Promise<void> }> {
    const client = await HavenClient.connect(gateway.ports.haven);
    void this.#write(client, onAcknowledged);
    return client;
  }

  async #write(client: HavenClient, onAcknowledged: () => void): Promise<void> {
    for (;;) {
      const n = ++this.#count;
      const path = `/${'abcdefghij'[n % 10]}`;
      const type = n % 7 === 0 ? 'exit' : (['leader', 'processor', 'router'][n % 3] as string);
      this.#sent = type === 'exit' ? [] : [...new Set([...this.#kept, `${type} ${path}`])].sort();
      let answer: Answer;
      try {
        answer = await client.ask({ action: 'become', type, ...(type === 'exit' ? { force: true } : { path }) });
      } catch {
        return;
      }
      // Who leads already is told so.
      expect(answer.result === true || answer.error.code === 8).toBe(true);
      this.#kept = this.#sent;
      onAcknowledged();
    }
  }

  async expectKept(client: HavenClient): Promise<void> {
    const { roles, quorums } = (await client.heartbeat()).state;
    const shown = [
      ...roles.map(({ type, path }: { type: string; path: string }) => `${type} ${path}`),
      ...quorums.map(({ path }: { path: string }) => `leader ${path}`),
    ].sort();
    expect([this.#kept, this.#sent]).toContainEqual(shown);
    this.#kept = shown;
    this.#sent = shown;
  }
}

async function numberAt(client: HavenClient, path: string): Promise<number | null> {
  const answer = await client.ask({ action: 'query', type: 'read', path });
  if (answer.result === true) return answer.value.n;
  expect(answer.error.name).toBe('NOT_FOUND');
  return null;
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
  it(`A1 A5 loses nothing acknowledged in ${ROUNDS} rounds of kill -9 under load`, { timeout: LONG ? 3_600_000 : 120_000 }, async () => {
    const next = random(LONG ? Date.now() >>> 0 : 2);
    const loads: readonly Load[] = [...PROTOCOLS.map(([name, connect]) => new Records(name, connect)), new Transactions(), new Roles()];
    const gateway = await startGateway({ flags: ['--durability', durability, '--log-level', 'warn', '--history', HISTORY] });
    let revision = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const killAfter = 50 + Math.floor(next() * 1_500);
      let acknowledged = 0;
      let enough = (): void => {};
      const reached = new Promise<void>((resolve) => (enough = resolve));
      const count = (): void => {
        acknowledged += 1;
        if (acknowledged === killAfter) enough();
      };
      const counts = loads.map(() => 0);
      const begin = (load: Load, at: number): ReturnType<Load['begin']> =>
        load.begin(gateway, () => {
          counts[at] = (counts[at] as number) + 1;
          count();
        });
      const clients = await Promise.all(loads.map(begin));
      await reached;
      await gateway.kill();
      expect(Math.min(...counts)).toBeGreaterThan(0);
      await Promise.all(clients.map((client) => client.ended));
      await gateway.restart();
      const client = await HavenClient.connect(gateway.ports.haven);
      for (const load of loads) await load.expectKept(client);
      const before = revision;
      ({ revision } = await client.write('ledger/revision', 1));
      expect(revision).toBeGreaterThan(before);
      await client.close();
    }
    await gateway.stop();
  });
});
