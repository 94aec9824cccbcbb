// The mesh node of the recorded exchanges with happner clients: a bare websocket that answers their requests as it did, under the
// same numbers, so that its events can be compared.

import type { HappnWire, WireFrame } from '../support/happn-wire.js';

export interface MeshNode {
  /** Its session in the recording. */
  readonly session: string;
  /** Of the first frame that it sends in the recording. */
  readonly firstEventId: number;
}

interface Call {
  readonly callbackAddress: string;
  readonly args: readonly unknown[];
  /** `username`: where users have to log in. */
  readonly origin: { readonly username?: string };
}

const REQUESTS = '/_exchange/requests/TestNode/';
const COMPONENTS = ['comp', 'security'];
const UNSTORED = { noStore: true, timeout: 10_000 };

/** Lets it listen through a connection that is logged in. */
export async function playMeshNode(wire: HappnWire, { firstEventId }: MeshNode): Promise<void> {
  for (const component of COMPONENTS) {
    await wire.request('on', { path: `/SET@${REQUESTS}${component}/*`, data: null, options: { event_type: 'set' } });
  }
  let eventId = firstEventId;
  const set = (path: string, data: unknown, options: object): void => wire.send({ action: 'set', eventId: eventId++, path, data, options });
  wire.socket.on('message', (text: Buffer) => {
    const { data, _meta } = JSON.parse(text.toString()) as WireFrame;
    if (_meta?.type !== 'data') return;
    const call = data as Call;
    const method = String(_meta.path).slice(REQUESTS.length);
    if (method === 'comp/causeEvent') {
      set('/_events/TestNode/comp/event/name', { key: 'value' }, { noStore: true, meta: { componentVersion: '1.0.0' } });
    }
    set(call.callbackAddress, answerTo(method, call), UNSTORED);
  });
}

function answerTo(method: string, { args, origin: { username } }: Call): object {
  if (method === 'comp/failing') return { status: 'error', args: [{ message: 'component failure', name: 'Error' }] };
  return { status: 'ok', args: [null, resultOf(method, args, username === undefined ? {} : { origin: username })] };
}

function resultOf(method: string, args: readonly unknown[], origin: object): object {
  if (method === 'comp/causeEvent') return { ok: true, ...origin };
  return method === 'security/addGroup' ? ADDED_GROUP : { result: args[0] };
}

/** What the security component of the mesh node said it made: nothing that the gateway knows of. */
const ADDED_GROUP = {
  name: 'g1',
  _meta: { path: '/_SYSTEM/_SECURITY/_GROUP/g1', created: 1_795_207_850_419, modified: 1_795_207_850_419 },
  permissions: { methods: { 'TestNode/comp/method': { authorized: true } }, events: {}, web: {}, data: {} },
};
