// Who hears of a change, and what its publisher is told: over real sockets.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../../support/gateway-process.js';
import { type HappnGateway, type HappnWire, startHappn, type WireFrame } from '../../support/happn-wire.js';

let gateway: HappnGateway;
const open: HappnWire[] = [];

beforeAll(async () => {
  gateway = await startHappn({ ackTimeoutMs: 400 });
});

afterAll(async () => {
  await gateway.stop();
});

afterEach(async () => {
  for (const wire of open.splice(0)) if (wire.closed === null) await wire.close();
});

async function client(info: object = {}, protocol = 'happn_4'): Promise<HappnWire> {
  const wire = await gateway.connect();
  open.push(wire);
  return await wire.login(protocol, '13.12.1', info);
}

const on = (wire: HappnWire, path: string, options: object = {}): Promise<WireFrame> => wire.request('on', { path, data: null, options });
const set = (wire: HappnWire, path: string, options: object, data: unknown = { n: 1 }): Promise<WireFrame> =>
  wire.request('set', { path, data, options });
const errorOf = (answer: WireFrame): unknown => (answer._meta as { error?: { message?: unknown } }).error?.message;

function toldOf(wire: HappnWire): WireFrame[] {
  return wire.frames.filter(
    (frame): frame is WireFrame => typeof frame === 'object' && !Array.isArray(frame) && frame._meta?.type === 'ack',
  );
}

async function told(wire: HappnWire, count = 1): Promise<WireFrame> {
  await until('the publisher is told', () => toldOf(wire).length >= count);
  return toldOf(wire).at(-1) as WireFrame;
}

/** Acknowledges the last event. */
async function acknowledge(wire: HappnWire): Promise<WireFrame> {
  return await wire.request('ack', { data: wire.events().at(-1)?._meta?.publicationId });
}

let nextArea = 0;
const area = (): string => `/publishing/${nextArea++}`;

describe('consistency', () => {
  test.each([0, 1])('%d answers before the publication is said to be out, and then tells who got it', async (consistency) => {
    const at = area();
    const [publisher, hearer] = [await client(), await client()];
    await on(hearer, `/SET@${at}`);
    const answer = await set(publisher, at, { consistency });
    expect(answer).toMatchObject({ data: { n: 1 }, _meta: { status: 'ok', published: false } });
    const eventId = answer._meta?.eventId;
    expect(await told(publisher)).toEqual({
      id: `${publisher.sessionId}-${String(eventId)}`,
      action: 'publication-ack',
      result: { successful: 1, failed: 0, skipped: 0, queued: 1 },
      status: 'ok',
      _meta: { type: 'ack', eventId },
      protocol: 'happn_4',
    });
    await until('the event', () => hearer.events().length === 1);
    expect(hearer.events()[0]?._meta).toMatchObject({ consistency });
  });

  test('2 says who got it in the answer, when asked', async () => {
    const at = area();
    const publisher = await client();
    await on(publisher, `/SET@${at}`);
    await on(publisher, `/ALL@${at}`);
    await on(publisher, `/REMOVE@${at}`);
    const results = { successful: 2, failed: 0, skipped: 0, queued: 2 };
    expect((await set(publisher, at, { publishResults: true }))._meta).toMatchObject({ published: true, publishResults: results });
    expect((await set(publisher, at, {}))._meta).not.toHaveProperty('publishResults');
    expect(toldOf(publisher)).toEqual([]);
  });

  test('3 tells when all have acknowledged, by their sockets', async () => {
    const at = area();
    const [publisher, one, two] = [await client(), await client(), await client()];
    for (const hearer of [one, two]) await on(hearer, `/SET@${at}`);
    expect((await set(publisher, at, { consistency: 3 }))._meta?.published).toBe(false);
    for (const hearer of [one, two]) await until('the event', () => hearer.events().length === 1);
    await acknowledge(one);
    // Whoever else acknowledges, and whatever session it names, changes nothing.
    publisher.send({ action: 'ack', eventId: 'x', data: one.events()[0]?._meta?.publicationId, sessionId: two.sessionId });
    await publisher.answer('x');
    await acknowledge(one);
    expect(toldOf(publisher)).toEqual([]);
    expect((await acknowledge(two))._meta?.status).toBe('ok');
    expect(await told(publisher)).toMatchObject({
      status: 'ok',
      result: { successful: 2, failed: 0, skipped: 0, acknowledged: 2, queued: 2 },
    });
  });

  test('3 tells of what was not acknowledged in time', async () => {
    const at = area();
    const [publisher, one, two] = [await client(), await client(), await client()];
    for (const hearer of [one, two]) await on(hearer, `/SET@${at}`);
    await set(publisher, at, { consistency: 3 });
    await until('the event', () => one.events().length === 1);
    await acknowledge(one);
    expect(await told(publisher)).toMatchObject({
      status: 'error',
      error: 'unacknowledged publication',
      result: { successful: 2, acknowledged: 1, queued: 2 },
    });
    expect((await acknowledge(two))._meta?.status).toBe('ok');
    expect(toldOf(publisher)).toHaveLength(1);
  });

  test('3 that nobody hears is acknowledged at once', async () => {
    const at = area();
    const publisher = await client();
    const none = { successful: 0, failed: 0, skipped: 0, acknowledged: 0, queued: 0 };
    await set(publisher, at, { consistency: 3 });
    expect(await told(publisher)).toMatchObject({ status: 'ok', result: none });
    await publisher.request('remove', { path: at, options: { consistency: 3 } });
    expect(await told(publisher, 2)).toMatchObject({ status: 'ok', result: none });
  });

  test('3 wants an acknowledgement for each channel of a session', async () => {
    const at = area();
    const [publisher, hearer] = [await client(), await client()];
    await on(hearer, `/SET@${at}`);
    await on(hearer, `/ALL@${at}`);
    await set(publisher, at, { consistency: 3 });
    await until('the events', () => hearer.events().length === 2);
    await acknowledge(hearer);
    expect(toldOf(publisher)).toEqual([]);
    await acknowledge(hearer);
    expect(await told(publisher)).toMatchObject({ status: 'ok', result: { acknowledged: 2, queued: 2 } });
  });

  test('3 of a refused request tells nothing, and its number can be used again', async () => {
    const publisher = await client();
    const refused = await set(publisher, '/bad/*', { consistency: 3 });
    expect(errorOf(refused)).toMatch(/wildcard/);
    publisher.send({ action: 'set', path: area(), data: 1, options: { consistency: 3 } });
    await until('the refusal', () => publisher.frames.some((frame) => /needs an eventId/.test(JSON.stringify(frame))));
    expect(toldOf(publisher)).toEqual([]);
  });

  test('of removals is the same, and so are acknowledgements of what nobody published', async () => {
    const at = area();
    const [publisher, hearer] = [await client(), await client()];
    await on(hearer, `/REMOVE@${at}/*`);
    await set(publisher, `${at}/1`, {});
    await publisher.request('remove', { path: `${at}/*`, options: { consistency: 3 } });
    await until('the event', () => hearer.events().length === 1);
    expect(hearer.events()[0]).toMatchObject({ data: { removed: 1 }, _meta: { consistency: 3 } });
    await acknowledge(hearer);
    expect(await told(publisher)).toMatchObject({ status: 'ok', result: { acknowledged: 1 } });
    for (const data of [null, '', 'x', `${publisher.sessionId}-99999`, 5]) {
      expect((await hearer.request('ack', { data }))._meta?.status).toBe('ok');
    }
  });
});

describe('routing', () => {
  test('reaches the target clients alone, and says whom it passed over', async () => {
    const at = area();
    const [publisher, one, two] = [await client(), await client(), await client()];
    for (const hearer of [one, two]) await on(hearer, `/ALL@${at}`);
    const answer = await set(publisher, at, { targetClients: [two.sessionId], publishResults: true });
    expect(answer._meta?.publishResults).toEqual({ successful: 1, failed: 0, skipped: 1, queued: 2 });
    await set(publisher, at, { targetClients: [] });
    await publisher.request('remove', { path: at, options: { targetClients: [one.sessionId] } });
    await until('the removal', () => one.events().length === 1);
    expect([one.events(), two.events()].map((events) => events.map(({ _meta }) => _meta?.action))).toEqual([
      [`/REMOVE@${at}`],
      [`/SET@${at}`],
    ]);
  });

  test('without the cluster passes over sessions that called themselves members of one', async () => {
    const at = area();
    const [publisher, member, other] = [await client(), await client({ clusterName: 'c' }), await client()];
    for (const hearer of [member, other]) await on(hearer, `/SET@${at}`);
    const answer = await set(publisher, at, { noCluster: true, publishResults: true });
    expect(answer._meta?.publishResults).toEqual({ successful: 1, failed: 0, skipped: 1, queued: 2 });
    await set(publisher, at, { noCluster: true, consistency: 3 });
    await until('the events', () => other.events().length === 2);
    await acknowledge(other);
    expect(await told(publisher)).toMatchObject({ status: 'ok', result: { successful: 1, skipped: 1, acknowledged: 1 } });
    await set(publisher, at, {}, { n: 2 });
    await until('the event', () => member.events().length === 1);
    expect(member.events()[0]?.data).toEqual({ n: 2 });
  });

  test('meta is shown beside the event, but cannot pretend to be what the gateway writes', async () => {
    const at = area();
    const publisher = await client();
    await on(publisher, `/SET@${at}`);
    const forged = {
      consistency: 3,
      channel: 'x',
      publicationId: 'x',
      depth: 9,
      protocol: 'x',
      eventOrigin: { username: 'root' },
      path: 'x',
    };
    await set(publisher, at, { meta: { mine: { a: 1 }, ...forged, created: 1, modified: 1, action: 'x', type: 'x', sessionId: 'x' } });
    const { _meta, protocol } = publisher.events()[0] as WireFrame;
    expect(protocol).toBe('happn_4');
    expect(_meta).toMatchObject({
      mine: { a: 1 },
      consistency: 2,
      channel: `/SET@${at}`,
      path: at,
      type: 'data',
      sessionId: publisher.sessionId,
    });
    expect(_meta).not.toHaveProperty('depth');
    expect(_meta).not.toHaveProperty('eventOrigin');
  });
});
