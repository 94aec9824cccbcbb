// The mesh node of the recorded exchanges with happner clients: a bare websocket that answers their requests as it did, under the
// same numbers, so that its events can be compared.

import type { HappnGateway, HappnWire, WireFrame } from '../support/happn-wire.js';

export interface MeshNode {
  /** Its session in the recording. */
  readonly session: string;
  /** Of the first frame that it sends in the recording. */
  readonly firstEventId: number;
}

interface Call {
  readonly callbackAddress: string;
  readonly args: readonly unknown[];
}

const REQUESTS = '/_exchange/requests/TestNode/comp/';
const UNSTORED = { noStore: true, timeout: 10_000 };

/** Resolves when it listens. */
export async function playMeshNode(gateway: HappnGateway, { firstEventId }: MeshNode): Promise<HappnWire> {
  const wire = await (await gateway.connect()).login('happn_4', '13.12.1');
  await wire.request('on', { path: `/SET@${REQUESTS}*`, data: null, options: { event_type: 'set' } });
  let eventId = firstEventId;
  const set = (path: string, data: unknown, options: object): void => wire.send({ action: 'set', eventId: eventId++, path, data, options });
  wire.socket.on('message', (text: Buffer) => {
    const { data, _meta } = JSON.parse(text.toString()) as WireFrame;
    if (_meta?.type !== 'data') return;
    const { callbackAddress, args } = data as Call;
    const method = String(_meta.path).slice(REQUESTS.length);
    if (method === 'causeEvent') {
      set('/_events/TestNode/comp/event/name', { key: 'value' }, { noStore: true, meta: { componentVersion: '1.0.0' } });
    }
    set(callbackAddress, answerTo(method, args), UNSTORED);
  });
  return wire;
}

function answerTo(method: string, args: readonly unknown[]): object {
  if (method === 'failing') return { status: 'error', args: [{ message: 'component failure', name: 'Error' }] };
  return { status: 'ok', args: [null, method === 'causeEvent' ? { ok: true } : { result: args[0] }] };
}
