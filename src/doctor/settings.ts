// What is unsafe about a configuration, by itself.

import { type Config, usesTls } from '../config/index.js';
import { isLoopback } from '../core/sockets/addresses.js';
import { bad, type Finding, ok, warn } from './finding.js';

/** Where the value of each key came from. */
type Origins = ReadonlyMap<string, string>;

export function examineSettings(config: Config, origins: Origins): Finding[] {
  return [access(config), ...secrets(config, origins), ...wire(config), ...logins(config), ...rest(config)];
}

function access({ secure, host, admin }: Config): Finding {
  if (secure) return ok('access', 'everybody has to log in');
  if (!isLoopback(host) || !isLoopback(admin.host)) {
    return bad(
      'access',
      `nobody has to log in, and other machines can reach ${isLoopback(host) ? admin.host : host}`,
      'use --secure instead of --allow-open',
    );
  }
  return warn('access', 'nobody has to log in: every program of this machine may read and write everything', 'use --secure');
}

/** Other users of this machine see flags, and often variables. */
function secrets({ admin, security }: Config, origins: Origins): Finding[] {
  const given = [
    ['admin.password', admin.password, 'use --admin-password-file'],
    ['security.tokens.secret', security.tokens.secret, 'put it into the configuration file'],
  ] as const;
  return given
    .filter(([key, value]) => value !== null && origins.get(key)?.startsWith('flag') === true)
    .map(([key, , advice]) => warn('secrets', `${key} is on the command line, where all users of this machine can read it`, advice));
}

function wire(config: Config): Finding[] {
  const { secure, host, tls, mqtt, admin } = config;
  const found: Finding[] = [];
  if (!isLoopback(host)) {
    if (!tls.enabled)
      found.push(
        warn(
          'tls',
          'happn, and websockets of all protocols, are not encrypted: passwords can be read on the way',
          'use --tls-enabled, or a proxy that does it',
        ),
      );
    if (mqtt.tls.port === null)
      found.push(warn('tls', 'MQTT over TCP is not encrypted', 'use --mqtt-tls-port, and keep mqtt.port to this machine with a firewall'));
    found.push(warn('tls', 'Haven over TCP is never encrypted', 'use it over websocket with TLS, or in a network of its own'));
  }
  if (usesTls(config) && tls.certFile === null && tls.cert === null) {
    found.push(
      warn(
        'tls',
        'the certificate is self-signed, made by the gateway; clients do not trust it by default',
        'give tls.certFile and tls.keyFile',
      ),
    );
  }
  if (secure && !isLoopback(admin.host))
    found.push(
      warn('admin', `other machines can reach the admin listener on ${admin.host}, without encryption`, 'leave admin.host on loopback'),
    );
  return found;
}

function logins({ secure, security }: Config): Finding[] {
  if (!secure) return [];
  const { anonymous, tokens, providers, adminRemote } = security;
  const found: Finding[] = [];
  if (anonymous)
    found.push(warn('logins', 'clients without credentials have the rights of the user _ANONYMOUS', 'give that user few permissions'));
  if (adminRemote)
    found.push(
      warn('logins', '_ADMIN may log in from other machines', 'set security.adminRemote to false once there are other administrators'),
    );
  if (tokens.ttlMs === 0) found.push(warn('logins', 'tokens never expire', 'set security.tokens.ttlMs'));
  for (const { name, jwksUrl } of providers) {
    if (jwksUrl?.startsWith('http:') === true)
      found.push(warn('logins', `the keys of the provider ${name} are fetched without encryption`, 'use https'));
  }
  return found.length === 0 ? [ok('logins', 'nothing unsafe is allowed')] : found;
}

function rest({ http, data, durability }: Config): Finding[] {
  const found: Finding[] = [];
  if (http.origins.includes('*')) found.push(warn('web', 'every web page may open websockets', 'list the pages in http.origins'));
  if (data.acceptDamage) found.push(bad('data', 'a damaged store is accepted at every start', 'remove data.acceptDamage again'));
  if (durability === 'none')
    found.push(warn('data', 'acknowledged changes are lost when the process is killed', 'set durability to sync or os'));
  return found;
}
