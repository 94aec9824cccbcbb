// Who may vouch for clients: which files are taken, which are refused and how, and what happens when they change.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError, Counters } from '../../src/core/index.js';
import { Authorities } from '../../src/tls/authorities.js';
import { type MadePem, makeAuthority } from '../support/certificates.js';
import { temporaryDirectory } from '../support/gateway-process.js';
import { keptLog } from '../support/silent-log.js';

const OWN = { cert: 'own certificate', key: 'own key' };

let one: MadePem;
let two: MadePem;
let file: string;
let log: ReturnType<typeof keptLog>;
let counters: Counters;
let used: SecureContextOptions[];
let authorities: Authorities;

beforeAll(async () => {
  [one, two] = await Promise.all([makeAuthority('one'), makeAuthority('two')]);
});

beforeEach(() => {
  file = join(temporaryDirectory(), 'ca.pem');
  log = keptLog();
  counters = new Counters();
  used = [];
  authorities = new Authorities({ key: 'mqtt.tls.clientCaFile', file, checkMs: 86_400_000 }, log, counters);
  authorities.addUser({ setSecureContext: (options) => void used.push(options) });
});

afterEach(() => authorities.close());

const ca = (): string[] => used.map((options) => String(options.ca).replaceAll('\n', ''));
const flat = (...pems: MadePem[]): string => pems.map(({ cert }) => cert.replaceAll('\n', '')).join('');

describe('authorities', () => {
  it('are handed over with the certificate of the gateway, when both are there', async () => {
    writeFileSync(file, `# ours\n${one.cert}\n# and theirs\n${two.cert}`);
    await authorities.open();
    expect(used).toEqual([]);
    authorities.setSecureContext(OWN);
    expect(used).toEqual([{ ...OWN, ca: expect.any(String) }]);
    expect(ca()).toEqual([flat(one, two)]);
  });

  it('that change are taken over, with the certificate as it is then', async () => {
    writeFileSync(file, one.cert);
    await authorities.open();
    authorities.setSecureContext(OWN);
    authorities.setSecureContext({ ...OWN, cert: 'renewed' });
    await authorities.look();
    writeFileSync(file, two.cert);
    await authorities.look();
    expect(ca()).toEqual([flat(one), flat(one), flat(two)]);
    expect(used[2]?.cert).toBe('renewed');
  });

  it('that are broken later leave the ones before in use, told once', async () => {
    writeFileSync(file, one.cert);
    await authorities.open();
    authorities.setSecureContext(OWN);
    writeFileSync(file, 'nothing');
    for (let i = 0; i < 3; i++) await authorities.look();
    expect(ca()).toEqual([flat(one)]);
    expect(counters.counter('tls_authorities_refused_total', '').value).toBe(1);
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    writeFileSync(file, two.cert);
    await authorities.look();
    expect(ca()).toEqual([flat(one), flat(two)]);
  });

  it.each([
    ['are not there', null, /^mqtt\.tls\.clientCaFile: cannot read .*: no such file or directory$/],
    ['are no certificates', 'nothing', /^mqtt\.tls\.clientCaFile .*: there is no certificate in PEM form in it$/],
    [
      'cannot be read',
      '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n',
      /^mqtt\.tls\.clientCaFile .*: a certificate in it cannot be read$/,
    ],
  ])('that %s stop the start with one line', async (_what, text, line) => {
    if (text !== null) writeFileSync(file, text);
    const error: unknown = await authorities.open().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toMatch(line);
  });
});
