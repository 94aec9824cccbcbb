// Options of embedding programs beside the configuration, checked before anything is built: a misspelt layer would be one that never ran.

import { ConfigError } from './core/errors.js';

type Check = (value: unknown) => string | null;

const LAYERS: Readonly<Record<string, Check>> = {
  inboundLayers: functions,
  outboundLayers: functions,
  layerTimeoutMs: (value) => (typeof value === 'number' && value > 0 && Number.isFinite(value) ? null : 'a number of milliseconds'),
};

const OPTIONS: Readonly<Record<string, Check>> = {
  log: (value) => (isObject(value) ? null : 'a log'),
  happn: (value) => (isObject(value) ? null : 'an object'),
  onAdminPassword: (value) => (typeof value === 'function' ? null : 'a function'),
};

/** Throws ConfigError. What is undefined counts as absent. */
export function checkOptions(options: { readonly happn?: object }): void {
  check(options, OPTIONS, '');
  if (options.happn !== undefined) check(options.happn, LAYERS, 'happn.');
}

function check(given: object, known: Readonly<Record<string, Check>>, prefix: string): void {
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(known, name)) throw new ConfigError(`unknown option ${prefix}${name} (given)`);
    const wanted = value === undefined ? null : (known[name] as Check)(value);
    if (wanted !== null) throw new ConfigError(`option ${prefix}${name}: it must be ${wanted} (given)`);
  }
}

function functions(value: unknown): string | null {
  return Array.isArray(value) && value.every((layer) => typeof layer === 'function') ? null : 'a list of functions';
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
