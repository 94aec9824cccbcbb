// The certificate: which ones are taken, which are refused and how, what happens when they change, and one of our own making.

import { X509Certificate } from 'node:crypto';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError, Counters, StartError } from '../../src/core/index.js';
import { Certificate, type CertificateOptions } from '../../src/tls/certificate.js';
import { type MadePem, makePem } from '../support/certificates.js';
import { temporaryDirectory } from '../support/gateway-process.js';
import { type KeptLine, keptLog } from '../support/silent-log.js';

const DAY_MS = 86_400_000;
let one: MadePem;
let two: MadePem;
let directory: string;
let certFile: string;
let keyFile: string;
let now: number;
let log: ReturnType<typeof keptLog>;
let counters: Counters;
let used: SecureContextOptions[];
let open: Certificate[];

beforeAll(async () => {
  [one, two] = await Promise.all([makePem(), makePem()]);
});

beforeEach(() => {
  directory = temporaryDirectory();
  [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  now = Date.now();
  log = keptLog();
  counters = new Counters();
  used = [];
  open = [];
});

afterEach(() => {
  for (const certificate of open) certificate.close();
});

function certificate(more: Partial<CertificateOptions>): Certificate {
  const none = { certFile: null, keyFile: null, cert: null, key: null };
  const options = { ...none, checkMs: 86_400_000, madeFile: join(directory, 'tls.pem'), host: '127.0.0.1', ...more };
  const made = new Certificate(options, { now: () => now, monotonic: () => now }, log, counters);
  made.addUser({ setSecureContext: (given) => void used.push(given) });
  open.push(made);
  return made;
}

function write({ cert, key }: Partial<MadePem>): void {
  if (cert !== undefined) writeFileSync(certFile, cert);
  if (key !== undefined) writeFileSync(keyFile, key);
}

async function refusal(made: Certificate): Promise<unknown> {
  const error: unknown = await made.open().catch((reason: unknown) => reason);
  expect(used).toEqual([]);
  expect((error as Error).message).not.toContain('\n');
  return error;
}

const warnings = (): KeptLine[] => log.lines.filter(({ level }) => level === 'warn' || level === 'error');

describe('a certificate that is given', () => {
  it('as texts is used', async () => {
    await certificate({ cert: one.cert, key: one.key }).open();
    expect(used).toEqual([{ ...one, minVersion: 'TLSv1.2' }]);
    expect(counters.gauges.get('tls_certificate_valid_seconds')?.read()).toBeGreaterThan(800 * 86_400);
  });

  it('as files is used, also by somebody who comes later', async () => {
    write(one);
    const made = certificate({ certFile, keyFile });
    await made.open();
    made.addUser({ setSecureContext: (given) => void used.push(given) });
    expect(used.map(({ cert }) => cert)).toEqual([one.cert, one.cert]);
  });

  it('may come from a file while its key is a text', async () => {
    write({ cert: one.cert });
    await certificate({ certFile, key: one.key }).open();
    expect(used).toHaveLength(1);
  });

  it.each<[string, () => Partial<MadePem>, () => string]>([
    ['is not there', () => ({ key: one.key }), () => `tls.certFile: cannot read ${certFile}: no such file or directory`],
    ['has no key', () => ({ cert: one.cert }), () => `tls.keyFile: cannot read ${keyFile}: no such file or directory`],
    ['is no certificate', () => ({ cert: 'x', key: one.key }), () => `tls.certFile ${certFile}: there is no certificate in PEM form in it`],
    [
      'has something else for a key',
      () => ({ cert: one.cert, key: one.cert }),
      () => `tls.keyFile ${keyFile}: there is no private key in PEM form in it`,
    ],
    [
      'has the key of another one',
      () => ({ cert: one.cert, key: two.key }),
      () => `tls.keyFile ${keyFile}: this key does not belong to the certificate of tls.certFile ${certFile}`,
    ],
  ])('stops the start when it %s', async (_what, files, line) => {
    write(files());
    const error = await refusal(certificate({ certFile, keyFile }));
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toBe(line());
  });

  it('stops the start when it is expired, or not yet valid', async () => {
    now = Date.now() + 900 * DAY_MS;
    expect(await refusal(certificate(one))).toMatchObject({
      message: expect.stringMatching(/^tls\.cert: the certificate expired on \d{4}-\d\d-\d\d$/),
    });
    now = Date.now() - 10 * DAY_MS;
    expect(await refusal(certificate(one))).toMatchObject({
      message: expect.stringMatching(/^tls\.cert: the certificate is valid only from \d{4}-\d\d-\d\d$/),
    });
  });

  it('with an encrypted key is refused, and nothing of the key is said', async () => {
    const key = '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBvTBXBgkq\n-----END ENCRYPTED PRIVATE KEY-----\n';
    const { message } = (await refusal(certificate({ cert: one.cert, key }))) as Error;
    expect(message).toBe('tls.key: the key is encrypted; store it without a password');
  });

  it('that ends soon is warned of, once', async () => {
    now = Date.now() + 815 * DAY_MS;
    const made = certificate(one);
    await made.open();
    await made.look();
    expect(warnings()).toMatchObject([{ text: 'the TLS certificate expires soon' }]);
  });
});

describe('a file that changes', () => {
  let made: Certificate;

  beforeEach(async () => {
    write(one);
    made = certificate({ certFile, keyFile });
    await made.open();
  });

  it('is taken over, and told', async () => {
    await made.look();
    write(two);
    await made.look();
    await made.look();
    expect(used.map(({ cert }) => cert)).toEqual([one.cert, two.cert]);
    expect(log.lines.filter(({ text }) => text === 'TLS certificate in use')).toHaveLength(2);
    expect(warnings()).toEqual([]);
  });

  it('while its key has not changed yet leaves the old one in use, says so once, and goes in with its key', async () => {
    write({ cert: two.cert });
    await made.look();
    await made.look();
    expect(used).toHaveLength(1);
    expect(warnings()).toMatchObject([
      {
        text: 'the changed TLS certificate cannot be used; the current one stays',
        fields: { reason: expect.stringContaining('this key does not belong') },
      },
    ]);
    expect(counters.counters.get('tls_certificates_refused_total')?.value).toBe(1);
    write({ key: two.key });
    await made.look();
    expect(used.map(({ cert }) => cert)).toEqual([one.cert, two.cert]);
  });

  it('to something broken, or is gone for a while, leaves the old one in use', async () => {
    write({ cert: 'half a certi' });
    await made.look();
    rmSync(certFile);
    await made.look();
    await made.look();
    expect(used).toHaveLength(1);
    expect(warnings()).toHaveLength(2);
    write(one);
    await made.look();
    expect(used).toHaveLength(2);
    expect(warnings()).toHaveLength(2);
  });
});

describe('without one', () => {
  const file = (): string => join(directory, 'tls.pem');

  it('one is made for this machine, kept for its owner alone, and used again', async () => {
    await certificate({ host: 'gateway.example' }).open();
    const kept = readFileSync(file(), 'utf8');
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    const { subjectAltName, keyUsage, ca } = new X509Certificate(kept);
    expect(subjectAltName).toMatch(/^DNS:localhost, DNS:gateway\.example.*IP Address:127\.0\.0\.1, IP Address:0:0:0:0:0:0:0:1$/);
    expect({ keyUsage, ca }).toEqual({ keyUsage: ['1.3.6.1.5.5.7.3.1'], ca: false });
    await certificate({}).open();
    expect(readFileSync(file(), 'utf8')).toBe(kept);
    expect(used.map(({ cert }) => cert)).toEqual([kept, kept]);
  });

  it('another one is made before it ends, also while the gateway runs', async () => {
    const made = certificate({});
    await made.open();
    now += 780 * DAY_MS;
    await made.look();
    expect(used).toHaveLength(1);
    now += 30 * DAY_MS;
    await made.look();
    expect(used).toHaveLength(2);
    expect(used[1]?.cert).toBe(readFileSync(file(), 'utf8'));
    now += 2_000 * DAY_MS;
    await certificate({}).open();
    expect(used).toHaveLength(3);
  });

  it('a broken file of an earlier one is replaced, and told', async () => {
    writeFileSync(file(), 'torn');
    await certificate({}).open();
    expect(used).toHaveLength(1);
    expect(warnings()).toMatchObject([{ text: 'the TLS certificate made earlier cannot be used; making another one' }]);
  });

  it('a directory that cannot be written stops the start', async () => {
    const error = await refusal(certificate({ madeFile: join(directory, 'nowhere', 'tls.pem') }));
    expect(error).toBeInstanceOf(StartError);
    expect((error as Error).message).toBe(`tls: cannot keep a certificate in ${directory}/nowhere/tls.pem: no such file or directory`);
  });
});
