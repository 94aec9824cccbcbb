// Broker: the adapter's one aedes, with a bus and a persistence that keep nothing. It serves the packets of 3.1 and 3.1.1 that
// sessions hand to it, and asks these back.

import { Aedes, type AuthenticateError, type Client } from 'aedes';
import { type AdapterContext, type Qos, RequestError, type RequestErrorCode } from '../../core/index.js';
import { BUS } from './bus.js';
import { makePersistence } from './persistence.js';
import type { Port } from './port.js';
import type { MqttSession } from './session.js';
import { RETURN_CODE } from './wire.js';

/** aedes needs some interval; nothing of ours depends on it. */
const NEVER_MS = 2 ** 31 - 1;

/**
 * Connections that aedes takes leave of in one turn of the loop. It needs many steps for each; when thousands are lost at once,
 * nobody else waits for all of them.
 */
export const LEAVING_AT_A_TIME = 64;

const GONE = new RequestError('TIMEOUT', 'the connection is gone');

export class Broker {
  #leaving: Port[] = [];

  private constructor(private readonly aedes: Aedes) {}

  static async start(context: AdapterContext): Promise<Broker> {
    const aedes = await Aedes.createBroker({
      id: context.node.id,
      mq: BUS,
      persistence: makePersistence(sessionOf),
      heartbeatInterval: NEVER_MS / 4,
      connectTimeout: NEVER_MS,
      drainTimeout: 0,
      keepaliveLimit: 0,
      preConnect: (_client, packet, callback) => {
        // Silence and wills are watched over by the session, which sees every packet and has the core's word.
        const connect = packet as { keepalive?: number; will?: unknown };
        connect.keepalive = 0;
        delete connect.will;
        callback(null, true);
      },
      authenticate: (client, username, password, callback) => {
        authenticate(context, client, username, password).then(
          () => callback(null, true),
          (error: unknown) => callback(refusal(context, error), false),
        );
      },
      authorizeSubscribe: (client, subscription, callback) => {
        sessionOf(client).subscribe(subscription.topic, subscription.qos as Qos, (error, granted) => {
          callback(error, granted ? subscription : null);
        });
      },
    });
    // Every such error ends in a closed connection, which is logged there.
    for (const event of ['clientError', 'connectionError'] as const) {
      aedes.on(event, (_client, error) => context.log.debug({ err: error }, 'aedes ended a connection'));
    }
    return new Broker(aedes);
  }

  /** The session's packets come through the port; aedes tells it when the CONNECT is accepted. */
  handle(session: MqttSession, port: Port): void {
    this.aedes.handle(port).on('connected', () => session.onReady());
  }

  /** The session has ended: aedes is told soon. */
  leave(port: Port): void {
    port.release();
    if (this.#leaving.length === 0) setImmediate(this.#tellLeaving);
    this.#leaving.push(port);
  }

  readonly #tellLeaving = (): void => {
    for (const port of this.#leaving.splice(0, LEAVING_AT_A_TIME)) port.destroy();
    if (this.#leaving.length > 0) setImmediate(this.#tellLeaving);
  };

  close(): void {
    this.aedes.close();
  }
}

/** Who it is, and its session in the core. */
async function authenticate(
  context: AdapterContext,
  client: Client,
  username: string | undefined,
  password: Buffer | undefined,
): Promise<void> {
  const session = ownerOf(client);
  if (session === null) throw GONE;
  session.identity = await context.authenticate(session.credentials(username, password), session);
  if (session.isEnded) throw GONE;
  await new Promise<void>((resolve, reject) => {
    session.begin((error) => (error === null ? resolve() : reject(error)));
  });
  // What aedes knows a client by: one user's id is not another's. "Not clean" makes it ask the persistence about
  // every step; whether the session is durable is for the core to know.
  Object.assign(client, { id: session.key, clean: false });
}

const REFUSALS: ReadonlyMap<RequestErrorCode, number> = new Map<RequestErrorCode, number>([
  ['NOT_AUTHENTICATED', RETURN_CODE.BAD_USER_NAME_OR_PASSWORD],
  ['LOGIN_REFUSED', RETURN_CODE.NOT_AUTHORIZED],
  ['ACCOUNT_LOCKED', RETURN_CODE.NOT_AUTHORIZED],
  ['ACCESS_DENIED', RETURN_CODE.NOT_AUTHORIZED],
]);

function refusal(context: AdapterContext, error: unknown): AuthenticateError {
  if (!(error instanceof RequestError)) context.log.error({ err: error }, 'a CONNECT failed');
  const returnCode = (error instanceof RequestError ? REFUSALS.get(error.code) : undefined) ?? RETURN_CODE.SERVER_UNAVAILABLE;
  return Object.assign(new Error(error instanceof Error ? error.message : 'refused'), { returnCode });
}

/** The session that aedes calls a client; null when it has ended. */
function ownerOf(client: unknown): MqttSession | null {
  return (client as { conn: Port }).conn.owner as MqttSession | null;
}

/** While a packet is being served its session is there. */
function sessionOf(client: unknown): MqttSession {
  return ownerOf(client) as MqttSession;
}
