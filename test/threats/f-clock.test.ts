// The wall clock of a running gateway is moved: by an hour, by thirty days, and back.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryDirectory, until } from '../support/gateway-process.js';
import { ALL, by, happnAs, havenAs, mqttAs, startSecureGateway } from '../support/secure-roads.js';

/** What a file says is added to the wall clock, and to nothing else. */
function movable(): { readonly flags: string[]; readonly move: (ms: number) => void } {
  const directory = temporaryDirectory();
  const [module, by_] = [join(directory, 'clock.mjs'), join(directory, 'by')];
  writeFileSync(by_, '0');
  writeFileSync(
    module,
    `import { readFileSync } from 'node:fs';
     const now = Date.now; let by = 0;
     setInterval(() => { by = Number(readFileSync(${JSON.stringify(by_)}, 'utf8')); }, 20).unref();
     Date.now = () => now() + by;`,
  );
  return { flags: ['--import', module], move: (ms) => writeFileSync(by_, String(ms)) };
}

it('F1 connections, keep-alives and ids go on whatever the wall clock does; tokens end by it', { timeout: 120_000 }, async () => {
  const clock = movable();
  const house = await startSecureGateway({ nodeFlags: clock.flags });
  try {
    await house.user('ann', { '/c/*': ALL });
    const { token } = await house.token('ann');
    const [device, haven, wire] = [
      await mqttAs(house.process, by('ann'), { keepalive: 2 }),
      await havenAs(house.process, by('ann')),
      await happnAs(house.process, by('ann')),
    ];
    let closed = 0;
    // They say nothing, and are not due to.
    const [idle, idleHaven] = [await mqttAs(house.process, by('ann'), { keepalive: 600 }), await havenAs(house.process, by('ann'))];
    idle.on('close', () => {
      closed += 1;
    });
    device.on('close', () => {
      closed += 1;
    });
    const revisions: number[] = [];
    const ids = new Set<string>();
    const HOUR = 3_600_000;
    for (const by_ of [0, HOUR, 30 * 24 * HOUR, 30 * 24 * HOUR - 5 * 60_000, -5 * 60_000, 0]) {
      clock.move(by_);
      await until('the gateway sees it', async () => {
        const { modified } = (await haven.write('/c/clock', by_)) as { modified: number };
        return Math.abs(modified - (Date.now() + by_)) < 30_000;
      });
      for (let n = 0; n < 3; n++) {
        await device.publishAsync('/c/1', `${by_} ${n}`, { qos: 1, retain: true });
        revisions.push(((await haven.read('/c/1')) as { revision: number }).revision);
        expect((await wire.request('set', { path: '/c/2', data: { by_, n } }))._meta?.['status']).toBe('ok');
      }
      // As long as the gateway takes to look at who is silent, and more.
      for (const begun = performance.now(); performance.now() - begun < 2_500; )
        await device.publishAsync('/c/1', 'on', { qos: 1, retain: true });
      const fresh = await house.token('ann').catch(() => null);
      if (fresh?.id !== undefined) ids.add(fresh.id);
      // A token of seven days is over after thirty, and good again when that was an error of the clock.
      const isGood = await mqttAs(house.process, { token }).then(
        (client) => client.endAsync().then(() => true),
        () => false,
      );
      if (by_ >= 0) expect(isGood, `the token at ${by_ / HOUR} h`).toBe(by_ <= HOUR);
    }
    expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
    expect(new Set(revisions).size).toBe(revisions.length);
    expect([closed, device.connected, haven.closed, wire.closed, idleHaven.closed]).toEqual([0, true, false, null, false]);
    await Promise.all([device.endAsync(), idle.endAsync(true), idleHaven.close(), haven.close(), wire.close()]);
  } finally {
    await house.process.stop();
  }
});
