// Metrics: the core's counters and gauges, and the process's own figures, in the text form that Prometheus scrapes.

import type { Registry } from 'prom-client';
import type { Counters } from '../core/index.js';

/** What the text is, to HTTP: the form of Prometheus. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Figures of the process itself are collected, and what collects them is loaded, from the first call on. */
export class Metrics {
  readonly #counters: Counters;
  #process: Promise<Registry> | null = null;

  constructor(counters: Counters) {
    this.#counters = counters;
  }

  async text(): Promise<string> {
    this.#process ??= collectProcess();
    const figures = await (await this.#process).metrics();
    return `${renderCounters(this.#counters)}${figures}`;
  }
}

async function collectProcess(): Promise<Registry> {
  const { collectDefaultMetrics, Registry } = await import('prom-client');
  const register = new Registry();
  collectDefaultMetrics({ register });
  return register;
}

/**
 * The counters keep their labels in their name (`x_total{protocol="mqtt"}`), so they are already lines of the
 * exposition format; what is added is one HELP and TYPE for each family, as the format wants it.
 */
function renderCounters(counters: Counters): string {
  const families = new Map<string, { head: string; lines: string[] }>();
  const add = (name: string, help: string, type: string, value: number): void => {
    const label = name.indexOf('{');
    const family = `trivium_${label === -1 ? name : name.slice(0, label)}`;
    let known = families.get(family);
    if (known === undefined) {
      known = { head: `# HELP ${family} ${escapeHelp(help)}\n# TYPE ${family} ${type}\n`, lines: [] };
      families.set(family, known);
    }
    known.lines.push(`trivium_${name} ${Number.isNaN(value) ? 'NaN' : value}\n`);
  };
  for (const counter of counters.counters.values()) add(counter.name, counter.help, 'counter', counter.value);
  for (const gauge of counters.gauges.values()) add(gauge.name, gauge.help, 'gauge', gauge.read());
  return [...families.values()].map((family) => family.head + family.lines.join('')).join('');
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
