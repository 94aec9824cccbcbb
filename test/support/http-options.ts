// Settings of an HTTP listener for tests: its limits as they are by default.

import type { HttpListenerOptions } from '../../src/http/listener.js';

export const HTTP_OPTIONS: HttpListenerOptions = {
  host: '127.0.0.1',
  port: 0,
  origins: [],
  headerTimeoutMs: 10_000,
  answerTimeoutMs: 60_000,
  maxHeaderBytes: 16_384,
  maxUrlBytes: 8_192,
};
