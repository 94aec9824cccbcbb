// What commands print: JSON for programs, tables and lines for people.

import { escapeControls } from '../core/data/value.js';

/** Of the columns of lines that are printed one by one. */
const LINE_WIDTHS = [6, 24, 17, 12, 24, 17, 8, 15];

/** Rows under their heads, in columns as wide as they need. */
export function table(heads: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cells = [heads, ...rows.map((row) => row.map(shown))];
  const widths = heads.map((_head, at) => Math.max(...cells.map((row) => (row[at] as string).length)));
  return cells
    .map(
      (row) =>
        `${row
          .map((cell, at) => cell.padEnd(widths[at] as number))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** One row alone, whose columns may be wider than those of others. */
export function line(cells: readonly unknown[]): string {
  return `${cells
    .map((cell, at) => shown(cell).padEnd(LINE_WIDTHS[at] ?? 0))
    .join('  ')
    .trimEnd()}\n`;
}

/** One line for each field that says something. */
export function fields(entries: readonly (readonly [string, unknown])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${shown(value)}\n`).join('');
}

/** null for what was there from the beginning, such as the group of administrators. */
export function when(time: unknown): string | null {
  return Date.parse(time as string) === 0 ? null : (time as string);
}

interface Permission {
  readonly actions?: readonly string[];
  readonly prohibit?: readonly string[];
}

export function permissionTable(permissions: unknown): string {
  const rows = Object.entries(permissions as Readonly<Record<string, Permission>>);
  if (rows.length === 0) return '';
  const shownRows = rows.map(([pattern, { actions, prohibit }]) => [pattern, actions ?? null, prohibit ?? null]);
  return `\n${table(['PATTERN', 'ALLOWED', 'PROHIBITED'], shownRows)}`;
}

export function lookupTable(lookups: unknown): string {
  const rows = (lookups as readonly Readonly<Record<string, unknown>>[]).map(({ regex, path, table: name, actions }) => [
    regex,
    path,
    name,
    actions,
  ]);
  return rows.length === 0 ? '' : `\n${table(['REGEX', 'BECOMES', 'IN TABLE', 'ALLOWED'], rows)}`;
}

/** As one word for a person; `-`: nothing is there. */
function shown(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  const text = typeof value === 'string' ? value : Array.isArray(value) ? value.join(',') || '-' : JSON.stringify(value);
  return escapeControls(text);
}
