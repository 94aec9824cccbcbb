// Pattern: a path with wildcards, parsed once, in one of three dialects.

/** glob: happn queries, happn 1/2 subscriptions, Haven. segments: happn 3/4 subscriptions. mqtt: topic filters. */
export type Dialect = 'glob' | 'segments' | 'mqtt';

export interface Pattern {
  readonly text: string;
  readonly dialect: Dialect;
  /** The one path it matches (glob, mqtt) when it has no wildcard; null otherwise, and always for segments. */
  readonly exact: string | null;
  /** Every match begins with this text (leading-slash-insensitive dialects: empty unless it is safe): bounds a range scan. */
  readonly prefix: string;
  /** Largest number of extra segments of a trailing `**` (segments dialect); Infinity where there is no bound. */
  readonly depth: number;
  /** The reserved area that the first segment spells out, in canonical form; null if it spells none. */
  readonly area: string | null;
  /** Reserved areas included: false for a path in an area that the pattern does not spell out. */
  matches(path: string): boolean;
}

export declare function parsePattern(text: string, dialect: Dialect, depth?: number): Pattern;
