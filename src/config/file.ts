// The configuration file: YAML, of which JSON is a part.

import { ConfigError } from '../core/errors.js';

export interface ConfigFile {
  /** Shown in errors. */
  readonly name: string;
  /** Its keys, maps within maps. */
  readonly tree: ReadonlyMap<unknown, unknown>;
}

/** Rejects with ConfigError, one line that names the file. */
export async function parseFile(name: string, text: string): Promise<ConfigFile> {
  // Only here: a gateway without a file starts sooner.
  const { LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const problem = document.errors[0];
  if (problem !== undefined) {
    const line = lines.linePos(problem.pos[0]).line;
    throw new ConfigError(`the configuration file ${name} is neither YAML nor JSON: ${problem.message} (line ${line})`);
  }
  let tree: unknown;
  try {
    tree = document.toJS({ mapAsMap: true, maxAliasCount: 100 });
  } catch (error) {
    throw new ConfigError(`the configuration file ${name} cannot be used: ${(error as Error).message}`, { cause: error });
  }
  if (tree === null || tree === undefined) return { name, tree: new Map() };
  if (!(tree instanceof Map)) throw new ConfigError(`the configuration file ${name} must hold keys and values`);
  return { name, tree };
}
