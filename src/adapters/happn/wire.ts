// The happn wire: frames as a client sends them, named as the protocol names them, and its fixed texts and limits.
// Fields are `unknown` until the codec has looked at them.

/** A request frame: one JSON object in one text frame. */
export interface Frame {
  readonly action?: unknown;
  /** Number in every known client; echoed as it came when it is a number or a text. */
  readonly eventId?: unknown;
  readonly path?: unknown;
  readonly data?: unknown;
  /** Echoed, never trusted: the socket is the identity. */
  readonly sessionId?: unknown;
  readonly options?: unknown;
  readonly protocol?: unknown;
  readonly encrypted?: unknown;
}

/** Properties of a JSON object, none of them believed yet. */
export type Fields = { readonly [key: string]: unknown };

/** Control messages are JSON texts; these are their beginnings and, where they have no argument, the whole of them. */
export const CONTROL = {
  ping: 'primus::ping::',
  pong: 'primus::pong::',
  id: 'primus::id::',
  serverClose: 'primus::server::close',
} as const;

/** Sent before an intended end: a client that read it does not come back by itself. */
export const SERVER_CLOSE_FRAME = JSON.stringify(CONTROL.serverClose);

/** Segments below the prefix that a trailing `**` covers when the client names no depth. */
export const DEFAULT_DEPTH = 5;

/** The texts of refusals that clients know by heart. */
export const MESSAGES = {
  badCharacters:
    'Bad path, can only contain characters a-z A-Z 0-9 / & + = : @ % * ( ) _ -, ie: ' +
    'factory1@I&J(western-cape)/plant1:conveyer_2/stats=true/capacity=10%/*',
  setWildcard: "Bad path, if the action is 'set' the path cannot contain the * wildcard character",
  encrypted: 'Encrypted payloads are no longer supported',
  incrementName: 'invalid increment counter field name, must be a string',
  incrementValue: 'increment option value must be a number',
  tagWithData: 'Cannot set tag with new data.',
  tagMissing: "Attempt to tag something that doesn't exist in the first place",
  noLogin: 'no policy attached to session',
  noPublicKey: 'no public key with request',
} as const;

/**
 * Keys of event meta that only the gateway writes: custom meta can neither set nor forge them.
 */
export const RESERVED_META: ReadonlySet<string> = new Set([
  'action',
  'channel',
  'consistency',
  'created',
  'depth',
  'eventId',
  'eventOrigin',
  'modified',
  'modifiedBy',
  'path',
  'protocol',
  'publicationId',
  'published',
  'sessionId',
  'status',
  'timestamp',
  'type',
  '__proto__',
  'constructor',
  'prototype',
]);

/** What one frame may hold; the first set applies until the connection has sent its first valid request. */
export interface FrameLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
  readonly maxElements: number;
}

export const FIRST_FRAME_LIMITS: FrameLimits = Object.freeze({ maxBytes: 65_536, maxDepth: 8, maxElements: 1_000 });
/** Its size is a setting. */
export function frameLimits(maxBytes: number): FrameLimits {
  return { maxBytes, maxDepth: 32, maxElements: 65_536 };
}
