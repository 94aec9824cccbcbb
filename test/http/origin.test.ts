// Which pages may open websockets, and which Host headers name the admin listener.

import { describe, expect, it } from 'vitest';
import { isHostAllowed, isOriginAllowed } from '../../src/http/origin.js';

const nothing = { listed: new Set<string>() };

describe('isOriginAllowed', () => {
  it.each([
    [undefined, 'gateway:55000'],
    ['http://localhost:3000', '127.0.0.1:55000'],
    ['http://127.0.0.1:8080', '127.0.0.1:55000'],
    ['https://[::1]:8080', '[::1]:55000'],
    ['http://10.0.0.5:55000', '10.0.0.5:55000'],
  ])('lets %s in', (origin, host) => {
    expect(isOriginAllowed(origin, host, nothing)).toBe(true);
  });

  it.each([
    ['null', '127.0.0.1:55000'],
    ['', '127.0.0.1:55000'],
    ['nonsense', '127.0.0.1:55000'],
    ['https://evil.example', '127.0.0.1:55000'],
    // A name that its owner made to point at this machine: same Origin and Host.
    ['http://evil.example:55000', 'evil.example:55000'],
    ['http://10.0.0.6', '10.0.0.5:55000'],
    ['file://localhost', '127.0.0.1:55000'],
    ['http://localhost.evil.example', '127.0.0.1:55000'],
  ])('keeps %s out', (origin, host) => {
    expect(isOriginAllowed(origin, host, nothing)).toBe(false);
  });

  it('lets listed ones in, exactly', () => {
    const rule = { listed: new Set(['https://app.example', 'null']) };
    expect(isOriginAllowed('https://app.example', 'x', rule)).toBe(true);
    expect(isOriginAllowed('null', 'x', rule)).toBe(true);
    expect(isOriginAllowed('http://app.example', 'x', rule)).toBe(false);
    expect(isOriginAllowed('https://evil.example', 'x', { listed: new Set(['*']) })).toBe(true);
  });
});

describe('isHostAllowed', () => {
  it.each(['127.0.0.1:55080', 'localhost', '[::1]:1', '127.1.2.3'])('knows %s as loopback', (host) => {
    expect(isHostAllowed(host, '127.0.0.1', [])).toBe(true);
  });

  it.each([undefined, '', 'evil.example', 'evil.example:55080', '10.0.0.1', 'a b', '127.0.0.1.evil.example'])('refuses %s', (host) => {
    expect(isHostAllowed(host, '127.0.0.1', [])).toBe(false);
  });

  it('takes the address it listens on, addresses when it listens on all, and configured names', () => {
    expect(isHostAllowed('10.0.0.1:55080', '10.0.0.1', [])).toBe(true);
    expect(isHostAllowed('10.0.0.9:55080', '0.0.0.0', [])).toBe(true);
    expect(isHostAllowed('evil.example:55080', '0.0.0.0', [])).toBe(false);
    expect(isHostAllowed('metrics.example:55080', '0.0.0.0', ['metrics.example'])).toBe(true);
  });
});
