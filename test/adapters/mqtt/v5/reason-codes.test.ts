import { describe, expect, it } from 'vitest';
import {
  CLIENT_AUTH_REASONS,
  CLIENT_DISCONNECT_REASONS,
  CONNACK_REASONS,
  connackReason,
  disconnectReason,
  type FaultReason,
  ProtocolFault,
  PUBACK_REASONS,
  PUBREL_REASONS,
  REASON,
  SERVER_AUTH_REASONS,
  SERVER_DISCONNECT_REASONS,
  SUBACK_REASONS,
  UNSUBACK_REASONS,
} from '../../../../src/adapters/mqtt/v5/reason-codes.js';
import { CONNECTION_ERRORS, ConnectionError, type ConnectionErrorCode, SessionRevoked } from '../../../../src/core/index.js';
import { faultIn, packetOf } from '../../../support/mqtt5-read.js';

const CODES = Array.from({ length: 256 }, (_, code) => code);
const codes = Object.keys(CONNECTION_ERRORS) as ConnectionErrorCode[];

describe('reason codes', () => {
  it('are the 43 of section 2.4', () => {
    expect(Object.values(REASON)).toHaveLength(43);
    expect(new Set(Object.values(REASON)).size).toBe(43);
  });

  it('stand in some packet each', () => {
    const used = [
      ...CONNACK_REASONS,
      ...PUBACK_REASONS,
      ...PUBREL_REASONS,
      ...SUBACK_REASONS,
      ...UNSUBACK_REASONS,
      ...SERVER_DISCONNECT_REASONS,
      ...CLIENT_DISCONNECT_REASONS,
      ...SERVER_AUTH_REASONS,
      ...CLIENT_AUTH_REASONS,
    ];
    expect(new Set(used)).toEqual(new Set(Object.values(REASON)));
  });

  it.each([
    ['[MQTT5-3.4.2-1] PUBACK', 0x40, 'm1 ', '', PUBACK_REASONS],
    ['[MQTT5-3.5.2-1] PUBREC', 0x50, 'm1 ', '', PUBACK_REASONS],
    ['[MQTT5-3.6.2-1] PUBREL', 0x62, 'm1 ', '', PUBREL_REASONS],
    ['[MQTT5-3.7.2-1] PUBCOMP', 0x70, 'm1 ', '', PUBREL_REASONS],
    ['[MQTT5-3.14.2-1] DISCONNECT', 0xe0, '', '', CLIENT_DISCONNECT_REASONS],
    ['[MQTT5-3.15.2-1] AUTH', 0xf0, '', " v4 15 s1 'm'", CLIENT_AUTH_REASONS],
  ])('%s takes those of its table and no others', (_packet, first, head, tail, legal) => {
    const taken = CODES.filter((code) => faultIn(packetOf(first, `${head}i${code}${tail}`)) === null);
    expect(taken).toEqual([...legal].sort((a, b) => a - b));
    const refused = CODES.filter((code) => faultIn(packetOf(first, `${head}i${code}${tail}`)) === REASON.PROTOCOL_ERROR);
    expect(refused).toHaveLength(256 - legal.length);
  });
});

describe('the end of a connection', () => {
  it('is told with the reason of the fault where the packet may have it', () => {
    const fault = new ProtocolFault(REASON.TOPIC_ALIAS_INVALID, 'x');
    expect(disconnectReason(fault)).toBe(REASON.TOPIC_ALIAS_INVALID);
    expect(connackReason(fault)).toBe(REASON.MALFORMED_PACKET);
    const refusal = new ProtocolFault(REASON.CLIENT_IDENTIFIER_NOT_VALID, 'x');
    expect(connackReason(refusal)).toBe(REASON.CLIENT_IDENTIFIER_NOT_VALID);
    expect(disconnectReason(refusal)).toBe(REASON.MALFORMED_PACKET);
  });

  it.each([
    ['token-expired', REASON.MAXIMUM_CONNECT_TIME],
    ['token-revoked', REASON.NOT_AUTHORIZED],
    ['session-ended', REASON.ADMINISTRATIVE_ACTION],
  ] as const)('is told with a reason of its own where a login ends it: %s', (reason, code) => {
    expect(disconnectReason(new SessionRevoked(reason))).toBe(code);
  });

  it.each(codes)('for %s has a code in each of the two packets', (code) => {
    const error = new ConnectionError(code, 'x');
    expect(SERVER_DISCONNECT_REASONS).toContain(disconnectReason(error));
    expect(CONNACK_REASONS).toContain(connackReason(error));
    expect(connackReason(error)).toBeGreaterThanOrEqual(REASON.UNSPECIFIED_ERROR);
  });

  it.each([
    [REASON.PACKET_TOO_LARGE, 'FRAME_TOO_LARGE'],
    [REASON.UNSUPPORTED_PROTOCOL_VERSION, 'UNSUPPORTED_VERSION'],
    [REASON.PROTOCOL_ERROR, 'MALFORMED_FRAME'],
  ] as [FaultReason, ConnectionErrorCode][])('for reason 0x%x is a connection error of the core', (reason, code) => {
    expect(new ProtocolFault(reason, 'x')).toBeInstanceOf(ConnectionError);
    expect(new ProtocolFault(reason, 'x').code).toBe(code);
  });
});
