// Who somebody is: passwords, guesses, ids that are not to be guessed, and ids that two users share.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { connectAsync, type IClientOptions, type MqttClient, connect as mqtt } from 'mqtt';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GatewayProcess } from '../support/gateway-process.js';
import {
  ALL,
  by,
  DOORS,
  type Door,
  happnAs,
  havenAs,
  mqttAs,
  mqttUrl,
  type SecureGateway,
  startSecureGateway,
} from '../support/secure-roads.js';

let house: SecureGateway;
let gateway: GatewayProcess;

beforeAll(async () => {
  house = await startSecureGateway();
  gateway = house.process;
});
afterAll(async () => void (await gateway.stop()));

const refusal = (entering: Promise<() => Promise<void>>): Promise<string> =>
  entering.then(
    async (leave) => {
      await leave();
      return 'let in';
    },
    (error: Error & { code?: unknown }) => `${String(error.code ?? '')} ${error.message}`,
  );

/** As `refusal`, again for as long as too many passwords wait: the machine may be busy with something else. */
async function unhurried(enter: () => Promise<() => Promise<void>>): Promise<string> {
  for (;;) {
    const said = await refusal(enter());
    if (!/too many logins at once|Quota exceeded|Server unavailable/i.test(said)) return said;
  }
}

describe('D2 guesses', () => {
  it('count together over all doors, and leave other users alone', async () => {
    await house.user('ann');
    await house.user('bob');
    // One after the other, each at another door, until the next one would have to wait too long to be looked at.
    let guesses = 0;
    for (let said = ''; !said.includes('too many failed logins'); guesses++) {
      const { enter } = DOORS[guesses % DOORS.length] as Door;
      said = await refusal(enter(gateway, { username: 'ann', password: `guess ${guesses}` }));
      expect(said).not.toBe('let in');
      expect(guesses).toBeLessThan(60);
    }
    expect(guesses).toBeGreaterThan(3);
    for (const { name, enter } of DOORS) expect(await refusal(enter(gateway, by('ann'))), name).not.toBe('let in');
    for (const { name, enter } of DOORS) expect(await unhurried(() => enter(gateway, by('bob'))), name).toBe('let in');
  }, 60_000);

  it('are answered in the same words for a user and for nobody, at every door', async () => {
    await house.user('carl');
    await Promise.all(
      DOORS.map(async ({ name, enter }) => {
        const said = await Promise.all(
          ['carl', `no-${name}`].map((username) => unhurried(() => enter(gateway, { username, password: 'x' }))),
        );
        expect(said[1]?.replaceAll(`no-${name}`, 'carl'), name).toBe(said[0]);
        expect(said[0], name).not.toBe('let in');
      }),
    );
  }, 60_000);
});

describe('D3 secrets are not compared letter by letter', () => {
  const SOURCES = fileURLToPath(new URL('../../src/', import.meta.url));
  const SECRET = /^(password|token|secret|digest|signature|hmac|credential|nonce)s?$/i;
  const NEAR =
    /(password|token|secret|digest|signature|hmac|credential|nonce)s?\)?\s*[!=]==?|[!=]==?\s*[\w.?]*(password|token|secret|digest|signature|hmac|credential|nonce)/i;
  const COMPARES: ReadonlySet<ts.SyntaxKind> = new Set([
    ts.SyntaxKind.EqualsEqualsEqualsToken,
    ts.SyntaxKind.ExclamationEqualsEqualsToken,
    ts.SyntaxKind.EqualsEqualsToken,
    ts.SyntaxKind.ExclamationEqualsToken,
  ]);
  /** Hashes that are kept, with hashes that are kept; what somebody types twice; digests that find messages again. */
  const HARMLESS = [
    'user.password !== before.password',
    'password === before.password',
    'before.password !== from',
    "(await ask('Again: ')) !== password",
    'one.digest === digest',
  ];

  /** Comparisons of something with the name of a secret with something that is no constant. */
  function comparisons(source: string): string[] {
    const found: string[] = [];
    const visit = (node: ts.Node): void => {
      if (ts.isBinaryExpression(node) && COMPARES.has(node.operatorToken.kind)) {
        const sides = [node.left, node.right];
        if (sides.some((side) => SECRET.test(nameOf(side))) && !sides.some(isConstant)) found.push(node.getText(file));
      }
      ts.forEachChild(node, visit);
    };
    const file = ts.createSourceFile('source.ts', source, ts.ScriptTarget.ESNext);
    visit(file);
    return found;
  }

  function nameOf(node: ts.Expression): string {
    if (ts.isIdentifier(node)) return node.text;
    return ts.isPropertyAccessExpression(node) ? node.name.text : '';
  }

  function isConstant(node: ts.Expression): boolean {
    return ts.isLiteralExpression(node) || node.kind === ts.SyntaxKind.NullKeyword || nameOf(node) === 'undefined';
  }

  it('is seen where it is done', () => {
    expect(comparisons('if (password === given.password) a(); if (token !== null && x.secret == y) b();')).toEqual([
      'password === given.password',
      'x.secret == y',
    ]);
  });

  it('anywhere in the sources', () => {
    const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
    const sources = files.map((name) => readFileSync(SOURCES + name, 'utf8'));
    // Most are not worth the time of reading them as a tree.
    const found = sources.filter((source) => NEAR.test(source)).flatMap(comparisons);
    expect(found.filter((text) => !HARMLESS.includes(text))).toEqual([]);
    const passwords = readFileSync(`${SOURCES}security/passwords.ts`, 'utf8');
    expect(passwords.match(/timingSafeEqual\(key, parsed\.key\)/g)).toHaveLength(3);
  });
});

describe('D6 ids are made by the gateway', () => {
  const OWN = 'an-id-that-a-client-chose';

  it('of happn sessions, whatever the client says; of 122 random bits, another one each time', async () => {
    await house.user('dora', { '/d/*': ALL });
    const ids = new Set<string>();
    for (let n = 0; n < 4; n++) {
      const wire = await happnAs(gateway, by('dora'));
      const chosen = { id: OWN, sessionId: OWN, session: { id: OWN }, info: { id: OWN, sessionId: OWN } };
      const again = await wire.request('login', { sessionId: OWN, data: { ...by('dora'), ...chosen } });
      for (const id of [wire.sessionId as string, (again.data as { id: string }).id]) {
        expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
        ids.add(id);
      }
      await wire.close();
    }
    expect(ids.size).toBe(4);
  }, 60_000);

  it('of happn sessions: somebody who names another’s gets nothing by it', async () => {
    await house.user('eve', {});
    await house.user('fay', { '/f/*': ALL });
    const [eve, fay] = [await happnAs(gateway, by('eve')), await happnAs(gateway, by('fay'))];
    const stolen = { sessionId: fay.sessionId };
    const answers = [
      await eve.request('set', { ...stolen, path: '/f/1', data: { a: 1 } }),
      await eve.request('get', { ...stolen, path: '/f/1' }),
      await eve.request('on', { ...stolen, path: '/ALL@/f/*' }),
    ];
    for (const { _meta } of answers) expect(_meta?.['status']).toBe('error');
    // Nor does it end the other's session.
    await eve.request('session-end', stolen).catch(() => null);
    expect((await fay.request('set', { path: '/f/1', data: { a: 1 } }))._meta?.['status']).toBe('ok');
    await Promise.all([eve, fay].map(async ({ socket }) => void socket.terminate()));
  });

  it('of Haven sessions and of tokens', async () => {
    const haven = await havenAs(gateway, by('dora'));
    const hello = JSON.stringify(
      await haven.request({ action: 'connect', version: '1', session: OWN, id: OWN, credentials: by('dora') }).catch(String),
    );
    expect(hello.includes(OWN) && !hello.includes('id')).toBe(false);
    await haven.close();
    const ids = await Promise.all(Array.from({ length: 20 }, async () => (await house.token('dora')).id));
    expect(new Set(ids).size).toBe(20);
    for (const id of ids) expect(id).toMatch(/^[\da-f-]{36}$/);
  });
});

describe('D7 the same client id of two users is two sessions', () => {
  const credentials = (user: string, clientId: string): IClientOptions => ({ ...by(user), clientId, reconnectPeriod: 0 });
  const connect = (user: string, clientId: string, more: IClientOptions): Promise<MqttClient> =>
    connectAsync(mqttUrl(gateway), { ...credentials(user, clientId), ...more }, false);
  const VERSIONS = [4, 5] as const;

  beforeAll(async () => {
    await house.user('owner', { '*': ALL });
    await house.user('thief', { '*': ALL });
  });

  it.each(VERSIONS.flatMap((owner) => VERSIONS.map((thief) => [owner, thief] as const)))(
    'an owner of version %i, a thief of %i',
    async (ownerVersion, thiefVersion) => {
      const clientId = `meter-${ownerVersion}-${thiefVersion}`;
      const kept = (protocolVersion: 4 | 5): IClientOptions =>
        protocolVersion === 5
          ? { protocolVersion, clean: false, properties: { sessionExpiryInterval: 600 } }
          : { protocolVersion, clean: false };
      let ended = 0;
      const first = await connect('owner', clientId, kept(ownerVersion));
      first.on('close', () => {
        ended += 1;
      });
      await first.subscribeAsync(`own/${clientId}`, { qos: 1 });
      // Clean and not clean, while the owner is there and while it is away.
      for (const isThere of [true, false]) {
        if (!isThere) await first.endAsync();
        const publisher = await mqttAs(gateway, by('owner'));
        if (!isThere) await publisher.publishAsync(`own/${clientId}`, 'queued', { qos: 1 });
        for (const options of [{ protocolVersion: thiefVersion, clean: true }, kept(thiefVersion)]) {
          const heard: string[] = [];
          const thief = await connect('thief', clientId, options);
          thief.on('message', (topic) => heard.push(topic));
          await thief.subscribeAsync('fence', { qos: 1 });
          const fenced = new Promise<void>((resolve) => thief.on('message', (topic) => topic === 'fence' && resolve()));
          await publisher.publishAsync('fence', 'x', { qos: 1 });
          await fenced;
          expect(heard).toEqual(['fence']);
          await thief.endAsync();
        }
        await publisher.endAsync();
        if (isThere) expect([ended, first.connected]).toEqual([0, true]);
      }
      const again = mqtt(mqttUrl(gateway), { ...credentials('owner', clientId), ...kept(ownerVersion) });
      expect(await new Promise<string>((resolve) => again.on('message', (_topic, body) => resolve(String(body))))).toBe('queued');
      await again.endAsync();
    },
    30_000,
  );
});
