// Properties of MQTT 5 (section 2.2.2): the table of all of them, and a strict reader and writer that obey it.

import { lengthBytes, writeLength } from '../codec.js';
import { PACKET } from '../wire.js';
import { FIELD_BYTES_MAX, type Fields, textBytes, writeBinary, writeText } from './fields.js';
import { type FaultReason, malformed, ProtocolFault, protocolError, REASON } from './reason-codes.js';

export const PROPERTY = {
  PAYLOAD_FORMAT_INDICATOR: 0x01,
  MESSAGE_EXPIRY_INTERVAL: 0x02,
  CONTENT_TYPE: 0x03,
  RESPONSE_TOPIC: 0x08,
  CORRELATION_DATA: 0x09,
  SUBSCRIPTION_IDENTIFIER: 0x0b,
  SESSION_EXPIRY_INTERVAL: 0x11,
  ASSIGNED_CLIENT_IDENTIFIER: 0x12,
  SERVER_KEEP_ALIVE: 0x13,
  AUTHENTICATION_METHOD: 0x15,
  AUTHENTICATION_DATA: 0x16,
  REQUEST_PROBLEM_INFORMATION: 0x17,
  WILL_DELAY_INTERVAL: 0x18,
  REQUEST_RESPONSE_INFORMATION: 0x19,
  RESPONSE_INFORMATION: 0x1a,
  SERVER_REFERENCE: 0x1c,
  REASON_STRING: 0x1f,
  RECEIVE_MAXIMUM: 0x21,
  TOPIC_ALIAS_MAXIMUM: 0x22,
  TOPIC_ALIAS: 0x23,
  MAXIMUM_QOS: 0x24,
  RETAIN_AVAILABLE: 0x25,
  USER_PROPERTY: 0x26,
  MAXIMUM_PACKET_SIZE: 0x27,
  WILDCARD_SUBSCRIPTION_AVAILABLE: 0x28,
  SUBSCRIPTION_IDENTIFIER_AVAILABLE: 0x29,
  SHARED_SUBSCRIPTION_AVAILABLE: 0x2a,
} as const;

export type PropertyId = (typeof PROPERTY)[keyof typeof PROPERTY];

/** Will properties stand in a CONNECT beside its own; table 2-4 treats them as a packet, and 0 is no packet type. */
export const WILL = 0;

/** A packet type, or `WILL`. */
export type PropertyPlace = typeof WILL | (typeof PACKET)[keyof typeof PACKET];

export type PropertyType = 'byte' | 'two bytes' | 'four bytes' | 'variable integer' | 'text' | 'binary' | 'pair';

export interface Property {
  readonly id: PropertyId;
  readonly name: string;
  readonly type: PropertyType;
  /** Where it may stand. */
  readonly places: readonly PropertyPlace[];
  /** Where it may stand more than once. */
  readonly repeatable: readonly PropertyPlace[];
  /** Numbers within what the type can hold. */
  readonly min: number;
  readonly max: number;
  /** What a number out of range is. */
  readonly rangeFault: FaultReason;
}

type Extra = Partial<Pick<Property, 'repeatable' | 'min' | 'max' | 'rangeFault'>>;

function property(id: PropertyId, name: string, type: PropertyType, places: readonly PropertyPlace[], extra: Extra = {}): Property {
  return { id, name, type, places, repeatable: [], min: 0, max: Number.POSITIVE_INFINITY, rangeFault: REASON.PROTOCOL_ERROR, ...extra };
}

const { CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, DISCONNECT, AUTH } = PACKET;
const MESSAGE = [PUBLISH, WILL] as const;
const ANSWERS = [CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH] as const;
const EVERYWHERE = [...ANSWERS, ...MESSAGE, CONNECT, SUBSCRIBE, UNSUBSCRIBE] as const;
const FLAG: Extra = { max: 1 };
const POSITIVE: Extra = { min: 1 };

/** Table 2-4, with the ranges that the sections on the packets give. */
export const PROPERTIES: readonly Property[] = [
  property(PROPERTY.PAYLOAD_FORMAT_INDICATOR, 'payload format indicator', 'byte', MESSAGE, FLAG),
  property(PROPERTY.MESSAGE_EXPIRY_INTERVAL, 'message expiry interval', 'four bytes', MESSAGE),
  property(PROPERTY.CONTENT_TYPE, 'content type', 'text', MESSAGE),
  property(PROPERTY.RESPONSE_TOPIC, 'response topic', 'text', MESSAGE),
  property(PROPERTY.CORRELATION_DATA, 'correlation data', 'binary', MESSAGE),
  property(PROPERTY.SUBSCRIPTION_IDENTIFIER, 'subscription identifier', 'variable integer', [PUBLISH, SUBSCRIBE], {
    repeatable: [PUBLISH],
    min: 1,
  }),
  property(PROPERTY.SESSION_EXPIRY_INTERVAL, 'session expiry interval', 'four bytes', [CONNECT, CONNACK, DISCONNECT]),
  property(PROPERTY.ASSIGNED_CLIENT_IDENTIFIER, 'assigned client identifier', 'text', [CONNACK]),
  property(PROPERTY.SERVER_KEEP_ALIVE, 'server keep alive', 'two bytes', [CONNACK]),
  property(PROPERTY.AUTHENTICATION_METHOD, 'authentication method', 'text', [CONNECT, CONNACK, AUTH]),
  property(PROPERTY.AUTHENTICATION_DATA, 'authentication data', 'binary', [CONNECT, CONNACK, AUTH]),
  property(PROPERTY.REQUEST_PROBLEM_INFORMATION, 'request problem information', 'byte', [CONNECT], FLAG),
  property(PROPERTY.WILL_DELAY_INTERVAL, 'will delay interval', 'four bytes', [WILL]),
  property(PROPERTY.REQUEST_RESPONSE_INFORMATION, 'request response information', 'byte', [CONNECT], FLAG),
  property(PROPERTY.RESPONSE_INFORMATION, 'response information', 'text', [CONNACK]),
  property(PROPERTY.SERVER_REFERENCE, 'server reference', 'text', [CONNACK, DISCONNECT]),
  property(PROPERTY.REASON_STRING, 'reason string', 'text', ANSWERS),
  property(PROPERTY.RECEIVE_MAXIMUM, 'receive maximum', 'two bytes', [CONNECT, CONNACK], POSITIVE),
  property(PROPERTY.TOPIC_ALIAS_MAXIMUM, 'topic alias maximum', 'two bytes', [CONNECT, CONNACK]),
  // [MQTT5-3.3.2-8]
  property(PROPERTY.TOPIC_ALIAS, 'topic alias', 'two bytes', [PUBLISH], { min: 1, rangeFault: REASON.TOPIC_ALIAS_INVALID }),
  property(PROPERTY.MAXIMUM_QOS, 'maximum QoS', 'byte', [CONNACK], FLAG),
  property(PROPERTY.RETAIN_AVAILABLE, 'retain available', 'byte', [CONNACK], FLAG),
  property(PROPERTY.USER_PROPERTY, 'user property', 'pair', EVERYWHERE, { repeatable: EVERYWHERE }),
  property(PROPERTY.MAXIMUM_PACKET_SIZE, 'maximum packet size', 'four bytes', [CONNECT, CONNACK], POSITIVE),
  property(PROPERTY.WILDCARD_SUBSCRIPTION_AVAILABLE, 'wildcard subscription available', 'byte', [CONNACK], FLAG),
  property(PROPERTY.SUBSCRIPTION_IDENTIFIER_AVAILABLE, 'subscription identifiers available', 'byte', [CONNACK], FLAG),
  property(PROPERTY.SHARED_SUBSCRIPTION_AVAILABLE, 'shared subscription available', 'byte', [CONNACK], FLAG),
];

/**
 * Where a known property that may not stand there is a protocol error. The standard calls it malformed (2.2.2.2), which it is
 * elsewhere; Mosquitto, whose choice clients meet in the field, answers so in these.
 */
const MISPLACED_IS_PROTOCOL_ERROR = bitsOf([CONNECT, WILL, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT]);

interface Row extends Property {
  /** One bit for each place. */
  readonly placeBits: number;
  readonly repeatableBits: number;
  /** This property's bit among all. */
  readonly bit: number;
}

/** By identifier. */
const ROWS: readonly (Row | undefined)[] = rowsById();

function rowsById(): (Row | undefined)[] {
  const rows: (Row | undefined)[] = new Array(Math.max(...Object.values(PROPERTY)) + 1).fill(undefined);
  for (const [i, one] of PROPERTIES.entries()) {
    rows[one.id] = { ...one, placeBits: bitsOf(one.places), repeatableBits: bitsOf(one.repeatable), bit: 1 << i };
  }
  return rows;
}

function bitsOf(places: readonly PropertyPlace[]): number {
  return places.reduce<number>((bits, place) => bits | (1 << place), 0);
}

const NOTHING = Buffer.alloc(0);

/**
 * Reads the properties of one packet, one after the other: `next` says whether there was one more, and the fields hold it.
 * Throws ProtocolFault for what is unknown, cut off, misplaced, there twice or out of range.
 */
export class PropertyReader {
  id: number = 0;
  /** Of the types byte, two bytes, four bytes and variable integer. */
  number = 0;
  /** Of the types text and pair, whose value it is. */
  text = '';
  /** Of the type pair. */
  name = '';
  /** Of the type binary; part of the packet. */
  binary: Buffer = NOTHING;
  readonly #fields: Fields;
  readonly #placeBit: number;
  #seen = 0;

  /** `fields` stand before the property length, and behind the properties afterwards. */
  constructor(fields: Fields, place: PropertyPlace) {
    this.#fields = fields.section('properties');
    this.#placeBit = 1 << place;
  }

  next(): boolean {
    if (this.#fields.done) return false;
    const id = this.#fields.variableInteger('property identifier');
    const row = ROWS[id];
    if (row === undefined) throw malformed(`unknown property ${id}`);
    this.id = id;
    this.#read(row);
    if ((row.placeBits & this.#placeBit) === 0) throw this.#misplaced(row);
    if ((this.#seen & row.bit) !== 0 && (row.repeatableBits & this.#placeBit) === 0) throw protocolError(`${row.name} stands twice`);
    this.#seen |= row.bit;
    return true;
  }

  #read(row: Row): void {
    const { name } = row;
    switch (row.type) {
      case 'byte':
        return this.#take(row, this.#fields.byte(name));
      case 'two bytes':
        return this.#take(row, this.#fields.number(name));
      case 'four bytes':
        return this.#take(row, this.#fields.fourBytes(name));
      case 'variable integer':
        return this.#take(row, this.#fields.variableInteger(name));
      case 'text':
        this.text = this.#fields.anyText(name);
        return;
      case 'binary':
        this.binary = this.#fields.binary(name);
        return;
      case 'pair':
        this.name = this.#fields.anyText('name of a user property');
        this.text = this.#fields.anyText('value of a user property');
    }
  }

  #take(row: Row, number: number): void {
    if ((row.placeBits & this.#placeBit) !== 0 && (number < row.min || number > row.max)) {
      throw new ProtocolFault(row.rangeFault, `${row.name} of ${number}`);
    }
    this.number = number;
  }

  #misplaced(row: Row): ProtocolFault {
    const isProtocolError = (MISPLACED_IS_PROTOCOL_ERROR & this.#placeBit) !== 0;
    return new ProtocolFault(isProtocolError ? REASON.PROTOCOL_ERROR : REASON.MALFORMED_PACKET, `${row.name} may not stand here`);
  }
}

type PropertyValue = number | string | Uint8Array;

interface Item {
  readonly row: Row;
  readonly value: PropertyValue;
}

/**
 * The properties of one packet that this side writes; those of PUBLISH have a faster way. `put` throws RangeError for what
 * the standard does not allow there, which is a mistake of the program.
 */
export class PropertyWriter {
  #items: Item[] = [];
  #length = 0;
  #seen = 0;

  constructor(private readonly place: PropertyPlace) {}

  put(id: PropertyId, value: PropertyValue): this {
    const row = ROWS[id] as Row;
    const length = lengthOf(row, value);
    if ((row.placeBits & (1 << this.place)) === 0 || (this.#seen & row.bit) !== 0) throw new RangeError(`${row.name} may not stand here`);
    this.#seen |= row.bit;
    this.#items.push({ row, value });
    this.#length += 1 + length;
    return this;
  }

  /** Bytes of the properties without their length. */
  get length(): number {
    return this.#length;
  }

  /** Bytes of the properties with their length. */
  get size(): number {
    return lengthBytes(this.#length) + this.#length;
  }

  /** Says where the properties end. */
  write(frame: Buffer, start: number): number {
    let at = writeLength(frame, start, this.#length);
    for (const { row, value } of this.#items) {
      frame[at] = row.id;
      at = writeValue(frame, at + 1, row, value);
    }
    return at;
  }
}

const NUMBER_BYTES: Readonly<Partial<Record<PropertyType, number>>> = { byte: 1, 'two bytes': 2, 'four bytes': 4 };

function lengthOf(row: Row, value: PropertyValue): number {
  if (typeof value === 'number') {
    const bytes = NUMBER_BYTES[row.type] ?? 0;
    if (Number.isInteger(value) && value >= row.min && value <= Math.min(row.max, 256 ** bytes - 1)) return bytes;
    throw new RangeError(`${row.name} of ${value}`);
  }
  if (row.type !== (typeof value === 'string' ? 'text' : 'binary')) throw new RangeError(`${row.name} is of type ${row.type}`);
  const bytes = typeof value === 'string' ? textBytes(value) : value.length;
  if (bytes < 0 || bytes > FIELD_BYTES_MAX) throw new RangeError(`${row.name} does not fit`);
  return 2 + bytes;
}

function writeValue(frame: Buffer, at: number, row: Row, value: PropertyValue): number {
  if (typeof value === 'string') return writeText(frame, at, value);
  if (typeof value !== 'number') return writeBinary(frame, at, value);
  return frame.writeUIntBE(value, at, NUMBER_BYTES[row.type] as number);
}
