// What is compared of a frame: what differs from run to run gives way to what kind of thing it is.

export type Fields = Record<string, unknown>;

export function metaOf(frame: unknown): Fields | undefined {
  const holder = Array.isArray(frame) ? { _meta: frame.at(-1) } : frame;
  return typeof holder === 'object' && holder !== null ? ((holder as Fields)._meta as Fields | undefined) : undefined;
}

export function dataOf(frame: unknown): Fields | undefined {
  const data = Array.isArray(frame) ? undefined : (frame as Fields | null)?.data;
  return typeof data === 'object' && data !== null ? (data as Fields) : undefined;
}

const TIME_FROM = 1_400_000_000_000;

/** What differs from run to run, and the four differences that are the same everywhere (see happn-coverage.md). */
export function placeholders(frame: unknown): unknown {
  if (typeof frame === 'string') return frame.replace(/^primus::id::.+$/, 'primus::id::<id>');
  const copy = times(structuredClone(frame));
  const meta = metaOf(copy);
  if (meta === undefined || Array.isArray(copy)) return copy;
  const fields = copy as Fields;
  delete fields.initialValues;
  if (meta.type !== 'response') return fields;
  if (meta.error !== undefined) meta.error = plainError(meta.error as Fields);
  else if (meta.action === 'on') maskReference(fields, meta);
  else if (meta.action === 'off') fields.data = '<released>';
  else if (meta.action === 'login') maskSession(dataOf(fields));
  else if (meta.action === 'request-nonce') Object.assign(fields, { nonce: '<nonce>', data: '<nonce>' });
  return fields;
}

/** Without the names of those who changed records. */
export function unsigned(frame: unknown): unknown {
  return JSON.parse(JSON.stringify(frame), (key, value: unknown) => (key === 'modifiedBy' ? undefined : value)) as unknown;
}

function times(value: unknown): unknown {
  if (typeof value === 'number') return value > TIME_FROM ? '<time>' : value;
  if (typeof value === 'string') return value.replace(/\/([0-9a-f]{32}|\[unique generated id\])$/, '/<id>');
  if (typeof value !== 'object' || value === null) return value;
  for (const [key, inner] of Object.entries(value)) (value as Fields)[key] = key === 'userid' ? '<user>' : times(inner);
  return value;
}

function maskReference(fields: Fields, meta: Fields): void {
  if (meta.referenceId !== undefined) meta.referenceId = '<reference>';
  else fields.data = { id: typeof dataOf(fields)?.id };
}

function maskSession(session: Fields | undefined): void {
  if (session === undefined) return;
  for (const key of ['msgCount', 'headers', 'address', 'url']) session[key] = typeof session[key];
  delete session.policy;
  delete session.permissionSetKey;
}

function plainError(error: Fields): unknown {
  const { name, message, code, reason } = error;
  if (code === 501) return '<unsupported>';
  // The code of a refusal makes clients give up.
  return name === 'AccessDenied' ? { name, message, code, reason } : { name, message };
}

export function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, inner]) => [key, sorted(inner)] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}
