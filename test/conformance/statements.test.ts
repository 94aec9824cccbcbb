// Every normative statement is named in the title of a test, or docs/protocols/mqtt.md says why it is not.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { MQTT_3_1_1, MQTT_5 } from './statements.js';

const TESTS = fileURLToPath(new URL('..', import.meta.url));
const PAGE = readFileSync(new URL('../../docs/protocols/mqtt.md', import.meta.url), 'utf8');
/** What a row of a table does not begin with. */
const NOT_A_ROW = /^[^[].*$/;
const NUMBER = /\[(MQTT5?-[\d.-]+)\]/g;

/** Numbers in the titles of the tests in one source, and at the beginning of rows of tables; a skipped test does not count. */
function namedIn(source: string): string[] {
  const named: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isTest(node.expression)) named.push(...numbersOf(textOf(node.arguments[0])));
    if (ts.isArrayLiteralExpression(node)) named.push(...numbersOf(textOf(node.elements[0]).replace(NOT_A_ROW, '')));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('test.ts', source, ts.ScriptTarget.ESNext));
  return named;
}

/** `it`, `test`, and what `each` of them makes. */
function isTest(node: ts.Node): boolean {
  if (ts.isIdentifier(node)) return node.text === 'it' || node.text === 'test';
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return false;
  const { name, expression } = node.expression;
  return name.text === 'each' && isTest(expression);
}

function textOf(node: ts.Node | undefined): string {
  if (node === undefined) return '';
  if (ts.isStringLiteralLike(node)) return node.text;
  return ts.isTemplateExpression(node) ? node.head.text + node.templateSpans.map(({ literal }) => literal.text).join('') : '';
}

function numbersOf(text: string): string[] {
  return [...text.matchAll(NUMBER)].map(([, number]) => number as string);
}

/** Sources of all tests that mention a statement. */
function sources(): string[] {
  const files = readdirSync(TESTS, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.ts'));
  const own = files.filter((name) => !name.includes('node_modules'));
  return own.map((name) => readFileSync(`${TESTS}/${name}`, 'utf8')).filter((source) => source.includes('[MQTT'));
}

/** Numbers in the first column of the table. */
function excused(): string[] {
  const table = PAGE.split('## Normative statements')[1]?.split('\n## ')[0] ?? '';
  return [...table.matchAll(/^\|(.*?)\|/gm)].flatMap(([, first]) => numbersOf(first as string));
}

const named = new Set(sources().flatMap(namedIn));
const pardoned = excused();

it('reads titles as they are written', () => {
  const source = `
    it('[MQTT-1-1] a', () => {});
    it.each([['[MQTT-1-2] b', 1]])('%s', async () => { expect('[MQTT-1-9]'); });
    const ROWS = [['[MQTT-1-3] [MQTT5-1-4] b', 1], ['see [MQTT-1-9]', 2]];
    test.each(ROWS)(\`[MQTT-1-5] c \${what} [MQTT-1-6] %s\`, () => {});
    it.skip('[MQTT-1-9] d', () => {});
    it.todo('[MQTT-1-9] d');
    describe('[MQTT-1-9] e', () => {}); // [MQTT-1-9]
  `;
  expect(namedIn(source)).toEqual(['MQTT-1-1', 'MQTT-1-2', 'MQTT-1-3', 'MQTT5-1-4', 'MQTT-1-5', 'MQTT-1-6']);
});

it.each([
  ['3.1.1', MQTT_3_1_1],
  ['5', MQTT_5],
])('names every statement of %s in a test or in the table', (_version, statements) => {
  expect(statements.filter((number) => !named.has(number) && !pardoned.includes(number))).toEqual([]);
});

it('names no statement that does not exist', () => {
  const all = new Set([...MQTT_3_1_1, ...MQTT_5]);
  expect([...named, ...pardoned].filter((number) => !all.has(number))).toEqual([]);
});

it('excuses each statement once, and none that has a test', () => {
  expect(pardoned.filter((number, i) => named.has(number) || pardoned.indexOf(number) !== i)).toEqual([]);
});
