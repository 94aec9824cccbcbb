// The log: pino on stderr, as JSON lines or as text for a person. Secrets never reach it, control characters stay escaped.

import { type DestinationStream, pino } from 'pino';
import { escapeControls } from './core/data/value.js';
import type { Log } from './core/index.js';
import { Stderr } from './stderr.js';

export interface LogOptions {
  readonly level: string;
  readonly format: 'text' | 'json';
}

/** A log, and how to get its last lines out before the process ends. */
export interface OpenLog {
  readonly log: Log;
  /** Waits for nothing; what is buffered is written when this returns. */
  readonly flush: () => void;
}

/** Field names whose values are secrets wherever they stand; one level down as well. */
const SECRETS = ['password', 'passwordFile', 'token', 'secret', 'authorization', 'cookie', 'credentials'];

export function openLog(options: LogOptions): OpenLog {
  const stderr = theStderr();
  const form = options.format === 'json' ? escapeJson : textLine;
  const stream: DestinationStream = { write: (line) => stderr.write(form(line)) };
  const log = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: [...SECRETS, ...SECRETS.map((name) => `*.${name}`)], censor: '[redacted]' },
    },
    stream,
  );
  stderr.onLost = (lines) => log.warn({ lines }, 'lines of the log could not be written');
  return { log, flush: () => stderr.flush() };
}

let stderr: Stderr | null = null;

/** One for all logs of this process. */
function theStderr(): Stderr {
  if (stderr !== null) return stderr;
  const made = new Stderr();
  process.on('exit', () => made.flush());
  stderr = made;
  return made;
}

/** `12:30:01.123 info  text  field=value …` */
function textLine(line: string): string {
  const { time, level, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const parts = [String(time).slice(11, 23), String(level).padEnd(5), escapeControls(String(msg ?? ''))];
  for (const [name, value] of Object.entries(fields)) {
    parts.push(
      `${escapeControls(name)}=${typeof value === 'string' && /^[\w./:@-]+$/.test(value) ? value : escapeControls(JSON.stringify(value))}`,
    );
  }
  if (err !== undefined) {
    const { message, stack } = err as { message?: string; stack?: string };
    parts.push(`\n    ${(stack ?? message ?? JSON.stringify(err)).split('\n').map(escapeControls).join('\n    ')}`);
  }
  return `${parts.join(' ')}\n`;
}

/** In JSON such characters stand in texts alone, but for the end of the line. */
function escapeJson(line: string): string {
  return `${escapeControls(line.trimEnd())}\n`;
}
