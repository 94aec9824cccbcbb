// Records: sends all records that match a rule once, as retained messages, page by page as the remote acknowledges them.

import { DataRequest, type Entry, type Pattern, STORED } from '../../../core/index.js';
import type { Outgoing } from './outgoing.js';
import type { Rule } from './rules.js';
import type { BridgeSession } from './session.js';

const PAGE_RECORDS = 200;

/**
 * Resolves when the remote has them all, or without that when `isOver` says that the connection has ended, or never then.
 * Rejects with RequestError.
 */
export async function sendRecords(rule: Rule, session: BridgeSession, outgoing: Outgoing, isOver: () => boolean): Promise<number> {
  let count = 0;
  let after: string | null = null;
  let limit = PAGE_RECORDS;
  for (;;) {
    outgoing.beginPage();
    const { entries, error } = await session.ask((tag) => pageOf(session, rule.local, after, limit, tag));
    // Large records: fewer of them at a time.
    if (error?.code === 'LIMIT_EXCEEDED' && limit > 1) {
      limit = Math.ceil(limit / 4);
      continue;
    }
    if (error !== null) throw error;
    if (isOver()) return count;
    const page: readonly Entry[] = entries ?? [];
    await outgoing.sendPage(page, rule.qos);
    count += page.length;
    if (page.length < limit) return count;
    after = page.at(-1)?.path ?? null;
  }
}

function pageOf(session: BridgeSession, pattern: Pattern, after: string | null, limit: number, tag: unknown): DataRequest {
  return new DataRequest('get', session, null, '', pattern, null, { ...STORED, limit, after }, true, 0, tag);
}
