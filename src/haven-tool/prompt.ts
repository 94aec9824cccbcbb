// Prompt: commands from a person. Watches run in the background: their events are printed above the line being typed.

import { readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { clearLine, createInterface, cursorTo, type Interface } from 'node:readline';
import { HavenError, type Watch, type WatchEvent } from '../haven-client/index.js';
import type { Place } from './actions.js';
import { tell } from './failures.js';
import type { Gateway } from './gateway.js';
import type { Command, CommonFlags, LineDeeds } from './grammar.js';
import { Lines } from './lines.js';
import { UsageError } from './usage-error.js';
import { shownText } from './values.js';

const HISTORY_FILE = '.trivium_haven_history';
const HISTORY_LINES = 1_000;
/** Values may be private. */
const HISTORY_MODE = 0o600;

export class Prompt implements Place, LineDeeds {
  readonly #gateway: Gateway;
  readonly #output: NodeJS.WriteStream;
  readonly #lines: Lines;
  readonly #reader: Interface;
  readonly #watches = new Map<Watch, string>();
  /** Lines are carried out one after the other. */
  #work: Promise<void> = Promise.resolve();
  /** A command is carried out: there is no prompt on the screen. */
  #isBusy = false;
  #isOver = false;
  #history: readonly string[] = readHistory();

  constructor(input: NodeJS.ReadStream, output: NodeJS.WriteStream, gateway: Gateway, flags: CommonFlags) {
    this.#gateway = gateway;
    this.#output = output;
    this.#lines = new Lines(gateway, this, flags, (text) => this.#show(text));
    this.#reader = createInterface({
      input,
      output,
      completer: (line: string) => complete(this.#lines.grammar(), line),
      history: [...this.#history],
      historySize: HISTORY_LINES,
      removeHistoryDuplicates: true,
    });
    this.#reader.on('history', (history: string[]) => {
      this.#history = [...history];
    });
  }

  /** Resolves when the person leaves. */
  run(): Promise<void> {
    const reader = this.#reader;
    reader.on('line', (line) => {
      this.#work = this.#work.then(() => this.#carryOut(line));
    });
    reader.on('SIGINT', () => {
      this.#output.write('\n(quit or Ctrl-D leaves)\n');
      // Forgets what was written so far.
      reader.write(null, { ctrl: true, name: 'e' });
      reader.write(null, { ctrl: true, name: 'u' });
      this.#ask();
    });
    this.#work = this.#carryOut('connect');
    return new Promise((resolve, reject) => {
      reader.on('close', () => {
        this.#isOver = true;
        this.#work.then(() => this.#leave()).then(resolve, reject);
      });
    });
  }

  async #carryOut(line: string): Promise<void> {
    if (this.#isOver) return;
    this.#isBusy = true;
    try {
      await this.#lines.run(line);
    } catch (error) {
      tell(error, this.#lines.printer, (text) => this.#show(`${text}\n`));
    }
    this.#isBusy = false;
    if (!this.#isOver) this.#ask();
  }

  #ask(): void {
    this.#reader.setPrompt(`haven ${this.#gateway.address}> `);
    this.#reader.prompt();
  }

  /** Above the prompt and what stands behind it. */
  #show(output: string | Uint8Array): void {
    if (this.#isBusy || this.#isOver) {
      this.#output.write(output);
      return;
    }
    clearLine(this.#output, 0);
    cursorTo(this.#output, 0);
    this.#output.write(output);
    this.#reader.prompt(true);
  }

  async #leave(): Promise<void> {
    await this.unwatch();
    try {
      writeFileSync(historyFile(), this.#history.map((line) => `${line}\n`).join(''), { mode: HISTORY_MODE });
    } catch (error) {
      this.#output.write(`the history cannot be saved: ${(error as NodeJS.ErrnoException).code}\n`);
    }
  }

  // ---------------------------------------------------------------- what commands need

  get address(): string {
    return this.#gateway.address;
  }

  client(): ReturnType<Gateway['client']> {
    return this.#gateway.client();
  }

  async follow(watch: Watch, path: string, count: number, show: (event: WatchEvent) => void): Promise<void> {
    this.#watches.set(watch, path);
    this.#show(`watching ${shownText(path)}\n`);
    this.#showEach(watch, count, show).then(
      () => this.#watches.delete(watch),
      (error: unknown) => {
        this.#watches.delete(watch);
        const reason = error instanceof HavenError ? `${error.name}: ${error.message}` : String(error);
        this.#show(`the watch of ${shownText(path)} has ended: ${shownText(reason)}\n`);
      },
    );
  }

  async #showEach(watch: Watch, count: number, show: (event: WatchEvent) => void): Promise<void> {
    let left = count;
    for await (const event of watch) {
      show(event);
      if (event.type !== 'resync') left -= 1;
      if (left === 0) break;
    }
  }

  remark(text: string): void {
    this.#show(`${text}\n`);
  }

  async unwatch(path?: string): Promise<void> {
    const ending = [...this.#watches].filter(([, each]) => path === undefined || each === path);
    if (path !== undefined && ending.length === 0) throw new UsageError(`there is no watch of ${path}`);
    for (const [watch] of ending) {
      this.#watches.delete(watch);
      await watch.close();
    }
  }

  quit(): void {
    this.#reader.close();
  }
}

/** What could stand at the end of the line: commands, their options, and the words that they choose from. */
function complete(grammar: Command, line: string): [string[], string] {
  const words = line.trimStart().split(/\s+/);
  const last = words.at(-1) as string;
  const candidates = candidatesFor(grammar, words);
  return [candidates.filter((candidate) => candidate.startsWith(last)).map((candidate) => `${candidate} `), last];
}

function candidatesFor(grammar: Command, words: readonly string[]): string[] {
  const [name = ''] = words;
  const names = [...grammar.commands.map((each) => each.name()), 'help'];
  if (words.length === 1 || (words.length === 2 && name === 'help')) return names.sort();
  const command = grammar.commands.find((each) => each.name() === name);
  if (command === undefined) return [];
  const choices = words.length === 2 ? (command.registeredArguments[0]?.argChoices ?? []) : [];
  return [...choices, ...[...command.options, ...grammar.options].map((option) => option.long as string)];
}

function historyFile(): string {
  return join(homedir(), HISTORY_FILE);
}

/** Newest first; none when there is no file that can be read. */
function readHistory(): string[] {
  try {
    return readFileSync(historyFile(), 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}
