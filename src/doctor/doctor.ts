// The doctor: reports what is unsafe or broken about a gateway, before it starts or while it runs.

import type { LoadedConfig } from '../config/index.js';
import type { Finding } from './finding.js';
import { examineMachine } from './machine.js';
import { examineSettings } from './settings.js';

export type { Finding } from './finding.js';

/** Worst first; within a level in the order in which they were looked at. */
export async function examine({ config, origins }: LoadedConfig, now = Date.now()): Promise<Finding[]> {
  const found = [...examineSettings(config, origins), ...(await examineMachine(config, filesIn(origins), now))];
  const rank = ['bad', 'warn', 'ok'];
  return found.sort((a, b) => rank.indexOf(a.level) - rank.indexOf(b.level));
}

/** Those that some value came from. */
function filesIn(origins: LoadedConfig['origins']): string[] {
  const files = [...origins.values()].filter((origin) => origin.startsWith('file ')).map((origin) => origin.slice('file '.length));
  return [...new Set(files)];
}

/** For a person; ends with one line that counts. */
export function findingsText(findings: readonly Finding[]): string {
  const lines = findings.flatMap(({ level, about, text, advice }) => {
    const line = `${level.padEnd(4)}  ${about.padEnd(11)}  ${text}`;
    return advice === null ? [line] : [line, `${' '.repeat(19)}-> ${advice}`];
  });
  const count = (level: Finding['level']): number => findings.filter((one) => one.level === level).length;
  return `${lines.join('\n')}\n\n${count('bad')} bad, ${count('warn')} warn, ${count('ok')} ok\n`;
}
