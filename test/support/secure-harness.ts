// An engine with security: users, groups and permissions as a test says them, and sessions of those users.

import { randomUUID } from 'node:crypto';
import { RequestError } from '../../src/core/errors.js';
import type { Permissions, SecurityChange, SecurityCommand, UserFields } from '../../src/core/index.js';
import type { Subscription } from '../../src/core/routing/subscription.js';
import { Directory, type DirectoryOptions } from '../../src/core/security/directory.js';
import { DirectoryAccess } from '../../src/core/security/directory-access.js';
import type { Identity } from '../../src/core/security/identity.js';
import { Login, NO_LIMITS, type Policy } from '../../src/core/security/policy.js';
import { type Harness, type HarnessOptions, startEngine, TestSession } from './core-harness.js';

/** Writes down what it is told of its rights. */
export class SecureSession extends TestSession {
  readonly lost: string[] = [];
  readonly changes: SecurityChange[] = [];

  override onSubscriptionLost({ pattern }: Subscription): void {
    this.lost.push(pattern.text);
    this.log.push(`lost ${pattern.text}`);
  }

  override onSecurityChange(change: SecurityChange): void {
    this.changes.push(change);
    this.log.push(`change ${change.type}`);
  }
}

export interface SecureHarness extends Harness {
  readonly directory: Directory;
  readonly access: DirectoryAccess;
  /** As the gateway itself, unless another identity is given. */
  command(command: SecurityCommand, by?: Identity): Promise<void>;
  /** Makes or changes a user. */
  user(name: string, permissions: Permissions, fields?: UserFields): Promise<void>;
  group(name: string, permissions: Permissions): Promise<void>;
  /** A session of the user, whose token has that id. */
  login(name: string, options?: LoginOptions): SecureSession;
}

export interface LoginOptions {
  readonly ordered?: boolean;
  readonly policy?: Policy;
  readonly tokenId?: string;
  readonly parentId?: string;
  readonly issued?: number;
}

export async function startSecure(options: HarnessOptions & Partial<DirectoryOptions> = {}): Promise<SecureHarness> {
  const directory = new Directory({ nestedPermissions: options.nestedPermissions ?? false });
  const nobody = async (): Promise<never> => Promise.reject(new RequestError('NOT_AUTHENTICATED', 'sessions log in by themselves here'));
  const clock = { now: (): number => harness.clock.time };
  const access = new DirectoryAccess(directory, { authenticate: nobody }, clock);
  const harness: Harness = await startEngine({ ...options, access, directory });
  const { engine, context } = harness;
  const put = { when: 'any', merge: false } as const;
  return {
    ...harness,
    directory,
    access,
    command: (command, by) => engine.administer(command, by),
    user: (name, permissions, fields = {}) =>
      engine.administer({ type: 'putUser', name, id: randomUUID(), fields: { permissions, ...fields }, ...put }),
    group: (name, permissions) => engine.administer({ type: 'putGroup', name, fields: { permissions }, ...put }),
    login: (name, login = {}) => {
      const { policy = NO_LIMITS, tokenId = randomUUID(), parentId = null, ordered = false } = login;
      const principal = directory.principal(name, policy);
      if (principal === null) throw new Error(`there is no user ${name}`);
      const now = harness.clock.time;
      const session = new SecureSession(context, ordered);
      session.identity = { name, principal, login: new Login(tokenId, 'stateful', parentId, login.issued ?? now, policy, now) };
      return session;
    },
  };
}
