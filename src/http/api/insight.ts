// Explanations of rights, and the audit.

import { ADMIN, type AuditFilter, type Principal, parsePattern, RequestError, reservedArea, type Verdict } from '../../core/index.js';
import { done, isoTime, type Operation, operation } from './operation.js';
import * as schema from './schemas.js';

type Question = (typeof schema.explain)['_output'];
type AuditQuery = (typeof schema.auditPage)['_output'];
type Place = 'after' | 'before' | 'limit';

export const INSIGHT: readonly Operation[] = [
  operation({
    method: 'post',
    path: '/explain',
    id: 'explain',
    tag: 'rights',
    summary: 'Says whether a user may do something, and which permission decides it.',
    query: null,
    body: schema.explain,
    answers: { 200: { description: 'The decision.', schema: schema.explanation } },
    run: ({ house, body }) => {
      const principal = house.directory.principal(body.user);
      if (principal === null) throw new RequestError('NOT_FOUND', `there is no user ${body.user}`);
      return done(explanation(body, principal));
    },
  }),
  operation({
    method: 'get',
    path: '/audit',
    id: 'audit',
    tag: 'audit',
    summary: 'Lists who did what to users, groups, permissions, tokens, sessions and roles, and who was refused a login.',
    query: schema.auditPage,
    body: null,
    answers: { 200: { description: 'Entries in order of their numbers, oldest first.', schema: schema.audit } },
    run: async ({ house, query }) => {
      const { after = null, before = null, limit } = query;
      const { entries, older } = await house.auditEntries({ ...filterOf(query), after, before, limit });
      const shown = entries.map(({ time, actor: name, address, ...entry }) => ({
        ...entry,
        time: isoTime(time),
        actor: name === '' ? null : name,
        address: address === '' ? null : address,
      }));
      const previous = older ? (entries[0]?.number ?? null) : null;
      return done({ entries: shown, next: entries.at(-1)?.number ?? after ?? 0, previous });
    },
  }),
];

function filterOf({ action, actor, target, outcome, since, until }: AuditQuery): Omit<AuditFilter, Place> {
  const timeOf = (text: string | undefined): number | null => (text === undefined ? null : Date.parse(text));
  return {
    ...{ action: action ?? null, actor: actor ?? null, target: target ?? null, outcome: outcome ?? null },
    ...{ since: timeOf(since), until: timeOf(until) },
  };
}

function explanation(question: Question, { rights, isAdministrator }: Principal): object {
  const { user, action, path, dialect } = question;
  const about = { user, action, path };
  if (dialect === undefined) {
    const verdict = rights.explain(action, path);
    return { allowed: verdict.allowed, ...about, coverage: null, ...because(verdict, question, isAdministrator) };
  }
  const pattern = parsePattern(path, dialect);
  const coverage = rights.covers(action, pattern);
  const verdict = rights.explain(action, pattern);
  return { allowed: coverage !== 'none', ...about, coverage, ...because(verdict, question, isAdministrator) };
}

function because({ allowed, pattern, source, lookup }: Verdict, { user, action, path }: Question, isAdministrator: boolean): object {
  if (isAdministrator) return { rule: null, reason: `members of ${ADMIN} may do everything` };
  if (pattern === null || source === null) {
    const area = action === 'control' ? null : reservedArea(path);
    const reason = area === null ? `no permission allows ${action} on ${path}` : `${area} is for members of ${ADMIN} alone`;
    return { rule: null, reason };
  }
  const [kind = '', ...words] = source.split(' ');
  const name = kind === 'user' ? user : words.join(' ');
  if (lookup !== null) {
    const reason = `the ${kind} ${name} is allowed ${action} by a lookup of ${pattern} in ${lookup.table}`;
    return { rule: { pattern, effect: 'allow', source: kind, name, table: lookup.table }, reason };
  }
  const effect = allowed ? 'allow' : 'prohibit';
  const reason = `the ${kind} ${name} is ${allowed ? 'allowed' : 'forbidden'} ${action} on ${pattern}`;
  return { rule: { pattern, effect, source: kind, name }, reason };
}
