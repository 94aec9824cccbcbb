// Attachment: the quorum that a connection is attached to, and what the paths of its DATA messages and events mean as a result. Paths on
// the wire are relative to the base key: they begin with the slash after it, or are empty for the base key itself.

import { RequestError } from '../../core/index.js';
import type { HavenMessage } from './codec.js';
import type { Quorum } from './control.js';

/** What this node serves, to its sessions. */
export interface Served {
  /** Whether it leads this quorum. */
  leads(quorum: Quorum): boolean;
  /** Throws RequestError UNSUPPORTED when this node only forwards what has this path, or what it matches, and has nowhere to. */
  checkServed(path: string): void;
}

export class Attachment {
  #quorum: Quorum | null = null;
  /** The base key without a slash at its end. */
  #base = '';

  constructor(private readonly node: Served) {}

  /** null: paths are what they say again. */
  attach(quorum: Quorum | null): void {
    this.#quorum = quorum;
    this.#base = quorum === null ? '' : quorum.path.replace(/\/+$/, '');
  }

  /**
   * Makes the paths of a DATA message absolute, and notes in it what has to be taken from those of its answer. Throws RequestError:
   * NOT_FOUND (the quorum is gone), INVALID_PATH (not below the base key), UNSUPPORTED (see Served).
   */
  resolve(message: HavenMessage): void {
    const quorum = this.#quorum;
    const { after, operations } = message.details;
    if (quorum !== null) {
      if (!this.node.leads(quorum)) throw new RequestError('NOT_FOUND', `the quorum of ${quorum.path} is gone: attach to another one`);
      message.base = this.#base;
      message.path = this.#absolute(message.path, quorum);
      if (after !== null) message.ownDetails().after = this.#absolute(after, quorum);
      for (const operation of operations ?? []) operation.path = this.#absolute(operation.path, quorum);
    }
    if (message.type === 'unwatch') return;
    if (message.path !== null) this.node.checkServed(message.path);
    if (operations !== null) for (const { path } of operations) if (path !== null) this.node.checkServed(path);
  }

  #absolute(path: string | null, quorum: Quorum): string | null {
    if (path === null) return null;
    if (path === '') return quorum.path;
    if (path.startsWith('/')) return this.#base + path;
    throw new RequestError('INVALID_PATH', 'attached to a quorum, a path begins with a slash: it is relative to the base key');
  }
}

/** `path` on the wire of whoever has `base`. */
export function relative(path: string, base: string): string {
  return base === '' ? path : path.slice(base.length);
}
