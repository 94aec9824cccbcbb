// Configuration: precedence, origins, refusals of one line, secrets.

import { describe, expect, it } from 'vitest';
import { HAPPN_DEFAULTS } from '../../src/adapters/happn/index.js';
import { HAVEN_DEFAULTS } from '../../src/adapters/haven/index.js';
import { MQTT_LIMITS } from '../../src/adapters/mqtt/index.js';
import {
  type ConfigFile,
  type ConfigKey,
  type ConfigSources,
  configFileName,
  configValue,
  KEYS,
  loadConfig,
  parseFile,
  printedValue,
  shownValue,
} from '../../src/config/index.js';
import { ConfigError } from '../../src/core/errors.js';

function refusal(sources: ConfigSources): string {
  try {
    loadConfig(sources);
  } catch (error) {
    return lineOf(error);
  }
  throw new Error('nothing was refused');
}

function lineOf(error: unknown): string {
  expect(error).toBeInstanceOf(ConfigError);
  const { message } = error as ConfigError;
  expect(message).not.toContain('\n');
  return message;
}

const flags = (entries: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(entries));
const file = (text: string): Promise<ConfigFile> => parseFile('trivium.yaml', text);

async function refusalOfFile(text: string): Promise<string> {
  let parsed: ConfigFile;
  try {
    parsed = await file(text);
  } catch (error) {
    return lineOf(error);
  }
  return refusal({ file: parsed });
}

describe('defaults', () => {
  it('are the ports, loopback and full durability', () => {
    const { config, origins } = loadConfig({});
    expect(config.host).toBe('127.0.0.1');
    expect([config.happn.port, config.mqtt.port, config.haven.port, config.admin.port]).toEqual([55_000, 1883, 7854, 55_080]);
    expect(config.durability).toBe('sync');
    expect(config.admin.password).toBeNull();
    expect(new Set(origins.values())).toEqual(new Set(['default']));
  });

  it('are what the adapters take by themselves', () => {
    const { host, happn, mqtt, haven, security } = loadConfig({}).config;
    expect({ ...happn, cookieName: security.http.cookieName }).toEqual({ port: 55_000, ...HAPPN_DEFAULTS });
    const tls = { port: null, clientCertificates: 'off', clientCaFile: null, userFrom: 'none' };
    const proxies = { proxyProtocol: 'off', proxyAddresses: [] };
    expect(mqtt).toEqual({ port: 1883, mountPoint: '', responseInformation: '', sysIntervalMs: 10_000, ...proxies, tls, ...MQTT_LIMITS });
    expect({ host, ...haven }).toEqual(HAVEN_DEFAULTS);
  });

  it('pass their own checks', () => {
    for (const key of KEYS) expect(key.type.safeParse(key.fallback).success, key.path).toBe(true);
  });
});

describe('names', () => {
  it('of a flag and a variable follow from the path of the key', () => {
    const names = new Map(KEYS.map((key) => [key.path, [key.flag, key.variable]]));
    expect(names.get('data.dir')).toEqual(['--data-dir', 'TRIVIUM_DATA_DIR']);
    expect(names.get('admin.passwordFile')).toEqual(['--admin-password-file', 'TRIVIUM_ADMIN_PASSWORD_FILE']);
    expect(names.get('allowOpen')).toEqual(['--allow-open', 'TRIVIUM_ALLOW_OPEN']);
  });

  it('are all different', () => {
    expect(new Set(KEYS.map((key) => key.flag)).size).toBe(KEYS.length);
    expect(new Set(KEYS.map((key) => key.variable)).size).toBe(KEYS.length);
  });

  it('include every flag that supervisors rely on', () => {
    const known = new Set(KEYS.map((key) => key.flag));
    const promised =
      '--data-dir --happn-port --mqtt-port --haven-port --admin-port --host --secure --allow-open --admin-host --admin-password --admin-password-file --durability --log-level --ready-file';
    for (const flag of promised.split(' ')) expect(known, flag).toContain(flag);
  });
});

describe('precedence', () => {
  const text = 'mqtt:\n  port: 1001\nhaven:\n  port: 1002\nhappn:\n  port: 1003\n';
  const env = { TRIVIUM_MQTT_PORT: '2001', TRIVIUM_HAVEN_PORT: '2002' };

  it('is flag, environment, file, default', async () => {
    const { config, origins } = loadConfig({ flags: flags({ 'mqtt.port': '3001' }), env, file: await file(text) });
    expect([config.mqtt.port, config.haven.port, config.happn.port, config.admin.port]).toEqual([3001, 2002, 1003, 55_080]);
    expect(origins.get('mqtt.port')).toBe('flag --mqtt-port');
    expect(origins.get('haven.port')).toBe('environment TRIVIUM_HAVEN_PORT');
    expect(origins.get('happn.port')).toBe('file trivium.yaml');
    expect(origins.get('admin.port')).toBe('default');
  });

  it('of the file name: the flag before the variable', () => {
    const variable = { TRIVIUM_CONFIG: 'b.yaml' };
    expect(configFileName('a.yaml', variable)).toEqual({ name: 'a.yaml', origin: 'flag --config' });
    expect(configFileName(undefined, variable)?.name).toBe('b.yaml');
    expect(configFileName(undefined, {})).toBeNull();
  });

  it('takes an empty variable for one that is not set', () => {
    expect(loadConfig({ env: { TRIVIUM_MQTT_PORT: '' } }).config.mqtt.port).toBe(1883);
  });
});

describe('the file', () => {
  it('may be JSON', async () => {
    expect(loadConfig({ file: await file('{"mqtt": {"port": 4}, "http": {"origins": ["https://a.example"]}}') }).config.mqtt.port).toBe(4);
  });

  it('may give keys by their whole path', async () => {
    expect(loadConfig({ file: await file('mqtt.port: 4') }).config.mqtt.port).toBe(4);
  });

  it.each(['', '# only a comment\n', 'mqtt:\n'])('may say nothing (%j)', async (text) => {
    expect(loadConfig({ file: await file(text) }).config.mqtt.port).toBe(1883);
  });

  it.each([
    ['mqtt: [', /neither YAML nor JSON.*line 1/],
    ['mqtt:\n  port: 1\n  port: 2\n', /neither YAML nor JSON.*unique.*line/],
    ['- 1\n', /must hold keys and values/],
    ['mqtt:\n  prot: 1\n', /^unknown key mqtt\.prot \(file trivium\.yaml\); did you mean mqtt\.port\?$/],
    ['mqt: {}\n', /^unknown key mqt \(file trivium\.yaml\); did you mean mqtt\?$/],
    ['mqtt: 7\n', /^mqtt: 7 is not allowed, it must be a map of keys such as mqtt\.port \(file trivium\.yaml\)$/],
    ['mqtt: { tls: true }\n', /^mqtt\.tls: true is not allowed, it must be a map of keys such as mqtt\.tls\.port \(file/],
    ['mqtt:\n  port: "1"\n', /^mqtt\.port: "1" is not allowed, it must be a port number/],
    ['secure: yes please\n', /^secure: "yes please" is not allowed, it must be true or false \(file trivium\.yaml\)$/],
    ['__proto__: {host: 1.2.3.4}\n', /^unknown key __proto__ /],
    ['constructor: {prototype: {x: 1}}\n', /^unknown key constructor /],
  ])('is refused with one line: %j', async (text, line) => {
    expect(await refusalOfFile(text)).toMatch(line);
    expect(Object.hasOwn(Object.prototype, 'host')).toBe(false);
  });
});

describe('a bad value', () => {
  it.each([
    [
      { env: { TRIVIUM_MQTT_PORT: 'abc' } },
      'mqtt.port: "abc" is not allowed, it must be a port number from 0 (any free port) to 65535 (environment TRIVIUM_MQTT_PORT)',
    ],
    [
      { flags: flags({ 'haven.port': '65536' }) },
      'haven.port: 65536 is not allowed, it must be a port number from 0 (any free port) to 65535 (flag --haven-port)',
    ],
    [{ flags: flags({ durability: 'maybe' }) }, 'durability: "maybe" is not allowed, it must be one of sync, os, none (flag --durability)'],
    [{ flags: flags({ host: 'not a host' }) }, 'host: "not a host" is not allowed, it must be an IP address or a host name (flag --host)'],
    [
      { env: { TRIVIUM_HTTP_ORIGINS: 'a.example' } },
      'http.origins: ["a.example"] is not allowed, it must be a list of origins such as https://app.example (environment TRIVIUM_HTTP_ORIGINS)',
    ],
    [{ env: { TRIVIUM_SECURE: 'yes' } }, 'secure: "yes" is not allowed, it must be true or false (environment TRIVIUM_SECURE)'],
  ])('names key, value, what is allowed, and where it came from', (sources, line) => {
    expect(refusal(sources)).toBe(line);
  });

  it('of a secret is not repeated', async () => {
    expect(await refusalOfFile('admin:\n  password: 12345\n')).toBe(
      'admin.password: the given value is not allowed, it must be a text of 1 to 1024 bytes (file trivium.yaml)',
    );
  });
});

describe('an unknown key', () => {
  it('in the environment is refused, with a near one', () => {
    expect(refusal({ env: { TRIVIUM_MQTTPORT: '1' } })).toBe('unknown key TRIVIUM_MQTTPORT (environment); did you mean TRIVIUM_MQTT_PORT?');
    expect(refusal({ env: { TRIVIUM_NONSENSE: '1' } })).toBe('unknown key TRIVIUM_NONSENSE (environment)');
  });

  it('is not what an orchestrator adds for a service of our name', () => {
    const env = {
      TRIVIUM_SERVICE_HOST: '10.0.0.1',
      TRIVIUM_PORT: 'tcp://10.0.0.1:1',
      TRIVIUM_PORT_1883_TCP_ADDR: '10.0.0.1',
      PATH: '/bin',
    };
    expect(() => loadConfig({ env })).not.toThrow();
  });

  it('of an embedding program is refused', () => {
    expect(refusal({ given: { mqtt: { port: 0, hurry: true } } as never })).toBe('unknown key mqtt.hurry (given)');
  });
});

describe('rules between keys', () => {
  it('loopback only, unless opened on purpose', () => {
    expect(refusal({ flags: flags({ host: '0.0.0.0' }) })).toMatch(/^host: "0\.0\.0\.0" is not loopback.*--allow-open.*\(flag --host\)$/);
    expect(refusal({ flags: flags({ 'admin.host': '::' }) })).toMatch(/^admin\.host: "::" is not loopback/);
    expect(loadConfig({ flags: flags({ host: '0.0.0.0', allowOpen: 'true' }) }).config.host).toBe('0.0.0.0');
    for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', 'LOCALHOST']) {
      expect(loadConfig({ flags: flags({ host }) }).config.host).toBe(host);
    }
    for (const host of ['127.0.0.1.example.com', 'localhost.example.com', '10.0.0.1']) refusal({ flags: flags({ host }) });
  });

  it('no two listeners on one port, but any number on a free one', () => {
    expect(refusal({ flags: flags({ 'mqtt.port': '7854' }) })).toBe(
      'haven.port: 7854 is also mqtt.port; each listener needs its own port (default)',
    );
    expect(() => loadConfig({ flags: flags({ 'mqtt.port': '0', 'haven.port': '0' }) })).not.toThrow();
  });

  it('a certificate has its key, comes from one place, and is for somebody', () => {
    const text = '-----BEGIN CERTIFICATE-----';
    expect(refusal({ flags: flags({ 'tls.certFile': 'a.pem', 'tls.keyFile': 'b.pem' }) })).toBe(
      'tls.certFile: a certificate is given, but nothing uses it; add --tls-enabled (flag --tls-cert-file)',
    );
    const on = { 'tls.enabled': 'true' };
    expect(refusal({ flags: flags({ ...on, 'tls.certFile': 'a.pem' }) })).toMatch(/^tls\.certFile: its key is missing/);
    expect(refusal({ flags: flags({ ...on, 'tls.keyFile': 'a.pem' }) })).toMatch(/^tls\.keyFile: its certificate is missing/);
    const both = { ...on, 'tls.certFile': 'a.pem', 'tls.cert': text, 'tls.keyFile': 'b.pem' };
    expect(refusal({ flags: flags(both) })).toMatch(/^tls\.cert: tls\.certFile is given, too/);
    const env = { TRIVIUM_TLS_CERT: text, TRIVIUM_TLS_KEY: '-----BEGIN PRIVATE KEY-----' };
    expect(loadConfig({ flags: flags(on), env }).config.tls.cert).toBe(text);
    expect(refusal({ flags: flags(on), env: { ...env, TRIVIUM_TLS_KEY: 'opensesame' } })).toBe(
      'tls.key: the given value is not allowed, it must be a text in PEM form (environment TRIVIUM_TLS_KEY)',
    );
    expect(loadConfig({ flags: flags(on) }).config.tls.enabled).toBe(true);
  });

  it('a certificate may be for MQTT alone', () => {
    const files = { 'tls.certFile': 'a.pem', 'tls.keyFile': 'b.pem' };
    expect(loadConfig({ flags: flags({ ...files, 'mqtt.tls.port': '8883' }) }).config.mqtt.tls.port).toBe(8883);
  });

  it('certificates of MQTT clients need a port, and somebody who vouches for them', () => {
    const asked = { 'mqtt.tls.port': '8883', 'mqtt.tls.clientCertificates': 'required' };
    const ca = { 'mqtt.tls.clientCaFile': 'ca.pem' };
    expect(refusal({ flags: flags(asked) })).toMatch(
      /^mqtt\.tls\.clientCertificates: it needs CA certificates; set mqtt\.tls\.clientCaFile/,
    );
    const portless = { 'mqtt.tls.clientCertificates': 'optional', ...ca };
    expect(refusal({ flags: flags(portless) })).toMatch(/^mqtt\.tls\.clientCertificates: it needs a TLS port; set mqtt\.tls\.port/);
    expect(refusal({ flags: flags(ca) })).toMatch(/^mqtt\.tls\.clientCaFile: clients are not asked for certificates/);
    expect(refusal({ flags: flags({ 'mqtt.tls.userFrom': 'commonName' }) })).toMatch(/^mqtt\.tls\.userFrom: clients are not asked/);
    expect(loadConfig({ flags: flags({ ...asked, ...ca, 'mqtt.tls.userFrom': 'commonName' }) }).config.mqtt.tls.userFrom).toBe(
      'commonName',
    );
  });

  it('PROXY headers need somebody who sends them', () => {
    const required = { 'mqtt.proxyProtocol': 'required' };
    expect(refusal({ flags: flags(required) })).toMatch(/^mqtt\.proxyProtocol: .*set mqtt\.proxyAddresses \(flag --mqtt-proxy-protocol\)$/);
    const list = '10.0.0.0/8, 192.0.2.1,2001:db8::/32,::1';
    expect(loadConfig({ flags: flags({ ...required, 'mqtt.proxyAddresses': list }) }).config.mqtt.proxyAddresses).toHaveLength(4);
    for (const bad of ['proxy.example', '10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/8/8', 'fe80::1%eth0']) {
      expect(refusal({ flags: flags({ ...required, 'mqtt.proxyAddresses': bad }) })).toMatch(/^mqtt\.proxyAddresses: .* is not allowed/);
    }
  });

  it('secure opens the listeners to other machines, but for the one of administrators', () => {
    const { config, origins } = loadConfig({ flags: flags({ secure: 'true' }) });
    expect([config.host, config.admin.host]).toEqual(['0.0.0.0', '127.0.0.1']);
    expect(origins.get('host')).toBe('default with secure');
    const own = loadConfig({ flags: flags({ secure: 'true', host: '127.0.0.1', 'admin.host': '10.0.0.1' }) }).config;
    expect([own.host, own.admin.host]).toEqual(['127.0.0.1', '10.0.0.1']);
  });

  it.each([
    [
      { secure: 'true', allowOpen: 'true' },
      'allowOpen: it contradicts secure, with which everybody has to log in; set only one of them (flag --allow-open)',
    ],
    [
      { 'admin.password': 'a', 'admin.passwordFile': 'b' },
      'admin.passwordFile: admin.password is given, too; set only one of them (flag --admin-password-file)',
    ],
    [
      { 'admin.password': '' },
      'admin.password: the given value is not allowed, it must be a text of 1 to 1024 bytes (flag --admin-password)',
    ],
    [{ 'admin.password': 'x'.repeat(1_025) }, /^admin\.password: the given value is not allowed, it must be a text of 1 to 1024 bytes/],
    [{ 'security.tokens.previousSecret': 'x'.repeat(32) }, /^security\.tokens\.previousSecret: it needs a current secret/],
    [
      { 'security.tokens.secret': 'too short' },
      'security.tokens.secret: the given value is not allowed, it must be a text of 32 to 1024 characters (flag --security-tokens-secret)',
    ],
  ] as [Record<string, string>, string | RegExp][])('security that contradicts itself is refused: %j', (given, expected) => {
    const said = refusal({ flags: flags(given) });
    if (typeof expected === 'string') expect(said).toBe(expected);
    else expect(said).toMatch(expected);
  });
});

describe('lists of security', () => {
  const security = async (text: string): Promise<ConfigSources> => ({ file: await file(`security:\n  ${text}\n`) });

  it('hold users and groups, profiles and providers, with their defaults', async () => {
    const { config } = loadConfig(
      await security(
        [
          'groups: [{name: readers, permissions: {"/a/*": {actions: [get, on]}, "/a/secret": {prohibit: ["*"]}}}]',
          'users: [{name: bob, password: secret, groups: [readers], customData: {site: {id: 7}}}]',
          'profiles: [{name: web, session: {info: {_browser: true}}, policy: {ttl: 7 days, inactivity_threshold: .inf}}]',
          'providers: [{name: corp, issuer: "https://login.example", audience: trivium, jwksUrl: "https://login.example/keys"}]',
        ].join('\n  '),
      ),
    );
    expect(config.security.groups).toEqual([
      { name: 'readers', permissions: { '/a/*': { actions: ['get', 'on'] }, '/a/secret': { prohibit: ['*'] } }, customData: {} },
    ]);
    expect(config.security.users).toMatchObject([
      { name: 'bob', password: 'secret', groups: ['readers'], customData: { site: { id: 7 } } },
    ]);
    expect(config.security.profiles).toMatchObject([
      { name: 'web', policy: { ttl: '7 days', usage_limit: null, lockTokenToOrigin: false } },
    ]);
    expect(config.security.providers).toMatchObject([{ algorithms: ['RS256', 'ES256'], userClaim: 'sub', jwksFile: null }]);
  });

  it('never show passwords', async () => {
    const key = KEYS.find(({ path }) => path === 'security.users') as ConfigKey;
    const value = configValue(loadConfig(await security('users: [{name: bob, password: secret}]')).config, key.path);
    expect(shownValue(key, value)).not.toContain('secret');
    expect(JSON.stringify(printedValue(key, value))).not.toContain('secret');
    expect(refusal(await security('users: [{name: bob, password: {secret: 1}}]'))).not.toContain('secret');
  });

  it.each([
    ['users: [{}]', 'security.users[0].name is missing (file trivium.yaml)'],
    [
      'users: [{name: a/b}]',
      'security.users[0].name: "a/b" is not allowed, it must be the name of a user: at most 256 bytes without / (file trivium.yaml)',
    ],
    [
      'users: [{name: a}, {name: a}]',
      'security.users[1].name: "a" is not allowed, it must be a name that no other has (file trivium.yaml)',
    ],
    ['users: [{name: a, password: ""}]', /^security\.users\[0\]\.password: .* is not allowed, it must be a text of 1 to 1024 bytes/],
    [
      `users: [{name: a, password: ${'x'.repeat(1_025)}}]`,
      /^security\.users\[0\]\.password: .* is not allowed, it must be a text of 1 to 1024 bytes/,
    ],
    ['users: [{name: _ADMIN}]', /it must be a name other than _ADMIN, whose first password is admin\.password/],
    ['users: [{name: a, passwordHash: scrypt}]', /^security\.users\[0\]\.passwordHash: the given value is not allowed, it must be a hash/],
    ['users: [{name: a, pasword: x}]', 'unknown key security.users[0].pasword (file trivium.yaml)'],
    [
      'groups: [{name: a, permissions: {"/x": {actions: [fly]}}}]',
      /^security\.groups\[0\]\.permissions\.\/x\.actions\[0\]: "fly" is not allowed, it must be a list of \*/,
    ],
    [
      'groups: [{name: a, permissions: {"/x": {action: [get]}}}]',
      'unknown key security.groups[0].permissions./x.action (file trivium.yaml)',
    ],
    [
      'profiles: [{name: a, session: {$where: "1"}, policy: {}}]',
      /^security\.profiles\[0\]\.session: .* criteria on a login \(the operator \$where/,
    ],
    [
      'profiles: [{name: a, session: {}, policy: {ttl: soon}}]',
      /^security\.profiles\[0\]\.policy\.ttl: "soon" is not allowed, it must be milliseconds, or a text/,
    ],
    ['profiles: [{name: a, session: {}, policy: {sourceIPWhitelist: [here]}}]', /it must be a list of IP addresses and networks/],
    ['providers: [{name: a, issuer: b, audience: c}]', /^security\.providers\[0\]\.jwksUrl must be given, unless jwksFile is/],
    [
      'providers: [{name: a, issuer: b, audience: c, jwksUrl: "http://login.example"}]',
      /it must be https:\/\/, or http:\/\/ on this machine/,
    ],
    ['providers: [{name: a, issuer: b, audience: c, jwksFile: d, algorithms: [HS256]}]', /it must be a list of RS256/],
  ] as [string, string | RegExp][])('refuse %s', async (text, expected) => {
    const said = refusal(await security(text));
    if (typeof expected === 'string') expect(said).toBe(expected);
    else expect(said).toMatch(expected);
  });
});

describe('bridges', () => {
  const least = 'name: cloud, url: "mqtt://b.example", rules: [{direction: both, filter: "a/#"}]';
  const one = (more: string, rules = '') =>
    `bridges:\n  - {name: cloud, url: "mqtt://b.example", ${more === '' ? '' : `${more}, `}rules: [{direction: out, filter: "a/#"}${rules}]}\n`;

  it('take their defaults where nothing is said', async () => {
    const [bridge] = loadConfig({ file: await file(`bridges: [{${least}}]`) }).config.bridges;
    expect(bridge).toMatchObject({ name: 'cloud', version: '5', cleanSession: false, rejectUnauthorized: true, retryMinMs: 1_000 });
    expect(bridge?.rules).toEqual([{ direction: 'both', filter: 'a/#', localPrefix: '', remotePrefix: '', qos: 1 }]);
    expect(Object.isFrozen(bridge?.rules[0])).toBe(true);
  });

  it('may be JSON in a flag, and objects of an embedding program', () => {
    const json =
      '[{"name":"cloud","url":"ws://b.example/mqtt","version":5,"rules":[{"direction":"in","filter":"","remotePrefix":"x","localPrefix":"y"}]}]';
    const byFlag = loadConfig({ flags: flags({ bridges: json }) }).config.bridges;
    expect(byFlag[0]?.version).toBe('5');
    expect(loadConfig({ given: { bridges: JSON.parse(json) } }).config.bridges).toEqual(byFlag);
  });

  it.each([
    [
      'bridges: cloud',
      'bridges: "cloud" is not allowed, it must be a list of bridges (in a flag or a variable as JSON) (file trivium.yaml)',
    ],
    [one('port: 1'), 'unknown key bridges[0].port (file trivium.yaml)'],
    ['bridges: [{name: a, rules: [{direction: in, filter: a}]}]', 'bridges[0].url is missing (file trivium.yaml)'],
    [one('retryMinMs: 5'), 'bridges[0].retryMinMs: 5 is not allowed, it must be a whole number from 100 to 3600000 (file trivium.yaml)'],
    [
      one('', ', {direction: up, filter: a}'),
      'bridges[0].rules[1].direction: "up" is not allowed, it must be one of in, out, both (file trivium.yaml)',
    ],
    [
      one('', ', {direction: in, filter: "a/#/b"}'),
      /^bridges\[0\]\.rules\[1\]\.filter: "a\/#\/b" is not allowed, it must be an MQTT topic filter/,
    ],
    [
      one('', ', {direction: in, filter: ""}'),
      /rules\[1\]\.filter: "" is not allowed, it must be an MQTT topic filter, or empty with both prefixes/,
    ],
    [one('', ', {direction: in, filter: "$SYS/#"}'), /rules\[1\]\.filter: "\$SYS\/#" is not allowed, it must be outside/],
    [one('', ', {direction: in, filter: "$share/g/a"}'), /rules\[1\]\.filter: .* it must be a filter without \$share/],
    [
      one('', ', {direction: out, filter: a, remotePrefix: "$x/"}'),
      /rules\[1\]\.filter: "a" is not allowed, it must be outside of \$ at the remote/,
    ],
    [one('password: "123"'), /bridges\[0\].username must be given, because a password is/],
    [
      one('username: u, password: 123'),
      'bridges[0].password: the given value is not allowed, it must be a text without control characters (file trivium.yaml)',
    ],
    [one('caFile: x.pem'), /bridges\[0\]\.caFile: "x\.pem" is not allowed, it must be left out unless url is mqtts/],
    [
      'bridges: [{name: a, url: "mqtt://u:opensesame@h", rules: []}]',
      /^bridges\[0\]\.url: the given value is not allowed, it must be mqtt:\/\//,
    ],
    [
      `bridges: [{${least}}, {${least}}]`,
      'bridges[1].name: "cloud" is not allowed, it must be a name that no other bridge has (file trivium.yaml)',
    ],
  ])('are refused with the place: %s', async (text, line) => {
    if (typeof line === 'string') expect(await refusalOfFile(text)).toBe(line);
    else expect(await refusalOfFile(text)).toMatch(line);
  });

  it('never show a password', async () => {
    const { config } = loadConfig({ file: await file(one('username: u, password: opensesame')) });
    const key = KEYS.find(({ path }) => path === 'bridges') as ConfigKey;
    expect(shownValue(key, config.bridges)).toMatch(/"username":"u","password":"set"/);
    expect(JSON.stringify(printedValue(key, config.bridges))).not.toContain('opensesame');
    expect(shownValue(key, [])).toBe('none');
  });
});

describe('history', () => {
  it('takes its defaults where nothing is said', async () => {
    const { history } = loadConfig({ file: await file('history: [{pattern: /shop/*}, {pattern: /x, revisions: 3, age: 60000}]') }).config;
    expect(history).toEqual([
      { pattern: '/shop/*', revisions: 10, age: null },
      { pattern: '/x', revisions: 3, age: 60_000 },
    ]);
    expect(loadConfig({ flags: flags({ history: '[{"pattern":"/shop/*"}]' }) }).config.history).toEqual([history[0]]);
    expect(loadConfig({}).config).toMatchObject({ history: [], historyMaxBytes: 256 * 1024 * 1024 });
  });

  it.each([
    ['history: /shop', /^history: "\/shop" is not allowed, it must be a list of patterns/],
    ['history: [{revisions: 3}]', 'history[0].pattern is missing (file trivium.yaml)'],
    ['history: [{pattern: /a, versions: 3}]', 'unknown key history[0].versions (file trivium.yaml)'],
    ['history: [{pattern: ""}]', /^history\[0\]\.pattern: "" is not allowed, it must be a path in which \*/],
    ['history: [{pattern: /a, revisions: 0}]', /^history\[0\]\.revisions: 0 is not allowed, it must be a whole number from 1 to 1000/],
    ['history: [{pattern: /a, age: 10}]', /^history\[0\]\.age: 10 is not allowed, it must be a whole number of milliseconds from 1000/],
    [
      'history: [{pattern: /a}, {pattern: /a}]',
      /^history\[1\]\.pattern: "\/a" is not allowed, it must be a pattern that is listed only once/,
    ],
  ])('is refused with the place: %s', async (text, line) => {
    if (typeof line === 'string') expect(await refusalOfFile(text)).toBe(line);
    else expect(await refusalOfFile(text)).toMatch(line);
  });
});

describe('the result', () => {
  it('is frozen all the way down', () => {
    const { config } = loadConfig({ env: { TRIVIUM_HTTP_ORIGINS: 'https://a.example, http://b.example:8080' } });
    expect(config.http.origins).toEqual(['https://a.example', 'http://b.example:8080']);
    for (const part of [config, config.http, config.http.origins, config.mqtt]) expect(Object.isFrozen(part)).toBe(true);
  });

  it('never shows a secret', () => {
    const { config } = loadConfig({ env: { TRIVIUM_ADMIN_PASSWORD: 'opensesame' } });
    const shown = KEYS.map((key) => shownValue(key, configValue(config, key.path)));
    expect(shown).not.toContain('opensesame');
    expect(shown[KEYS.findIndex((key) => key.path === 'admin.password')]).toBe('set');
    expect(KEYS.filter((key) => key.secret).map((key) => key.path)).toEqual([
      'admin.password',
      'security.tokens.secret',
      'security.tokens.previousSecret',
      'tls.cert',
      'tls.key',
    ]);
  });
});
