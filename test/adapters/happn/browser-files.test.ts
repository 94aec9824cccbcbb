// The scripts for browsers: what is offered, and that no URL reaches anything else.

import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { browserFiles } from '../../../src/adapters/happn/browser-files.js';
import { type HappnGateway, startHappn } from '../../support/happn-wire.js';

const COUNT = process.env['TRIVIUM_TEST_LONG'] === '1' ? 10_000 : 500;

let gateway: HappnGateway;

beforeAll(async () => {
  gateway = await startHappn();
});

afterAll(async () => await gateway.stop());

/** The beginning of the answer to a path that is sent as it is. */
async function ask(path: string): Promise<string> {
  const socket = connect(gateway.port, '127.0.0.1');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`, 'latin1');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer.toString('latin1');
}

describe('the scripts for browsers', () => {
  it('are three, each whole, without what only their authors read', () => {
    const files = browserFiles();
    expect([...files.keys()]).toEqual(['/browser_client', '/browser_primus.js', '/primus/primus.js']);
    for (const { body, etag } of files.values()) {
      const text = body.toString();
      expect(() => new Function(text)).not.toThrow();
      expect(text).not.toMatch(/@param|@typedef/);
      expect(etag).toMatch(/^"[\w-]{22}"$/);
    }
    expect(files.get('/browser_client')?.etag).not.toBe(files.get('/browser_primus.js')?.etag);
  });

  it('are not a way to any other file, however the path is written', async () => {
    const part = fc.oneof(
      fc.constantFrom('browser_client', 'browser_primus.js', 'browser', 'client.js', 'connection.js', 'primus', 'primus.js', 'adapter.js'),
      fc.constantFrom('..', '.', '', '%2e%2e', '%2E%2e', '..%2f', '..%5c', '..\\', '%252e%252e', '%c0%ae%c0%ae', '....//', '%00', ';', '~'),
      fc.constantFrom('etc/passwd', 'package.json', 'proc/self/environ', '__proto__', 'constructor', 'toString'),
    );
    const path = fc
      .tuple(fc.array(part, { minLength: 1, maxLength: 6 }), fc.constantFrom('', '?', '?x=../../etc/passwd', '#', '/'))
      .map(([parts, end]) => `/${parts.join('/')}${end}`)
      .filter((text) => !browserFiles().has(text.split('?', 1)[0] as string));
    await fc.assert(
      fc.asyncProperty(path, async (text) => {
        expect(await ask(text), text).toMatch(/^HTTP\/1\.1 (400|404|426) /);
      }),
      { numRuns: COUNT, seed: 20_260_101 },
    );
  });
});
