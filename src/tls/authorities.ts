// Authorities: the CA certificates for clients. Reads them from a file, checks it from time to time, and hands them,
// together with the gateway's own certificate, to the servers that ask clients for certificates.

import { X509Certificate } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { ConfigError, type Counters, type Log } from '../core/index.js';
import type { CertificateUser } from './certificate.js';
import { readPem } from './pem.js';

export interface AuthoritiesOptions {
  /** Key of the configuration that names the file. */
  readonly key: string;
  readonly file: string;
  /** How often it is looked at. */
  readonly checkMs: number;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

export class Authorities implements CertificateUser {
  readonly #options: AuthoritiesOptions;
  readonly #log: Log;
  readonly #counters: Counters;
  readonly #users = new Set<CertificateUser>();
  /** The gateway's own certificate. */
  #own: SecureContextOptions | null = null;
  #ca: string | null = null;
  /** What was read last, good or not, or why it could not be read: the same is tried, and told, once. */
  #tried = '';
  #timer: NodeJS.Timeout | null = null;
  #looking = false;

  constructor(options: AuthoritiesOptions, log: Log, counters: Counters) {
    this.#options = options;
    this.#log = log;
    this.#counters = counters;
  }

  addUser(user: CertificateUser): void {
    this.#users.add(user);
    this.#handOver();
  }

  setSecureContext(options: SecureContextOptions): void {
    this.#own = options;
    this.#handOver();
  }

  /** Rejects with ConfigError when the file cannot be used. */
  async open(): Promise<void> {
    const { file, key, checkMs } = this.#options;
    try {
      this.#tried = await readPem(key, file);
      this.#use(this.#tried);
    } catch (error) {
      throw new ConfigError((error as Error).message, { cause: error });
    }
    this.#timer = setInterval(() => void this.look(), checkMs);
    this.#timer.unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Takes a changed file over; keeps the old ones, and says so, when it cannot be used. Never rejects. */
  async look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    let tried = '';
    try {
      tried = await readPem(this.#options.key, this.#options.file);
      if (tried !== this.#tried) this.#use(tried);
    } catch (error) {
      const { message } = error as Error;
      if (tried === '') tried = message;
      if (tried !== this.#tried) {
        this.#counters.counter('tls_authorities_refused_total', 'Changed files of CA certificates that could not be used').add();
        this.#log.warn({ reason: message }, 'the changed CA certificates cannot be used; the current ones stay');
      }
    }
    this.#tried = tried;
    this.#looking = false;
  }

  #use(text: string): void {
    const certificates = text.match(CERTIFICATE) ?? [];
    const name = `${this.#options.key} ${this.#options.file}`;
    if (certificates.length === 0) throw new Error(`${name}: there is no certificate in PEM form in it`);
    for (const certificate of certificates) checkCertificate(certificate, name);
    this.#ca = certificates.join('\n');
    this.#handOver();
    this.#log.info({ certificates: certificates.length }, 'CA certificates for clients in use');
  }

  #handOver(): void {
    if (this.#own === null || this.#ca === null) return;
    for (const user of this.#users) user.setSecureContext({ ...this.#own, ca: this.#ca });
  }
}

function checkCertificate(text: string, name: string): void {
  try {
    new X509Certificate(text);
  } catch (error) {
    throw new Error(`${name}: a certificate in it cannot be read`, { cause: error });
  }
}
