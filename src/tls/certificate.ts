// Certificate: the gateway's certificate. Takes it from texts or files, or makes one and keeps it in the data directory;
// checks it from time to time, and hands every new one to the servers that use it. Open connections keep theirs.

import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import type { SecureContextOptions } from 'node:tls';
import { type Clock, ConfigError, type Counters, type Log, StartError } from '../core/index.js';
import { reasonOf } from '../system-error.js';
import { writeFileAtomically } from '../write-file.js';
import { type Pem, readPem, type UsableCertificate, usableCertificate } from './pem.js';
import { makeSelfSigned } from './self-signed.js';

export interface CertificateOptions {
  /** Files before texts; neither: one is made. Certificate and key are given together. */
  readonly certFile: string | null;
  readonly keyFile: string | null;
  readonly cert: string | null;
  readonly key: string | null;
  /** How often files are looked at. */
  readonly checkMs: number;
  /** File of the certificate that is made, with its key. */
  readonly madeFile: string;
  /** Address on which the gateway listens: a name of the certificate that is made. */
  readonly host: string;
}

/** A TLS server of node is one. */
export interface CertificateUser {
  setSecureContext(options: SecureContextOptions): void;
}

const DAY_MS = 86_400_000;
/** One of our own making is made again before it ends. */
const RENEWED_BEFORE_MS = 30 * DAY_MS;
const WARNED_BEFORE_MS = 14 * DAY_MS;

export class Certificate {
  readonly #options: CertificateOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #counters: Counters;
  readonly #users = new Set<CertificateUser>();
  #current: UsableCertificate | null = null;
  /** What was read last, good or not, or why it could not be read: the same is tried, and told, once. */
  #tried = '';
  #warnedOf = 0;
  #timer: NodeJS.Timeout | null = null;
  #looking = false;

  constructor(options: CertificateOptions, clock: Clock, log: Log, counters: Counters) {
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
    this.#counters = counters;
  }

  /** Hands over the certificate, now when it is open, and each one that follows. */
  addUser(user: CertificateUser): void {
    this.#users.add(user);
    if (this.#current !== null) user.setSecureContext(this.#current.options);
  }

  /** Rejects with ConfigError when what was given cannot be used, with StartError when what was made cannot be kept. */
  async open(): Promise<void> {
    if (this.#isMade) await this.#openMade();
    else await this.#openGiven();
    this.#counters.gauge('tls_certificate_valid_seconds', 'Time until the TLS certificate expires', () => this.#leftMs / 1_000);
    this.#timer = setInterval(() => void this.look(), this.#options.checkMs);
    this.#timer.unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Takes a changed certificate over; keeps the old one, and says so, when the new one cannot be used. Never rejects. */
  async look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      if (this.#isMade) await this.#renewMade();
      else await this.#takeChange();
      this.#warnOfEnd();
    } catch (error) {
      this.#log.error({ err: error }, 'checking the TLS certificate failed');
    } finally {
      this.#looking = false;
    }
  }

  get #isMade(): boolean {
    return this.#options.certFile === null && this.#options.cert === null;
  }

  get #leftMs(): number {
    return this.#current === null ? 0 : this.#current.validTo - this.#clock.now();
  }

  // -------------------------------------------------------------- given

  async #openGiven(): Promise<void> {
    try {
      const pem = await this.#readGiven();
      this.#tried = pem.cert + pem.key;
      this.#use(usableCertificate(pem, this.#clock.now()));
    } catch (error) {
      throw new ConfigError((error as Error).message, { cause: error });
    }
    this.#warnOfEnd();
  }

  async #readGiven(): Promise<Pem> {
    const { certFile, keyFile, cert, key } = this.#options;
    return {
      cert: certFile === null ? (cert as string) : await readPem('tls.certFile', certFile),
      key: keyFile === null ? (key as string) : await readPem('tls.keyFile', keyFile),
      certName: certFile === null ? 'tls.cert' : `tls.certFile ${certFile}`,
      keyName: keyFile === null ? 'tls.key' : `tls.keyFile ${keyFile}`,
    };
  }

  /** The two files change one after the other: what does not fit together now may do so at the next look. */
  async #takeChange(): Promise<void> {
    let tried = '';
    try {
      const pem = await this.#readGiven();
      tried = pem.cert + pem.key;
      if (tried === this.#tried) return;
      this.#use(usableCertificate(pem, this.#clock.now()));
    } catch (error) {
      const { message } = error as Error;
      if (tried === '') tried = message;
      if (tried === this.#tried) return;
      this.#counters.counter('tls_certificates_refused_total', 'Changed TLS certificates that could not be used').add();
      this.#log.warn({ reason: message }, 'the changed TLS certificate cannot be used; the current one stays');
    }
    this.#tried = tried;
  }

  // -------------------------------------------------------------- made here

  async #openMade(): Promise<void> {
    const file = this.#options.madeFile;
    try {
      const text = await readFile(file, 'utf8');
      const made = usableCertificate({ cert: text, key: text, certName: file, keyName: file }, this.#clock.now());
      if (made.validTo - this.#clock.now() > RENEWED_BEFORE_MS) return this.#use(made);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#log.warn({ reason: reasonOf(error) }, 'the TLS certificate made earlier cannot be used; making another one');
      }
    }
    try {
      await this.#make();
    } catch (error) {
      throw new StartError(`tls: cannot keep a certificate in ${file}: ${reasonOf(error)}`, { cause: error });
    }
  }

  async #renewMade(): Promise<void> {
    if (this.#leftMs <= RENEWED_BEFORE_MS) await this.#make();
  }

  async #make(): Promise<void> {
    const { madeFile: file, host } = this.#options;
    const now = this.#clock.now();
    const named = isIP(host) === 0 ? [host] : [];
    const addressed = isIP(host) === 0 || host === '0.0.0.0' || host === '::' ? [] : [host];
    const text = await makeSelfSigned(
      {
        hosts: [...new Set(['localhost', ...named, ...hostNames()])],
        addresses: [...new Set(['127.0.0.1', '::1', ...addressed])],
      },
      now,
    );
    await writeFileAtomically(file, text);
    this.#use(usableCertificate({ cert: text, key: text, certName: file, keyName: file }, now));
    this.#log.info({ file }, 'made a TLS certificate; clients must be told to trust it');
  }

  // -------------------------------------------------------------- both

  #use(certificate: UsableCertificate): void {
    for (const user of this.#users) user.setSecureContext(certificate.options);
    this.#current = certificate;
    const { fingerprint, validTo } = certificate;
    this.#log.info({ fingerprint, validTo: new Date(validTo).toISOString() }, 'TLS certificate in use');
  }

  #warnOfEnd(): void {
    if (this.#current === null || this.#leftMs > WARNED_BEFORE_MS || this.#warnedOf === this.#current.validTo) return;
    this.#warnedOf = this.#current.validTo;
    this.#log.warn({ validTo: new Date(this.#current.validTo).toISOString() }, 'the TLS certificate expires soon');
  }
}

/** This machine's name, where it can stand in a certificate. */
function hostNames(): string[] {
  const name = hostname().toLowerCase();
  return /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(name) && isIP(name) === 0 ? [name] : [];
}
