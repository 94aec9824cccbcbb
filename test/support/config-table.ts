// The configuration tables of the documents, made from the schema itself.

import { type ConfigKey, KEYS, shownValue } from '../../src/config/index.js';

const MAIN = [
  'data.dir',
  'durability',
  'host',
  'allowOpen',
  'happn.port',
  'mqtt.port',
  'haven.port',
  'admin.port',
  'http.origins',
  'tls.enabled',
  'log.level',
  'readyFile',
];

export const TABLES: ReadonlyMap<string, string> = new Map([
  ['main keys', mainTable()],
  ['all keys', allTables()],
]);

function mainTable(): string {
  const rows = MAIN.map((path) => KEYS.find((key) => key.path === path) as ConfigKey);
  return table(
    ['flag', 'default', 'what it sets'],
    rows.map((key) => [`\`${key.flag}\``, defaultOf(key), key.description]),
  );
}

function allTables(): string {
  const groups = new Map<string, ConfigKey[]>();
  for (const key of KEYS) {
    const group = key.path.includes('.') ? (key.path.split('.')[0] as string) : 'general';
    groups.set(group, [...(groups.get(group) ?? []), key]);
  }
  const parts = [...groups].map(([group, keys]) => {
    const rows = keys.map((key) => [
      `\`${key.path}\``,
      `\`${key.flag}\``,
      `\`${key.variable}\``,
      defaultOf(key),
      `${key.description}: ${key.allowed}`,
    ]);
    return `## ${group}\n\n${table(['key', 'flag', 'variable', 'default', 'what it sets, and what is allowed'], rows)}`;
  });
  return parts.join('\n\n');
}

function defaultOf(key: ConfigKey): string {
  const shown = shownValue(key, key.fallback);
  return shown === 'not set' || shown === 'none' ? '' : `\`${shown}\``;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

/** The document with what stands between `<!-- table: name -->` and `<!-- end -->` replaced by what the schema says. */
export function withTables(document: string): string {
  return document.replace(/(<!-- table: (.+?) -->\n)[\s\S]*?(<!-- end -->)/g, (_all, begin: string, name: string, end: string) => {
    const made = TABLES.get(name);
    if (made === undefined) throw new Error(`no table is called ${name}`);
    return `${begin}\n${made}\n\n${end}`;
  });
}
