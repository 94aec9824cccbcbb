// Laws 8 and 9: a subscriber that does not read costs the others nothing, memory stays bounded, and what it loses is counted
// and logged once.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContractClient, Watch } from '../contract/contract-client.js';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { HappnContractClient } from '../support/happn-contract-client.js';
import { HavenClient } from '../support/haven-client.js';
import { HavenContractClient } from '../support/haven-contract-client.js';
import { logged, metric, residentBytes } from '../support/metrics.js';
import { MqttContractClient } from '../support/mqtt-contract-client.js';
import { loopMs } from '../support/processor-time.js';
import { connectMqtt } from '../support/roads.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
const MESSAGE_BYTES = 64 * 1024;
const TOTAL_BYTES = (LONG ? 1024 : 160) * 1024 * 1024;
const MESSAGES = TOTAL_BYTES / MESSAGE_BYTES;
const IN_FLIGHT = 16;
const TICK_MS = 20;
/** Of processor time of the gateway. */
const LONGEST_GAP_MS = 1_000;
/**
 * What one connection may have waiting (32 MB of payload), each message in the forms that were made of it for the readers of
 * all protocols, and the collector's leeway. Without a bound it would be the whole flood in all forms.
 */
const GROWTH_BYTES = 448 * 1024 * 1024;

let gateway: GatewayProcess;
let at: { host: string; port: number; httpPort: number };
let fast: { happn: ContractClient; mqtt: ContractClient; haven: ContractClient };
let writer: MqttContractClient;
/** Memory after one flood that everybody read. */
let base = 0;

beforeAll(async () => {
  gateway = await startGateway({ flags: ['--durability', 'os', '--log-level', 'warn'] });
  at = { host: '127.0.0.1', port: gateway.ports.mqtt, httpPort: gateway.ports.happn };
  fast = {
    happn: await HappnContractClient.connect(at),
    mqtt: await MqttContractClient.connect(at),
    haven: await HavenContractClient.connect({ ...at, port: gateway.ports.haven }),
  };
  writer = await MqttContractClient.connect(at);
});
afterAll(async () => {
  await Promise.all([writer, ...Object.values(fast)].map((client) => client.close()));
  await gateway.stop();
});

/** Notes the most that the gateway did between two ticks that a subscriber heard: time in which it did not run does not count. */
class Gaps {
  longest = 0;
  #last = busyMs();

  note = (): void => {
    const now = busyMs();
    this.longest = Math.max(this.longest, now - this.#last);
    this.#last = now;
  };
}

function busyMs(): number {
  return loopMs(gateway.pid) as number;
}

async function watchGaps(client: ContractClient): Promise<Gaps> {
  const gaps = new Gaps();
  const watch = await client.watch('steady/tick');
  watch.push = gaps.note;
  return gaps;
}

/** Keeps the numbers alone: the whole flood is more than this process holds. */
function withoutText(watch: Watch): Watch {
  const push = watch.push.bind(watch);
  watch.push = ({ action, path, value }) => push({ action, path, value: { n: value?.n as number } });
  return watch;
}

/** Publishes all of it, as fast as the readers who read hear it; resolves with the most that the gateway held meanwhile. */
async function flood(path: string, qos: 0 | 1, readers: readonly Watch[]): Promise<number> {
  const text = 'x'.repeat(MESSAGE_BYTES);
  const atMostOnce = qos === 0 ? await connectMqtt(gateway.ports) : null;
  let peak = 0;
  for (let n = 0; n < MESSAGES; n += IN_FLIGHT) {
    const bodies = Array.from({ length: IN_FLIGHT }, (_, i) => ({ n: n + i, text }));
    if (atMostOnce !== null) for (const body of bodies) await atMostOnce.publishAsync(path, JSON.stringify(body), { qos: 0 });
    else await Promise.all(bodies.map((body) => writer.emit(path, body)));
    await Promise.all(readers.map((reader) => reader.count(n + IN_FLIGHT)));
    if (n % (16 * IN_FLIGHT) === 0) peak = Math.max(peak, await residentBytes(gateway));
  }
  await atMostOnce?.endAsync();
  return peak;
}

/** Runs the flood past fast readers of all protocols, who hear all of it, in order, and their ticks in time; resolves with the peak. */
async function floodPast(path: string, qos: 0 | 1): Promise<number> {
  const watches = new Map<string, Watch>();
  for (const [name, client] of Object.entries(fast)) watches.set(name, withoutText(await client.watch(path)));
  const tickers = await Promise.all([
    HappnContractClient.connect(at),
    MqttContractClient.connect(at),
    HavenContractClient.connect({ ...at, port: gateway.ports.haven }),
  ]);
  const gaps = await Promise.all(tickers.map(watchGaps));
  const ticking = await MqttContractClient.connect(at);
  let ticked = Promise.resolve();
  const timer = setInterval(() => (ticked = ticking.emit('steady/tick', { n: 0 })), TICK_MS);
  const peak = await flood(path, qos, [...watches.values()]);
  for (const [name, watch] of watches) {
    expect([name, watch.heard.every(({ value }, i) => value?.n === i), watch.heard.length]).toEqual([name, true, MESSAGES]);
    await fast[name as keyof typeof fast].unwatch(watch);
  }
  clearInterval(timer);
  await ticked;
  for (const gap of gaps) gap.note();
  expect(Math.max(...gaps.map(({ longest }) => longest))).toBeLessThan(LONGEST_GAP_MS);
  await Promise.all([ticking, ...tickers].map((client) => client.close()));
  return peak;
}

const TOO_SLOW = 'receiver is too slow: ending the connection';

describe('a subscriber that does not read', { timeout: 600_000 }, () => {
  beforeAll(async () => {
    // So that the heap has its working size before it is compared.
    await floodPast('slow/warm', 1);
    base = await residentBytes(gateway);
  });

  const ended: [name: string, connect: () => Promise<ContractClient>][] = [
    ['happn', () => HappnContractClient.connect(at)],
    ['MQTT at QoS 1', () => MqttContractClient.connect(at)],
    ['Haven, pushed to', () => HavenContractClient.connect({ ...at, port: gateway.ports.haven })],
  ];
  it.each(ended)('B2 %s: is ended, counted and logged once', async (name, connect) => {
    const path = `slow/${name.replaceAll(/\W/g, '')}`;
    const slow = await connect();
    await slow.watch(path);
    slow.stall();
    const closed = await metric(gateway, 'slow_consumers_closed_total');
    const told = logged(gateway, TOO_SLOW);
    const peak = await floodPast(path, 1);
    expect(await metric(gateway, 'slow_consumers_closed_total')).toBe(closed + 1);
    await until('the log line', () => logged(gateway, TOO_SLOW) > told);
    expect(logged(gateway, TOO_SLOW)).toBe(told + 1);
    expect(peak - base).toBeLessThan(GROWTH_BYTES);
    slow.resume();
    await slow.ended;
  });

  it('B2 MQTT at QoS 0: loses messages, counted and logged once, and hears the newest when it reads again', async () => {
    const slow = await connectMqtt(gateway.ports);
    await slow.subscribeAsync(['slow/qos0', 'slow/end'], { qos: 0 });
    slow.stream.pause();
    const dropped = await metric(gateway, 'outbound_dropped_total');
    const told = logged(gateway, 'dropping QoS 0');
    const peak = await floodPast('slow/qos0', 0);
    const lost = (await metric(gateway, 'outbound_dropped_total')) - dropped;
    expect(lost).toBeGreaterThan(0);
    expect(logged(gateway, 'dropping QoS 0')).toBe(told + 1);
    expect(peak - base).toBeLessThan(GROWTH_BYTES);
    let heard = 0;
    const end = new Promise<void>((resolve) => {
      slow.on('message', (topic) => {
        if (topic === 'slow/end') resolve();
        else heard += 1;
      });
    });
    slow.stream.resume();
    // Also this one may be lost, as long as much waits.
    let sent = Promise.resolve();
    const repeat = setInterval(() => (sent = writer.emit('slow/end', { n: 0 })), 50);
    await end;
    clearInterval(repeat);
    await sent;
    expect(heard).toBe(MESSAGES - lost);
    await slow.endAsync();
  });

  it('Haven without push: keeps the newest, and its next heartbeat tells how many it missed', async () => {
    const slow = await HavenClient.connect(gateway.ports.haven);
    await slow.watch('slow/list');
    const before = await metric(gateway, 'haven_watch_events_missed_total');
    const peak = await floodPast('slow/list', 1);
    expect(peak - base).toBeLessThan(GROWTH_BYTES);
    const { result, missed } = (await slow.heartbeat()) as { result: { value: { n: number } }[]; missed: number };
    expect(result.length + missed).toBe(MESSAGES);
    expect(missed).toBeGreaterThan(0);
    expect(result.at(-1)?.value.n).toBe(MESSAGES - 1);
    expect(await metric(gateway, 'haven_watch_events_missed_total')).toBe(before + missed);
    expect((await slow.heartbeat()).missed ?? 0).toBe(0);
    await slow.close();
  });
});
