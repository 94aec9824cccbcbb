// Reads the imports of all source files and checks the arrows: main → container → gateway → core ← adapters.

import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SRC = join(ROOT, 'src');

interface Import {
  readonly from: string;
  /** A path below src, or the name of a package or of a part of node. */
  readonly to: string;
  readonly inside: boolean;
  /** Gone when the program runs. */
  readonly typeOnly: boolean;
}

/** The libraries of each adapter; everything else is behind one file or belongs to nobody. */
const ADAPTER_LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  happn: ['ws'],
  mqtt: ['aedes', 'mqtt', 'mqtt-packet', 'ws'],
  haven: ['msgpackr', 'ws'],
};

/** The doors of each library: files, or a folder of them. */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  tsyringe: ['container.ts'],
  'reflect-metadata': ['container.ts'],
  pino: ['log.ts'],
  level: ['core/store/opening.ts'],
  'lru-cache': ['core/history/history.ts', 'security/guesses.ts', 'security/nonces.ts', 'security/tokens.ts', 'token-logins.ts'],
  re2js: ['core/query/regex.ts'],
  mqtt: ['adapters/mqtt/bridge/connection.ts'],
  zod: ['config/', 'http/api/'],
  yaml: ['config/file.ts'],
  commander: ['cli/', 'haven-tool/grammar.ts', 'main.ts', 'settings.ts'],
  'prom-client': ['http/metrics.ts'],
  hono: ['http/api/api.ts'],
  '@hono/node-server': ['http/api/api.ts'],
  selfsigned: ['tls/self-signed.ts'],
  jose: ['security/providers.ts', 'security/tokens.ts'],
};

const files = sourceFiles(SRC);
const imports = files.flatMap(importsOf);
const adapters = [...new Set(files.filter((file) => file.startsWith('adapters/')).map((file) => file.split('/')[1] as string))];

function sourceFiles(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((item) => item.isFile() && item.name.endsWith('.ts'))
    .map((item) => relative(SRC, join(item.parentPath, item.name)))
    .sort();
}

function importsOf(file: string): Import[] {
  const source = ts.createSourceFile(file, readFileSync(join(SRC, file), 'utf8'), ts.ScriptTarget.Latest, true);
  const found: Import[] = [];
  const add = (specifier: string, typeOnly: boolean): void => {
    const inside = specifier.startsWith('.');
    const to = inside ? relative(SRC, resolve(SRC, dirname(file), specifier)).replace(/\.js$/, '.ts') : packageOf(specifier);
    found.push({ from: file, to, inside, typeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) add(node.moduleSpecifier.text, isTypeImport(node));
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined && ts.isStringLiteral(node.moduleSpecifier)) {
      add(node.moduleSpecifier.text, node.isTypeOnly);
    } else if (ts.isCallExpression(node) && isLoad(node.expression)) {
      const [argument] = node.arguments;
      add(argument !== undefined && ts.isStringLiteralLike(argument) ? argument.text : '(computed)', false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function isTypeImport({ importClause }: ts.ImportDeclaration): boolean {
  if (importClause === undefined) return false;
  if (importClause.isTypeOnly) return true;
  const { name, namedBindings } = importClause;
  if (name !== undefined || namedBindings === undefined || !ts.isNamedImports(namedBindings)) return false;
  return namedBindings.elements.every((element) => element.isTypeOnly);
}

function isLoad(called: ts.Expression): boolean {
  if (called.kind === ts.SyntaxKind.ImportKeyword) return true;
  return ts.isIdentifier(called) && called.text === 'require';
}

function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier;
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

const isBehind = (door: string, file: string): boolean => (door.endsWith('/') ? file.startsWith(door) : file === door);
const show = ({ from, to }: Import): string => `${from} → ${to}`;
const below = (folder: string) => (one: Import) => one.from.startsWith(`${folder}/`);

describe('the walk of imports', () => {
  it('sees the files and their arrows', () => {
    expect(files).toContain('core/engine.ts');
    expect(adapters).toEqual(['happn', 'haven', 'mqtt']);
    expect(imports.map(show)).toContain('main.ts → serve.ts');
    expect(imports.map(show)).toContain('core/store/opening.ts → level');
  });

  it('leads only to files that exist', () => {
    const known = new Set(files);
    expect(imports.filter((one) => one.inside && !known.has(one.to)).map(show)).toEqual([]);
  });

  it('names every part of node as such', () => {
    const builtin = new Set(builtinModules);
    expect(imports.filter((one) => !one.inside && builtin.has(one.to)).map(show)).toEqual([]);
  });
});

describe('core', () => {
  it('imports nothing from outside of it', () => {
    expect(
      imports
        .filter(below('core'))
        .filter((one) => one.inside && !one.to.startsWith('core/'))
        .map(show),
    ).toEqual([]);
  });

  it('imports no library but those of its store, its cache and its expressions', () => {
    const libraries = imports.filter(below('core')).filter((one) => !one.inside && !one.to.startsWith('node:'));
    expect([...new Set(libraries.map(show))]).toEqual([
      'core/history/history.ts → lru-cache',
      'core/query/regex.ts → re2js',
      'core/store/opening.ts → level',
    ]);
  });

  it('touches neither sockets nor HTTP', () => {
    const forbidden = new Set(['node:net', 'node:http', 'node:https', 'node:tls', 'node:child_process', 'node:worker_threads']);
    expect(
      imports
        .filter(below('core'))
        .filter((one) => forbidden.has(one.to) && !one.typeOnly)
        .map(show),
    ).toEqual([]);
  });

  it('has no circle of files when it runs', () => {
    expect(circleIn('core/')).toBeNull();
  });

  it('has no circle of folders when it runs', () => {
    expect(circleIn('core/', (file) => (file.split('/').length > 2 ? dirname(file) : file))).toBeNull();
  });
});

describe('each adapter', () => {
  it.each(adapters)('%s imports the face of the core, its own folder, its own library', (name) => {
    const own = `adapters/${name}/`;
    const allowed = new Set(ADAPTER_LIBRARIES[name]);
    const isAllowed = ({ to, inside }: Import): boolean =>
      inside ? to === 'core/index.ts' || to.startsWith(own) : to.startsWith('node:') || allowed.has(to);
    expect(
      imports
        .filter(below(`adapters/${name}`))
        .filter((one) => !isAllowed(one))
        .map(show),
    ).toEqual([]);
  });

  it.each(adapters)('%s has no circle of files when it runs', (name) => {
    expect(circleIn(`adapters/${name}/`)).toBeNull();
  });

  it('is entered by the container alone, through its index', () => {
    const entered = imports.filter((one) => one.inside && one.to.startsWith('adapters/') && !one.from.startsWith('adapters/'));
    expect(entered.filter((one) => one.from !== 'container.ts' || !/^adapters\/\w+\/index\.ts$/.test(one.to)).map(show)).toEqual([]);
  });
});

describe('the rest of the house', () => {
  it.each(Object.entries(DOORS))('has one door to %s', (library, doors) => {
    const used = imports.filter((one) => one.to === library).map(({ from }) => doors.find((door) => isBehind(door, from)) ?? from);
    expect([...new Set(used)].sort()).toEqual(doors);
  });

  it('uses no library that nobody registered here', () => {
    const known = new Set([...Object.keys(DOORS), ...Object.values(ADAPTER_LIBRARIES).flat()]);
    const unknown = imports.filter((one) => !one.inside && !one.to.startsWith('node:') && !known.has(one.to));
    expect(unknown.map(show)).toEqual([]);
  });

  it('lets HTTP know nothing but the face of the core', () => {
    const inside = imports.filter(below('http')).filter((one) => one.inside);
    expect(inside.filter((one) => !one.to.startsWith('http/') && one.to !== 'core/index.ts').map(show)).toEqual([]);
  });

  it('lets security know nothing but the face of the core and how files are kept', () => {
    const helpers = ['core/index.ts', 'data-directory.ts', 'system-error.ts', 'write-file.ts'];
    const inside = imports.filter(below('security')).filter((one) => one.inside);
    expect(inside.filter((one) => !one.to.startsWith('security/') && !helpers.includes(one.to)).map(show)).toEqual([]);
    expect(circleIn('security/')).toBeNull();
  });

  it('lets the Haven client know nothing of the gateway', () => {
    const isOwn = ({ to, inside, from }: Import): boolean =>
      inside ? to.startsWith('haven-client/') : to.startsWith('node:') || (to === 'msgpackr' && from === 'haven-client/wire.ts');
    expect(
      imports
        .filter(below('haven-client'))
        .filter((one) => !isOwn(one))
        .map(show),
    ).toEqual([]);
    const users = imports.filter((one) => one.to.startsWith('haven-client/') && !one.from.startsWith('haven-client/'));
    expect(users.filter((one) => !one.from.startsWith('haven-tool/') || one.to !== 'haven-client/index.ts').map(show)).toEqual([]);
    expect(circleIn('haven-client/')).toBeNull();
  });

  it('lets the Haven tool know the client, and of the core what values are', () => {
    const helpers = ['core/data/formats.ts', 'core/data/payload.ts', 'core/data/value.ts', 'haven-client/index.ts', 'system-error.ts'];
    const inside = imports.filter(below('haven-tool')).filter((one) => one.inside);
    expect(inside.filter((one) => !one.to.startsWith('haven-tool/') && !helpers.includes(one.to)).map(show)).toEqual([]);
    expect(imports.filter((one) => one.to.startsWith('haven-tool/') && !one.from.startsWith('haven-tool/')).map(show)).toEqual([
      'main.ts → haven-tool/index.ts',
    ]);
    expect(circleIn('haven-tool/')).toBeNull();
  });

  it('starts at main, which nobody imports; the container is imported where a gateway is built', () => {
    const importers = (file: string): string[] => [...new Set(imports.filter((one) => one.to === file).map((one) => one.from))];
    expect(importers('main.ts')).toEqual([]);
    expect(importers('container.ts').sort()).toEqual(['index.ts', 'serve.ts']);
  });

  it('lets the configuration be entered through its index', () => {
    const entered = imports.filter((one) => one.to.startsWith('config/') && !one.from.startsWith('config/'));
    expect(entered.filter((one) => one.to !== 'config/index.ts').map(show)).toEqual([]);
    expect(circleIn('config/')).toBeNull();
  });

  it('exports nothing by default', () => {
    const guilty = files.filter((file) => /^export default\b/m.test(readFileSync(join(SRC, file), 'utf8')));
    expect(guilty).toEqual([]);
  });

  it('says at the head of every file what it is for', () => {
    const silent = files.filter((file) => !/^(#!.*\n)?\/\/ \S/.test(readFileSync(join(SRC, file), 'utf8')));
    expect(silent).toEqual([]);
  });
});

/** The files (or whatever a file counts as) of one circle of runtime imports below the folder, or null. */
function circleIn(folder: string, countsAs: (file: string) => string = (file) => file): string[] | null {
  const arrows = new Map<string, string[]>();
  for (const { from, to, inside, typeOnly } of imports) {
    if (typeOnly || !inside || !from.startsWith(folder) || !to.startsWith(folder)) continue;
    const [source, target] = [countsAs(from), countsAs(to)];
    if (source !== target || from === to) arrows.set(source, [...(arrows.get(source) ?? []), target]);
  }
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]): string[] | null => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return null;
    for (const next of arrows.get(file) ?? []) {
      const circle = walk(next, [...path, file]);
      if (circle !== null) return circle;
    }
    done.add(file);
    return null;
  };
  for (const file of arrows.keys()) {
    const circle = walk(file, []);
    if (circle !== null) return circle;
  }
  return null;
}
