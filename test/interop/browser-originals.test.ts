// Web pages that bring an original happn client of their own: it takes its connection, /browser_primus.js, from the gateway.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBrowser, type PageServer, servePages } from '../support/browser.js';
import { cleanEnvironment, type GatewayProcess, startGateway, temporaryDirectory, until } from '../support/gateway-process.js';

const CLIENTS = fileURLToPath(new URL('../clients/', import.meta.url));
const GENERATIONS = ['happn', 'happn-3-v3', 'happn-3-v7', 'happn-3-v8', 'happn-3-v10', 'happn-3-v13'];

/** What the original server of this generation would send to a browser. */
function originalClient(name: string): string {
  if (name === 'happn') {
    const require = createRequire(`${CLIENTS}happn2/`);
    const { protocol } = require('happn/package.json') as { protocol: string };
    return readFileSync(require.resolve('happn/lib/client/base.js'), 'utf8').replace('{{protocol}}', protocol);
  }
  // Its packager keeps a copy in the home directory.
  const code = `Promise.resolve(require('${name}').packager.browserClient({ contentsOnly: true })).then((text) => process.stdout.write(text))`;
  const env = cleanEnvironment({ HOME: temporaryDirectory() });
  return execFileSync(process.execPath, ['-e', code], { cwd: `${CLIENTS}happn3`, env, encoding: 'utf8' });
}

let gateway: GatewayProcess;
let browser: Browser;
let pages: PageServer;

beforeAll(async () => {
  [gateway, browser] = await Promise.all([startGateway(), openBrowser()]);
  const files = GENERATIONS.flatMap((name) => [
    [`/${name}`, `<!doctype html><title>${name}</title><script src="/${name}.js"></script>`] as const,
    [`/${name}.js`, originalClient(name)] as const,
  ]);
  pages = await servePages(new Map(files));
});

afterAll(async () => {
  pages.close();
  await Promise.all([browser.close(), gateway.stop()]);
});

describe.each(GENERATIONS)('a page with the original client of %s', (name) => {
  it('sets, hears a device, and comes back after a restart of the gateway', async () => {
    const page = await browser.newPage();
    const run = async <T>(body: string): Promise<T> => (await page.evaluate(`(async () => { ${body} })()`)) as T;
    await page.goto(`${pages.origin}/${name}`);
    await run(`
      window.call = (f) => new Promise((resolve, reject) => f((error, ...more) => error ? reject(error) : resolve(more)));
      const place = { host: '127.0.0.1', port: ${gateway.ports.happn}, reconnect: { min: 50, max: 500 } };
      [window.client] = await call((done) => HappnClient.create({ ...place, config: { ...place } }, done));
      window.heard = [];
      window.back = false;
      client.onEvent('reconnect-successful', () => { window.back = true; });
      await call((done) => client.on('/originals/*', {}, (data) => heard.push(data.n), done));
      await call((done) => client.set('/originals/${name}', { n: 1 }, {}, done));
    `);
    await gateway.restart();
    await until('the client is back', async () => await run('return back'));
    const device = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`);
    await device.publishAsync('/originals/device', '{"n":2}', { qos: 1 });
    await device.endAsync();
    await until('the device is heard', async () => (await run<number[]>('return heard')).includes(2));
    expect(await run('return heard')).toEqual([1, 2]);
    expect(await run(`return (await call((done) => client.get('/originals/${name}', {}, done)))[0].n`)).toBe(1);
    await run(`await call((done) => client.disconnect(done));`);
    await page.close();
  });
});
