// A finding of the doctor: one sentence, and what to do about it.

export interface Finding {
  /** `bad`: it does not work, or is open to anybody. `warn`: it works, but not for production. */
  readonly level: 'ok' | 'warn' | 'bad';
  /** Part of the gateway. */
  readonly about: string;
  readonly text: string;
  /** null: there is nothing to do. */
  readonly advice: string | null;
}

export function ok(about: string, text: string): Finding {
  return { level: 'ok', about, text, advice: null };
}

export function warn(about: string, text: string, advice: string): Finding {
  return { level: 'warn', about, text, advice };
}

export function bad(about: string, text: string, advice: string): Finding {
  return { level: 'bad', about, text, advice };
}
