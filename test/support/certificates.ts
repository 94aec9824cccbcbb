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

/** For a client to show a server, which trusts exactly this one. */
export async function makeClientPem(name: string): Promise<MadePem> {
  const made = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', digitalSignature: true, keyCertSign: true, critical: true },
      { name: 'extKeyUsage', clientAuth: true },
    ],
  });
  return { cert: made.cert, key: made.private };
}
