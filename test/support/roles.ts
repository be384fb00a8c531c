/**
 * The roles of deploy/postgres/roles.sql on a server of tests. The URL of a test database has no user: tests log in as
 * one of the roles, and never as the owner of the tables by accident. Nothing here needs vitest.
 */
import { readFileSync } from 'node:fs';

export const ROLES = ['migrator', 'writer', 'reader'] as const;
export type Role = (typeof ROLES)[number];

export const toRoleName = (role: Role) => `losant_usage_${role}` as const;

/** Returns the password of a role, the same on every server of tests. */
export const toPassword = (role: Role) => `the-${role}-in-tests`;

/** Returns the statements that an administrator runs before the first `migrate`, with passwords. */
export function readRolesSql(): string {
  const script = readFileSync(new URL('../../deploy/postgres/roles.sql', import.meta.url), 'utf8');
  const passwords = ROLES.map((role) => `alter role ${toRoleName(role)} password '${toPassword(role)}';`);
  return [script, ...passwords].join('\n');
}

export function removeLogin(url: string): string {
  return Object.assign(new URL(url), { username: '', password: '' }).href;
}

/** Returns the URL with the login of a role. A URL with a user, and that of an embedded database, are unchanged. */
export function loginAs(role: Role, url: string): string {
  if (!/^postgres(ql)?:\/\/[^@/]+\//.test(url)) return url;
  return Object.assign(new URL(url), { username: toRoleName(role), password: toPassword(role) }).href;
}

/** The roles of the commands, as in docs/install.md. All others, and dry runs, need only the reader. */
const BY_COMMAND: Readonly<Record<string, Role>> = {
  run: 'writer',
  worker: 'writer',
  backfill: 'writer',
  waive: 'writer',
  org: 'writer',
  check: 'writer',
  close: 'writer',
  migrate: 'migrator',
};

export function getRole(args: readonly string[]): Role {
  return args.includes('--dry-run') ? 'reader' : (BY_COMMAND[args[0] ?? ''] ?? 'reader');
}
