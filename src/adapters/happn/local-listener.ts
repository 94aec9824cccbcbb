// LocalListener: one `on` of an in-process client, and the subscription that it comes to.

import { type Session, SUBSCRIBED, Subscription } from '../../core/index.js';
import type { LocalHandler, LocalOnOptions } from './local-client.js';
import {
  type Channel,
  checkRequestPath,
  declaredDepth,
  effectiveDepth,
  hasDepth,
  isForeignResponse,
  parseChannel,
  subscriptionPattern,
} from './paths.js';
import type { Version } from './versions.js';
import { DEFAULT_DEPTH } from './wire.js';

/** Tag of its subscription. */
export class LocalListener {
  /** null: nothing that is stored or published can concern it. */
  subscription: Subscription | null = null;
  runs = 0;
  done = false;

  constructor(
    readonly channel: Channel,
    readonly options: LocalOnOptions,
    /** Levels that a trailing `**` covers, as events name it; 0: the path has none. */
    readonly depth: number,
    readonly handler: LocalHandler,
    /** Called when it ends by itself. */
    readonly ended: () => void,
  ) {}

  get count(): number {
    return this.options.count ?? 0;
  }
}

/** Throws RequestError. `ended` is called when it ends by itself. */
export function listenerOf(
  session: Session & { readonly version: Version },
  path: unknown,
  options: LocalOnOptions,
  handler: LocalHandler,
  ended: () => void,
): LocalListener {
  const event = options.event_type === undefined || options.event_type === '*' ? 'all' : String(options.event_type);
  const key = checkRequestPath(path);
  const channel = parseChannel(`/${event.toUpperCase()}@${key}`);
  const depth = hasDepth(channel.key, session.version) ? declaredDepth(options.depth) || DEFAULT_DEPTH : 0;
  const listener = new LocalListener(channel, options, depth, handler, ended);
  if (channel.event === null || isForeignResponse(channel.text, session.id)) return listener;
  const hears = { sets: channel.event !== 'REMOVE', removes: channel.event !== 'SET' };
  const pattern = subscriptionPattern(channel.key, session.version, effectiveDepth(depth));
  const how = { ...SUBSCRIBED, ...hears, removals: 'each-request' } as const;
  listener.subscription = new Subscription(session, null, pattern, how, listener);
  return listener;
}
