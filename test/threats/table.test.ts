// Every threat of the table in docs/security.md is named at the beginning of the title of a test, or of the block that it stands in.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';

const TESTS = fileURLToPath(new URL('..', import.meta.url));
const SOURCES = fileURLToPath(new URL('../../src/', import.meta.url));
const PAGE = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8');
const ID = /^[A-F]\d{1,2}$/;
const LETTERS: Readonly<Record<string, number>> = { A: 8, B: 12, C: 10, D: 14, E: 4, F: 5 };

/** Ids at the beginning of titles of tests and blocks; what is skipped does not count. */
function namedIn(source: string): string[] {
  const named: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isTest(node.expression)) named.push(...idsOf(textOf(node.arguments[0])));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('test.ts', source, ts.ScriptTarget.ESNext));
  return named;
}

/** `it`, `test`, `describe`, and what `each` and `runIf` of them make. */
function isTest(node: ts.Node): boolean {
  if (ts.isIdentifier(node)) return ['it', 'test', 'describe'].includes(node.text);
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return false;
  const { name, expression } = node.expression;
  return (name.text === 'each' || name.text === 'runIf') && isTest(expression);
}

function textOf(node: ts.Node | undefined): string {
  if (node === undefined) return '';
  if (ts.isStringLiteralLike(node)) return node.text;
  return ts.isTemplateExpression(node) ? node.head.text : '';
}

function idsOf(title: string): string[] {
  const words = title.split(' ');
  const end = words.findIndex((word) => !ID.test(word));
  return end === -1 ? words : words.slice(0, end);
}

const rows = [...PAGE.matchAll(/^\| ([A-F]\d{1,2}) \| (.+?) \| (.+?) \| (.+?) \|$/gm)].map(
  ([, id = '', threat = '', defence = '', where = '']) => ({
    id,
    threat,
    defence,
    where,
  }),
);
const files = readdirSync(TESTS, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.ts'));
const sources = files.filter((name) => !name.includes('node_modules')).map((name) => readFileSync(`${TESTS}/${name}`, 'utf8'));
const named = new Set(sources.filter((source) => /['"`][A-F]\d{1,2} /.test(source)).flatMap(namedIn));

it('reads titles as they are written', () => {
  const source = `
    it('D1 a', () => {}); it('D2 D3 b', () => {}); it('a D9', () => {}); it.skip('D9 c', () => {}); it.todo('D9 d');
    describe.runIf(x)('E1 e', () => {}); test.each([1])(\`E2 of \${x}\`, () => {}); describe.skip('D9 f', () => {}); // D9 g
  `;
  expect(namedIn(source)).toEqual(['D1', 'D2', 'D3', 'E1', 'E2']);
});

it('has every row of the list, once', () => {
  const all = Object.entries(LETTERS).flatMap(([letter, count]) => Array.from({ length: count }, (_, n) => `${letter}${n + 1}`));
  expect(rows.map(({ id }) => id)).toEqual(all);
});

it('names every threat in a test', () => {
  expect(rows.filter(({ id }) => !named.has(id)).map(({ id }) => id)).toEqual([]);
});

it('names no threat that is not in the table', () => {
  expect([...named].filter((id) => !rows.some((row) => row.id === id))).toEqual([]);
});

it('says of every defence where it is, as it is', () => {
  const places = rows.flatMap(({ where }) => [...where.matchAll(/`([^`]+)`/g)].map(([, place = '']) => place));
  const there = new Set(readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }));
  expect(places.filter((place) => place !== 'package-lock.json' && !there.has(place))).toEqual([]);
});
