// DISCOVER: the location of what was asked for, as the peer can reach it.

import { plainAddress, type Value } from '../../core/index.js';
import type { HavenMessage } from './codec.js';
import type { Host } from './host.js';
import type { Link } from './link.js';
import { VERSION } from './wire.js';

/** The address is the one by which the peer reached this node. Throws RequestError NOT_FOUND, and what the message lacks. */
export function locationFor(message: HavenMessage, { context, control, port }: Host, link: Link): Value {
  const found = control.discover(message);
  const { id } = context.node;
  const address = plainAddress(link.localAddress);
  const location = { address, port, uuid: found.uuid, role: found.role, versions: [String(VERSION)] };
  return found.role === 'leader' ? { ...location, path: found.path, leader: id, members: [id] } : location;
}
