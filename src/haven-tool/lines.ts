// Lines: one command per line, of a script or at the prompt.

import { Actions, type Place } from './actions.js';
import type { Gateway } from './gateway.js';
import { type Command, type CommonFlags, grammar, type LineDeeds } from './grammar.js';
import { Printer } from './printer.js';
import { targetOf } from './target.js';
import { UsageError } from './usage-error.js';
import { wordsOf } from './words.js';

type Write = (output: string | Uint8Array) => void;

export class Lines {
  /** Of the line that is or was carried out. */
  printer: Printer;
  readonly #gateway: Gateway;
  readonly #place: Place & LineDeeds;
  readonly #flags: CommonFlags;
  readonly #write: Write;

  /** `flags`: of the command line, valid for all lines that do not say otherwise. */
  constructor(gateway: Gateway, place: Place & LineDeeds, flags: CommonFlags, write: Write) {
    this.#gateway = gateway;
    this.#place = place;
    this.#flags = flags;
    this.#write = write;
    this.printer = new Printer(write, flags.json === true);
  }

  /** Rejects with what the command failed of. */
  async run(line: string): Promise<void> {
    this.printer = new Printer(this.#write, this.#flags.json === true);
    const words = wordsOf(line);
    if (words.length > 0) await this.grammar().parseAsync(words, { from: 'user' });
  }

  grammar(): Command {
    const program = grammar('', (flags, command) => this.#begin(flags, command), this.#place);
    // Without it the bare name of the program would be its help.
    return program.allowExcessArguments().action(() => {
      const [first] = program.args;
      throw new UsageError(first === undefined ? 'options alone are no command' : `there is no command ${first}; see help`);
    });
  }

  async #begin(flags: CommonFlags, command: string): Promise<Actions> {
    const { json, ...target } = flags;
    this.printer = new Printer(this.#write, json === true || this.#flags.json === true);
    const isElsewhere = Object.keys(target).length > 0;
    if (isElsewhere && command !== 'connect') throw new UsageError('where to connect to is for the command connect to say');
    if (isElsewhere) await this.#gateway.aim(targetOf({ ...this.#flags, ...target }, process.env));
    return new Actions(this.#place, this.printer);
  }
}
