// Gateways for the model test behind one face: in this process on a store in memory, or as a process on a disk.

import { vi } from 'vitest';
import { GateStore } from '../support/core-harness.js';
import { GatewayProcess, type StartOptions, until } from '../support/gateway-process.js';
import { MemoryDisk } from '../support/memory-store.js';
import { metric } from '../support/metrics.js';
import { type HouseOptions, MqttHouse } from '../support/mqtt-wire.js';

/** That of the engine's sweeps. */
const SWEEP_MS = 1_000;

export interface House {
  readonly port: number;
  /** The time of day can be moved on. */
  readonly passes: boolean;
  /** It moves on, and what is due then is done: at most `records` are left. */
  pass(seconds: number, records: number): Promise<void>;
  /** A moment passes, so that what happens next is later than what has happened. */
  tick(): void;
  /** Connections that the gateway has. */
  connections(): Promise<number>;
  restart(): Promise<void>;
  /** As it stands, whatever it is at; what had not reached the store is lost. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

export class MemoryHouse implements House {
  private constructor(
    private readonly options: HouseOptions,
    private house: MqttHouse,
    private store: GateStore,
  ) {}

  static async start(given: HouseOptions): Promise<MemoryHouse> {
    // What is due is done when the test says so.
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const store = new GateStore();
    const options = { ...given, clock: { mono: 1, ahead: 0 } };
    return new MemoryHouse(options, await MqttHouse.start({ ...options, store }), store);
  }

  readonly passes = true;

  async pass(seconds: number, records: number): Promise<void> {
    this.house.clock.ahead += seconds * 1_000;
    vi.advanceTimersByTime(SWEEP_MS);
    const read = (name: string): number => this.house.counters.gauges.get(name)?.read() as number;
    await until('what is due is done', () => read('requests_unsettled') === 0 && read('records') <= records);
  }

  tick(): void {
    this.house.clock.ahead += 1;
  }

  get port(): number {
    return this.house.port;
  }

  async connections(): Promise<number> {
    return this.house.counters.gauges.get('mqtt_connections')?.read() as number;
  }

  async restart(): Promise<void> {
    await this.house.stop();
    this.house = await MqttHouse.start({ ...this.options, store: this.store });
  }

  async kill(): Promise<void> {
    const { disk } = this.store;
    const left = new MemoryDisk();
    for (const [key, value] of disk.rows) left.rows.set(key, value);
    left.state = disk.state;
    const killed = this.house;
    this.store = new GateStore(left);
    await killed.stop();
    this.house = await MqttHouse.start({ ...this.options, store: this.store });
  }

  async stop(): Promise<void> {
    await this.house.stop();
    vi.useRealTimers();
  }
}

export class ProcessHouse implements House {
  private constructor(private readonly gateway: GatewayProcess) {}

  static async start(options: StartOptions): Promise<ProcessHouse> {
    return new ProcessHouse(await GatewayProcess.start(options));
  }

  readonly passes = false;

  async pass(): Promise<void> {}

  tick(): void {}

  get port(): number {
    return this.gateway.ports.mqtt;
  }

  connections(): Promise<number> {
    return metric(this.gateway, 'mqtt_connections');
  }

  async restart(): Promise<void> {
    await this.gateway.restart();
  }

  async kill(): Promise<void> {
    await this.gateway.restart({ kill: true });
  }

  async stop(): Promise<void> {
    await this.gateway.stop();
    await until('the gateway has ended', () => this.gateway.ended);
  }
}
