// Writes the answers made without the core when local-answers.ts says that it is their turn.

import { RequestError } from '../../core/index.js';
import * as codec from './codec.js';
import { locationFor } from './discovery.js';
import type { Handshake } from './handshake.js';
import type { Connection, Host } from './host.js';
import type { Link } from './link.js';
import type { LocalAnswer } from './local-answers.js';
import type { HavenMessage } from './message.js';
import { pack } from './msgpack.js';
import type { Output } from './output.js';
import type { Watches } from './watches.js';
import type { HavenError } from './wire.js';

/** The parts of the session that know what the answers say. */
interface Parts {
  readonly output: Output;
  readonly handshake: Handshake;
  readonly watches: Watches;
}

export class LocalWriter {
  readonly #connection: Connection;
  readonly #host: Host;
  readonly #link: Link;
  readonly #parts: Parts;

  constructor(connection: Connection, host: Host, link: Link, parts: Parts) {
    this.#connection = connection;
    this.#host = host;
    this.#link = link;
    this.#parts = parts;
  }

  write({ message, kind, error, uuid }: LocalAnswer): void {
    const { output, handshake, watches } = this.#parts;
    const { writer } = output;
    watches.writePushed();
    const mark = output.begin();
    switch (kind) {
      case 'connected':
        codec.encodeConnected(writer, message, handshake.welcome(this.#connection.id, this.#host.context.node));
        break;
      case 'pong':
        watches.encodePong(message);
        break;
      case 'became':
        codec.encodeBecame(writer, message, uuid);
        break;
      case 'located':
        this.#encodeLocated(message);
        break;
      case 'error':
        codec.encodeError(writer, message, error as HavenError, !handshake.connected);
    }
    output.end(mark);
  }

  #encodeLocated(message: HavenMessage): void {
    const { output } = this.#parts;
    try {
      codec.encodeLocated(output.writer, message, pack(locationFor(message, this.#host, this.#link)));
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      output.fault(message, error);
    }
  }
}
