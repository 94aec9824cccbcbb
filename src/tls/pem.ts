// Certificate and key as texts: reading them, and checking that they can be used together.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { reasonOf } from '../system-error.js';

/** PEM texts and how a person finds them: a key of the configuration and, where there is one, a file. */
export interface Pem {
  readonly cert: string;
  readonly key: string;
  readonly certName: string;
  readonly keyName: string;
}

export interface UsableCertificate {
  readonly options: SecureContextOptions;
  /** SHA-256 of the certificate, as browsers show it. */
  readonly fingerprint: string;
  readonly validTo: number;
}

/** Rejects with Error, one line that names the key of the configuration and the file. */
export async function readPem(key: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`${key}: cannot read ${file}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Throws Error with one line that names what is wrong where. */
export function usableCertificate({ cert, key, certName, keyName }: Pem, now: number): UsableCertificate {
  const certificate = parsedCertificate(cert, certName);
  const privateKey = parsedKey(key, keyName);
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new Error(`${keyName}: this key does not belong to the certificate of ${certName}`);
  }
  const [validFrom, validTo] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (now < validFrom) throw new Error(`${certName}: the certificate is valid only from ${dayOf(validFrom)}`);
  if (now >= validTo) throw new Error(`${certName}: the certificate expired on ${dayOf(validTo)}`);
  const options: SecureContextOptions = { cert, key, minVersion: 'TLSv1.2' };
  try {
    createSecureContext(options);
  } catch (error) {
    throw new Error(`${certName}: the certificate cannot be used: ${oneLine(error)}`, { cause: error });
  }
  return { options, fingerprint: certificate.fingerprint256, validTo };
}

function parsedCertificate(text: string, name: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch (error) {
    throw new Error(`${name}: there is no certificate in PEM form in it`, { cause: error });
  }
}

function parsedKey(text: string, name: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (error) {
    const why = /ENCRYPTED/.test(text) ? 'the key is encrypted; store it without a password' : 'there is no private key in PEM form in it';
    throw new Error(`${name}: ${why}`, { cause: error });
  }
}

function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

function oneLine(error: unknown): string {
  return (error as Error).message.replaceAll(/\s+/g, ' ');
}
