// Packets of MQTT 5 out of plain bytes, by the codec alone: cut, judged by their header, and read by type.

import {
  headerFault,
  readAuth,
  readConnect,
  readDisconnect,
  readPuback,
  readPubrel,
  readSubscribe,
  readUnsubscribe,
} from '../../src/adapters/mqtt/v5/codec.js';
import { Fields } from '../../src/adapters/mqtt/v5/fields.js';
import { PublishReader } from '../../src/adapters/mqtt/v5/publish.js';
import { ProtocolFault } from '../../src/adapters/mqtt/v5/reason-codes.js';
import { PACKET } from '../../src/adapters/mqtt/wire.js';
import { bytesOf } from './mqtt-vectors.js';

export interface ReadPacket {
  readonly type: number;
  /** What the codec made of it; for PUBLISH the fields of the reader. */
  readonly facts: object;
}

/** What stands behind the packets, as in a chunk of a socket: whoever reads on takes it for no properties, or no text. */
const BEHIND = Buffer.alloc(16);

/** All packets in `whole`, which holds whole ones. Throws as the codec does. */
export function readPackets(whole: Buffer): ReadPacket[] {
  const packets: ReadPacket[] = [];
  const bytes = Buffer.concat([whole, BEHIND]);
  const fields = new Fields(bytes, 0, whole.length);
  while (!fields.done) {
    const first = fields.byte('first byte');
    const start = fields.at;
    const length = fields.variableInteger('remaining length');
    const fault = headerFault(first, length, fields.at - start);
    if (fault !== null) throw fault;
    const end = Math.min(fields.at + length, whole.length);
    packets.push({ type: first >> 4, facts: readBody(first, bytes, fields.at, end) });
    fields.at = end;
  }
  return packets;
}

/** The one packet in `bytes`. */
export function readPacket<Facts extends object>(bytes: Buffer): Facts {
  return readPackets(bytes)[0]?.facts as Facts;
}

function readBody(first: number, bytes: Buffer, start: number, end: number): object {
  const type = first >> 4;
  switch (type) {
    case PACKET.CONNECT:
      return readConnect(bytes, start, end);
    case PACKET.PUBLISH: {
      const publish = new PublishReader();
      publish.read(first, bytes, start, end);
      return Object.assign(publish, { payload: bytes.subarray(publish.payloadStart, end) });
    }
    case PACKET.PUBACK:
    case PACKET.PUBREC:
      return readPuback(bytes, start, end, type);
    case PACKET.PUBREL:
    case PACKET.PUBCOMP:
      return readPubrel(bytes, start, end, type);
    case PACKET.SUBSCRIBE:
      return readSubscribe(bytes, start, end);
    case PACKET.UNSUBSCRIBE:
      return readUnsubscribe(bytes, start, end);
    case PACKET.DISCONNECT:
      return readDisconnect(bytes, start, end);
    case PACKET.AUTH:
      return readAuth(bytes, start, end);
    default:
      return {};
  }
}

/** The reason code of the fault in `bytes`; null: there is none. Rethrows what is no fault of the codec. */
export function faultIn(bytes: Buffer): number | null {
  try {
    readPackets(bytes);
    return null;
  } catch (error) {
    if (error instanceof ProtocolFault) return error.reason;
    throw error;
  }
}

/** A packet in words (see mqtt-vectors.ts): its first byte, and its body, whose length is put between. */
export function packetOf(first: number, body: string): Buffer {
  const bytes = bytesOf(body);
  return Buffer.concat([Buffer.of(first), bytesOf(`r${bytes.length}`), bytes]);
}
