// A gateway with users as those were set up that the secure happn exchanges were recorded with, and what is done to it beside them.

import { type KeyObject, sign } from 'node:crypto';
import { type ConfigInput, createGateway, type EmbeddedGateway } from '../../src/index.js';
import { AdminApi } from '../support/admin-api.js';
import { SILENT } from '../support/core-harness.js';
import { temporaryDirectory } from '../support/gateway-process.js';
import { HappnWire } from '../support/happn-wire.js';

/** Of all users but _ADMIN. */
export const PASSWORD = 'secret';
const ADMIN = { username: '_ADMIN', password: 'happn' };

/** Somebody by name, or by the connection whose token was shown. */
export type Who = string | number;

/** Somebody who logged in over HTTP. */
export interface HttpLogin {
  readonly http: string;
}

export interface SecureSetup {
  readonly security: NonNullable<ConfigInput['security']>;
  /** Who had logged in on which connection before the first line. */
  readonly logins?: { readonly [conn: number]: Who };
  /** Whose token a connection shows that got it outside of the recording. */
  readonly tokens?: { readonly [conn: number]: Who | HttpLogin };
  readonly keys?: Keys;
  /** What was done to the server, by what its step says. */
  readonly administration?: { readonly [step: string]: (api: AdminApi) => Promise<unknown> };
  /** What passed before the exchange with this title, where it is about time: milliseconds, or the end of connection 1. */
  readonly pauses?: { readonly [title: string]: number | 'ended' };
}

/** The keys of the recorded client are not known: others take their place. */
export interface Keys {
  readonly publicKey: string;
  readonly privateKey: KeyObject;
  readonly wrongKey: KeyObject;
  /** The connection that signs with the wrong one. */
  readonly wrongOn: number;
}

export function secureGateway(security: SecureSetup['security'], name: string | null = null): EmbeddedGateway {
  return createGateway(
    {
      secure: true,
      name,
      host: '127.0.0.1',
      happn: { port: 0 },
      mqtt: { port: 0 },
      haven: { port: 0 },
      admin: { port: 0, password: ADMIN.password },
      data: { dir: temporaryDirectory() },
      security,
    },
    { log: SILENT },
  );
}

export class SecureServer {
  readonly #url: string;

  private constructor(
    private readonly gateway: EmbeddedGateway,
    readonly setup: SecureSetup,
    private readonly api: AdminApi,
  ) {
    this.#url = `ws://127.0.0.1:${gateway.listeners.get('happn')?.port}/primus?_primuscb=raw`;
  }

  /** `name`: what it calls itself. */
  static async start(setup: SecureSetup, name = 'secure-node'): Promise<SecureServer> {
    const gateway = secureGateway(setup.security, name);
    await gateway.start();
    const api = await AdminApi.of(gateway.listeners.get('admin')?.port as number);
    const { body } = await api.ask('POST', '/login', ADMIN);
    api.token = body['token'] as string;
    return new SecureServer(gateway, setup, api);
  }

  async connect(): Promise<HappnWire> {
    return await HappnWire.connect(this.#url);
  }

  async stop(reconnect = true): Promise<void> {
    await this.gateway.stop({ reconnect });
  }

  /** Somebody of protocol 4, logged in with a name or a token. */
  async enter(who: { readonly username: string } | { readonly token: string }): Promise<HappnWire> {
    const wire = await this.connect();
    await wire.request('configure-session', { data: { protocol: 'happn_4', version: '13.12.1' } });
    await wire.request('describe', { data: null });
    const credentials = 'token' in who ? who : who.username === ADMIN.username ? ADMIN : { ...who, password: PASSWORD };
    const { data } = await wire.request('login', { data: { ...credentials, info: { _browser: false, _local: false } } });
    wire.sessionId = (data as { id: string }).id;
    return wire;
  }

  /** The token of a login over HTTP. */
  async httpToken({ http: user }: HttpLogin): Promise<string> {
    const { body } = await this.api.ask('POST', '/tokens', { user, type: 'stateless' });
    return body['token'] as string;
  }

  /** Does what a step says that the server did. */
  async administer(step: string): Promise<void> {
    await this.setup.administration?.[step]?.(this.api);
  }

  /** What a client says that proves to have its key. */
  digest(conn: number, wire: HappnWire): string {
    const { keys } = this.setup;
    if (keys === undefined) throw new Error('no keys were set up');
    const nonces = wire.frames.map((frame) => (frame as { nonce?: string }).nonce).filter((nonce) => nonce !== undefined);
    const key = conn === keys.wrongOn ? keys.wrongKey : keys.privateKey;
    return sign('sha256', Buffer.from(nonces.at(-1) as string, 'base64'), key).toString('base64');
  }
}

/** What a login was answered: the token, by which it can be shown again. */
export function tokenOf(wire: HappnWire): string {
  const answer = wire.frames.findLast((frame) => ((frame as { data?: { token?: string } }).data?.token ?? '') !== '');
  return (answer as { data: { token: string } }).data.token;
}
