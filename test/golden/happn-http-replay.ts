// Replays the recorded plain HTTP exchanges: status, type and body are compared; scripts by their type alone.

import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { startHappn } from '../support/happn-wire.js';
import type { Verdict } from './happn-replay.js';

export const HTTP_CAPTURE = '17-http';

interface Request {
  readonly method: string;
  readonly path: string;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

interface Line {
  readonly step?: string;
  readonly frame: Request & { readonly status: number; readonly headers: Record<string, string>; readonly body: string };
}

const DIFFERENCES: { readonly [step: string]: { readonly why: string; readonly answer: Partial<Answer> } } = {
  version: { why: 'the version is that of the gateway', answer: { body: '{"version":"1.2.3"}' } },
  'browser crypto': {
    why: 'no keys to log in with are made in pages',
    answer: { status: 404, type: 'text/plain', body: '404\n' },
  },
};

export async function replayHttp(): Promise<Verdict[]> {
  const lines = JSON.parse(readFileSync(new URL(`./captures/happn/${HTTP_CAPTURE}.json`, import.meta.url), 'utf8')) as Line[];
  const gateway = await startHappn();
  const verdicts: Verdict[] = [];
  try {
    for (let at = 0; at < lines.length; at += 2) {
      const [asked, recorded] = [lines[at], lines[at + 1]] as [Line, Line];
      const title = asked.step as string;
      const { why = '', answer = {} } = DIFFERENCES[title] ?? {};
      const response = await fetch(`http://127.0.0.1:${gateway.port}${asked.frame.path}`, { method: asked.frame.method });
      const { status, headers, body } = recorded.frame;
      const expected = { status, type: plain(headers['content-type']), body, ...answer };
      expect(await answerOf(response, expected.body), title).toEqual(expected);
      verdicts.push({ exchange: { number: at / 2 + 1, title }, verdict: why === '' ? 'passes' : 'differs', why });
    }
  } finally {
    await gateway.stop();
  }
  return verdicts;
}

/** A script is there when it defines something: what it is made of is nobody's to compare. */
async function answerOf(response: Response, recorded: string): Promise<Answer> {
  const text = await response.text();
  const isScript = recorded.startsWith('(javascript') && text.length > 1_000;
  return { status: response.status, type: plain(response.headers.get('content-type')), body: isScript ? recorded : text };
}

/** The type without its parameters; scripts have had two names. */
function plain(type: string | null | undefined): string {
  return (type ?? '').split(';', 1).join().replace('application/javascript', 'text/javascript');
}
