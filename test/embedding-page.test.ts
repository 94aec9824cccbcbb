// Every program of docs/embedding.md prints what stands below it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { cleanEnvironment, temporaryDirectory } from './support/gateway-process.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PAGE = readFileSync(`${ROOT}docs/embedding.md`, 'utf8');
const PROGRAM = /<!-- test: (.+?) -->\n```js\n([\s\S]*?)```\n\nprints\n\n```text\n([\s\S]*?)```/g;

const programs = [...PAGE.matchAll(PROGRAM)].map(([, name, code, printed]) => ({
  name: name as string,
  code: code as string,
  printed: printed as string,
}));

describe('docs/embedding.md', () => {
  it('has every marked program with what it prints', () => {
    expect(programs.map(({ name }) => name)).toEqual([...PAGE.matchAll(/<!-- test: (.+?) -->/g)].map(([, name]) => name));
    expect(programs.length).toBeGreaterThan(0);
  });

  it.each(programs)('shows $name', async ({ code, printed }) => {
    const free = ['happn', 'mqtt', 'haven', 'admin'].map((name) => `${name}: { port: 0 }`).join(', ');
    const placed = code.replaceAll("data: { dir: './data' }", () => {
      return `data: { dir: ${JSON.stringify(temporaryDirectory())} }, ${free}, log: { level: 'warn' }`;
    });
    expect(placed).not.toBe(code);
    const child = spawn(process.execPath, ['--input-type=module', '-e', placed], {
      cwd: ROOT,
      env: cleanEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 20_000,
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const [exit] = (await once(child, 'close')) as [number | null];
    expect({ code: exit, stdout, stderr }).toEqual({ code: 0, stdout: printed, stderr: '' });
  });
});
