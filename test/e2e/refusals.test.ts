/** What a run refuses before it begins: settings, command line, database and Losant. */
import { describe, expect, it } from 'vitest';
import { useOpened } from '../opened.ts';
import { daysAgo } from '../support/days.ts';
import { type Ended, type Env, jsonOf, type Refusal } from '../support/program.ts';
import { loginAs, nameOf } from '../support/roles.ts';
import { useExport } from './export.ts';
import { createPlace } from './usage.ts';

const PASSWORD = 'canary-password';

const exported = useExport({ orgs: 3 });
/** A database that another program's tables could be in: none of ours may come to be. */
const untouched = useOpened(
  () => createPlace('empty'),
  (place) => place.remove(),
);

/** Returns what `--json` says of the refusal, after checking what holds for every one. */
async function refusalOf(args: readonly string[], env: Env, code: number): Promise<Refusal['error']> {
  const ended = await exported.run([...args, '--json'], env);
  expect(ended).toMatchObject({ code });
  const { error } = jsonOf<Refusal>(ended);
  expect(Object.keys(error)).toEqual(['code', 'message', 'hint']);
  expect(ended.stderr).toContain(error.message);
  expectNoSecret(ended);
  return error;
}

function expectNoSecret({ stdout, stderr }: Ended): void {
  for (const secret of [PASSWORD, exported.platform.token]) expect(stdout + stderr).not.toContain(secret);
}

const [TODAY, STRAY] = [daysAgo(0), 'f'.repeat(24)];
const [FROM, TO] = [daysAgo(3), daysAgo(2)];

it.each([
  [['run', '--date', TODAY], `--date ${TODAY}: that day is not over in UTC`],
  [['run', '--org', STRAY], `--org ${STRAY}: not exported`],
  [['run', '--org', STRAY, '--dry-run'], `--org ${STRAY}: not exported`],
  [['backfill', '--from', FROM, '--to', TO, '--org', STRAY, '--dry-run'], `--org ${STRAY}: not exported`],
  [['backfill', '--from', TO, '--to', TODAY], `--to ${TODAY}: that day is not over`],
  [['run', '--stream', 'payload_hours'], '--stream payload_hours: not exported'],
])('%j is refused, naming what is wrong', async (args, named) => {
  const { code, message } = await refusalOf(args, {}, 2);
  expect(code).toBe('settings');
  expect(message).toContain(named);
  expect(await exported.place.query('select from losant_usage.cells where is_stored')).toEqual([]);
});

it('a database out of reach is named with the reason, exit code 1; one that refuses the password, 2', async () => {
  const away = `postgres://usage:${PASSWORD}@127.0.0.1:1/billing`;
  const { code, message } = await refusalOf(['run'], { DATABASE_URL: away }, 1);
  expect(code).toBe('database_unreachable');
  expect(message).toBe('Cannot reach the database at 127.0.0.1:1/billing: connect ECONNREFUSED 127.0.0.1:1');
  const user = { username: nameOf('writer'), password: PASSWORD };
  const wrong = Object.assign(new URL(untouched.url), user).href;
  const refused = await refusalOf(['run'], { DATABASE_URL: wrong }, 2);
  expect(refused.code).toBe('database_refused');
  expect(refused.message).toContain('password authentication failed');
});

describe('Losant', () => {
  // A run makes the tables where there are none, for whoever may.
  const DATABASE = () => ({ DATABASE_URL: loginAs('migrator', untouched.url) });
  const cells = () => untouched.query('select * from losant_usage.cells');

  it('refuses the token: exit code 5, naming the setting, and no cell is touched', async () => {
    const env = { ...DATABASE(), LOSANT_API_TOKEN: PASSWORD };
    const { code, message, hint } = await refusalOf(['run'], env, 5);
    expect(code).toBe('unauthorized');
    expect(message).toContain('instance.get');
    expect(hint).toContain('LOSANT_API_TOKEN');
    expect(await cells()).toEqual([]);
  });

  it('does not know the instance: exit code 2', async () => {
    const env = { ...DATABASE(), LOSANT_INSTANCE_ID: '0123456789abcdef01234567' };
    const { message, hint } = await refusalOf(['run'], env, 2);
    expect(message).toContain('0123456789abcdef01234567');
    expect(hint).toContain('LOSANT_INSTANCE_ID');
    expect(await untouched.query('select * from losant_usage.instances')).toEqual([]);
  });

  // Promise (Runs): Clocks that disagree load nothing, at the start of a run and in each of its loads.
  it.each([6, -6])('has a clock %i minutes off: exit code 1, and nothing is loaded', async (minutes) => {
    const { platform } = exported;
    await platform.control('config', { clock: { offsetMs: minutes * 60_000 } });
    try {
      const { code, message } = await refusalOf(['run'], { ...DATABASE(), REQUEST_ATTEMPTS: '2' }, 1);
      expect(code).toBe('clock_skew');
      expect(message).toMatch(/clock is 3[56]\d s (ahead of|behind) the Losant API's/);
      expect(await cells()).toEqual([]);
    } finally {
      await platform.control('config', { clock: { offsetMs: 0 } });
    }
  });

  it('refuses one scope: the other streams load, and endpoint and scope are named', async () => {
    const token = 'token-without-notebooks';
    const scopes = ['instance.get', 'instanceOrgs.get', 'instanceOrg.get', 'instanceOrg.deviceCounts'].concat(
      ['instanceOrg.payloadCounts', 'instanceOrg.payloadCountsBreakdown'],
    );
    await exported.platform.control('tokens', { token, scopes });
    const ended = await exported.run(['run', '--json'], { ...DATABASE(), LOSANT_API_TOKEN: token });
    expect(ended.code).toBe(5);
    const report = jsonOf(ended);
    expect(report).toMatchObject({ status: 'partial', cells: { planned: 12, loaded: 9, failed: 3 } });
    expect(report.failures).toHaveLength(3);
    for (const { stream, code, message } of report.failures) {
      expect([stream, code]).toEqual(['notebook_minutes', 'forbidden']);
      expect(message).toContain('instanceOrg.notebookMinuteCounts');
    }
    const healed = await exported.run(['run', '--json'], DATABASE());
    expect(healed.code).toBe(0);
    expect(jsonOf(healed).cells).toMatchObject({ planned: 3, loaded: 3 });
  });
});
