// A self-signed certificate, for installations without one. The only importer of the library that makes it.

/** Browsers refuse certificates that are valid for longer. */
const VALID_DAYS = 825;
const DAY_MS = 86_400_000;
/** Clocks of clients may be behind. */
const BACKDATED_MS = DAY_MS;

/** Certificate and key in one PEM text. `names` are host names and IP addresses under which clients ask for the gateway. */
export async function makeSelfSigned(names: { readonly hosts: readonly string[]; readonly addresses: readonly string[] }, now: number) {
  // Loaded only where it is needed: it is large beside what it does.
  const { default: library } = await import('selfsigned');
  const made = await library.generate([{ name: 'commonName', value: names.hosts[0] ?? 'localhost' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notBeforeDate: new Date(now - BACKDATED_MS),
    notAfterDate: new Date(now - BACKDATED_MS + VALID_DAYS * DAY_MS),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          ...names.hosts.map((value) => ({ type: 2 as const, value })),
          ...names.addresses.map((ip) => ({ type: 7 as const, ip })),
        ],
      },
    ],
  });
  return `${made.cert.trim()}\n${made.private.trim()}\n`;
}
