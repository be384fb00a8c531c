/**
 * A year that is billed: organizations come, numbers are restated before and after a month is closed, a gap is waived
 * and filled later. A clerk closes with the rights of the closer, and somebody with the rights of the writer tries to
 * forge statements. The newest leap year that is over, as the program's clock is the database's.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { type Played, usePlayed } from './played.ts';
import { readTruth } from './usage.ts';

const LAST_YEAR = Number(daysAgo(0).slice(0, 4)) - 1;
const LEAP = LAST_YEAR - (LAST_YEAR % 4);
const YEAR = ['--from', `${LEAP}-01-01`, '--to', `${LEAP}-12-31`];
const MONTHS = Array.from({ length: 12 }, (_, index) => `${LEAP}-${String(index + 1).padStart(2, '0')}`);
/** The metrics that are sums, by stream, in the order in which the platform names their numbers. */
const FLOWS: Readonly<Record<string, readonly string[]>> = {
  device_counts: ['devices_created', 'devices_deleted'],
  notebook_minutes: [
    'notebook_minutes',
    'notebook_completed',
    'notebook_canceled',
    'notebook_errored',
    'notebook_timeout',
  ],
  payload_totals: ['payload_billable_count', 'payload_all_count', 'payload_all_bytes'],
};

const open = usePlayed();

let played: Played;
let folder: string;
let clerk: string;
let forger: string;

afterEach(async () => {
  for (const role of [clerk, forger]) await query(`drop owned by ${role}; drop role ${role}`);
  await rm(folder, { recursive: true });
});

const query = async (statement: string) => await played.query(statement);
const backfill = async (...args: readonly string[]) =>
  await played.run(['backfill', '--json', ...args], { HORIZON_DAYS: '3650' });

const readAgain = async (orgId: string, day: string) =>
  (await backfill('--org', orgId, '--from', day, '--to', day, '--force')).code;

/** Creates a user with the rights of a role of deploy/postgres/roles.sql, and of the reader. */
async function createUser(role: 'writer' | 'closer'): Promise<string> {
  const name = `losant_usage_year_${role}_${randomBytes(4).toString('hex')}`;
  await query(`create role ${name} login password 'for-this-test-only'`);
  const [rights] = await query(`select prosrc from pg_proc where oid = 'losant_usage.grant_rights'::regproc`);
  const granted = String(rights?.['prosrc'])
    .replaceAll(`losant_usage_${role}`, name)
    .replaceAll('losant_usage_reader', name)
    .replaceAll(`losant_usage_${role === 'writer' ? 'closer' : 'writer'}`, 'losant_usage_nobody');
  await query(`do $do$${granted}$do$`);
  return name;
}

function urlOf(user: string): string {
  const url = new URL(played.database.url);
  url.username = user;
  url.password = 'for-this-test-only';
  return url.href;
}

const asClerk = async (...args: readonly string[]) =>
  await played.run(args, { DATABASE_URL: urlOf(clerk), STATEMENT_KEY_FILE: join(folder, 'statement.key') });

interface Closing {
  readonly instances: readonly {
    readonly outcome: string;
    readonly blockers?: readonly { readonly cause: string }[];
  }[];
}

/** Closes a month as the clerk, and returns the outcome with what blocked it. */
async function closeMonth(month: string, ...more: readonly string[]): Promise<string> {
  const ended = await asClerk('close', '--period', month, '--json', ...more);
  const [first] = jsonOf<Closing>(ended).instances;
  const causes = [...new Set(first?.blockers?.map(({ cause }) => cause))];
  return [first?.outcome, ...causes].join(' ');
}

/** What a forger tries; the writer has no right to any of it. */
const FORGERIES = [
  ...['statements', 'statement_lines', 'statement_files', 'statement_blockers'].map(
    (table) => `insert into losant_usage.${table} select * from losant_usage.${table}`,
  ),
  `update losant_usage.statement_lines set quantity = 0`,
  `delete from losant_usage.statements`,
  `select losant_usage.open_statement(instance_id, '2020-01-01', false, 'forged', null, now()) from losant_usage.instances`,
  `select losant_usage.seal_statement(gen_random_uuid(), 'lines.csv', '')`,
];

/** Tries each forgery, and returns what Postgres said to them. */
async function forge(): Promise<Set<unknown>> {
  const client = new pg.Client({ connectionString: urlOf(forger) });
  await client.connect();
  const answers = new Set<unknown>();
  for (const each of FORGERIES) {
    answers.add(
      await client.query(each).then(
        () => each,
        (error: unknown) => (error as { code: string }).code,
      ),
    );
  }
  await client.end();
  return answers;
}

/** The sums over the year by organization and flow, and by payload type and source. */
async function sumTruth(): Promise<Record<string, string>> {
  const sums = new Map<string, bigint>();
  const add = (key: string, number = '0') => sums.set(key, (sums.get(key) ?? 0n) + BigInt(number));
  for (const line of await readTruth(played.platform, `${LEAP}-01-01`, `${LEAP}-12-31`)) {
    const [stream = '', orgId = '', , ...numbers] = line.split(' ');
    for (const [index, metric] of (FLOWS[stream] ?? []).entries()) add(`${orgId} ${metric}`, numbers[index]);
    if (stream === 'payload_sources') {
      add(`${orgId} ${numbers[0]} ${numbers[1]}`, numbers[2]);
      add(`${orgId} payload_source_count`, numbers[2]);
    }
  }
  return Object.fromEntries([...sums].map(([key, sum]) => [key, `${sum}`]));
}

/** A line has the split of its month's total, so that the newest one counts. */
async function sumStatements(): Promise<Record<string, string>> {
  const rows = await query(`select l.org_id || ' ' || l.metric as key, sum(l.quantity)::text as sum
      from losant_usage.statement_lines l where l.kind = 'flow' group by 1
    union all
    select n.org_id || ' ' || t.key || ' ' || s.key, sum(s.value::bigint)::text
      from (
        select distinct on (l.org_id, l.month) l.org_id, l.sources
        from losant_usage.statement_lines l join losant_usage.statements s using (statement_id)
        where l.metric = 'payload_source_count' order by l.org_id, l.month, s.number desc
      ) as n, jsonb_each(n.sources) as t, jsonb_each_text(t.value) as s group by 1`);
  return Object.fromEntries(rows.map(({ key, sum }) => [String(key), String(sum)]));
}

// Promise (Billing): The sum over all statements of a month is the number of now, over a played year.
test('every month of a leap year is closed, adjusted and verified, and comes to the truth', async () => {
  played = await open(`${LEAP + 1}-01-06T10:30:00Z`, { orgs: 2 });
  folder = await mkdtemp(join(tmpdir(), 'year-'));
  const { platform, run } = played;
  const keys = generateKeyPairSync('ed25519');
  await writeFile(join(folder, 'statement.key'), keys.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await writeFile(join(folder, 'statement.pub'), keys.publicKey.export({ type: 'spki', format: 'pem' }));
  clerk = await createUser('closer');
  forger = await createUser('writer');
  // The platform keeps the detail of all these days, and the program asks for them.
  await platform.control('config', { detailDays: 3650 });
  const [first = ''] = played.orgIds;
  const [later, latest] = ['a'.repeat(24), 'b'.repeat(24)];
  await platform.control('orgs', { id: later, creationDate: `${LEAP}-02-29T08:00:00Z`, size: 0.5 });
  await platform.control('orgs', { id: latest, creationDate: `${LEAP}-05-10T23:59:59Z`, size: 0.2 });
  const gap = { orgId: first, day: `${LEAP}-07-10`, action: 'deviceCounts' };
  await platform.control('omit', gap);
  expect((await backfill(...YEAR)).code).toBe(3);

  // Restated before its month is closed: read again, billed once.
  await platform.control('restate', { orgId: first, day: `${LEAP}-03-05` });
  expect(await readAgain(first, `${LEAP}-03-05`)).toBe(0);

  for (const month of MONTHS) {
    const isJuly = month === `${LEAP}-07`;
    expect([month, await closeMonth(month)]).toEqual([month, isJuly ? 'refused missing' : 'closed']);
    if (isJuly) {
      const day = ['--org', first, '--day', gap.day, '--stream', 'device_counts'];
      expect((await run(['waive', ...day, '--reason', 'no count'])).code).toBe(0);
      expect(await closeMonth(month)).toBe('closed');
    }
    if (month === MONTHS[0]) expect(await forge()).toEqual(new Set(['42501']));
  }
  expect(await query('select * from losant_usage.adjustments')).toEqual([]);

  // After the closing: a restatement on the leap day, one in November, and the number that was waived.
  await platform.control('restate', { orgId: later, day: `${LEAP}-02-29` });
  await platform.control('restate', { orgId: first, day: `${LEAP}-11-30` });
  await platform.control('omit', { ...gap, omit: false });
  for (const [orgId, day] of [
    [later, `${LEAP}-02-29`],
    [first, gap.day],
    [first, `${LEAP}-11-30`],
  ] as const) {
    expect(await readAgain(orgId, day)).toBe(0);
  }
  const adjusted = [`${LEAP}-02`, `${LEAP}-07`, `${LEAP}-11`];
  expect(
    await query(
      `select distinct to_char(month, 'YYYY-MM') as month, cause from losant_usage.adjustments order by 1`,
    ),
  ).toEqual([
    { month: adjusted[0], cause: 'restated' },
    { month: adjusted[1], cause: 'settled_later' },
    { month: adjusted[2], cause: 'restated' },
  ]);
  for (const month of adjusted) expect(await closeMonth(month, '--adjust')).toBe('closed');
  expect(await query('select * from losant_usage.adjustments')).toEqual([]);
  expect(await forge()).toEqual(new Set(['42501']));
  expect(await sumStatements()).toEqual(await sumTruth());

  // The whole chain in one folder, with its signatures.
  await mkdir(join(folder, 'all'));
  for (const month of MONTHS) {
    const out = join(folder, 'all', month);
    expect((await asClerk('statement', '--period', month, '--out', out)).code).toBe(0);
  }
  const key = join(folder, 'statement.pub');
  const verified = await asClerk('verify', join(folder, 'all'), '--key', key, '--json');
  expect(jsonOf(verified)).toMatchObject({ ok: true, problems: [] });
  expect(await query('select distinct closed_by from losant_usage.statements')).toEqual([
    { closed_by: clerk },
  ]);
}, 300_000);
