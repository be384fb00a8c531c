/**
 * The roles of deploy/postgres/roles.sql on a server of tests. A test's URL of a database names nobody, so that it logs in
 * as one of them, and never as the owner of the tables by accident. Nothing here needs vitest.
 */
import { readFileSync } from 'node:fs';

export const ROLES = ['migrator', 'writer', 'closer', 'reader'] as const;
export type Role = (typeof ROLES)[number];

export const nameOf = (role: Role) => `losant_usage_${role}` as const;

/** Returns a role's password on every server of tests, all of which are disposable. */
export const passwordOf = (role: Role) => `the-${role}-in-tests`;

/** Returns what an administrator runs in a database before the first `migrate`, with passwords. */
export function readRolesSql(): string {
  const script = readFileSync(new URL('../../deploy/postgres/roles.sql', import.meta.url), 'utf8');
  const passwords = ROLES.map((role) => `alter role ${nameOf(role)} password '${passwordOf(role)}';`);
  return [script, ...passwords].join('\n');
}

/** Returns a URL without its user. */
export function nameless(url: string): string {
  return Object.assign(new URL(url), { username: '', password: '' }).href;
}

/** Returns the URL with the login of a role. A URL that names a user, and the embedded database, stay as they are. */
export function loginAs(role: Role, url: string): string {
  if (!/^postgres(ql)?:\/\/[^@/]+\//.test(url)) return url;
  return Object.assign(new URL(url), { username: nameOf(role), password: passwordOf(role) }).href;
}

/** The roles of the commands by docs/install.md; all others, and every dry run, take the reader. */
const BY_COMMAND: Readonly<Record<string, Role>> = {
  run: 'writer',
  worker: 'writer',
  backfill: 'writer',
  waive: 'writer',
  org: 'writer',
  check: 'writer',
  close: 'closer',
  statement: 'closer',
  verify: 'closer',
  migrate: 'migrator',
};

/** Returns the role that a user of a command has. */
export function roleFor(args: readonly string[]): Role {
  return args.includes('--dry-run') ? 'reader' : (BY_COMMAND[args[0] ?? ''] ?? 'reader');
}
