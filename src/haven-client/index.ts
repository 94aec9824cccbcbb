// `trivium/haven`: a client of Haven gateways for programs, over TCP. Knows nothing of the gateway's own code.

export { connect, HavenClient } from './client.js';
export {
  type Become,
  type Found,
  HavenError,
  type HavenLocation,
  type HavenMeta,
  type HavenOptions,
  type HavenValue,
  type Hello,
  type Item,
  type Items,
  type Moment,
  type Operation,
  type ReadOptions,
  type ResyncReason,
  type Watch,
  type WatchEvent,
  type WatchOptions,
  type WriteOptions,
  type Written,
} from './types.js';
