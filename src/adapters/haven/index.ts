// The Haven adapter's face: the adapter class, its configuration, and the MessagePack format.

export { HavenAdapter } from './adapter.js';
export { HAVEN_DEFAULTS, type HavenConfig } from './config.js';
export { msgpack } from './msgpack.js';
