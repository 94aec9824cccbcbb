// Rules between keys of the configuration; rules for single keys are in the schema.

import { ConfigError } from '../core/errors.js';
import { isLoopback } from '../core/sockets/addresses.js';
import type { Config } from './schema.js';

/** Where the value of each key came from. */
type Origins = ReadonlyMap<string, string>;

/** Throws ConfigError, one line that names key and origin. */
export function checkRules(config: Config, origins: Origins): void {
  const refuse = (key: string, why: string): never => {
    throw new ConfigError(`${key}: ${why} (${origins.get(key)})`);
  };
  checkSecurity(config, refuse);
  checkHosts(config, refuse);
  checkCertificate(config, refuse);
  checkMqttTls(config, refuse);
  checkProxies(config, refuse);
  checkPorts(config, refuse);
}

/** Whether some listener speaks TLS, and needs a certificate. */
export function usesTls({ tls, mqtt }: Config): boolean {
  return tls.enabled || mqtt.tls.port !== null;
}

type Refuse = (key: string, why: string) => never;

function checkSecurity({ secure, allowOpen, admin, security }: Config, refuse: Refuse): void {
  if (secure && allowOpen) refuse('allowOpen', 'it contradicts secure, with which everybody has to log in; set only one of them');
  if (admin.password !== null && admin.passwordFile !== null)
    refuse('admin.passwordFile', 'admin.password is given, too; set only one of them');
  const { secret, previousSecret } = security.tokens;
  if (previousSecret !== null && secret === null)
    refuse('security.tokens.previousSecret', 'it needs a current secret; set security.tokens.secret');
}

function checkHosts(config: Config, refuse: Refuse): void {
  if (config.secure) return;
  for (const [key, host] of [
    ['host', config.host],
    ['admin.host', config.admin.host],
  ] as const) {
    if (isLoopback(host) || config.allowOpen) continue;
    const advice = 'use --secure, or add --allow-open to let everyone who reaches it read and write everything';
    refuse(key, `${JSON.stringify(host)} is not loopback, and nobody has to log in; ${advice}`);
  }
}

/** Certificate and key come together, each from one place, and for somebody who uses them. */
function checkCertificate(config: Config, refuse: Refuse): void {
  const { tls } = config;
  const given = (['certFile', 'cert', 'keyFile', 'key'] as const).filter((name) => tls[name] !== null);
  if (given.length > 0 && !usesTls(config)) refuse(`tls.${given[0]}`, 'a certificate is given, but nothing uses it; add --tls-enabled');
  if (tls.certFile !== null && tls.cert !== null) refuse('tls.cert', 'tls.certFile is given, too; set only one of them');
  if (tls.keyFile !== null && tls.key !== null) refuse('tls.key', 'tls.keyFile is given, too; set only one of them');
  const [cert, key] = [given.find((name) => name.startsWith('cert')), given.find((name) => name.startsWith('key'))];
  if (cert !== undefined && key === undefined) refuse(`tls.${cert}`, 'its key is missing; set tls.keyFile or tls.key');
  if (key !== undefined && cert === undefined) refuse(`tls.${key}`, 'its certificate is missing; set tls.certFile or tls.cert');
}

function checkMqttTls({ mqtt: { tls } }: Config, refuse: Refuse): void {
  const asked = tls.clientCertificates !== 'off';
  if (asked && tls.port === null) refuse('mqtt.tls.clientCertificates', 'it needs a TLS port; set mqtt.tls.port');
  if (asked && tls.clientCaFile === null) {
    refuse('mqtt.tls.clientCertificates', 'it needs CA certificates; set mqtt.tls.clientCaFile');
  }
  if (!asked && tls.clientCaFile !== null)
    refuse('mqtt.tls.clientCaFile', 'clients are not asked for certificates; set mqtt.tls.clientCertificates');
  if (!asked && tls.userFrom !== 'none')
    refuse('mqtt.tls.userFrom', 'clients are not asked for certificates; set mqtt.tls.clientCertificates');
}

function checkProxies({ mqtt }: Config, refuse: Refuse): void {
  if (mqtt.proxyProtocol === 'required' && mqtt.proxyAddresses.length === 0) {
    refuse('mqtt.proxyProtocol', 'only proxies may connect then, and none is listed; set mqtt.proxyAddresses');
  }
}

function checkPorts({ happn, mqtt, haven, admin }: Config, refuse: Refuse): void {
  const taken = new Map<number, string>();
  for (const [key, port] of [
    ['happn.port', happn.port],
    ['mqtt.port', mqtt.port],
    ['mqtt.tls.port', mqtt.tls.port ?? 0],
    ['haven.port', haven.port],
    ['admin.port', admin.port],
  ] as const) {
    const other = taken.get(port);
    if (port !== 0 && other !== undefined) refuse(key, `${port} is also ${other}; each listener needs its own port`);
    taken.set(port, key);
  }
}
