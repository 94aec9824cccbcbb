// Certificates for tests, made on the spot.

import { generate } from 'selfsigned';
import { makeSelfSigned } from '../../src/tls/self-signed.js';

export interface MadePem {
  readonly cert: string;
  readonly key: string;
}

/** Valid from a day before `at` for 825 days. */
export async function makePem(at = Date.now()): Promise<MadePem> {
  const text = await makeSelfSigned({ hosts: ['localhost'], addresses: ['127.0.0.1'] }, at);
  const split = text.indexOf('-----BEGIN PRIVATE KEY-----');
  return { cert: text.slice(0, split), key: text.slice(split) };
}

const DAY_MS = 86_400_000;

/** Somebody who vouches for others. */
export async function makeAuthority(name: string): Promise<MadePem> {
  return await issue([{ name: 'commonName', value: name }], null, [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, digitalSignature: true, critical: true },
  ]);
}

/** A client's certificate, vouched for by `authority`. `names`: its common names. `days`: for how long it is valid. */
export async function makeClientPem(authority: MadePem, names: readonly string[], days = 30): Promise<MadePem> {
  const subject = names.map((value) => ({ name: 'commonName', value }));
  return await issue(subject, authority, [{ name: 'extKeyUsage', clientAuth: true }], days);
}

type Options = NonNullable<Parameters<typeof generate>[1]>;

async function issue(
  subject: { name: string; value: string }[],
  authority: MadePem | null,
  extensions: NonNullable<Options['extensions']>,
  days = 30,
): Promise<MadePem> {
  const now = Date.now();
  const made = await generate(subject, {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(now - 2 * DAY_MS),
    notAfterDate: new Date(now + days * DAY_MS),
    extensions,
    ...(authority === null ? {} : { ca: authority }),
  });
  return { cert: made.cert, key: made.private };
}
