import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPlatform } from '../simulator/platform.ts';
import { daysAgo } from '../support/days.ts';
import { type Ended, type Env, jsonOf, type Refusal } from '../support/program.ts';
import { useExport } from './export.ts';
import { createPlace, type Place } from './usage.ts';

const PASSWORD = 'canary-password';

const exported = useExport({ orgs: 3 });
/** A database that another program's tables could be in: none of ours may come to be. */
let untouched: Place;
beforeAll(async () => {
  untouched = await createPlace('empty');
});
afterAll(async () => {
  await untouched.remove();
});

/** What `--json` says of the refusal, after checking what holds for every one. */
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

function withLogin(url: string, user: string, password: string): string {
  const target = new URL(url);
  target.username = user;
  target.password = password;
  return target.href;
}

describe('settings', () => {
  it('are refused with every problem in one message, and nothing is begun', async () => {
    const wrong = {
      LOSANT_INSTANCE_ID: 'short',
      LOSANT_API_URL: 'http://api.example.com',
      LOSANT_ORG_IDS: 'abc',
      LOSANT_TOKEN: exported.platform.token,
      STREAMS: 'device_counts,water',
      REQUESTS_PER_SECOND: '0',
      REQUEST_TIMEOUT_MS: 'soon',
      READ_AT_HOURS: 'early',
      FINAL_AT_HOURS: '-1',
      DATABASE_URL: `mysql://usage:${PASSWORD}@127.0.0.1/usage`,
      LOG_LEVEL: 'loud',
    };
    const { code, message } = await refusalOf(['run'], wrong, 2);
    expect(code).toBe('settings');
    const lines = message.split('\n').map((line) => line.replace(/^- /, ''));
    const isNamed = (name: string) =>
      lines.some((line) => line.startsWith(name) || line.includes(` ${name} `));
    expect(Object.keys(wrong).filter((name) => !isNamed(name))).toEqual([]);
  });
});

describe('the command line', () => {
  const today = daysAgo(0);
  it.each([
    [['run', '--date', today], `--date ${today}: that day is not over in UTC`],
    [['run', '--date', '9999-12-31'], '--date 9999-12-31: '],
    [['run', '--date', '2026-02-30'], '2026-02-30'],
    [['run', '--org', 'ffffffffffffffffffffffff'], '--org ffffffffffffffffffffffff: not exported'],
    [
      ['run', '--org', 'ffffffffffffffffffffffff', '--dry-run'],
      '--org ffffffffffffffffffffffff: not exported',
    ],
    [
      [
        'backfill',
        '--from',
        daysAgo(3),
        '--to',
        daysAgo(2),
        '--org',
        'ffffffffffffffffffffffff',
        '--dry-run',
      ],
      '--org ffffffffffffffffffffffff: not exported',
    ],
    [['run', '--stream', 'water'], 'water'],
    [['run', '--colour', 'red'], '--colour'],
    [['backfill', '--from', daysAgo(2), '--to', daysAgo(3)], `--from ${daysAgo(2)} is later than --to`],
    [['backfill', '--from', daysAgo(2), '--to', today], `--to ${today}: that day is not over`],
    [['launch'], 'launch'],
  ])('%j is refused, naming what is wrong', async (args, named) => {
    const { code, message } = await refusalOf(args, {}, 2);
    expect(code).toBe('settings');
    expect(message).toContain(named);
  });

  it('a stream that is not configured is refused, and nothing is loaded', async () => {
    const place = await createPlace();
    const env = { STREAMS: 'device_counts', DATABASE_URL: place.url };
    const { message } = await refusalOf(['run', '--stream', 'payload_sources'], env, 2);
    expect(message).toContain('--stream payload_sources: not exported');
    expect(await place.query('select run_id from losant_usage.runs')).toEqual([]);
    expect(await place.query('select standing from losant_usage.coverage where is_stored')).toEqual([]);
    await place.remove();
  });
});

describe('the database', () => {
  it('out of reach: named with the reason, exit code 1', async () => {
    const DATABASE_URL = `postgres://usage:${PASSWORD}@127.0.0.1:1/billing`;
    const { code, message } = await refusalOf(['run'], { DATABASE_URL }, 1);
    expect(code).toBe('database_unreachable');
    expect(message).toBe(
      'Cannot reach the database at 127.0.0.1:1/billing: connect ECONNREFUSED 127.0.0.1:1',
    );
  });

  it('refuses the password', async () => {
    const DATABASE_URL = withLogin(untouched.url, 'postgres', PASSWORD);
    const { code, message, hint } = await refusalOf(['run'], { DATABASE_URL }, 2);
    expect(code).toBe('database_refused');
    expect(message).toContain(`${new URL(untouched.url).host}/`);
    expect(message).toContain('password authentication failed');
    expect(hint).toContain('password');
  });

  it('only reads, whoever asks: that may pass, exit code 1', async () => {
    const place = await createPlace();
    try {
      expect((await exported.run(['migrate'], { DATABASE_URL: place.url })).code).toBe(0);
      await place.query(`do $$ begin
        execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$`);
      const { code, message } = await refusalOf(['run'], { DATABASE_URL: place.url }, 1);
      expect(code).toBe('database_failed');
      expect(message).toMatch(/^Transactions on .* only read, whoever begins them$/);
    } finally {
      await place.remove();
    }
  });
});

describe('Losant', () => {
  const DATABASE = () => ({ DATABASE_URL: untouched.url });

  it('refuses the token: exit code 5, naming the setting, and no cell is touched', async () => {
    const { code, message, hint } = await refusalOf(
      ['run'],
      { ...DATABASE(), LOSANT_API_TOKEN: PASSWORD },
      5,
    );
    expect(code).toBe('unauthorized');
    expect(message).toContain('instance.get');
    expect(hint).toContain('LOSANT_API_TOKEN');
    expect(await untouched.query('select * from losant_usage.coverage')).toEqual([]);
  });

  it('does not know the instance: exit code 2', async () => {
    const env = { ...DATABASE(), LOSANT_INSTANCE_ID: '0123456789abcdef01234567' };
    const { message, hint } = await refusalOf(['run'], env, 2);
    expect(message).toContain('0123456789abcdef01234567');
    expect(hint).toContain('LOSANT_INSTANCE_ID');
    expect(await untouched.query('select * from losant_usage.instances')).toEqual([]);
  });

  it('is out of reach: exit code 1', async () => {
    const gone = await startPlatform();
    await gone[Symbol.asyncDispose]();
    const env = { ...DATABASE(), LOSANT_API_URL: gone.url, REQUEST_ATTEMPTS: '1' };
    const { code, message, hint } = await refusalOf(['run'], env, 1);
    expect(code).toBe('unreachable');
    expect(message).toContain('ECONNREFUSED');
    expect(hint).toContain('LOSANT_API_URL');
  });

  // Promise (Runs): Clocks that disagree load nothing, at the start of a run and in each of its loads.
  it.each([6, -6])('has a clock %i minutes off: exit code 1, and nothing is loaded', async (minutes) => {
    const { platform } = exported;
    await platform.control('config', { clock: { offsetMs: minutes * 60_000 } });
    try {
      const { code, message } = await refusalOf(['run'], DATABASE(), 1);
      expect(code).toBe('clock_skew');
      expect(message).toMatch(/clock is 3[56]\d s (ahead of|behind) the Losant API's/);
      expect(await untouched.query('select * from losant_usage.coverage')).toEqual([]);
    } finally {
      await platform.control('config', { clock: { offsetMs: 0 } });
    }
  });

  it('refuses one scope: the other streams load, and endpoint and scope are named', async () => {
    const { platform } = exported;
    const token = 'token-without-notebooks';
    const scopes = ['instance.get', 'instanceOrgs.get', 'instanceOrg.get', 'instanceOrg.deviceCounts'].concat(
      ['instanceOrg.payloadCounts', 'instanceOrg.payloadCountsBreakdown'],
    );
    await platform.control('tokens', { token, scopes });
    const ended = await exported.run(['run', '--json'], { ...DATABASE(), LOSANT_API_TOKEN: token });
    expect(ended.code).toBe(5);
    const report = jsonOf(ended);
    expect(report).toMatchObject({ status: 'partial', cells: { planned: 12, loaded: 9, failed: 3 } });
    expect(report.failures).toHaveLength(3);
    for (const { stream, code, message } of report.failures) {
      expect([stream, code]).toEqual(['notebook_minutes', 'forbidden']);
      expect(message).toContain('instanceOrg.notebookMinuteCounts');
    }
    const text = await exported.run(['run'], { ...DATABASE(), LOSANT_API_TOKEN: token });
    expect(text.code).toBe(5);
    expect(text.stdout).toContain('The token lacks a scope: add instanceOrg.notebookMinuteCounts to it');

    const healed = await exported.run(['run', '--json'], DATABASE());
    expect(healed.code).toBe(0);
    expect(jsonOf(healed).cells).toMatchObject({ planned: 3, loaded: 3 });
  });
});
