// The unmodified clients of happner meshes against the running gateway. The mesh is one component, a program of its own that
// speaks through the gateway; a real mesh node joins in with the gateway as its endpoint.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { GENERATIONS, type HappnClient, type Heard, type RawClient } from '../support/happn-clients.js';
import {
  CALLERS,
  type Caller,
  type CallerKind,
  COMPONENT,
  connectMeshClient,
  type Event,
  HAPPNER_CLIENT,
} from '../support/happner-clients.js';
import { DOMAIN, HappnerComponent, type Method } from '../support/happner-component.js';
import { startMeshNode } from '../support/happner-mesh-node.js';

let gateway: GatewayProcess;
let component: HappnerComponent;

const METHODS: Readonly<Record<string, Method>> = {
  echo: (value) => value,
  add: (a, b) => (a as number) + (b as number),
  fail: () => {
    throw Object.assign(new TypeError('component failure'), { detail: 42 });
  },
  emit: (key, n) => {
    void component.emit(key as string, { n });
    return { emitted: n };
  },
};

beforeAll(async () => {
  gateway = await startGateway({ flags: ['--durability', 'os'] });
});

afterAll(async () => {
  await gateway.stop();
});

const open: { disconnect(): Promise<unknown> }[] = [];

async function opened<T extends { disconnect(): Promise<unknown> }>(connecting: Promise<T>): Promise<T> {
  const client = await connecting;
  open.push(client);
  return client;
}

const connect = (kind: CallerKind): Promise<Caller> => opened(kind.connect(gateway.ports.happn));
const bystander = (): Promise<HappnClient> => opened((GENERATIONS.at(-1) as (typeof GENERATIONS)[number]).connect(gateway.ports.happn));

beforeEach(async () => {
  component = await HappnerComponent.start(gateway.ports.happn, METHODS);
});

afterEach(async () => {
  for (const client of open.splice(0)) await client.disconnect();
  await component.stop();
});

/** What was sent to this client before has been heard when this resolves. */
async function fence({ data }: { readonly data: RawClient }): Promise<void> {
  await (data.get as (path: string) => Promise<unknown>).call(data, '/fence');
}

function sessionOf({ data }: { readonly data: RawClient }): string {
  return (data.session as unknown as { id: string }).id;
}

describe.each(CALLERS)('$name', (kind: CallerKind) => {
  test('calls a method and gets its result', async () => {
    const caller = await connect(kind);
    expect(await caller.call('echo', 'hello')).toBe('hello');
    expect(await caller.call('echo', { list: [1, { two: 2 }], text: 'ü' })).toEqual({ list: [1, { two: 2 }], text: 'ü' });
    expect(await caller.call('add', 1, 2)).toBe(3);
    expect(component.calls.map(({ args }) => args)).toEqual([['hello'], [{ list: [1, { two: 2 }], text: 'ü' }], [1, 2]]);
    for (const { origin } of component.calls) expect(origin.id).toBe(sessionOf(caller));
  });

  test('gets the error of a call that fails, and calls on', async () => {
    const caller = await connect(kind);
    await expect(caller.call('fail')).rejects.toMatchObject({ name: 'TypeError', message: 'component failure' });
    expect(await caller.call('echo', 1)).toBe(1);
  });

  test('gets an error for a method that is not there', async () => {
    const caller = await connect(kind);
    await expect(caller.call('missing')).rejects.toThrow(kind.readsSchema ? /not exist|Not implemented/ : /unconfigured method/);
    expect(component.calls).toHaveLength(kind.readsSchema ? 0 : 1);
  });

  test('gets each response to its own call, of many at once', async () => {
    const callers = await Promise.all([connect(kind), connect(kind)]);
    const numbers = Array.from({ length: 50 }, (_, n) => n);
    const answers = await Promise.all(callers.map((caller, c) => Promise.all(numbers.map((n) => caller.call('echo', [c, n])))));
    expect(answers).toEqual([0, 1].map((c) => numbers.map((n) => [c, n])));
  });

  test('hears events of the version that it asks for', async () => {
    const caller = await connect(kind);
    const heard: Event[] = [];
    await caller.on('said', '^1.0.0', (event) => heard.push(event));
    await component.emit('said', { n: 1 });
    await component.emit('said', { n: 2 }, '2.0.0');
    await component.emit('other', { n: 3 });
    await component.emit('said', { n: 4 }, '1.9.0');
    await until('the last event', () => heard.some(({ data }) => data.n === 4));
    expect(heard.map(({ data, meta }) => [data.n, meta.componentVersion])).toEqual([
      [1, '1.2.3'],
      ...(kind.choosesVersion ? [] : [[2, '2.0.0']]),
      [4, '1.9.0'],
    ]);
    expect(heard[0]?.meta).toMatchObject({ path: `/_events/${DOMAIN}/${COMPONENT}/said` });
  });

  test('hears no event after off', async () => {
    const caller = await connect(kind);
    const [kept, ended]: Event[][] = [[], []];
    const handle = await caller.on('said', '*', (event) => ended?.push(event));
    await caller.on('said/*', '*', (event) => kept?.push(event));
    await component.emit('said', { n: 1 });
    await until('the first event', () => ended?.length === 1);
    await caller.off(handle);
    await component.emit('said', { n: 2 });
    await component.emit('said/aloud', { n: 3 });
    await until('the other event', () => kept?.length === 1);
    expect([ended, kept].map((events) => events?.map(({ data }) => data.n))).toEqual([[1], [3]]);
  });

  test('hears the event that its own call causes, before the response', async () => {
    const caller = await connect(kind);
    const heard: Event[] = [];
    await caller.on('caused', '*', (event) => heard.push(event));
    expect(await caller.call('emit', 'caused', 7)).toEqual({ emitted: 7 });
    expect(heard.map(({ data }) => data)).toMatchObject([{ n: 7 }]);
  });

  test('comes back after a restart of the gateway with its calls and its events', async () => {
    const caller = await connect(kind);
    const heard: Event[] = [];
    await caller.on('said', '*', (event) => heard.push(event));
    expect(await caller.call('echo', 'before')).toBe('before');
    await component.emit('said', { n: 1 });
    await until('the first event', () => heard.length === 1);
    const before = sessionOf(caller);
    await gateway.restart();
    await until('caller and component are back', () => caller.reconnects() === 1 && component.client.reconnects() === 1);
    await fence(caller);
    expect(sessionOf(caller)).not.toBe(before);
    expect(await caller.call('echo', 'after')).toBe('after');
    await component.emit('said', { n: 2 });
    await component.emit('said', { n: 3 });
    await until('the events after the restart', () => heard.length >= 3);
    expect(heard.map(({ data }) => data.n)).toEqual([1, 2, 3]);
  }, 60_000);
});

describe('responses', () => {
  test('reach the session that called, although another asks to hear them', async () => {
    const [caller, curious] = [await connect(HAPPNER_CLIENT), await bystander()];
    const overheard: Heard[] = [];
    const id = sessionOf(caller);
    for (const path of [`/_exchange/responses/${id}/*`, `/_exchange/responses/${id}/*/*/*/*`, '/_exchange/responses/*/*/*/*/*']) {
      await curious.on(path, { event_type: 'all' }, (event) => overheard.push(event));
    }
    expect(await caller.call('echo', 'secret')).toBe('secret');
    await curious.get('/fence');
    expect(overheard).toEqual([]);
  });

  test('that are sent to the caller alone reach nobody who listens to everything', async () => {
    await component.stop();
    component = await HappnerComponent.start(gateway.ports.happn, METHODS, { direct: true });
    const [caller, curious] = [await connect(HAPPNER_CLIENT), await bystander()];
    const overheard: string[] = [];
    await curious.on('*', { event_type: 'all' }, ({ meta }) => overheard.push(meta.path));
    expect(await caller.call('echo', 'secret')).toBe('secret');
    await curious.get('/fence');
    expect(overheard).toEqual([`/_exchange/requests/${DOMAIN}/${COMPONENT}/echo`]);
  });
});

describe('the schema', () => {
  const SECOND = { second: { name: 'second', version: '1.0.0', methods: { ping: { parameters: [] } }, routes: {}, events: {}, data: {} } };

  test('tells a MeshClient who and what is there, and what comes and goes', async () => {
    const client = await opened(connectMeshClient(gateway.ports.happn));
    expect(client.info).toMatchObject({ name: DOMAIN, version: '13.1.1' });
    expect(Object.keys(client.exchange[COMPONENT] ?? {}).toSorted()).toEqual(['__version', ...Object.keys(METHODS)].toSorted());
    let changes = 0;
    for (const event of ['components/created', 'components/destroyed']) {
      client.on(event, () => {
        changes += 1;
      });
    }
    await component.describe(SECOND);
    await until('the new component is known', () => changes === 1);
    expect(client.exchange.second).toHaveProperty('ping');
    await component.describe();
    await until('it is known to be gone', () => changes === 2);
    expect(client.exchange.second).toBeUndefined();
  });

  test('of a mesh that is starting makes a happner-client wait', async () => {
    await component.describe({}, true);
    const caller = await connect(HAPPNER_CLIENT);
    const calling = caller.call('echo', 1);
    await fence(caller);
    expect(component.calls).toEqual([]);
    await component.describe();
    expect(await calling).toBe(1);
  });
});

test('a mesh node with the gateway as its endpoint calls the component and hears its events', async () => {
  const node = await opened(startMeshNode(gateway.ports.happn, COMPONENT));
  expect(await node.call('add', 2, 3)).toBe(5);
  await expect(node.call('fail')).rejects.toMatchObject({ name: 'TypeError', message: 'component failure', detail: 42 });
  await component.emit('said', { n: 1 });
  await until('the event', () => node.events.length === 1);
  expect(node.events).toMatchObject([{ n: 1 }]);
});
