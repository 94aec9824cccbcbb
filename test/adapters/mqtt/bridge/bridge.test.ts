// A bridge to a real mosquitto: what crosses, what does not, and what is kept while the remote is away.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Mosquitto } from '../../../support/mosquitto.js';
import { Far, type House, startHouse, untilHeard, valuesOf } from './support.js';

let mosquitto: Mosquitto;
let nextTopic = 0;

beforeAll(async () => {
  mosquitto = await Mosquitto.start();
});

afterAll(async () => await mosquitto.stop());

/** Topics of one test: all tests share the broker. */
const freshTopic = (): string => `t${++nextTopic}`;

/** 5; 3.1.1 as a bridge; 3.1.1 as any client. */
const WAYS = [
  ['5', { version: '5' }],
  ['3.1.1 in bridge mode', { version: '3.1.1' }],
  ['3.1.1', { version: '3.1.1', bridgeMode: false }],
] as const;

describe.each(WAYS)('over version %s', (_name, version) => {
  const start = (house: object): Promise<House> => startHouse({ url: mosquitto.url, ...version, ...house });

  it('what is stored here is retained there, what is sent here is an event there, removals are removals', async () => {
    const topic = freshTopic();
    const far = await Far.connect(mosquitto.url, `${topic}/#`);
    const house = await start({ rules: [{ direction: 'out', filter: `${topic}/#` }] });
    await house.connected();
    await house.session.set(`${topic}/a`, { celsius: 20 });
    await house.session.emit(`${topic}/b`, 'moved', { qos: 1 });
    await house.session.remove(`${topic}/a`);
    await far.until(3);
    expect(far.heard.map(({ topic: name, payload, retain, qos }) => [name.slice(topic.length), payload, retain, qos])).toEqual([
      ['/a', '{"celsius":20}', true, 1],
      ['/b', 'moved', false, 1],
      ['/a', '', true, 1],
    ]);
    expect(house.count('bridge_messages_out_total')).toBe(3);
  });

  it('what is retained there is stored here, and what is there already comes first', async () => {
    const topic = freshTopic();
    const far = await Far.connect(mosquitto.url, `${topic}/none`);
    await far.publish(`${topic}/before`, '{"n":1}', { retain: true });
    const house = await start({ rules: [{ direction: 'in', filter: `${topic}/#` }] });
    await house.session.subscribe(`${topic}/*`);
    await untilHeard(house.session, `${topic}/before`, 1);
    await far.publish(`${topic}/event`, 'moved');
    await untilHeard(house.session, `${topic}/event`, 1);
    expect((await house.session.get(`${topic}/before`)).entry?.payload.value()).toEqual({ n: 1 });
    expect((await house.session.get(`${topic}/event`)).entry).toBeNull();
    expect(house.count('bridge_messages_in_total')).toBe(2);
  });

  it('topics are called by the prefixes of their side', async () => {
    const topic = freshTopic();
    const far = await Far.connect(mosquitto.url, `${topic}/#`);
    const house = await start({ rules: [{ direction: 'both', filter: 'x/#', localPrefix: 'here/', remotePrefix: `${topic}/` }] });
    await house.connected();
    await house.session.subscribe('here/*');
    await house.session.set('here/x/1', 'out');
    await far.until(1, `${topic}/x/1`);
    await far.publish(`${topic}/x/2`, 'in');
    await untilHeard(house.session, 'here/x/2', 1);
    await house.session.set('elsewhere/x/3', 'stays');
    await house.session.set('here/x/4', 'last');
    await far.until(1, `${topic}/x/4`);
    expect(far.heard.map(({ payload }) => payload)).toEqual(['out', 'in', 'last']);
  });

  it('all levels cross, each at the lower of the message’s and the rule’s', async () => {
    const topic = freshTopic();
    const far = await Far.connect(mosquitto.url, `${topic}/#`);
    const rules = [0, 1, 2].map((qos) => ({ direction: 'both', filter: `${topic}/${qos}/#`, qos }));
    const house = await start({ rules });
    await house.connected();
    await house.session.subscribe(`${topic}/*`, 'glob', { qos: 2 });
    for (const rule of [0, 1, 2]) for (const qos of [0, 1, 2] as const) await house.session.emit(`${topic}/${rule}/out`, qos, { qos });
    await far.until(9);
    const levels = far.heard.map(({ topic: name, payload, qos }) => [name.slice(topic.length + 1, topic.length + 2), payload, qos]);
    const expected = [0, 1, 2].flatMap((rule) => [0, 1, 2].map((qos) => [String(rule), String(qos), Math.min(rule, qos)]));
    expect(levels.sort()).toEqual(expected.sort());
    for (const rule of [0, 1, 2]) for (const qos of [0, 1, 2] as const) await far.publish(`${topic}/${rule}/in`, String(qos), { qos });
    for (const rule of [0, 1, 2]) await untilHeard(house.session, `${topic}/${rule}/in`, 3);
    const came = house.session.heard
      .filter(({ publication }) => publication.path.endsWith('/in'))
      .map(({ publication }) => [
        publication.path.slice(topic.length + 1, topic.length + 2),
        String(publication.payload?.value()),
        publication.qos,
      ]);
    expect(came.sort()).toEqual(expected.sort());
  });

  it('nothing comes back that went out, and the same message of somebody else still comes', async () => {
    const topic = freshTopic();
    const far = await Far.connect(mosquitto.url, `${topic}/#`);
    const house = await start({ rules: [{ direction: 'both', filter: `${topic}/#`, qos: 2 }] });
    await house.connected();
    await house.session.subscribe(`${topic}/*`);
    for (let i = 0; i < 50; i++) {
      const qos = (i % 3) as 0 | 1 | 2;
      await house.session.emit(`${topic}/e`, `e${i}`, { qos });
      await house.session.set(`${topic}/s`, `s${i}`, { qos });
    }
    await far.until(100);
    await far.publish(`${topic}/e`, 'e49', { qos: 1 });
    await far.publish(`${topic}/end`, 'end', { qos: 1 });
    await untilHeard(house.session, `${topic}/end`, 1);
    await far.until(102);
    const own = Array.from({ length: 50 }, (_item, i) => `e${i}`);
    expect(valuesOf(house.session, `${topic}/e`)).toEqual([...own, 'e49']);
    expect(valuesOf(house.session, `${topic}/s`)).toHaveLength(50);
    expect(far.heard).toHaveLength(102);
  });
});
