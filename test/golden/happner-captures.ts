// The recorded exchanges of happner clients: what was there before, who answers, and what comes out otherwise.

import { metaOf } from './happn-placeholders.js';
import { type Capture, type Expected, recordedAnswers } from './happn-replay.js';
import { LOGIN_WITHOUT_CUSTOM_DATA } from './happn-secure-captures.js';

/** The sessions of the mesh nodes that answered: the one without users, and the one with them. */
const NODE = '833417ed-d58a-42f2-b3ad-78bd4d5b745e';
const SECURE_NODE = '8e050949-b093-4c5b-bba7-51ce69328964';

function happner(name: string, firstEventId: number): Capture {
  return {
    name,
    records: schemaIn(name),
    node: 'TestNode',
    mesh: { session: NODE, firstEventId },
    translate: withoutUsers,
    translation: 'events name no user where there are none',
    deviations: {},
  };
}

/** All of them logged in as _ADMIN, the mesh node included. */
function secured(name: string, firstEventId: number): Capture {
  return {
    name,
    records: schemaIn(name),
    node: 'TestNode',
    mesh: { session: SECURE_NODE, firstEventId },
    secure: { security: {} },
    deviations: { 3: LOGIN_WITHOUT_CUSTOM_DATA },
  };
}

export const HAPPNER_CAPTURES: readonly Capture[] = [
  happner('40-happner-meshclient', 14),
  happner('41-happner-client', 18),
  happner('42-happner-light-client', 22),
  secured('40-happner-meshclient-secure', 14),
  secured('41-happner-client-secure', 19),
  secured('42-happner-light-client-secure', 23),
];

type Item = { readonly _meta: { readonly path?: string } | undefined };

/** The schema that the client read: it was there before. */
function schemaIn(name: string): [path: string, data: unknown][] {
  const items = recordedAnswers(name).flatMap((frame): Item[] =>
    Array.isArray(frame) ? (frame as Item[]) : [{ ...(frame as { data: object }).data, _meta: metaOf(frame) as Item['_meta'] }],
  );
  return items.flatMap(({ _meta, ...data }): [string, unknown][] =>
    _meta?.path?.startsWith('/mesh/schema/') === true ? [[_meta.path, data]] : [],
  );
}

function withoutUsers(recorded: readonly Expected[]): Expected[] {
  return recorded.map(({ conn, frame }) => {
    if (metaOf(frame)?.eventOrigin === undefined) return { conn, frame };
    const { _meta, ...rest } = frame as { _meta: { eventOrigin: unknown } };
    const { eventOrigin: _, ...meta } = _meta;
    return { conn, frame: { ...rest, _meta: meta } };
  });
}
