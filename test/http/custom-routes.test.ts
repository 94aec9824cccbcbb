// Routes of a program that embeds the gateway: which request goes where, what cannot be had, and handlers that fail.

import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CustomRoutes, type HttpHandler } from '../../src/http/custom-routes.js';
import { createGateway, type EmbeddedGateway, StartError } from '../../src/index.js';
import { temporaryDirectory, until } from '../support/gateway-process.js';
import { keptLog } from '../support/silent-log.js';

const free = () => ({ happn: { port: 0 }, mqtt: { port: 0 }, haven: { port: 0 }, admin: { port: 0 }, data: { dir: temporaryDirectory() } });
const text =
  (body: string): HttpHandler =>
  (_request, response) =>
    void response.end(body);

describe('a request goes to', () => {
  const [whole, short, long, post]: HttpHandler[] = ['whole', 'short', 'long', 'post'].map(text);
  const routes = new CustomRoutes();
  routes.get('/files/*', short as HttpHandler);
  routes.get('/files/deep/*', long as HttpHandler);
  routes.get('/files/a', whole as HttpHandler);
  routes.post('/files/a', post as HttpHandler);

  it.each([
    ['GET', '/files', short],
    ['GET', '/files/', short],
    ['GET', '/files/b/c', short],
    ['GET', '/files/deep/er', long],
    ['GET', '/files/deeper', short],
    ['GET', '/files/a', whole],
    ['HEAD', '/files/a', whole],
    ['POST', '/files/a', post],
  ])('the nearest route: %s %s', (method, path, handler) => {
    expect(routes.find(method, path)).toBe(handler);
  });

  it.each([
    ['GET', '/file', []],
    ['GET', '/filesystem', []],
    ['GET', '/FILES', []],
    ['GET', '/constructor', []],
    ['DELETE', '/files/a', ['GET', 'POST']],
    ['POST', '/files/b', ['GET']],
  ])('nobody, but the methods that are known are named: %s %s', (method, path, methods) => {
    expect(routes.find(method, path)).toEqual(methods);
  });
});

describe('a route is refused', () => {
  it.each(['', 'files', '/a?b', '/a#b', '/a*', '/*/a', '/a b', '/**'])('at the path %j', (path) => {
    expect(() => new CustomRoutes().get(path, text(''))).toThrow('is not a path');
  });

  it('for a method that nobody can answer', () => {
    expect(() => new CustomRoutes().request('FETCH', '/a', text(''))).toThrow('FETCH is not an HTTP method');
    expect(() => new CustomRoutes().request('connect', '/a', text(''))).toThrow('is not an HTTP method');
    expect(() => new CustomRoutes().request('Propfind', '/a', text(''))).not.toThrow();
  });

  it('when it is there already', () => {
    const routes = new CustomRoutes();
    routes.get('/a', text(''));
    expect(() => routes.get('/a', text(''))).toThrow('GET /a has a handler already');
    expect(() => routes.get('/a/*', text(''))).not.toThrow();
  });

  it.each(['/ping', '/health', '/version', '/browser_client', '/primus/mine', '/mqtt', '/haven/*'])(
    'when it belongs to the gateway: %s',
    async (path) => {
      const gateway = createGateway(free(), { log: keptLog() });
      gateway.http.get(path, text(''));
      await expect(gateway.start()).rejects.toThrow(StartError);
      const running = createGateway(free(), { log: keptLog() });
      await running.start();
      expect(() => running.http.get(path, text(''))).toThrow('is answered by the gateway itself');
      await running.stop();
    },
  );
});

describe('a running gateway', () => {
  const log = keptLog();
  let gateway: EmbeddedGateway;
  let origin: string;

  beforeAll(async () => {
    gateway = createGateway(free(), { log });
    gateway.http.get('/early', text('early'));
    gateway.http.get('/*', text('everything else'));
    origin = `http://127.0.0.1:${(await gateway.start()).get('happn')?.port}`;
  });

  afterAll(async () => await gateway.stop());

  const get = async (path: string, init: RequestInit = {}): Promise<[number, string]> => {
    const response = await fetch(origin + path, init);
    return [response.status, await response.text()];
  };

  it('answers what was added before the start and after it', async () => {
    gateway.http.post('/late', async (request, response) => {
      let body = '';
      for await (const part of request) body += String(part);
      response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ body }));
    });
    expect(await get('/early?x=1')).toEqual([200, 'early']);
    expect(await get('/late', { method: 'POST', body: 'hello' })).toEqual([201, '{"body":"hello"}']);
    expect(await get('/other')).toEqual([200, 'everything else']);
    const refused = await fetch(`${origin}/late`, { method: 'PUT', body: '' });
    expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'POST, GET']);
  });

  it('keeps its own paths to itself', async () => {
    expect(await get('/ping')).toEqual([200, 'pong']);
    expect((await get('/health'))[1]).toContain('"ok":true');
    expect((await get('/version'))[0]).toBe(200);
    expect((await get('/primus/x'))[0]).toBe(426);
  });

  const faults: [string, HttpHandler][] = [
    [
      'throws',
      () => {
        throw new Error('secret detail');
      },
    ],
    ['rejects', () => Promise.reject(new Error('secret detail'))],
    [
      'throws after it set headers',
      (_request, response) => {
        response.setHeader('content-length', '5');
        throw new Error('secret detail');
      },
    ],
  ];

  it.each(faults)('answers 500 and no more for a handler that %s', async (what, handler) => {
    const path = `/fault/${what.replaceAll(' ', '-')}`;
    gateway.http.get(path, handler);
    const before = log.lines.length;
    expect(await get(path)).toEqual([500, '500\n']);
    expect(log.lines.slice(before)).toMatchObject([{ level: 'error', text: 'an HTTP request failed' }]);
    expect(await get('/early')).toEqual([200, 'early']);
  });

  it('ends the connection of a handler that fails in the middle of its answer', async () => {
    gateway.http.get('/half', (_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('half');
      return Promise.reject(new Error('lost'));
    });
    await expect(get('/half')).rejects.toThrow();
    expect(await get('/early')).toEqual([200, 'early']);
  });

  it('goes on when a handler writes after the end, or to somebody who is gone', async () => {
    gateway.http.get('/after', (_request, response) => {
      response.end('done');
      response.write('more');
    });
    expect(await get('/after')).toEqual([200, 'done']);
    await until('it is in the log', () => log.lines.some(({ text: line }) => line === 'an HTTP answer failed'));
    let told = false;
    gateway.http.get('/gone', (request, response) => {
      request.socket.once('close', () => {
        response.write('too late');
        response.end();
        told = true;
      });
    });
    const socket = connect(Number(new URL(origin).port), '127.0.0.1');
    socket.write('GET /gone HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(socket, 'connect');
    await until('the request is there', async () => (await get('/early'))[0] === 200);
    socket.resetAndDestroy();
    await until('the handler wrote', () => told);
    expect(await get('/early')).toEqual([200, 'early']);
  });
});
