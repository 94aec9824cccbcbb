// The face of the core: adapters import this and nothing else of it.

export * from './adapter.js';
export * from './connections.js';
export * from './counters.js';
export * from './durable-session.js';
export * from './entry.js';
export * from './entry-source.js';
export * from './errors.js';
export type { GatewayFigures, ProtocolFigures } from './figures.js';
export * from './identity.js';
export * from './listen.js';
export { isExactNumber, jsonText } from './formats.js';
export * from './message.js';
export * from './meta.js';
export * from './outbound-queue.js';
export * from './path.js';
export * from './pattern.js';
export * from './payload.js';
export { parseQuery, type Projected, Query, type QueryInput } from './query.js';
export * from './ring.js';
export * from './security/commands.js';
export * from './security/model.js';
export * from './security/policy.js';
export type { DirectoryReader } from './security/reader.js';
export type { Coverage, Rights, Verdict } from './security/rights.js';
export * from './session.js';
export * from './subscription.js';
export * from './value.js';
