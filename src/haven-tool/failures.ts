// Failures: how they are reported to a person or a program, and the exit code: 1 if the gateway refused or was unreachable, 2 if the
// command itself was wrong.

import { HavenError } from '../haven-client/index.js';
import { CommanderError } from './grammar.js';
import type { Printer } from './printer.js';
import { UsageError } from './usage-error.js';
import { shownText } from './values.js';

const EXIT_REFUSED = 1;
const EXIT_USAGE = 2;
/** A token of trivium login is for HTTP alone. */
const LOGIN_ADVICE = '; give --user and --password-file, or --token-file (of trivium token issue)';

/**
 * Tells of it and returns the exit code; 0 for what is none (help was asked for). For a program it is an object in the place of the
 * answer. Throws what nobody expected.
 */
export function tell(error: unknown, printer: Printer, complain: (line: string) => void): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  const { name, code, message, op, exit } = described(error);
  if (printer.asJson) printer.print('', { error: { name, code, message, ...(op === null ? {} : { op }) } });
  else if (exit === EXIT_USAGE) complain(message);
  else complain(`${name}: ${shownText(message)}${name === 'UNAUTHORIZED' ? LOGIN_ADVICE : ''}`);
  return exit;
}

interface Described {
  readonly name: string;
  readonly code: number;
  readonly message: string;
  readonly op: number | null;
  readonly exit: number;
}

function described(error: unknown): Described {
  if (error instanceof HavenError) {
    const { name, code, message, op } = error;
    return { name, code, message, op, exit: EXIT_REFUSED };
  }
  if (error instanceof CommanderError || error instanceof UsageError) {
    const message = error.message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ');
    return { name: 'USAGE', code: 0, message: shownText(message), op: null, exit: EXIT_USAGE };
  }
  throw error;
}
