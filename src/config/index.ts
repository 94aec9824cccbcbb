// The face of the configuration: loading it, its keys, and helpers for other parts.

export { type ConfigFile, parseFile } from './file.js';
export { type ConfigKey, configValue, KEYS, printedValue, shownValue } from './keys.js';
export { type ConfigSources, configFileName, type LoadedConfig, loadConfig } from './load.js';
export { usesTls } from './rules.js';
export type { Config, ConfigInput } from './schema.js';
export { suggestion } from './unknown-key.js';
