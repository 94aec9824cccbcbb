// Packets of MQTT field by field, so that tests can send what no library would write.

/** Two bytes, the high one first. */
export const u16 = (number: number): Buffer => Buffer.of(number >> 8, number & 0xff);

/** Text or bytes behind their length. */
export function field(content: string | Uint8Array): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([u16(bytes.length), bytes]);
}

/** Properties of version 5 behind their length; each as it stands on the wire. */
export function properties(...each: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat(each);
  return Buffer.concat([variableInteger(bytes.length), bytes]);
}

/** A packet: its first byte, the remaining length, and the rest. */
export function packet(first: number, ...rest: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(rest);
  return Buffer.concat([Buffer.of(first), variableInteger(body.length), body]);
}

function variableInteger(number: number): Buffer {
  const bytes: number[] = [];
  let rest = number;
  do {
    bytes.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(bytes);
}

export interface ConnectBytes {
  readonly first?: number;
  readonly name?: string;
  readonly level?: number;
  readonly flags?: number;
  readonly keepAlive?: number;
  /** The fields behind the variable header, in this order. */
  readonly payload: readonly Uint8Array[];
}

/** CONNECT; by default of 3.1.1, with a clean session and without keep alive. */
export function connectBytes({ first = 0x10, name = 'MQTT', level = 4, flags = 0x02, keepAlive = 0, payload }: ConnectBytes): Buffer {
  return packet(first, field(name), Buffer.of(level, flags), u16(keepAlive), ...payload);
}

/** PUBLISH; the packet id belongs to QoS 1 and 2 alone. */
export function publishBytes(first: number, topic: string | Uint8Array, packetId: number | null, payload = 'x'): Buffer {
  return packet(first, field(topic), packetId === null ? Buffer.alloc(0) : u16(packetId), Buffer.from(payload));
}

/** SUBSCRIBE to one filter. */
export function subscribeBytes(first: number, packetId: number, filter: string | Uint8Array, qos = 0): Buffer {
  return packet(first, u16(packetId), field(filter), Buffer.of(qos));
}

/** UNSUBSCRIBE from one filter. */
export function unsubscribeBytes(first: number, packetId: number, filter: string | Uint8Array): Buffer {
  return packet(first, u16(packetId), field(filter));
}

/** The whole packets in these bytes, each as hexadecimal text; what is cut off at the end is left out. */
export function packetsIn(bytes: Buffer): string[] {
  const packets: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = endOfPacket(bytes, at);
    if (end === 0 || end > bytes.length) break;
    packets.push(bytes.toString('hex', at, end));
    at = end;
  }
  return packets;
}

/** 0: its length is cut off. */
function endOfPacket(bytes: Buffer, start: number): number {
  let length = 0;
  for (let at = start + 1; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    length += (byte & 0x7f) << (7 * (at - start - 1));
    if (byte < 0x80) return at + 1 + length;
  }
  return 0;
}
