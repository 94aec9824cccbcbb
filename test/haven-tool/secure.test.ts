// `trivium haven` and a gateway that everybody has to log in to.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandHost, type EndedCommand } from '../support/command-host.js';
import { type GatewayProcess, startGateway, temporaryDirectory } from '../support/gateway-process.js';
import { HavenClient } from '../support/haven-client.js';
import { type ShapeName, talk } from '../support/haven-shapes.js';

const USERS = [
  { name: 'ann', password: 'the secret of ann', permissions: { '/ann/*': { actions: ['*'] }, '/shared/*': { actions: ['get'] } } },
  { name: 'bob', password: 'the secret of bob', permissions: { '/bob/*': { actions: ['*'] }, '/shared/*': { actions: ['set'] } } },
];
const ANN = { username: 'ann', password: 'the secret of ann' };
const BOB = { username: 'bob', password: 'the secret of bob' };

let gateway: GatewayProcess;

beforeAll(async () => {
  gateway = await startGateway({
    cheapPasswords: true,
    flags: ['--secure', '--host', '127.0.0.1', '--security-users', JSON.stringify(USERS)],
    env: { TRIVIUM_ADMIN_PASSWORD: 'only for this test' },
  });
});
afterAll(async () => await gateway.stop());

describe('the tool', () => {
  const host = new CommandHost();
  afterAll(() => host.close());

  const run = (args: readonly string[], env: Record<string, string> = {}): Promise<EndedCommand> =>
    host.run(['haven', '--port', String(gateway.ports.haven), ...args], env);

  it('logs in with a password from a file, or from the environment', async () => {
    const file = join(temporaryDirectory(), 'password');
    writeFileSync(file, `${ANN.password}\n`);
    const asAnn = ['--user', 'ann', '--password-file', file];
    expect(await run(['write', '/ann/1', '1', ...asAnn])).toMatchObject({ code: 0, stderr: '' });
    expect(await run(['write', '/bob/1', '1', ...asAnn])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^trivium: ACCESS_DENIED: /),
    });
    const env = { TRIVIUM_HAVEN_USER: 'ann', TRIVIUM_HAVEN_PASSWORD: ANN.password };
    expect(await run(['read', '/ann/1'], env)).toMatchObject({ code: 0, stdout: '1\n' });
  });

  it('is told when its credentials are wrong, or missing', async () => {
    const wrong = { TRIVIUM_HAVEN_USER: 'ann', TRIVIUM_HAVEN_PASSWORD: 'guess' };
    expect(await run(['read', '/ann/1'], wrong)).toMatchObject({ code: 1, stderr: expect.stringMatching(/^trivium: UNAUTHORIZED: /) });
    const advice = 'trivium: UNAUTHORIZED: log in first; give --user and --password-file, or --token-file (of trivium token issue)\n';
    expect(await run(['read', '/ann/1'])).toMatchObject({ code: 1, stderr: advice });
    expect(await run(['discover', 'quorum', '/'])).toMatchObject({ code: 1, stderr: expect.stringMatching(/^trivium: UNAUTHORIZED: /) });
  });
});

describe.each((['map', 'array'] as const).flatMap((shape) => (['prefixed', 'bare'] as const).map((framing) => [shape, framing] as const)))(
  'credentials of a later message (%s, %s)',
  (shape: ShapeName, framing) => {
    it('are good for that message, and for no other', async () => {
      const client = await HavenClient.connect(gateway.ports.haven, { framing, hello: false });
      const { connect } = talk(client, shape);
      expect((await connect({ credentials: ANN })).code).toBe(0);
      const write = (path: string, credentials: object | null): unknown =>
        shape === 'map'
          ? { action: 'query', type: 'write', path, value: 1, ...(credentials === null ? {} : { credentials }) }
          : [2, 3, null, null, path, 1, null, credentials];
      const answers = await Promise.all([
        client.ask(write('/ann/2', null)),
        client.ask(write('/shared/2', null)),
        client.ask(write('/shared/2', BOB)),
        client.ask(write('/ann/2', BOB)),
        client.ask(write('/shared/2', null)),
        client.ask(write('/ann/2', { ...BOB, password: 'guess' })),
        client.ask(write('/ann/2', null)),
      ]);
      const codes = answers.map((answer) => (shape === 'array' ? answer[1] : (answer.error?.code ?? 0)));
      expect(codes).toEqual([0, 6, 0, 6, 6, 5, 0]);
      await client.close();
    });
  },
);
