import { createHash } from 'node:crypto';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parquetReadObjects } from 'hyparquet';
import { sql } from 'kysely';
import pg from 'pg';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { useLedger } from '../database/ledger.ts';
import {
  jsonOf,
  LAUNCHER,
  type Refusal,
  runProgram,
  spawnProgram,
  startProcess,
  startProgram,
} from '../support/program.ts';
import { until } from '../support/wait.ts';

const ledger = useLedger();
let folder: string;
let out: string;

/** Two days of two organizations, one of a hostile name. */
beforeAll(async () => {
  const orgs = [await ledger.newOrg(), await ledger.newOrg()];
  await ledger.ask(sql`update losant_usage.organizations set name = ${'=cmd|"x"\u001b[2J'}, referral_id = ''
    where org_id = ${orgs[1]}`);
  await ledger.ask(sql`insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total)
    values ('2026-10-02', ${orgs[1]}, 0, 0, 12), ('2026-10-01', ${orgs[1]}, 4, 1, 17),
      ('2026-10-02', ${orgs[0]}, 1, 0, 6), ('2026-10-01', ${orgs[0]}, 0, 0, 5)`);
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-export-'));
  out = join(folder, 'usage.csv');
  return () => rmSync(folder, { recursive: true, force: true });
});

const VIEW = ['--view', 'device_continuity'];
const DAYS = ['--from', '2026-10-01', '--to', '2026-10-31'];
const CSV = ['export', ...VIEW, ...DAYS, '--format', 'csv'];
const run = (...args: string[]) => runProgram(args, { DATABASE_URL: ledger.url });

const FILE =
  'instance_id,org_id,org_name,referral_id,plan_id,customer_id,usage_date,previous_total,devices_created,devices_deleted,expected_total,devices_total,difference\r\n' +
  '5c0000000000000000000001,5d0000000000000000000001,Acme,,,,2026-10-02,5,1,0,6,6,0\r\n' +
  '5c0000000000000000000001,5d0000000000000000000002,"\'=cmd|""x""\u001b[2J","",,,2026-10-02,17,0,0,17,12,-5\r\n';

test('organizations and their tags are files without days', async () => {
  await ledger.ask(sql`update losant_usage.organizations set tags = '[{"key":"region","value":"eu"},{"key":"region","value":"us"}]'
    where org_id = '5d0000000000000000000001'`);
  const { code, stdout } = await run('export', '--view', 'organization_tags', '--format', 'csv');
  expect(code).toBe(0);
  expect(stdout.split('\r\n').filter((line) => line.includes('region'))).toEqual([
    expect.stringMatching(/5d0000000000000000000001,region,eu,1/),
    expect.stringMatching(/5d0000000000000000000001,region,us,2/),
  ]);
  const orgs = await run(
    'export',
    '--view',
    'organizations',
    '--format',
    'ndjson',
    '--org',
    '5d0000000000000000000002',
  );
  expect(orgs.stdout.trimEnd().split('\n')).toHaveLength(1);
  const refused = await run('export', '--view', 'organizations', '--format', 'csv', ...DAYS);
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringContaining('the rows of organizations are of no day'),
  ]);
  const without = await run('export', ...VIEW, '--format', 'csv');
  expect([without.code, without.stderr]).toEqual([2, expect.stringContaining('needs --from and --to')]);
});

describe('a view', () => {
  test('goes to stdout byte by byte, with a summary beside it', async () => {
    expect(await run(...CSV)).toEqual({
      code: 0,
      signal: null,
      stdout: FILE,
      stderr: '2 rows of device_continuity, 2026-10-01..2026-10-31.\n',
    });
  });

  test('goes to stdout with - as the file', async () => {
    expect(await run(...CSV, '--out', '-')).toMatchObject({ code: 0, stdout: FILE });
  });

  test('shows no control character on a terminal, where Parquet is refused', async () => {
    const csv = await runProgram(CSV, { DATABASE_URL: ledger.url }, { columns: 120 });
    expect(csv.stdout).toContain(String.raw`"'=cmd|""x""\x1b[2J","",,,2026-10-02`);
    const parquet = ['export', ...VIEW, ...DAYS, '--format', 'parquet'];
    const refused = await runProgram(parquet, { DATABASE_URL: ledger.url }, { columns: 120 });
    expect(refused.code).toBe(2);
    expect(refused.stdout).toContain('name the file with --out');
  });

  test('goes to a file through a link, with its mode kept, and says what it is', async () => {
    writeFileSync(out, 'before', { mode: 0o600 });
    symlinkSync(out, join(folder, 'link'));
    const ended = await run(...CSV, '--out', join(folder, 'link'), '--json');
    expect(jsonOf(ended)).toEqual({
      view: 'device_continuity',
      from: '2026-10-01',
      to: '2026-10-31',
      format: 'csv',
      file: join(folder, 'link'),
      rows: 2,
      bytes: Buffer.byteLength(FILE),
      sha256: createHash('sha256').update(FILE).digest('hex'),
    });
    expect(readFileSync(out, 'utf8')).toBe(FILE);
    expect(statSync(out).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder).toSorted()).toEqual(['link', 'usage.csv']);
  });

  test('is filtered by organization, and read as Parquet', async () => {
    const org = '5d0000000000000000000002';
    const file = join(folder, 'usage.parquet');
    const ended = await run('export', ...VIEW, ...DAYS, '--org', org, '--format', 'parquet', '--out', file);
    expect(ended.stdout).toMatch(
      /^1 row of device_continuity, 2026-10-01\.\.2026-10-31, in .*usage\.parquet: [\d,]+ bytes\.\nsha256 [0-9a-f]{64}\n$/,
    );
    expect(await parquetReadObjects({ file: new Uint8Array(readFileSync(file)).buffer })).toMatchObject([
      {
        org_id: org,
        org_name: '=cmd|"x"\u001b[2J',
        usage_date: new Date('2026-10-02'),
        previous_total: 17n,
        difference: -5n,
      },
    ]);
  });
});

describe('what cannot be is refused with exit code 2', () => {
  test.each([
    [['--org', '5d00000000000000000000ff'], /^--org 5d0{20}ff: no such organization was ever seen$/],
    [['--instance', '5c00000000000000000000ff'], /^The database has nothing of instance 5c0{20}ff$/],
  ])('%j', async (args, message) => {
    const ended = await run(...CSV, ...args, '--out', out, '--json');
    expect(jsonOf<Refusal>(ended).error.message).toMatch(message);
    expect(ended.code).toBe(2);
    expect(readdirSync(folder)).toEqual([]);
  });

  const USUAL = { view: 'daily_usage', from: '2026-10-01', to: '2026-10-31', format: 'csv', out: '/tmp/x' };

  test.each([
    [{ view: 'usage' }, /^--view usage: The views are daily_usage, daily_usage_long, monthly_usage, /],
    [{ format: 'xlsx' }, /^--format xlsx: The formats are csv, ndjson, parquet\.$/],
    [{ from: '2026-11-01' }, /^--from 2026-11-01 is later than --to 2026-10-31$/],
    [{ out: null }, /^--json describes a file, and the file itself would go to stdout$/],
    [{ out: '-' }, /^--json describes a file, and the file itself would go to stdout$/],
    [{ to: '2026-09-31' }, /^--to 2026-09-31: That day does not exist: 2026-09 has 30 days\.$/],
  ])('%j', async (changes, message) => {
    const options = Object.entries({ ...USUAL, ...changes }).filter(([, value]) => value !== null);
    const args = options.flatMap(([name, value]) => [`--${name}`, String(value)]);
    const { code, stdout } = await runProgram(['export', ...args, '--json'], {
      DATABASE_URL: 'postgres://nowhere',
    });
    const { error } = JSON.parse(stdout) as Refusal;
    expect(error.message).toMatch(message);
    expect(code).toBe(2);
  });
});

describe('a file that is not finished leaves nothing behind, and what was there stays', () => {
  beforeEach(() => writeFileSync(out, 'before'));

  const isUntouched = () => {
    expect(readdirSync(folder)).toEqual(['usage.csv']);
    expect(readFileSync(out, 'utf8')).toBe('before');
  };

  /** What the server's sessions that read rows of a view wait for. */
  const readings = async () => {
    const { rows } = await sql<{ waits: string | null }>`
      select wait_event as waits from pg_stat_activity
      where datname = current_database() and state = 'active' and query like 'fetch % from "view_rows"'`.execute(
      ledger.db,
    );
    return rows.map(({ waits }) => waits);
  };

  /** The URL of a reader to whom each row of the payloads by source takes the server a minute. */
  const openToSlowReader = async () => {
    const url = new URL(ledger.url);
    const role = `slow_${url.pathname.slice(1)}`;
    const client = new pg.Client({ connectionString: ledger.url });
    await client.connect();
    await client.query(`
      set losant_usage.program = 'test';
      insert into losant_usage.payload_sources (usage_date, org_id, payload_type, source, count)
        select '2026-10-01', org_id, 'webhook', 'public.rest', 1 from losant_usage.organizations;
      create role ${role} login password 'reader';
      grant usage on schema losant_usage to ${role};
      grant select on all tables in schema losant_usage to ${role};
      alter table losant_usage.payload_sources enable row level security;
      create policy slow on losant_usage.payload_sources for select to ${role} using (pg_sleep(60) is not null)`);
    await client.end();
    return Object.assign(url, { username: role, password: 'reader' }).href;
  };

  test('when it is interrupted, even while the server is still at work', async () => {
    const sources = ['export', '--view', 'payload_sources', ...DAYS, '--format', 'csv', '--out', out];
    const running = startProgram(sources, { DATABASE_URL: await openToSlowReader() });
    await until('the server is at work on the rows', async () => {
      return (await readings()).includes('PgSleep') && readdirSync(folder).length === 2;
    });
    running.kill('SIGINT');
    expect(await running.ended).toMatchObject({ code: 130, signal: null });
    expect(await readings()).toEqual([]);
    isUntouched();
  });

  test('when there is no room for it', async () => {
    // 1 KiB a file, which is less than 40 rows.
    await ledger.ask(sql`insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total)
      select '2025-01-01'::date + n, '5d0000000000000000000001', 0, 0, 5 from generate_series(0, 99) as n`);
    const command = `ulimit -f 1; exec '${process.execPath}' '${LAUNCHER}' ${CSV.join(' ')} --from 2025-01-01 --out '${out}'`;
    const ended = await startProcess('sh', ['-c', command.replace('--from 2026-10-01 ', '')], {
      DATABASE_URL: ledger.url,
    }).ended;
    expect(ended.stderr).toMatch(/usage\.csv cannot be written: EFBIG: file too large\n {2}give it room/);
    expect(ended.code).toBe(1);
    isUntouched();
  });
});

test('a reader that goes away is no failure, and ends the reading', async () => {
  const running = spawnProgram([...CSV.slice(0, -1), 'ndjson'], { DATABASE_URL: ledger.url });
  running.process.stdout?.destroy();
  expect(await running.ended).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
});
