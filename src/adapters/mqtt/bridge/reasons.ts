// Reasons: what went wrong between a bridge and its remote, in words that say what to do.

/** CONNACK return codes (3.1.1 section 3.2.2.3) and reason codes (5, section 3.2.2.2) that a person can do something about. */
const REFUSALS: ReadonlyMap<number, string> = new Map([
  [0x01, 'the remote does not speak this version of MQTT: set version to the other one'],
  [0x84, 'the remote does not speak this version of MQTT: set version to the other one'],
  [0x02, 'the remote refuses the client id'],
  [0x85, 'the remote refuses the client id'],
  [0x03, 'the remote says that it is not available'],
  [0x88, 'the remote says that it is not available'],
  [0x89, 'the remote says that it is busy'],
  [0x04, 'the remote refuses user name or password'],
  [0x86, 'the remote refuses user name or password'],
  [0x05, 'the remote does not let this user or client in'],
  [0x87, 'the remote does not let this user or client in'],
  [0x8a, 'the remote has banned this client'],
  [0x8b, 'the remote is shutting down'],
  [0x8d, 'the remote heard nothing for longer than the keep alive'],
  [0x8e, 'another connection with the same client id took over: give each bridge a clientId of its own'],
  [0x93, 'more messages were on their way than may be'],
  [0x95, 'a packet was larger than the remote takes'],
  [0x97, 'the remote’s quota is exceeded'],
  [0x9f, 'the remote limits how often clients may connect'],
]);

const SYSTEM_ERRORS: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'nobody listens at the address'],
  ['ECONNRESET', 'the remote reset the connection'],
  ['EPIPE', 'the remote reset the connection'],
  ['ENOTFOUND', 'the host name is not known'],
  ['EAI_AGAIN', 'the host name cannot be looked up at the moment'],
  ['ETIMEDOUT', 'the host does not answer'],
  ['EHOSTUNREACH', 'the host cannot be reached'],
  ['ENETUNREACH', 'the network cannot be reached'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'the remote’s certificate is self-signed: give it, or who signed it, as caFile'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'the remote’s certificate is signed by somebody unknown: give who signed it as caFile'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'the remote’s certificate is signed by somebody unknown: give who signed it as caFile'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'the remote’s certificate is signed by somebody unknown: give who signed it as caFile'],
  ['CERT_HAS_EXPIRED', 'the remote’s certificate has expired'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'the remote’s certificate is for another host name'],
  ['EPROTO', 'the remote does not speak TLS as expected'],
]);

export const CLOSED = 'the remote closed the connection';

/** Of a code in a CONNACK or a DISCONNECT. */
export function refusalText(code: number): string {
  return REFUSALS.get(code) ?? `the remote refuses with code 0x${code.toString(16).padStart(2, '0')}`;
}

/** Of an error of the socket, of TLS, or of the library. */
export function errorText(error: Error & { readonly code?: unknown }): string {
  const { code, message } = error;
  if (typeof code === 'number') return refusalText(code);
  const known = typeof code === 'string' ? SYSTEM_ERRORS.get(code) : undefined;
  if (known !== undefined) return `${known} (${String(code)})`;
  if (message === 'connack timeout') return 'the remote did not answer the CONNECT';
  if (message === 'Keepalive timeout') return 'the remote did not answer within the keep alive';
  return message === '' ? String(code) : message;
}
