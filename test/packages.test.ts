// The packages: exact versions, a complete lock file, nothing that runs code while it is installed, no version known to be weak.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const read = (name: string): unknown => JSON.parse(readFileSync(fileURLToPath(new URL(`../${name}`, import.meta.url)), 'utf8'));
const manifest = read('package.json') as { dependencies: Record<string, string>; devDependencies: Record<string, string> };
const lock = read('package-lock.json') as { packages: Record<string, Locked> };
const packages = Object.entries(lock.packages).filter(([place]) => place !== '');

const nameOf = (place: string): string => place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);

function isAtLeast(version: string, least: string): boolean {
  const [a, b] = [version, least].map((text) => text.split('.').map(Number)) as [number[], number[]];
  for (const [i, part] of b.entries()) if (a[i] !== part) return (a[i] as number) > part;
  return true;
}

describe('packages', () => {
  it('F4 are asked for in exact versions, which the lock file holds', () => {
    for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
      expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
      expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version);
    }
  });

  it('for other systems are in the lock file, too, so that it installs there', () => {
    const names = new Set(packages.map(([place]) => nameOf(place)));
    const missing = packages
      .flatMap(([, { optionalDependencies = {} }]) => Object.keys(optionalDependencies))
      .filter((name) => !names.has(name));
    expect(missing).toEqual([]);
  });

  it('come from wherever the person who installs has set, with a checksum', () => {
    for (const [place, { resolved, integrity }] of packages) {
      expect(resolved, place).toBeUndefined();
      expect(integrity, place).toMatch(/^sha512-/);
    }
  });

  it('bring their native parts ready-made: what has an install script works without it', () => {
    const scripted = packages.filter(([, { hasInstallScript, dev }]) => hasInstallScript === true && dev !== true);
    expect([...new Set(scripted.map(([place]) => nameOf(place)))].sort()).toEqual(['classic-level', 'msgpackr-extract']);
    expect(readFileSync(fileURLToPath(new URL('../.npmrc', import.meta.url)), 'utf8')).toContain('ignore-scripts=true');
  });

  it.each([
    ['ws', '8.21.1'],
    ['aedes', '1.2.0'],
    ['msgpackr', '2.1.3'],
  ])('F4 %s is at least %s in every copy', (name, least) => {
    const copies = packages.filter(([place]) => nameOf(place) === name);
    expect(copies.length).toBeGreaterThan(0);
    for (const [place, { version }] of copies) expect(isAtLeast(version as string, least), `${place} ${version}`).toBe(true);
  });
});
