// MQTT packets of versions 3.1.1 and 5 built by hand, and the handshakes of a load's set-up over them.

import { Connection } from './connection.mjs';

export const VERSION_3_1_1 = 4;
export const VERSION_5 = 5;

const CONNACK = 0x20;
const SUBACK = 0x90;
const CLEAN = 0x02;
const RECEIVE_MAXIMUM = 0x21;
const SESSION_EXPIRY = 0x11;
const PACKET_IDS = 65_535;

const NOTHING = Buffer.alloc(0);
/** Version 5 has properties where 3.1.1 has none: an empty list of them is one byte. */
const noProperties = (version) => (version === VERSION_5 ? Buffer.from([0]) : NOTHING);

const number16 = (value) => Buffer.from([value >> 8, value & 0xff]);

function number32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const text = (value) => Buffer.concat([number16(Buffer.byteLength(value)), Buffer.from(value)]);

function packet(first, ...parts) {
  const body = Buffer.concat(parts);
  const length = [];
  let rest = body.length;
  do {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>= 7;
  } while (rest > 0);
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

/** `keepSeconds` above 0 asks for a session that outlives the connection. */
function connectPacket(clientId, { version, keepAlive, keepSeconds }) {
  const flags = Buffer.from([version, keepSeconds > 0 ? 0 : CLEAN]);
  const expiry = Buffer.concat([Buffer.from([5, SESSION_EXPIRY]), number32(keepSeconds)]);
  const properties = version === VERSION_5 && keepSeconds > 0 ? expiry : noProperties(version);
  return packet(0x10, text('MQTT'), flags, number16(keepAlive), properties, text(clientId));
}

function subscribePacket(id, filter, qos, version) {
  return packet(0x82, number16(id), noProperties(version), text(filter), Buffer.from([qos]));
}

/** A PUBLISH; `id` counts for QoS 1 only. */
export function publishPacket(topic, payload, { qos = 0, retain = false, id = 0, version = VERSION_3_1_1 } = {}) {
  const first = 0x30 | (qos << 1) | (retain ? 1 : 0);
  return packet(first, text(topic), qos === 0 ? NOTHING : number16(id), noProperties(version), payload);
}

/** Where the packet id of a PUBLISH stands whose remaining length takes one byte. */
export const publishIdAt = (topic) => 2 + 2 + Buffer.byteLength(topic);

/** The shortest PUBACK, which every version may use for success. */
export const PUBACK_BYTES = 4;
export const writePuback = (buffer, at, high, low) => {
  buffer[at] = 0x40;
  buffer[at + 1] = 2;
  buffer[at + 2] = high;
  buffer[at + 3] = low;
};

/** Length of the packet at the front, 0 while its header or body is incomplete. */
export function packetLength(bytes) {
  let size = 0;
  for (let index = 1; index < Math.min(5, bytes.length); index += 1) {
    size |= (bytes[index] & 0x7f) << (7 * (index - 1));
    if (bytes[index] < 0x80) return bytes.length >= index + 1 + size ? index + 1 + size : 0;
  }
  return 0;
}

/** The next packet, whose first byte must be `first`. */
export async function expectPacket(connection, first) {
  const bytes = await connection.receive(packetLength);
  if (bytes[0] !== first) throw new Error(`expected packet 0x${first.toString(16)}, got ${bytes.toString('hex')}`);
  return bytes;
}

/** Bytes of the values of a CONNACK's properties (version 5, section 3.2.2.3); those that are not named begin with their length. */
const PROPERTY_BYTES = new Map([
  [SESSION_EXPIRY, 4],
  [0x13, 2],
  [RECEIVE_MAXIMUM, 2],
  [0x22, 2],
  [0x24, 1],
  [0x25, 1],
  [0x27, 4],
  [0x28, 1],
  [0x29, 1],
  [0x2a, 1],
]);
const USER_PROPERTY = 0x26;

/** `connack` is shorter than 128 bytes. */
function receiveMaximumOf(connack) {
  let at = 5;
  const end = at + (connack[4] ?? 0);
  while (at < end) {
    const property = connack[at];
    at += 1;
    if (property === RECEIVE_MAXIMUM) return connack.readUInt16BE(at);
    const texts = property === USER_PROPERTY ? 2 : 1;
    if (PROPERTY_BYTES.has(property)) at += PROPERTY_BYTES.get(property);
    else for (let index = 0; index < texts; index += 1) at += 2 + connack.readUInt16BE(at);
  }
  return PACKET_IDS;
}

let clients = 0;
/** A client id that nobody else uses. */
export function freshClientId() {
  clients += 1;
  return `bench-${process.pid}-${clients}`;
}

/**
 * Connects a client. `keepSeconds`: how long its session outlives it (3.1.1: for ever when above 0). `receiveMaximum`: messages
 * of QoS 1 that the server takes unacknowledged.
 */
export async function connectMqtt(port, { version = VERSION_3_1_1, keepAlive = 0, keepSeconds = 0, clientId = freshClientId() } = {}) {
  const connection = await Connection.open(port);
  connection.write(connectPacket(clientId, { version, keepAlive, keepSeconds }));
  const answer = await expectPacket(connection, CONNACK);
  if (answer[3] !== 0) throw new Error(`connection refused with code ${answer[3]}`);
  const receiveMaximum = version === VERSION_5 ? receiveMaximumOf(answer) : PACKET_IDS;
  return { connection, sessionPresent: (answer[2] & 1) === 1, receiveMaximum };
}

export const openMqtt = async (port, options) => (await connectMqtt(port, options)).connection;

export async function subscribe(connection, filter, qos, version = VERSION_3_1_1) {
  connection.write(subscribePacket(1, filter, qos, version));
  const answer = await expectPacket(connection, SUBACK);
  const granted = answer[answer.length - 1];
  if (granted !== qos) throw new Error(`subscription granted at ${granted} instead of ${qos}`);
}
