// The happn adapter's face: the adapter class and its configuration.

export { HAPPN_DEFAULTS, HappnAdapter, type HappnConfig } from './adapter.js';
