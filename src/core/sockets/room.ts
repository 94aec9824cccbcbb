// Room: the connections of all listeners of this process together. There are fewer than file handles: the store needs some, too, and
// whoever opens connections of which nobody knows whose they are could take all.

import type { Server, Socket } from 'node:net';
import type { Log } from '../adapter.js';
import type { Counter, Counters } from '../counters.js';
import { Episode } from '../pace/episode.js';

export class Room {
  readonly #max: number;
  readonly #dropped: Counter;
  readonly #episode = new Episode();
  readonly #log: Log;
  #open = 0;

  constructor(max: number, log: Log, counters: Counters) {
    this.#max = max;
    this.#log = log;
    this.#dropped = counters.counter('connections_dropped_total', 'Connections that found no room among the file handles of the process');
  }

  /** The server's connections count; there are no further ones while there is no room. */
  share(server: Server): void {
    let own = 0;
    const onClose = (): void => {
      own -= 1;
      this.#open -= 1;
    };
    server.on('connection', (socket: Socket) => {
      own += 1;
      this.#open += 1;
      socket.once('close', onClose);
    });
    // Node looks at it before it makes a socket; 0 would be no limit.
    const most = (): number => Math.max(own, own + this.#max - this.#open) || -1;
    Object.defineProperty(server, 'maxConnections', { get: most, configurable: true });
    server.on('drop', (dropped) => this.#onDropped(dropped?.remoteAddress));
  }

  #onDropped(peer: string | undefined): void {
    this.#dropped.add();
    if (!this.#episode.begins(performance.now())) return;
    this.#log.warn({ peer, connections: this.#open }, 'dropping connections: there are as many as the file handles of this process allow');
  }
}
