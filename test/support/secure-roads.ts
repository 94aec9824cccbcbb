// A secure gateway in a process of its own, users made at run time, and every road into it with credentials and bare clients.

import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { WebSocket } from 'ws';
import { AdminApi } from './admin-api.js';
import { type GatewayProcess, type StartOptions, startGateway } from './gateway-process.js';
import { HappnWire, type WireFrame } from './happn-wire.js';
import { HavenClient } from './haven-client.js';

export const ADMIN_PASSWORD = 'the first password of these tests';
export const ALL = { actions: ['*'] } as const;

export interface Shown {
  readonly username?: string;
  readonly password?: string;
  readonly token?: string;
}

export interface SecureGateway {
  readonly process: GatewayProcess;
  readonly api: AdminApi;
  /** Made or changed; the password is `secret of NAME`. */
  user(name: string, permissions?: object, fields?: object): Promise<void>;
  /** A token of that user, and its id. */
  token(user: string): Promise<{ readonly id: string; readonly token: string }>;
}

export const passwordOf = (user: string): string => (user === '_ADMIN' ? ADMIN_PASSWORD : `secret of ${user}`);
export const by = (user: string): Shown => ({ username: user, password: passwordOf(user) });

export async function startSecureGateway({ flags = [], ...options }: StartOptions = {}): Promise<SecureGateway> {
  const process = await startGateway({
    cheapPasswords: true,
    ...options,
    flags: ['--secure', '--host', '127.0.0.1', ...flags],
    env: { TRIVIUM_ADMIN_PASSWORD: ADMIN_PASSWORD, ...options.env },
  });
  const api = await AdminApi.of(process.ports.admin);
  const { body } = await api.ask('POST', '/login', { username: '_ADMIN', password: ADMIN_PASSWORD });
  api.token = body['token'] as string;
  const put = async (path: string, what: object): Promise<void> => {
    const { status, body: said } = await api.ask('PUT', path, what);
    if (status >= 300) throw new Error(`${path}: ${status} ${JSON.stringify(said)}`);
  };
  return {
    process,
    api,
    user: (name, permissions = {}, fields = {}) =>
      put(`/users/${encodeURIComponent(name)}`, { password: passwordOf(name), permissions, ...fields }),
    token: async (user) => (await api.ask('POST', '/tokens', { user, type: 'stateful' })).body as never,
  };
}

export const mqttUrl = ({ ports }: GatewayProcess): string => `mqtt://127.0.0.1:${ports.mqtt}`;
export const webUrl = ({ ports }: GatewayProcess, path: string): string => `ws://127.0.0.1:${ports.happn}${path}`;

/** Rejects with what the gateway says. */
export async function mqttAs(
  process: GatewayProcess,
  { username, password, token }: Shown,
  more: IClientOptions = {},
): Promise<MqttClient> {
  const shown = token === undefined ? { username, password } : { username: username ?? '', password: token };
  const given = Object.fromEntries(Object.entries(shown).filter(([, value]) => value !== undefined));
  const { url = mqttUrl(process), ...options } = more as IClientOptions & { url?: string };
  return await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0, ...given, ...options }, false);
}

export async function havenAs(process: GatewayProcess, credentials: Shown, url?: string): Promise<HavenClient> {
  const options = { connect: { credentials } };
  return await HavenClient.connect(process.ports.haven, url === undefined ? options : { ...options, url });
}

/** A bare websocket of happn that has logged in; rejects with what the gateway says. */
export async function happnAs(process: GatewayProcess, data: Shown, protocol = 'happn_4'): Promise<HappnWire> {
  const wire = await HappnWire.connect(webUrl(process, '/primus?_primuscb=raw'));
  await wire.request('configure-session', { data: { protocol, version: '13.12.1' } });
  await wire.request('describe', { data: null });
  const answer = await wire.request('login', { data: { ...data, info: {} } });
  if (!isOk(answer)) {
    wire.socket.terminate();
    throw new Error(messageOf(answer));
  }
  wire.sessionId = (answer.data as { id: string }).id;
  return wire;
}

export function isOk(answer: WireFrame | WireFrame[]): boolean {
  return (Array.isArray(answer) ? answer.at(-1)?._meta : answer._meta)?.status !== 'error';
}

/** What an error says, as text. */
export function messageOf(answer: WireFrame | WireFrame[]): string {
  const frame = Array.isArray(answer) ? (answer.at(-1) as WireFrame) : answer;
  return JSON.stringify(frame._meta?.error ?? frame.error ?? frame.data ?? frame);
}

export interface Door {
  readonly name: string;
  /** Resolves to how it is closed again; rejects with what the gateway says. */
  readonly enter: (process: GatewayProcess, shown: Shown) => Promise<() => Promise<void>>;
}

/** Everywhere that somebody can log in. */
export const DOORS: readonly Door[] = [
  ...([4, 5] as const).map((protocolVersion) => ({
    name: `MQTT ${protocolVersion}`,
    enter: async (process: GatewayProcess, shown: Shown) => {
      const client = await mqttAs(process, shown, { protocolVersion });
      return () => client.endAsync(true);
    },
  })),
  {
    name: 'MQTT over websocket',
    enter: async (process, shown) => {
      const client = await mqttAs(process, shown, { url: webUrl(process, '/mqtt') } as IClientOptions);
      return () => client.endAsync(true);
    },
  },
  {
    name: 'Haven',
    enter: async (process, shown) => {
      const client = await havenAs(process, shown);
      return () => client.close();
    },
  },
  {
    name: 'Haven over websocket',
    enter: async (process, shown) => {
      const client = await havenAs(process, shown, webUrl(process, '/haven'));
      return () => client.close();
    },
  },
  {
    name: 'happn',
    enter: async (process, shown) => {
      const wire = await happnAs(process, shown);
      return () => wire.close();
    },
  },
  {
    name: '/auth/login',
    enter: async ({ ports }, shown) => {
      const query = new URLSearchParams(shown as Record<string, string>);
      const response = await fetch(`http://127.0.0.1:${ports.happn}/auth/login?${query}`);
      if (!response.ok) throw new Error(await response.text());
      await response.body?.cancel();
      return async () => {};
    },
  },
];

/** A websocket of any of the three paths that nobody has said anything on. */
export function bareWebsocket(process: GatewayProcess, path: string, headers: Record<string, string> = {}): WebSocket {
  const socket = new WebSocket(webUrl(process, path), path === '/mqtt' ? ['mqtt'] : [], { headers });
  socket.on('error', () => socket.terminate());
  return socket;
}
