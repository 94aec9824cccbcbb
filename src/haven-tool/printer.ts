// Printer: output as a line for a person, or as one JSON object per line for a program.

import { jsonText } from '../core/data/formats.js';
import type { Value } from '../core/data/payload.js';

export class Printer {
  /** `write` takes whole lines, and bytes as they are. */
  constructor(
    readonly write: (output: string | Uint8Array) => void,
    readonly asJson: boolean,
  ) {}

  print(forPeople: string, forPrograms: object): void {
    this.write(`${this.asJson ? jsonText(forPrograms as Value) : forPeople}\n`);
  }
}
