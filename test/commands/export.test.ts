import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { useTestDatabase } from '../opened.ts';
import { asOwner, asWriter, queryOnce } from '../support/databases.ts';
import { createTestFolder } from '../support/folders.ts';
import { jsonOf, LAUNCHER, type Refusal, runProgram, startProcess, startProgram } from '../support/program.ts';
import { loginAs } from '../support/roles.ts';
import { until } from '../support/wait.ts';

const ACME = '5d0000000000000000000001';
const EVIL = '5d0000000000000000000002';

const database = useTestDatabase();
let folder: string;
let out: string;

/** Two days of two organizations, one of a hostile name. */
beforeAll(async () => {
  const day = (org: string, date: string, count: number) =>
    `('${org}', '${date}', 'final', ${count}, '{"timer": {"flow": ${count}}}', '2026-10-03T00:00Z')`;
  const days = [day(EVIL, '2026-10-02', 12), day(EVIL, '2026-10-01', 17), day(ACME, '2026-10-02', 6)];
  await asWriter(
    database.url,
    `insert into losant_usage.organizations (org_id, name, referral_id, tags, first_seen_at, last_seen_at)
       values ('${ACME}', 'Acme', null, '[{"key":"region","value":"eu"}]', now(), now()),
         ('${EVIL}', e'=cmd|"x"\\u001b[2J', '', '[]', now(), now());
     insert into losant_usage.usage_days
       (org_id, usage_date, standing, payload_source_count, payload_sources, changed_at)
       values ${days.join(', ')}, ${day(ACME, '2026-10-01', 5)}`,
  );
});
beforeEach(() => {
  folder = createTestFolder();
  out = join(folder, 'usage.csv');
});

const VIEW = ['--view', 'payload_sources'];
const DAYS = ['--from', '2026-10-01', '--to', '2026-10-31'];
const CSV = ['export', ...VIEW, ...DAYS, '--format', 'csv'];
const run = (...args: string[]) => runProgram(args, { DATABASE_URL: database.url });

const NAME = `"'=cmd|""x""\u001b[2J"`;
const AT = '2026-10-03T00:00:00.000000Z';
const FILE = [
  'org_id,org_name,referral_id,plan_id,customer_id,usage_date,payload_type,source,count,changed_at',
  `${ACME},Acme,,,,2026-10-01,timer,flow,5,${AT}`,
  `${EVIL},${NAME},"",,,2026-10-01,timer,flow,17,${AT}`,
  `${ACME},Acme,,,,2026-10-02,timer,flow,6,${AT}`,
  `${EVIL},${NAME},"",,,2026-10-02,timer,flow,12,${AT}`,
  '',
].join('\r\n');

describe('a view', () => {
  test('goes to stdout byte by byte, with a summary on stderr', async () => {
    const stderr = '4 rows of payload_sources, 2026-10-01..2026-10-31.\n';
    expect(await run(...CSV)).toEqual({ code: 0, signal: null, stdout: FILE, stderr });
    expect(await run(...CSV, '--out', '/dev/stdout')).toMatchObject({ code: 0, stdout: FILE });
  });

  test('puts no control character and no Parquet on a terminal', async () => {
    const csv = await runProgram(CSV, { DATABASE_URL: database.url }, { isTerminal: true });
    expect(csv.stdout).toContain(String.raw`"'=cmd|""x""\x1b[2J","",`);
    const parquet = ['export', ...VIEW, ...DAYS, '--format', 'parquet'];
    const rejected = await runProgram(parquet, { DATABASE_URL: database.url }, { isTerminal: true });
    expect(rejected.code).toBe(2);
    expect(rejected.stdout).toContain('use --out FILE');
  });

  test('goes to a file through a link, keeps its mode, and reports size and hash', async () => {
    writeFileSync(out, 'before', { mode: 0o600 });
    symlinkSync(out, join(folder, 'link'));
    const ended = await run(...CSV, '--out', join(folder, 'link'), '--json');
    expect(jsonOf(ended)).toEqual({
      view: 'payload_sources',
      from: '2026-10-01',
      to: '2026-10-31',
      format: 'csv',
      file: join(folder, 'link'),
      rows: 4,
      bytes: Buffer.byteLength(FILE),
      sha256: createHash('sha256').update(FILE).digest('hex'),
    });
    expect(readFileSync(out, 'utf8')).toBe(FILE);
    expect(statSync(out).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder).toSorted()).toEqual(['link', 'usage.csv']);
  });
});

const DEFAULTS = { view: 'daily_usage', from: '2026-10-01', to: '2026-10-31', format: 'csv', out: '/tmp/x' };

test.each([
  [{ view: 'usage' }, /^--view="usage" is not a known value; use daily_usage, daily_usage_long, payload_sources, /],
  [{ format: 'xlsx' }, /^--format="xlsx" is not a known value; use csv, ndjson or parquet$/],
  [{ view: 'organizations' }, /^organizations has no days, so --from and --to do not apply$/],
  [{ from: null, to: null }, /^daily_usage requires --from and --to$/],
  [{ from: '2026-11-01' }, /^--from 2026-11-01 is later than --to 2026-10-31$/],
  [{ out: '' }, /^--out is empty$/],
  [{ out: '-' }, /^--json cannot be combined with writing the file to stdout$/],
])('invalid options are rejected with exit code 2: %j', async (changes, message) => {
  const options = Object.entries({ ...DEFAULTS, ...changes }).filter(([, value]) => value !== null);
  const args = options.flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { code, stdout } = await runProgram(['export', ...args, '--json'], { DATABASE_URL: 'postgres://nowhere' });
  const { error } = JSON.parse(stdout) as Refusal;
  expect(error.message).toMatch(message);
  expect(code).toBe(2);
});

describe('an unfinished file leaves nothing behind, and an existing one unchanged,', () => {
  beforeEach(() => writeFileSync(out, 'before'));

  const isUntouched = () => {
    expect(readdirSync(folder)).toEqual(['usage.csv']);
    expect(readFileSync(out, 'utf8')).toBe('before');
  };

  /** Returns what the sessions that read rows of a view are waiting for. */
  const readWaits = async () => {
    const rows = await queryOnce(
      database.url,
      `select wait_event as waits from pg_stat_activity
       where datname = current_database() and state = 'active' and query like 'fetch % from view_rows'`,
    );
    return rows.map(({ waits }) => waits);
  };

  /** Makes the server take a minute for each organization that a reader reads. */
  const slowDownReads = () =>
    asOwner(
      database.url,
      `alter table losant_usage.organizations enable row level security;
       create policy slow on losant_usage.organizations for select to losant_usage_reader
         using (pg_sleep(60) is not null)`,
    );

  test('when it is interrupted, even while the server is busy', async () => {
    await slowDownReads();
    const args = ['export', '--view', 'organizations', '--format', 'csv', '--out', out];
    const running = startProgram(args, { DATABASE_URL: database.url });
    await until('the server is at work on the rows', async () => {
      return (await readWaits()).includes('PgSleep') && readdirSync(folder).length === 2;
    });
    running.kill('SIGINT');
    expect(await running.ended).toMatchObject({ code: 130, signal: null });
    expect(await readWaits()).toEqual([]);
    isUntouched();
    await asOwner(database.url, 'alter table losant_usage.organizations disable row level security');
  });

  test('when the disk is full', async () => {
    // 1 KiB a file, which is less than 20 rows.
    const days = `insert into losant_usage.usage_days (usage_date, org_id, payload_source_count, payload_sources, standing)
      select '2025-01-01'::date + n, '${ACME}', 1, '{"timer": {"flow": 1}}', 'final' from generate_series(0, 99) as n`;
    await asWriter(database.url, days);
    const args = `${CSV.join(' ').replace('2026-10-01', '2025-01-01')} --out '${out}'`;
    const command = `ulimit -f 1; exec '${process.execPath}' '${LAUNCHER}' ${args}`;
    const reader = { DATABASE_URL: loginAs('reader', database.url) };
    const { code, stderr } = await startProcess('sh', ['-c', command], reader).ended;
    const problem = /usage\.csv cannot be written: EFBIG: file too large\n {2}give a path .* on a disk with free /;
    expect(stderr).toMatch(problem);
    expect(code).toBe(1);
    isUntouched();
  });
});

test('a reader that goes away is not a failure, and ends the query', async () => {
  const closed = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
  const stdout = new Writable({ write: (_part, _encoding, done) => done(closed) });
  const ended = await runProgram([...CSV.slice(0, -1), 'ndjson'], { DATABASE_URL: database.url }, { stdout });
  expect(ended).toMatchObject({ code: 0, stderr: '' });
});
