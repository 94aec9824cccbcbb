// The client for browsers, in a browser: chromium opens a page that loads it from the gateway.

import { connectAsync } from 'mqtt';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openBrowser, type PageServer, servePages } from '../support/browser.js';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';

let gateway: GatewayProcess;
let browser: Browser;
let pages: PageServer;
let page: Page;
/** What the page complained about: uncaught errors and lines of its console. */
let complaints: string[];

beforeAll(async () => {
  [gateway, browser] = await Promise.all([startGateway(), openBrowser()]);
  const head = `<title>page</title><link rel="icon" href="data:,"><script src="${script()}"></script>`;
  pages = await servePages(new Map([['/', `<!doctype html>${head}`]]));
});

afterAll(async () => {
  pages.close();
  await Promise.all([browser.close(), gateway.stop()]);
});

const script = (): string => `http://127.0.0.1:${gateway.ports.happn}/browser_client`;

async function openPage(path = '/'): Promise<Page> {
  const opened = await browser.newPage();
  opened.on('pageerror', (error) => complaints.push(String(error)));
  opened.on('console', (message) => complaints.push(message.text()));
  await opened.goto(pages.origin + path);
  return opened;
}

beforeEach(async () => {
  complaints = [];
  page = await openPage();
});

afterEach(async () => await page.close());

/** Runs the text in the page, as the body of an asynchronous function with `HappnClient`, `client` and `heard` at hand. */
async function run<T>(body: string): Promise<T> {
  return (await page.evaluate(`(async () => { ${body} })()`)) as T;
}

async function connect(options = ''): Promise<void> {
  await run(`window.heard = []; window.client = await HappnClient.create(${options});`);
}

async function publish(topic: string, payload: string, retain = false): Promise<void> {
  const device = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`);
  await device.publishAsync(topic, payload, { qos: 1, retain });
  await device.endAsync();
}

const heard = async (): Promise<unknown[]> => await run('return heard');

describe('the client for browsers', () => {
  it('is a small script that browsers keep and ask after', async () => {
    const response = await fetch(script());
    const body = await response.text();
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/javascript; charset=utf-8');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('cache-control')).toBe('no-cache');
    expect(Buffer.byteLength(body)).toBeLessThan(30_000);
    const etag = response.headers.get('etag') as string;
    const again = await fetch(script(), { headers: { 'if-none-match': `"other", W/${etag}` } });
    expect([again.status, await again.text()]).toEqual([304, '']);
    expect((await fetch(script(), { method: 'POST' })).status).toBe(405);
    expect((await fetch(script(), { method: 'HEAD' })).headers.get('content-length')).toBe(String(Buffer.byteLength(body)));
  });

  it('connects to where it came from, sets, gets and hears a device', async () => {
    await connect();
    expect(await run('return [client.status, typeof client.session.id]')).toEqual([1, 'string']);
    await run(`await client.on('/browser/*', (data, meta) => heard.push([meta.path, data]));`);
    const answered = await run<Record<string, unknown>>(`return await client.set('/browser/a', { from: 'page' })`);
    expect(answered).toMatchObject({ from: 'page', _meta: { path: '/browser/a', status: 'ok' } });
    expect(await run(`return await client.get('/browser/a')`)).toMatchObject({ from: 'page' });
    await publish('/browser/b', '{"from":"device"}');
    await until('the device is heard', async () => (await heard()).length === 2);
    expect(await heard()).toEqual([
      ['/browser/a', { from: 'page' }],
      ['/browser/b', { from: 'device' }],
    ]);
    await run('await client.disconnect()');
    expect(complaints).toEqual([]);
  });

  it('offers callbacks as well', async () => {
    const result = await run(`
      const call = (f) => new Promise((resolve) => f((...args) => resolve(args)));
      const [error, made] = await call((done) => HappnClient.create({ host: '127.0.0.1', port: ${gateway.ports.happn} }, done));
      const values = [];
      const [, handle] = await call((done) => made.on('/callback/*', { event_type: 'set' }, (data) => values.push(data.n), done));
      await call((done) => made.set('/callback/a', { n: 1 }, done));
      await call((done) => made.set('/callback/a', { n: 2 }, { noPublish: true }, done));
      const [, list] = await call((done) => made.get('/callback/*', done));
      await call((done) => made.off(handle, done));
      await call((done) => made.set('/callback/a', { n: 3 }, {}, done));
      const [, gone] = await call((done) => made.remove('/callback/a', done));
      const [, nothing] = await call((done) => made.get('/callback/a', null, done));
      const [refused] = await call((done) => made.set('/callback/{ünknown}', {}, done));
      await call((done) => made.disconnect(done));
      const [inactive] = await call((done) => made.get('/callback/a', done));
      return { error, handle: typeof handle, values, list: list.map(({ n }) => n), removed: gone.removed, nothing,
        refused: refused instanceof Error, inactive: inactive.message };
    `);
    expect(result).toEqual({
      error: null,
      handle: 'number',
      values: [1],
      list: [2],
      removed: 1,
      nothing: null,
      refused: true,
      inactive: 'client is disconnected',
    });
    expect(complaints).toEqual([]);
  });

  it('takes subscriptions apart: once, initial values, depth, off by path, all', async () => {
    await connect();
    const result = await run(`
      const log = (name) => (data, meta) => heard.push(name + ' ' + meta.path + ' ' + JSON.stringify(data));
      await client.set('/apart/a', { n: 1 });
      await client.once('/apart/a', log('once'));
      await client.on('/apart/**', { depth: 1 }, log('shallow'));
      await client.on('/apart/**', { depth: 3 }, log('deep'));
      await client.onAll(log('all'));
      const initial = await new Promise((resolve, reject) =>
        client.on('/apart/a', { initialCallback: true }, log('callback'), (error, handle, values) =>
          error ? reject(error) : resolve(values.map(({ n }) => n))));
      await client.on('/apart/a', { initialEmit: true }, ({ n }) => heard.push('emit ' + n));
      await client.set('/apart/a', { n: 2 });
      await client.set('/apart/b/c', 'text');
      await client.publish('/apart/a', { n: 3 });
      await client.offPath('/apart/*');
      await client.set('/apart/a', { n: 4 });
      await client.offAll();
      await client.set('/apart/a', { n: 5 });
      return { initial, paths: (await client.getPaths('/apart/*')).map(({ _meta }) => _meta.path).sort() };
    `);
    expect(result).toEqual({ initial: [1], paths: ['/apart/a', '/apart/b/c'] });
    const lines = (await heard()) as string[];
    const of = (name: string): string[] => lines.filter((line) => line.startsWith(`${name} `)).map((line) => line.slice(name.length + 1));
    expect(of('once')).toEqual(['/apart/a {"n":2}']);
    expect(of('shallow')).toEqual(['/apart/a {"n":2}', '/apart/a {"n":3}']);
    expect(of('deep')).toEqual(['/apart/a {"n":2}', '/apart/b/c {"value":"text"}', '/apart/a {"n":3}']);
    expect(of('callback')).toEqual(['/apart/a {"n":2}', '/apart/a {"n":3}']);
    expect(of('emit')).toEqual(['1', '2', '3']);
    expect(of('all').filter((line) => line.startsWith('/apart'))).toHaveLength(4);
    expect(complaints).toEqual([]);
  });

  it('hears on when others of its channel come and go before they are answered', async () => {
    await connect();
    const result = await run(`
      const log = (name) => (data) => heard.push(name + data.n);
      await client.on('/busy', log('first '));
      // Events are on their way while it subscribes.
      const under = [client.publish('/busy', { n: 1 }), client.once('/busy', log('once ')), client.publish('/busy', { n: 2 })];
      await Promise.all(under);
      await client.publish('/busy', { n: 3 });
      await client.on('/left', log('left '));
      const late = client.on('/left', log('late '));
      await client.offPath('/left');
      await late;
      await client.on('/left', log('again '));
      await client.publish('/left', { n: 4 });
      const gone = client.on('/left', log('gone '));
      await client.offAll();
      await gone;
      await client.on('/left', log('anew '));
      await client.publish('/left', { n: 5 });
      return heard;
    `);
    expect(result).toEqual(['first 1', 'first 2', 'once 2', 'first 3', 'again 4', 'anew 5']);
    expect(complaints).toEqual([]);
  });

  it('counts, and says when a publication was acknowledged by all who heard it', async () => {
    await connect();
    const result = await run(`
      const value = async (...args) => { await client.increment(...args); return (await client.get('/counts')); };
      await client.on('/acknowledged', (data, meta) => heard.push([data.n, meta.acknowledged]));
      const published = (consistency, n) => new Promise((resolve, reject) => client.set('/acknowledged', { n },
        { consistency, publishResults: true, onPublished: (error, results) => error ? reject(error) : resolve(results) }, (error) => error && reject(error)));
      return {
        values: [await value('/counts'), await value('/counts', 4), await value('/counts', 'other', 2), await value('/counts', 'other', -5, {})]
          .map(({ counter, other }) => [counter?.value, other?.value]),
        refused: await client.increment('/counts', 'other', 'many').then(() => 'done', ({ message }) => message),
        acknowledged: await published(3, 1),
        deferred: await published(1, 2),
        missing: await client.set('/acknowledged', { n: 3 }, { consistency: 3 }).then(() => 'done', ({ message }) => message),
      };
    `);
    expect(result).toMatchObject({
      values: [
        [1, undefined],
        [5, undefined],
        [5, 2],
        [5, -3],
      ],
      refused: 'increment must be a number',
      acknowledged: { queued: 1, successful: 1, acknowledged: 1 },
      deferred: { queued: 1 },
      missing: 'onPublished handler in options is missing',
    });
    expect((await heard())[0]).toEqual([1, true]);
  });

  it('goes on when a handler of the page throws, and gives each handler data of its own', async () => {
    await connect();
    await run(`
      await client.on('/throws', (data) => { data.n = 9; throw new Error('the page is to blame'); });
      await client.on('/throws', (data) => heard.push(data.n));
      await client.set('/throws', { n: 1 });
      await client.set('/throws', { n: 2 });
    `);
    await until('both are heard', async () => (await heard()).length === 2);
    expect(await heard()).toEqual([1, 2]);
    await until('both are reported', () => complaints.length === 2);
    expect(complaints[0]).toContain('the page is to blame');
  });

  it('survives a restart of the gateway: it comes back, subscribes again, and hears each event once', async () => {
    await connect(`{ reconnect: { min: 50, max: 500 } }`);
    await run(`
      window.states = [];
      for (const name of ['connection-ended', 'reconnect-scheduled', 'reconnect', 'reconnect-successful', 'session-ended'])
        client.onEvent(name, () => states.includes(name) || states.push(name));
      window.first = client.session.id;
      await client.on('/restart/**', { depth: 8 }, (data, meta) => heard.push([meta.path, data.n]));
      await client.on('/restart/*', (data, meta) => heard.push(['*', data.n]));
      await client.set('/restart/stays', { n: 0 });
    `);
    await gateway.restart();
    await until('the client is back', async () => await run(`return states.includes('reconnect-successful')`));
    expect(await run('return states')).toEqual(['connection-ended', 'reconnect-scheduled', 'reconnect', 'reconnect-successful']);
    expect(await run('return client.session.id !== first')).toBe(true);
    expect(await run(`return (await client.get('/restart/stays')).n`)).toBe(0);
    await publish('/restart/a/b/c/d/e/f', '{"n":1}');
    await publish('/restart/a', '{"n":2}');
    await until('the last event', async () => JSON.stringify(await heard()).includes('"*",2'));
    expect(await heard()).toEqual([
      ['/restart/stays', 0],
      ['*', 0],
      ['/restart/a/b/c/d/e/f', 1],
      ['/restart/a', 2],
      ['*', 2],
    ]);
  });

  it('answers what is asked while the gateway is away with an error', async () => {
    await connect(`{ reconnect: { min: 50, max: 500 } }`);
    await gateway.stop();
    await until('the page notices', async () => await run(`return client.status !== 1`));
    const refused = await run<string>(`return await client.get('/x').then(() => 'answered', ({ message }) => message)`);
    expect(refused).toMatch(/^client (not active|is disconnected)$/);
    await gateway.restart();
    await until('it is back', async () => await run(`return client.status === 1`));
    expect(await run(`return await client.get('/nothing/here')`)).toBeNull();
  });

  it('answers heartbeats', async () => {
    await using quick = await startGateway({ flags: ['--happn-ping-interval-ms', '100'] });
    let pongs = 0;
    page.on('websocket', (socket) =>
      socket.on('framesent', ({ payload }) => {
        if (String(payload).startsWith('"primus::pong::')) pongs += 1;
      }),
    );
    await connect(`{ host: '127.0.0.1', port: ${quick.ports.happn} }`);
    await run(`client.onEvent('connection-ended', () => heard.push('ended'));`);
    // A client that answers none of them is given up at the third.
    await until('several are answered', () => pongs >= 6);
    expect(await heard()).toEqual([]);
    expect(await run('return client.status')).toBe(1);
  });

  it('leaves a connection that gives no sign of life, and comes back', async () => {
    await page.clock.install();
    await connect(`{ reconnect: { min: 50, max: 500 } }`);
    await run(`
      client.onEvent('connection-ended', () => heard.push('ended'));
      client.onEvent('reconnect-successful', () => heard.push('back'));
    `);
    await page.clock.fastForward(16_000);
    await page.clock.fastForward(1_000);
    expect(await run(`return await client.get('/nothing/here')`)).toBeNull();
    gateway.signal('SIGSTOP');
    try {
      await page.clock.fastForward(16_000);
      expect(await heard()).toEqual([]);
      await page.clock.fastForward(16_000);
      await until('the page gives it up', async () => (await heard()).includes('ended'));
    } finally {
      gateway.signal('SIGCONT');
    }
    await until('it is back', async () => (await heard()).includes('back'));
    expect(await heard()).toEqual(['ended', 'back']);
  });

  it('says at once that nobody is there', async () => {
    const refused = await run<string>(`return await HappnClient.create({ port: 1 }).then(() => 'connected', ({ message }) => message)`);
    expect(refused).toContain('cannot connect to ws://127.0.0.1:1/primus');
  });
});
