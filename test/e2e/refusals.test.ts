/** Errors before a run begins: command line, settings, database and Losant. */
import { describe, expect, it } from 'vitest';
import { useOpened } from '../opened.ts';
import { daysAgo } from '../support/days.ts';
import { type Ended, type Env, jsonOf, type Refusal } from '../support/program.ts';
import { loginAs, toRoleName } from '../support/roles.ts';
import { useInstallation } from './installation.ts';
import { createStore } from './usage.ts';

const PASSWORD = 'canary-password';

const installation = useInstallation({ orgs: 3 });
/** A database without the schema, in which a failed run must not create it. */
const emptyDatabase = useOpened(
  () => createStore('empty'),
  (store) => store.remove(),
);

/** Expects an error, checks what is true of every one, and returns it as `--json` prints it. */
async function expectError(args: readonly string[], env: Env, code: number): Promise<Refusal['error']> {
  const ended = await installation.run([...args, '--json'], env);
  expect(ended).toMatchObject({ code });
  const { error } = jsonOf<Refusal>(ended);
  expect(Object.keys(error)).toEqual(['code', 'message', 'hint']);
  expect(ended.stderr).toContain(error.message);
  expectNoSecret(ended);
  return error;
}

function expectNoSecret({ stdout, stderr }: Ended): void {
  for (const secret of [PASSWORD, installation.platform.token]) expect(stdout + stderr).not.toContain(secret);
}

const [TODAY, UNKNOWN_ORG] = [daysAgo(0), 'f'.repeat(24)];
const [FROM, TO] = [daysAgo(3), daysAgo(2)];

it.each([
  [['run', '--day', TODAY], `--day ${TODAY} has not ended yet (UTC)`],
  [['run', '--org', UNKNOWN_ORG], `--org ${UNKNOWN_ORG}: not tracked`],
  [['run', '--org', UNKNOWN_ORG, '--dry-run'], `--org ${UNKNOWN_ORG}: not tracked`],
  [['backfill', '--from', FROM, '--to', TO, '--org', UNKNOWN_ORG, '--dry-run'], `--org ${UNKNOWN_ORG}: not tracked`],
  [['backfill', '--from', TO, '--to', TODAY], `--to ${TODAY} has not ended yet (UTC)`],
  [['run', '--stream', 'payload_hours'], '--stream payload_hours: not tracked'],
])('%j is an error that names the option and the problem', async (args, problem) => {
  const { code, message } = await expectError(args, {}, 2);
  expect(code).toBe('settings');
  expect(message).toContain(problem);
  expect(await installation.store.query('select from losant_usage.cells where is_stored')).toEqual([]);
});

it('an unreachable database is named with the reason, exit code 1; a rejected password has exit code 2', async () => {
  const away = `postgres://usage:${PASSWORD}@127.0.0.1:1/billing`;
  const { code, message } = await expectError(['run'], { DATABASE_URL: away }, 1);
  expect(code).toBe('database_unreachable');
  expect(message).toBe('Cannot reach the database at 127.0.0.1:1/billing: connect ECONNREFUSED 127.0.0.1:1');
  const user = { username: toRoleName('writer'), password: PASSWORD };
  const wrongPassword = Object.assign(new URL(emptyDatabase.url), user).href;
  const rejection = await expectError(['run'], { DATABASE_URL: wrongPassword }, 2);
  expect(rejection.code).toBe('database_refused');
  expect(rejection.message).toContain('password authentication failed');
});

describe('Losant', () => {
  // The migrator is the role whose first run may create the tables.
  const DATABASE = () => ({ DATABASE_URL: loginAs('migrator', emptyDatabase.url) });
  const cells = () => emptyDatabase.query('select * from losant_usage.cells');

  it('rejects the token: exit code 5, a hint that names the setting, and no cell changes', async () => {
    const env = { ...DATABASE(), LOSANT_API_TOKEN: PASSWORD };
    const { code, message, hint } = await expectError(['run'], env, 5);
    expect(code).toBe('unauthorized');
    expect(message).toContain('instance.get');
    expect(hint).toContain('LOSANT_API_TOKEN');
    expect(await cells()).toEqual([]);
  });

  it('does not know the instance: exit code 2, which is on record', async () => {
    const env = { ...DATABASE(), LOSANT_INSTANCE_ID: '0123456789abcdef01234567' };
    const { message, hint } = await expectError(['run'], env, 2);
    expect(message).toContain('0123456789abcdef01234567');
    expect(hint).toContain('LOSANT_INSTANCE_ID');
    const attempt = `select api_url, last_error from losant_usage.instances where instance_id = '0123456789abcdef01234567'`;
    expect(await emptyDatabase.query(attempt)).toEqual([{ api_url: null, last_error: message }]);
  });

  // Guarantee (Runs): Nothing is loaded while clocks disagree; this is checked at the start of a run and in every load.
  it.each([6, -6])('has a clock that is %i minutes off: exit code 1, and nothing is loaded', async (minutes) => {
    const { platform } = installation;
    await platform.control('config', { clock: { offsetMs: minutes * 60_000 } });
    try {
      const { code, message } = await expectError(['run'], { ...DATABASE(), REQUEST_ATTEMPTS: '2' }, 1);
      expect(code).toBe('clock_skew');
      expect(message).toMatch(/clock is 3[56]\d s (ahead of|behind) the Losant API's/);
      expect(await cells()).toEqual([]);
    } finally {
      await platform.control('config', { clock: { offsetMs: 0 } });
    }
  });

  it('rejects one scope: the other streams load, and the failures name the scope', async () => {
    const token = 'token-without-notebooks';
    const scopes = ['instance.get', 'instanceOrgs.get', 'instanceOrg.get', 'instanceOrg.deviceCounts'].concat([
      'instanceOrg.payloadCounts',
      'instanceOrg.payloadCountsBreakdown',
    ]);
    await installation.platform.control('tokens', { token, scopes });
    const ended = await installation.run(['run', '--json'], { ...DATABASE(), LOSANT_API_TOKEN: token });
    expect(ended.code).toBe(5);
    const report = jsonOf(ended);
    expect(report).toMatchObject({ status: 'partial', cells: { planned: 12, loaded: 9, failed: 3 } });
    expect(report.failures).toHaveLength(3);
    for (const { stream, code, message } of report.failures) {
      expect([stream, code]).toEqual(['notebook_minutes', 'forbidden']);
      expect(message).toContain('instanceOrg.notebookMinuteCounts');
    }
    const healed = await installation.run(['run', '--json'], DATABASE());
    expect(healed.code).toBe(0);
    expect(jsonOf(healed).cells).toMatchObject({ planned: 3, loaded: 3 });
  });
});
