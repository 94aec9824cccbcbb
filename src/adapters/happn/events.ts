// Events as JSON texts, built like the answers in codec.ts: what subscribers are told of a change, and initial values sent as events.
// Pure functions.

import { type Formats, type Meta, type Payload, type Publication, type Value, jsonText as valueText } from '../../core/index.js';
import { type Asker, documentText, entryTimes, escapeSeparators, jsonText, OPEN_BRACE, requestId, utf8 } from './codec.js';
import { consistencyOf } from './publishing.js';
import type { MergeForm } from './versions.js';
import { type Frame, RESERVED_META } from './wire.js';

/** One event. `form`: what it shows of the change; `depth` 0: the channel has none. */
export function encodeEvent(
  publication: Publication,
  protocol: string,
  channel: string,
  depth: number,
  form: MergeForm,
  formats: Formats,
): string {
  const { action, path, entry, meta, requestId: id, origin, author } = publication;
  const name = action === 'set' ? `/SET@${path}` : `/REMOVE@${path}`;
  const session = jsonText(origin);
  const number = typeof id === 'number' ? `${session.slice(0, -1)}-${id}"` : jsonText(publicationId(publication));
  const counts = publication.options.increment !== null;
  const times = entry === null || counts ? '' : entryTimes(entry);
  const by = author === '' ? '' : `,"eventOrigin":{"username":${jsonText(author)},"id":${session}}`;
  const consistency = consistencyOf(publication.options);
  return (
    `{"data":${eventData(publication, form, formats)},"_meta":{"action":${jsonText(name)},"type":"data","sessionId":${session}` +
    `,"consistency":${consistency},"publicationId":${number},"path":${jsonText(path)}${times}${by}${meta === null ? '' : customMeta(meta)}` +
    `,"channel":${jsonText(channel)}${depth > 0 ? `,"depth":${depth}` : ''}},"protocol":"${protocol}"}`
  );
}

/** What tells a publication from all others: who caused it, and by which of its requests. */
export function publicationId(publication: Publication): string {
  const { origin, requestId: id } = publication;
  return `${origin}-${id ?? changeNumber(publication)}`;
}

/** Tells publications apart whose requests had no id. */
function changeNumber(publication: Publication): string {
  return publication.revision > 0 ? `r${publication.revision}` : `t${publication.time}`;
}

function eventData(publication: Publication, form: MergeForm, formats: Formats): string {
  const { action, payload, given, removed, options } = publication;
  if (action === 'remove') return form === 'record' ? `{"removed":${removed}}` : 'null';
  if (options.increment !== null && given !== null) return documentText(given, formats);
  if (form !== 'record' && given !== null) {
    const sent = sentText(given, formats);
    if (form === 'request' || sent.charCodeAt(0) !== OPEN_BRACE) return sent;
  }
  return documentText(payload as Payload, formats);
}

/** The request's own data: what is no object is not wrapped; bytes have no other form. */
function sentText(given: Payload, formats: Formats): string {
  if (given.format.id === formats.binary.id) return documentText(given, formats);
  return escapeSeparators(utf8(given.bytes(formats.json)));
}

function customMeta(meta: Meta): string {
  let text = '';
  const values = meta.values();
  for (const key of Object.keys(values)) {
    if (!RESERVED_META.has(key)) text += `,${jsonText(key)}:${valueText(values[key] as Value)}`;
  }
  return text;
}

/** An initial value as an event (protocol version 1 and none). */
export function encodeInitialEvent(frame: Frame, asker: Asker, channel: string, item: string): string {
  const name = jsonText(channel);
  const id = jsonText(`${asker.id}-${requestId(frame) ?? ''}`);
  const meta = `"action":${jsonText(`/ON@${channel}`)},"type":"data","sessionId":"${asker.id}","consistency":2,"publicationId":${id}`;
  return `{"data":${item},"_meta":{${meta},"path":${name},"channel":${name}},"protocol":"${asker.version.protocol}"}`;
}
