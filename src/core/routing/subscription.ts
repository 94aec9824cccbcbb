// Subscription: one session's interest in the paths of one pattern.

import type { DurableSession } from '../durable/durable-session.js';
import type { Publication, Qos } from '../message.js';
import type { Pattern } from '../paths/pattern.js';
import type { Guard } from '../security/guards.js';
import type { Principal } from '../security/identity.js';
import type { Session } from '../sessions/session.js';
import type { SharedGroup } from './shared-group.js';

export interface SubscriptionOptions {
  /** Hears sets and events. */
  readonly sets: boolean;
  /** Hears removals. */
  readonly removes: boolean;
  /** A wildcard removal is heard 'each-record' (path by path) or 'each-request' (once, with the pattern as path). */
  readonly removals: 'each-record' | 'each-request';
  /** Highest level at which it is delivered. */
  readonly qos: Qos;
  /** Does not hear what its own session publishes. */
  readonly noLocal: boolean;
  /** The subscriber's own number for it, which comes back with each delivery; 0: none. At most 2^32 - 1. */
  readonly identifier: number;
  /** Deliveries say whether what they carry was stored. */
  readonly asPublished: boolean;
  /**
   * Shared: of all subscriptions with the same group and pattern one gets each publication. null: it gets all. Takes no
   * initial values.
   */
  readonly group: string | null;
  /** Name of the user on whose behalf the session subscribes: whose rights count. null: its own. */
  readonly actor: string | null;
}

/** Hears everything, path by path, at level 1, for itself alone. */
export const SUBSCRIBED: SubscriptionOptions = Object.freeze({
  sets: true,
  removes: true,
  removals: 'each-record',
  qos: 1,
  noLocal: false,
  identifier: 0,
  asPublished: false,
  group: null,
  actor: null,
});

/** Initial values that a durable subscription is still to be handed out, also by another connection than the one that made it. */
export interface Remainder {
  /** Those behind this path; null: all. */
  readonly after: string | null;
  /** What later changes made is news, and none of them. */
  readonly revision: number;
  /** They belong before the messages of its session with higher numbers than this. */
  readonly place: number;
}

export class Subscription {
  /** Receives the deliveries; null while a durable session is away. */
  session: Session | null;
  closed = false;
  /** null: all initial values were handed out, or none are kept for it. */
  remainder: Remainder | null = null;
  /** The router's: its place among all subscriptions, and whom it shares with. */
  order = 0;
  shared: SharedGroup | null = null;
  /** Whose right is looked at for each path that it is to hear of; null: all that it matches are allowed. The engine's. */
  guard: Guard | null = null;
  /**
   * Who the session was when it was made, if not on behalf of somebody else: by whose rights it stays, also when the session is somebody
   * else by then. The engine's.
   */
  owner: Principal | null = null;

  constructor(
    session: Session | null,
    /** Set for subscriptions that outlive the connection. */
    readonly durable: DurableSession | null,
    readonly pattern: Pattern,
    readonly options: SubscriptionOptions,
    /** The adapter's own (happn channel, Haven watch id, MQTT filter options); the core never looks at it. */
    readonly tag: unknown,
  ) {
    this.session = session;
  }

  /** Whether it asks for such a publication, whoever is there to hear it. */
  wants({ action, audience }: Pick<Publication, 'action' | 'audience'>): boolean {
    const { sets, removes, removals } = this.options;
    return (action === 'set' ? sets : removes) && (audience === 'all' || audience === removals);
  }

  /** It hears nothing any more; what waits for it behind its initial values is dropped. */
  close(): void {
    this.closed = true;
  }
}
