// Laws 1 and 4: the topic is the path, unchanged; wildcards keep their meaning in each protocol.

import { connect as connectSocket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { GENERATIONS } from '../support/happn-clients.js';
import { HappnWire } from '../support/happn-wire.js';
import { HavenClient } from '../support/haven-client.js';
import { logged, metric } from '../support/metrics.js';
import { MqttContractClient } from '../support/mqtt-contract-client.js';
import { type Ear, HAPPN, HAVEN, happnRoad, MQTT, ROADS, type RoadClient } from '../support/roads.js';

const FENCE = 'fence/here';
const NOT_FORWARDED = 'mqtt_unforwardable_total';

let gateway: GatewayProcess;
let happn: RoadClient;
let mqtt: RoadClient;
let haven: RoadClient;

beforeAll(async () => {
  gateway = await startGateway({ flags: ['--durability', 'os'] });
  [happn, mqtt, haven] = (await Promise.all([HAPPN, MQTT, HAVEN].map((road) => road.connect(gateway.ports)))) as [
    RoadClient,
    RoadClient,
    RoadClient,
  ];
});
afterAll(async () => {
  await Promise.all([happn, mqtt, haven].map((client) => client.close()));
  await gateway.stop();
});

/** Everything that was acknowledged before has been heard by the client of this ear on the fence. */
async function fenced(fence: Ear): Promise<void> {
  const before = fence.heard.length;
  await mqtt.emit(FENCE, '{"n":0}');
  await fence.until(() => fence.heard.length > before);
}

describe('law 1: the topic is the path', () => {
  it.each(ROADS)('C7 addresses that differ in slashes alone are distinct: written over $name', async (road) => {
    const writer = await road.connect(gateway.ports);
    const prefix = `slashes${ROADS.indexOf(road)}`;
    const paths = [`${prefix}/b`, `/${prefix}/b`, `${prefix}/b/`, `${prefix}//b`];
    const ears = await Promise.all(paths.flatMap((path) => [mqtt.listen(path), haven.listen(path)]));
    const fence = await mqtt.listen(FENCE);
    const havenFence = await haven.listen(FENCE);
    for (const path of paths) await writer.set(path, road.says({ path }));
    for (const path of paths) {
      expect(await happn.get(path)).toEqual({ path });
      expect(await mqtt.get(path)).toEqual(Buffer.from(JSON.stringify({ path })));
      expect(await haven.get(path)).toEqual({ path });
    }
    await fenced(fence);
    await fenced(havenFence);
    for (const ear of ears) expect(ear.heard.map(({ path }) => path)).toEqual([ear.pattern]);
    await writer.close();
  });

  it('C9 a path that is no MQTT topic exists for happn and Haven, is not forwarded to MQTT, counted, and told once', async () => {
    const ears = await Promise.all([mqtt.listen('none/#'), haven.listen('none/*'), happn.listen('none/**')]);
    const [fence, havenFence, happnFence] = await Promise.all([mqtt.listen(FENCE), haven.listen(FENCE), happn.listen(FENCE)]);
    const before = await metric(gateway, NOT_FORWARDED);
    const told = logged(gateway, 'cannot be an MQTT topic');
    const deep = `none/${'x/'.repeat(100)}y`;
    const long = `none/${'l'.repeat(65_600)}`;
    await happn.set('none/a+b', { n: 1 });
    await haven.set('none/#', { n: 2 });
    await haven.set('none/+/c', { n: 3 });
    await haven.set(deep, { n: 4 });
    await haven.set(long, { n: 5 });
    await haven.set('none/plain', { n: 6 });
    expect(await haven.get('none/a+b')).toEqual({ n: 1 });
    expect(await happn.get('none/+/c')).toEqual({ n: 3 });
    expect(await haven.get('none/#')).toEqual({ n: 2 });
    expect(await haven.get(deep)).toEqual({ n: 4 });
    expect(await haven.get(long)).toEqual({ n: 5 });
    await Promise.all([fenced(fence), fenced(havenFence), fenced(happnFence)]);
    expect(ears[0].heard.map(({ path }) => path)).toEqual(['none/plain']);
    expect(ears[1].heard.map(({ path }) => path)).toEqual(['none/a+b', 'none/#', 'none/+/c', deep, long, 'none/plain']);
    expect(ears[2].heard.map(({ path }) => path)).toEqual(['none/a+b', 'none/#', 'none/+/c', long, 'none/plain']);
    expect(await metric(gateway, NOT_FORWARDED)).toBe(before + 5);
    await until('the log line', () => logged(gateway, 'cannot be an MQTT topic') > told);
    expect(logged(gateway, 'cannot be an MQTT topic')).toBe(told + 1);
    // Nor as a retained message.
    const late = await MQTT.connect(gateway.ports);
    const retained = await late.listen('none/#', true);
    await retained.until(({ path }) => path === 'none/plain');
    expect(retained.heard).toHaveLength(1);
    await late.close();
  });

  it('C9 a topic with * in it is stored as it is, and happn and Haven reach it through patterns', async () => {
    await mqtt.set('star/a*b', '{"n":1}');
    await mqtt.set('star/axb', '{"n":2}');
    expect(await mqtt.get('star/a*b')).toEqual(Buffer.from('{"n":1}'));
    const client = await HavenClient.connect(gateway.ports.haven);
    const { items } = (await client.read('star/a*')) as { items: { path: string; value: unknown }[] };
    expect(items.map(({ path, value }) => [path, value])).toEqual([
      ['star/a*b', { n: 1 }],
      ['star/axb', { n: 2 }],
    ]);
    const found = (await (await happnWire()).list('get', { path: 'star/*', data: null, options: {} })) as { _meta: { path: string } }[];
    expect(found.map(({ _meta }) => _meta.path)).toEqual(['star/a*b', 'star/axb']);
    // Written as an address it is refused there, and changes nothing.
    await expect(client.write('star/a*b', { n: 3 })).rejects.toMatchObject({ errorName: 'INVALID_PATH' });
    await expect(happn.set('star/a*b', { n: 3 })).rejects.toBeDefined();
    expect(await mqtt.get('star/a*b')).toEqual(Buffer.from('{"n":1}'));
    await client.close();
  });

  it('C7 refuses ill-formed text in paths over every protocol', async () => {
    const at = { host: '127.0.0.1', port: gateway.ports.mqtt, httpPort: gateway.ports.happn };
    for (const topic of ['61eda080', '6100', '61c280', '6107', '6109']) {
      const client = await MqttContractClient.connect(at);
      const bytes = Buffer.from(topic, 'hex');
      client.raw(Buffer.concat([Buffer.from([0x30, 2 + bytes.length, 0, bytes.length]), bytes]));
      await client.ended;
    }
    for (const filter of ['61eda080', '6100']) {
      const client = await MqttContractClient.connect(at);
      const bytes = Buffer.from(filter, 'hex');
      client.raw(Buffer.concat([Buffer.from([0x82, 5 + bytes.length, 0, 1, 0, bytes.length]), bytes, Buffer.from([0])]));
      await client.ended;
    }
    const client = await HavenClient.connect(gateway.ports.haven);
    for (const path of [
      'a\u0000b',
      'a\u0001',
      'a\u0085',
      'a\tb',
      'a'.repeat(131_073),
      Buffer.from([0x61, 0xed, 0xa0, 0x80]),
      Buffer.from([0xff]),
    ]) {
      for (const type of ['write', 'read', 'delete', 'watch']) {
        expect(await client.ask({ action: 'query', type, path, value: 1 })).toMatchObject({ result: false });
      }
    }
    await client.close();
    const wire = await happnWire();
    // Some control characters are white space, which paths of happn may hold.
    for (const path of ['a\\u0000b', 'a\\u0001', 'a\\u0085', 'a\\ud800', 'a\\tb', 'a\\nb', 'a\\r', 'a'.repeat(131_073)]) {
      for (const action of ['set', 'get', 'remove']) {
        wire.send(`{"action":"${action}","eventId":"${action} ${path}","path":"${path}","data":{"n":1},"options":{}}`);
        const answer = await wire.answer(JSON.parse(`"${action} ${path}"`));
        expect(answer).toMatchObject({ _meta: { status: 'error' } });
      }
    }
    await wire.close();
  });

  it('C7 refuses ill-formed client ids and user names', async () => {
    const connects: [clientId: string, user: string][] = [
      ['61eda080', '61'],
      ['6101', '61'],
      ['61', '61eda080'],
      ['61', '6100'],
    ];
    for (const [clientId, user] of connects) {
      const fields = [clientId, user].map((hex) => Buffer.from(hex, 'hex'));
      const body = Buffer.concat([
        Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 0x82, 0, 60]),
        ...fields.map((field) => Buffer.concat([Buffer.from([0, field.length]), field])),
      ]);
      const socket = connectSocket(gateway.ports.mqtt, '127.0.0.1');
      const answer: Buffer[] = [];
      socket.on('error', () => socket.destroy()).on('data', (chunk) => answer.push(chunk));
      const ended = new Promise((resolve) => socket.once('close', resolve));
      socket.write(Buffer.concat([Buffer.from([0x10, body.length]), body]));
      await ended;
      // At most a CONNACK that refuses.
      expect(Buffer.concat(answer)[3] ?? 1).not.toBe(0);
    }
  });
});

describe('law 4: wildcards keep their meaning', () => {
  const paths = ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end', '/wx', 'w/1'];
  const below = ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end'];
  const ends = ['/w/1/end', '/w/1/2/end'];

  /** Writes all paths over MQTT and returns what the pattern heard. */
  async function heardBy(client: RoadClient, pattern: string): Promise<string[]> {
    const ear = await client.listen(pattern);
    const fence = await client.listen(FENCE);
    for (const path of paths) await mqtt.set(path, '{"n":1}');
    await fenced(fence);
    return ear.heard.map(({ path }) => path).filter((path) => path !== FENCE);
  }

  const globs: [string, string[]][] = [
    ['/w/*', below],
    ['/w/*/end', ends],
    ['/w*', paths.slice(0, 5)],
    ['/w/**', below],
    ['w/1', ['w/1']],
    ['*', paths],
  ];
  const segments: [string, string[]][] = [
    ['/w/*', ['/w/1', 'w/1']],
    ['/w/*/end', ['/w/1/end']],
    ['/w*', []],
    ['/w/**', [...below, 'w/1']],
    ['w/1', ['/w/1', 'w/1']],
    ['*', paths],
  ];

  describe.each(GENERATIONS)('subscriptions of $name', (generation) => {
    it.each(generation.wildcards === 'glob' ? globs : segments)('%s', async (pattern, expected) => {
      const client = await happnRoad(generation.name, generation.name, HAPPN.below).connect(gateway.ports);
      expect(await heardBy(client, pattern)).toEqual(expected);
      await client.close();
    });
  });

  it.each<[string, string[]]>([...globs, ['*end', ends], ['*/1', ['/w/1', 'w/1']]])('Haven: %s', async (pattern, expected) => {
    const client = await HAVEN.connect(gateway.ports);
    expect(await heardBy(client, pattern)).toEqual(expected);
    await client.close();
  });

  it.each<[string, string[]]>([
    ['#', paths],
    ['/w/#', below],
    ['/w/+', ['/w/1']],
    ['/w/1/#', ['/w/1', '/w/1/2/3', '/w/1/end', '/w/1/2/end']],
    ['+/1', ['w/1']],
    ['+/w/1', ['/w/1']],
    ['/+', ['/wx']],
    ['+', []],
    ['/w/+/end', ['/w/1/end']],
    ['/w*', []],
  ])('MQTT: %s', async (filter, expected) => {
    const client = await MQTT.connect(gateway.ports);
    expect(await heardBy(client, filter)).toEqual(expected);
    await client.close();
  });

  it.each<[string, string[]]>([
    ['/w/*', below],
    ['/w/*/end', ends],
    ['/w*', paths.slice(0, 5)],
    ['*w/1', ['/w/1', 'w/1']],
  ])('queries of every happn protocol: %s', async (pattern, expected) => {
    for (const path of paths) await mqtt.set(path, '{"n":1}');
    for (const protocol of [null, 'happn_1', 'happn_2', 'happn_3', 'happn_4']) {
      const wire = await happnWire(protocol);
      const items = (await wire.list('get', { path: pattern, data: null, options: {} })) as { _meta: { path: string } }[];
      expect(items.map(({ _meta }) => _meta.path).toSorted()).toEqual(expected.toSorted());
      await wire.close();
    }
  });

  it('reserved areas match only patterns that spell their first segment out', async () => {
    const reserved = ['$area/x', '/_SYSTEM/laws/x', '/_HAVEN/laws/x', '_SYSTEM/laws/x'];
    const client = await HavenClient.connect(gateway.ports.haven);
    // A client of its own: MQTT sends a message once, whatever of the client's filters it matches.
    const mqttToo = await MQTT.connect(gateway.ports);
    const wide: [RoadClient, string][] = [
      [happn, '*'],
      [happn, '**'],
      [happn, '/*/laws/x'],
      [mqtt, '#'],
      [mqtt, '+/#'],
      [mqtt, '+/x'],
      [mqtt, '+/+/laws/x'],
      [haven, '*'],
      [haven, '*/x'],
      [haven, '/_*'],
    ];
    const spelled: [RoadClient, string, string[]][] = [
      [mqttToo, '$area/#', ['$area/x']],
      [mqttToo, '/_SYSTEM/#', ['/_SYSTEM/laws/x']],
      [haven, '$area/*', ['$area/x']],
      [haven, '/_HAVEN/*', ['/_HAVEN/laws/x']],
      [happn, '/_SYSTEM/**', ['/_SYSTEM/laws/x', '_SYSTEM/laws/x']],
      [happn, '/_HAVEN/laws/*', ['/_HAVEN/laws/x']],
    ];
    const wideEars = await Promise.all(wide.map(([one, pattern]) => one.listen(pattern)));
    const spelledEars = await Promise.all(spelled.map(([one, pattern]) => one.listen(pattern)));
    const fences = await Promise.all([happn, mqtt, mqttToo, haven].map((one) => one.listen(FENCE)));
    for (const path of reserved) await client.write(path, { n: 1 });
    for (const fence of fences) await fenced(fence);
    for (const ear of wideEars)
      expect([ear.pattern, ear.heard.map(({ path }) => path).filter((path) => reserved.includes(path))]).toEqual([ear.pattern, []]);
    for (const [i, ear] of spelledEars.entries())
      expect([ear.pattern, ear.heard.map(({ path }) => path)]).toEqual([ear.pattern, spelled[i]?.[2]]);
    const { items } = (await client.read('*')) as { items: { path: string }[] };
    expect(items.filter(({ path }) => reserved.includes(path))).toEqual([]);
    expect(((await client.read('$area/*')) as { items: unknown[] }).items).toHaveLength(1);
    await mqttToo.close();
    await client.close();
  });
});

async function happnWire(protocol: string | null = 'happn_4'): Promise<HappnWire> {
  const wire = await HappnWire.connect(`ws://127.0.0.1:${gateway.ports.happn}/primus`);
  return await wire.login(protocol);
}
