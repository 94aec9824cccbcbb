// DATA on records: the requests to the core, and the answers made of its replies. Watches are in watches.ts.

import type { Entry, EntrySource, Query, Reply } from '../../core/index.js';
import { RequestError } from '../../core/index.js';
import type { HavenMessage } from './codec.js';
import * as codec from './codec.js';
import type { Connection, Host } from './host.js';
import { ItemsAnswer, type LongAnswer, SHORT_BYTES } from './long-answers.js';
import { msgpack } from './msgpack.js';
import type { Output } from './output.js';
import { deleteRequest, readRequest, transactionRequest, writeRequest } from './requests.js';

export class DataAnswers {
  readonly #connection: Connection;
  readonly #host: Host;
  readonly #output: Output;

  constructor(connection: Connection, host: Host, output: Output) {
    this.#connection = connection;
    this.#host = host;
    this.#output = output;
  }

  /** Hands it to the core; the reply comes to `writeReply`. Throws RequestError. */
  submit(message: HavenMessage): void {
    const connection = this.#connection;
    switch (message.type) {
      case 'create':
      case 'write':
      case 'update':
        return connection.submit(writeRequest(connection, message));
      case 'read':
        return connection.submit(readRequest(connection, message, this.#host.config.readMaxItems, this.#host.context.clock));
      case 'delete':
        return connection.submit(deleteRequest(connection, message));
      default:
        return connection.submit(transactionRequest(connection, message));
    }
  }

  /** Writes the answer; returns the long one that it is instead. */
  writeReply(reply: Reply, message: HavenMessage): LongAnswer | null {
    if (reply.entriesBytes > SHORT_BYTES) {
      const source = reply.source() as EntrySource;
      return new ItemsAnswer(source, message, message.details.limit as number, queryOf(reply), this.#output);
    }
    const { writer } = this.#output;
    const mark = this.#output.begin();
    const { length } = writer;
    try {
      this.#encode(reply, message);
    } catch (error) {
      this.#output.unwritable(message, length, error);
    }
    this.#output.end(mark);
    return null;
  }

  #encode(reply: Reply, message: HavenMessage): void {
    const { writer } = this.#output;
    const { request, error, entry } = reply;
    if (error !== null) {
      this.#output.fault(message, error);
      return;
    }
    switch (request.op) {
      case 'set':
        return codec.encodeWritten(writer, message, entry as Entry);
      case 'remove':
        return codec.encodeRemoved(writer, message, reply.count);
      case 'transaction':
        return codec.encodeRevisions(writer, message, reply.revisions as readonly number[]);
      case 'get':
        return this.#encodeFound(reply, message, request.options.query);
      default:
        return codec.encodeDone(writer, message);
    }
  }

  #encodeFound({ entry, entries }: Reply, message: HavenMessage, query: Query | null): void {
    const { writer } = this.#output;
    if (entries !== null) {
      const limit = message.details.limit as number;
      const more = entries.length > limit;
      codec.encodeItems(writer, message, more ? entries.slice(0, limit) : entries, more, query, msgpack);
    } else if (entry !== null) {
      codec.encodeRead(writer, message, entry, query, msgpack);
    } else {
      const what =
        query?.hasCriteria === true
          ? 'no record at this path meets the criteria'
          : `there ${message.mode === 'rt' ? 'was' : 'is'} no record at this path`;
      this.#output.fault(message, new RequestError('NOT_FOUND', what));
    }
  }
}

function queryOf({ request }: Reply): Query | null {
  return request.op === 'get' ? request.options.query : null;
}
