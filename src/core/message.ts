// The internal message: what adapters put on the inbound queue (Request) and take from an outbound queue
// (Reply, Publication). Plain data; every field is set, in one order.

import type { Publication } from './message/publication.js';
import type { Reply } from './message/reply.js';

export * from './message/durable-commands.js';
export * from './message/options.js';
export * from './message/publication.js';
export * from './message/reply.js';
export * from './message/reply-run.js';
export * from './message/requests.js';

export type Outbound = Reply | Publication;
