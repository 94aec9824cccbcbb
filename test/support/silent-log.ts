// A log that keeps its lines for the test instead of writing them.

import type { Log } from '../../src/core/index.js';

export interface KeptLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: object;
  readonly text: string;
}

export function keptLog(lines: KeptLine[] = []): Log & { readonly lines: KeptLine[] } {
  const keep = (level: KeptLine['level']) => (fields: object, text: string) => void lines.push({ level, fields, text });
  return { lines, debug: keep('debug'), info: keep('info'), warn: keep('warn'), error: keep('error'), child: () => keptLog(lines) };
}
