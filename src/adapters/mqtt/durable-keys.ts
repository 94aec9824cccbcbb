// Keys of durable sessions: for clients user and client id, for bridges the bridge.

const BRIDGE = 'bridge:';

/** `clientId` as the client gave it, or was given it. */
export function clientKey(user: string, clientId: string): string {
  return JSON.stringify([user, clientId]);
}

/** Keys of clients are JSON: no bridge has one of theirs. */
export function bridgeKey(name: string): string {
  return BRIDGE + name;
}

/** The fields by which a log says whose such a key is. */
export function whose(key: string): { readonly user?: string; readonly client: string } | { readonly bridge: string } {
  if (key.startsWith(BRIDGE)) return { bridge: key.slice(BRIDGE.length) };
  const [user, client] = JSON.parse(key) as [string, string];
  return user === '' ? { client } : { user, client };
}

/** For people: whose such a key is. */
export function clientOf(key: string): { readonly protocol: string; readonly client: string } {
  if (key.startsWith(BRIDGE)) return { protocol: 'bridge', client: key.slice(BRIDGE.length) };
  const [, client] = JSON.parse(key) as [string, string];
  return { protocol: 'mqtt', client };
}
