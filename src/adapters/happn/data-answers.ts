// The answers to the sets, removes and gets of one session, and the notices that their publisher gets.

import type { DataRequest, Entry, EntrySource, Formats, Query, Receipt, Reply, RequestId, Session } from '../../core/index.js';
import * as codec from './codec.js';
import type { Connection, Host } from './host.js';
import { type LongAnswer, RecordList } from './long-answers.js';
import { ACKNOWLEDGED, type Note, noteOf, type Results, resultsOf, TRANSACTIONAL } from './publishing.js';
import { snapshot, TagStep } from './requests.js';
import type { Sink } from './session-layers.js';
import type { Frame } from './wire.js';

export class DataAnswers {
  readonly #connection: Connection;
  readonly #host: Host;
  readonly #formats: Formats;

  constructor(connection: Connection, host: Host) {
    this.#connection = connection;
    this.#host = host;
    this.#formats = host.context.formats;
  }

  /** Hands the request to the core; its reply comes to `writeReply`. Throws RequestError. */
  submit(request: DataRequest): void {
    const { acknowledgements, context } = this.#host;
    if (noteOf(request.options)?.consistency === ACKNOWLEDGED) acknowledgements.open(this.#connection, request.id);
    context.submit(request);
  }

  /** Writes the answer; returns the list that it is instead. */
  writeReply(writer: Sink, request: DataRequest, reply: Reply): LongAnswer | null {
    if (request.op !== 'get') this.#writeChange(writer, request, reply);
    else if (request.tag instanceof TagStep) this.#storeSnapshot(request.tag, reply);
    else return this.#writeRead(writer, request, request.tag as Frame, reply);
    return null;
  }

  // -------------------------------------------------------------- get

  #writeRead(writer: Sink, request: DataRequest, frame: Frame, reply: Reply): LongAnswer | null {
    const { query } = request.options;
    if (reply.error === null && request.pattern !== null && query?.count !== true) return this.#list(frame, query, reply);
    writer.text(this.#readText(query, frame, reply));
    return null;
  }

  #list(frame: Frame, query: Query | null, reply: Reply): LongAnswer {
    const item = codec.itemEncoder(frame, query, this.#formats);
    const end = codec.listEnd(frame, this.#connection);
    return new RecordList(reply.source() as EntrySource, { head: '[', shows: always, item, end, endsInList: true });
  }

  #readText(query: Query | null, frame: Frame, reply: Reply): string {
    const asker = this.#connection;
    if (reply.error !== null) return codec.encodeError(frame, asker, reply.error);
    if (query?.count === true) return codec.encodeOk(frame, asker, `{"value":${reply.count}}`);
    return codec.encodeGet(frame, asker, reply.entry, query, this.#formats);
  }

  // -------------------------------------------------------------- set and remove

  /** The answer to a set or remove, and what else its publisher is told. */
  #writeChange(writer: Sink, request: DataRequest, reply: Reply): void {
    const { acknowledgements, clusterMembers } = this.#host;
    const connection = this.#connection;
    const note = noteOf(request.options);
    if (note === null || reply.error !== null) {
      if (note?.consistency === ACKNOWLEDGED) acknowledgements.drop(connection, request.id);
      writer.text(this.#changeText(request, reply, reply.published, null));
      return;
    }
    const results = reply.receipt === null ? null : resultsOf(reply.receipt, note, clusterMembers);
    if (note.consistency === TRANSACTIONAL) {
      writer.text(this.#changeText(request, reply, reply.published, note.results ? results : null));
      return;
    }
    writer.text(this.#changeText(request, reply, false, null));
    if (!connection.version.publicationNotices) {
      if (note.consistency === ACKNOWLEDGED) acknowledgements.drop(connection, request.id);
      return;
    }
    const frame = frameOf(request);
    if (note.consistency === ACKNOWLEDGED) this.#awaitAcknowledgements(frame, request.id, reply.receipt as Receipt, note);
    else writer.text(codec.encodePublicationAck(frame, connection, results as Results, null, true));
  }

  #awaitAcknowledgements(frame: Frame, id: RequestId, receipt: Receipt, note: Note): void {
    const { acknowledgements, clusterMembers } = this.#host;
    const connection = this.#connection;
    const results = resultsOf(receipt, note, clusterMembers);
    const leftOut = (session: Session): boolean => note.noCluster && clusterMembers.has(session);
    acknowledgements.begin(connection, id, receipt, leftOut, (acknowledged, complete) => {
      if (!connection.ending) connection.answer(codec.encodePublicationAck(frame, connection, results, acknowledged, complete));
    });
  }

  #changeText(request: DataRequest, reply: Reply, published: boolean, results: Results | null): string {
    const asker = this.#connection;
    const frame = frameOf(request);
    if (reply.error !== null) return codec.encodeError(frame, asker, reply.error);
    if (request.op === 'remove') return codec.encodeRemove(frame, asker, reply, published, results);
    if (!(request.tag instanceof TagStep)) return codec.encodeSet(frame, asker, reply, published, results, this.#formats);
    return codec.encodeTag(frame, asker, reply.entry as Entry, request.tag.path, published, this.#formats);
  }

  /** The record that is tagged was read: its snapshot is stored. */
  #storeSnapshot(step: TagStep, reply: Reply): void {
    try {
      if (reply.error !== null) throw reply.error;
      this.submit(snapshot(step, reply.entry, this.#connection, this.#formats));
    } catch (error) {
      this.#connection.fail(step.frame, error);
    }
  }
}

const always = (): boolean => true;

function frameOf({ tag }: DataRequest): Frame {
  return tag instanceof TagStep ? tag.frame : (tag as Frame);
}
