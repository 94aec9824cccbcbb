// Ends: how a connection ends after the outcome of a request.

import { ConnectionError, type ConnectionErrorCode, type RequestError } from '../../core/index.js';

/** How a connection ends by a request that failed, and that it cannot be told of otherwise. */
export function endBy(error: RequestError): ConnectionError {
  return new ConnectionError(codeBy(error), error.message, { cause: error });
}

function codeBy({ code, retry }: RequestError): ConnectionErrorCode {
  if (code === 'STORE_FAILED' || retry) return 'STORE_FAILED';
  if (code === 'INTERNAL') return 'INTERNAL';
  return code === 'ACCESS_DENIED' || code === 'LIMIT_EXCEEDED' ? 'NOT_ALLOWED' : 'MALFORMED_FRAME';
}
