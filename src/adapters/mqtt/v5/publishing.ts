// PropertyPublishing: a client's PUBLISH and its will, as MQTT 5 has them, as requests to the core.

import {
  checkPath,
  type DataOptions,
  DataRequest,
  type Format,
  type Meta,
  Payload,
  type Qos,
  type Session,
  type Will,
} from '../../../core/index.js';
import { isForbiddenTopic, type Topics } from '../paths.js';
import { optionsOf, unpinned } from '../publishing.js';
import type { Will as WillFacts } from './codec.js';
import { PublishReader } from './publish.js';
import { ProtocolFault, protocolError, REASON } from './reason-codes.js';

export class PropertyPublishing {
  readonly #reader = new PublishReader();
  /** Topics that the client gave a number, by that number. */
  #aliases: string[] | null = null;
  /** The topic of the last PUBLISH, and its path. */
  #topic = '';
  #path = '';

  constructor(
    private readonly session: Session,
    private readonly topics: Topics,
    private readonly raw: Format,
    private readonly maxTopicAliases: number,
  ) {}

  /** Throws ProtocolFault, and RequestError for what can be no path. */
  read(first: number, bytes: Buffer, body: number, end: number): DataRequest {
    const packet = this.#reader;
    packet.read(first, bytes, body, end);
    const { qos, retain, packetId, payloadStart, meta, expirySeconds } = packet;
    const path = this.#pathOf(packet.topicAlias === 0 ? packet.topic : this.#aliased(packet.topicAlias, packet.topic));
    const removes = retain && payloadStart === end;
    return new DataRequest(
      removes ? 'remove' : 'set',
      this.session,
      packetId,
      path,
      null,
      removes ? null : Payload.fromBytes(unpinned(bytes, payloadStart, end), this.raw),
      this.#saying(optionsOf(qos, retain), meta, expirySeconds),
      qos > 0,
      qos === 2 ? packetId : 0,
      null,
    );
  }

  /** Throws as `read` does. */
  will({ topic, payload, qos, retain, delaySeconds, expirySeconds, meta }: WillFacts): Will {
    if (isForbiddenTopic(topic)) throw new ProtocolFault(REASON.NOT_AUTHORIZED, 'nobody publishes below $SYS and $share');
    return {
      path: checkPath(this.topics.pathOf(topic)),
      payload: Payload.fromBytes(payload, this.raw),
      options: this.#saying(optionsOf(qos as Qos, retain), meta, expirySeconds),
      remove: retain && payload.length === 0,
      delayMs: delaySeconds * 1_000,
    };
  }

  /** Section 3.3.2.3.4. */
  #aliased(alias: number, topic: string): string {
    if (alias > this.maxTopicAliases) {
      throw new ProtocolFault(REASON.TOPIC_ALIAS_INVALID, `topic alias ${alias}, ${this.maxTopicAliases} are allowed`);
    }
    this.#aliases ??= [];
    if (topic !== '') this.#aliases[alias] = topic;
    const known = this.#aliases[alias];
    if (known === undefined) throw protocolError(`topic alias ${alias} stands for no topic`);
    return known;
  }

  #pathOf(topic: string): string {
    if (topic === this.#topic) return this.#path;
    this.#path = checkPath(this.topics.pathOf(topic));
    this.#topic = topic;
    return this.#path;
  }

  /** The other protocols answer on the path. */
  #answerable(said: Meta): Meta {
    const { responseTopic } = said;
    return responseTopic === null || this.topics.mountPoint === '' ? said : said.answeredOn(this.topics.pathOf(responseTopic));
  }

  /** A message that has no time left expires at once. */
  #saying(options: DataOptions, said: Meta | null, expirySeconds: number | null): DataOptions {
    if (said === null && expirySeconds === null) return options;
    return {
      ...options,
      meta: said === null ? null : this.#answerable(said),
      lifetimeMs: expirySeconds === null ? 0 : Math.max(1, expirySeconds * 1_000),
    };
  }
}
