// Whether what many clients saw of a few records can have happened one operation after the other, each between its question and its
// answer. Every change has a number that counts all changes, so that the order to be checked is known and need not be searched for.

/** One change of one record, acknowledged. */
export interface Version {
  readonly path: string;
  readonly value: unknown;
  readonly revision: number;
  /** The revision that was asked for: compare-and-set. */
  readonly expect: number;
  readonly begun: number;
  readonly ended: number;
}

/** What an answer said about a record: it was so (`revision`), or it was not as expected. */
export interface Sight {
  readonly kind: 'is' | 'is-not';
  readonly path: string;
  readonly value: unknown;
  readonly revision: number;
  readonly begun: number;
  readonly ended: number;
}

/** The first contradiction, as a sentence; null: there is none. `begun` and `ended` are ticks of one clock. */
export function contradictionIn(versions: readonly Version[], sights: readonly Sight[]): string | null {
  const inOrder = [...versions].sort((a, b) => a.revision - b.revision);
  const ofPath = new Map<string, Version[]>();
  for (const version of inOrder) {
    const known = ofPath.get(version.path);
    if (known === undefined) ofPath.set(version.path, [version]);
    else known.push(version);
  }
  return orderFault(inOrder) ?? chainFault(ofPath) ?? sightFault(ofPath, sights);
}

/** What ended before another began has the smaller number. */
function orderFault(inOrder: readonly Version[]): string | null {
  let latestBegin = Number.NEGATIVE_INFINITY;
  let previous = 0;
  for (const { revision, begun, ended, path } of inOrder) {
    if (revision === previous) return `two changes have revision ${revision}`;
    if (ended < latestBegin) return `revision ${revision} of ${path} had ended before one with a smaller number began`;
    latestBegin = Math.max(latestBegin, begun);
    previous = revision;
  }
  return null;
}

/** Each change followed the one that it expected. */
function chainFault(ofPath: ReadonlyMap<string, readonly Version[]>): string | null {
  for (const [path, versions] of ofPath) {
    for (const [index, { revision, expect }] of versions.entries()) {
      const before = versions[index - 1]?.revision ?? 0;
      if (expect !== before) return `revision ${revision} of ${path} expected ${expect} and followed ${before}`;
    }
  }
  return null;
}

function sightFault(ofPath: ReadonlyMap<string, readonly Version[]>, sights: readonly Sight[]): string | null {
  for (const { kind, path, value, revision, begun, ended } of sights) {
    const versions = ofPath.get(path) ?? [];
    const index = versions.findIndex((version) => version.revision === revision);
    const [at, next] = [versions[index], versions[index + 1]];
    if (kind === 'is') {
      if (at === undefined || at.begun > ended || at.value !== value) return `${path} was seen with revision ${revision}, which it had not`;
      if (next !== undefined && next.ended < begun) return `${path} was seen with revision ${revision} after ${next.revision} had ended`;
    } else if (at !== undefined && at.ended < begun && (next === undefined || next.begun > ended)) {
      return `${path} had revision ${revision} all the time that it was said not to`;
    }
  }
  return null;
}
