// Kept: what a bridge must know after a restart, beside its queue: to which remote its records were sent, and its
// subscriptions there. A record of the data space in the gateway's own area.

import { DataRequest, type Formats, isDocument, type Pattern, Payload, parsePattern, STORED, type Value } from '../../../core/index.js';
import type { BridgeSession } from './session.js';

const AREA = '/_SYSTEM/_BRIDGES/';
const ALL: Pattern = parsePattern(`${AREA}*`, 'glob');

export interface Kept {
  /** The remote that the rest is about. */
  readonly url: string;
  /** Out rules whose records were sent there once. */
  readonly sent: readonly string[];
  /** Filters that are subscribed to there, and at which level. */
  readonly subscribed: ReadonlyMap<string, number>;
}

export function nothingKept(url: string): Kept {
  return { url, sent: [], subscribed: new Map() };
}

/** What was kept about the remote at `url`; nothing about another one. */
export async function readKept(session: BridgeSession, name: string, url: string): Promise<Kept> {
  const { entry, error } = await session.ask((tag) => new DataRequest('get', session, null, AREA + name, null, null, STORED, true, 0, tag));
  if (error !== null) throw error;
  return (entry === null ? null : decode(entry.payload.value(), url)) ?? nothingKept(url);
}

export async function writeKept(session: BridgeSession, name: string, kept: Kept, formats: Formats): Promise<void> {
  const value: Value = { url: kept.url, sent: [...kept.sent], subscribed: Object.fromEntries(kept.subscribed) };
  const payload = Payload.fromValue(value, formats.json);
  const { error } = await session.ask((tag) => new DataRequest('set', session, null, AREA + name, null, payload, STORED, true, 0, tag));
  if (error !== null) throw error;
}

/** Names of all bridges of which something is kept. */
export async function namesKept(session: BridgeSession): Promise<string[]> {
  const { entries, error } = await session.ask((tag) => new DataRequest('get', session, null, '', ALL, null, STORED, true, 0, tag));
  if (error !== null) throw error;
  return (entries ?? []).map(({ path }) => path.slice(AREA.length));
}

export async function dropKept(session: BridgeSession, name: string): Promise<void> {
  const { error } = await session.ask((tag) => new DataRequest('remove', session, null, AREA + name, null, null, STORED, true, 0, tag));
  if (error !== null) throw error;
}

/** null: the record is about another remote, or somebody else wrote it. */
function decode(value: Value, url: string): Kept | null {
  if (!isDocument(value)) return null;
  const { url: keptUrl, sent = null, subscribed = null } = value;
  if (keptUrl !== url || !Array.isArray(sent) || !isDocument(subscribed)) return null;
  const levels = Object.entries(subscribed).filter((pair): pair is [string, number] => typeof pair[1] === 'number');
  return { url, sent: sent.filter((one) => typeof one === 'string'), subscribed: new Map(levels) };
}
