/**
 * A year that is billed, by calendar months and by the organizations' own periods: organizations come and go,
 * numbers are restated before and after a month is closed, a gap is waived and filled later, periods move. A clerk
 * closes with the rights of the closer, and somebody with the rights of the writer tries to forge statements. The
 * newest leap year that is over, as the program's clock is the database's.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, expect, inject, test } from 'vitest';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { type Export, openExport, orgIdsOf } from './export.ts';
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

let exported: Export;
let folder: string;
let clerk: string;
let forger: string;

afterEach(async () => {
  await exported.close();
  for (const role of [clerk, forger])
    await queryOnce(inject('postgresAdminUrl'), `drop role if exists ${role}`);
  await rm(folder, { recursive: true });
});

const query = async (statement: string) => await exported.place.query(statement);
/** BILLING_PERIODS of the program. */
let billingPeriods = 'calendar';
const backfill = async (...args: readonly string[]) =>
  await exported.run(['backfill', '--json', ...args], {
    HORIZON_DAYS: '3650',
    BILLING_PERIODS: billingPeriods,
  });

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
  const url = new URL(exported.place.url);
  url.username = user;
  url.password = 'for-this-test-only';
  return url.href;
}

const asClerk = async (...args: readonly string[]) =>
  await exported.run(args, { DATABASE_URL: urlOf(clerk), STATEMENT_KEY_FILE: join(folder, 'statement.key') });

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
  `insert into losant_usage.statements (statement_id, instance_id, period_month, number, kind, source, orgs, closed_at, closed_by)
    select gen_random_uuid(), instance_id, '2030-01-01', 99, 'closing', 'calendar', 0, now(), 'cfo' from losant_usage.instances`,
  `insert into losant_usage.statement_lines select * from losant_usage.statement_lines`,
  `insert into losant_usage.statement_sources select * from losant_usage.statement_sources`,
  `insert into losant_usage.statement_files select * from losant_usage.statement_files`,
  `insert into losant_usage.statement_blockers select * from losant_usage.statement_blockers`,
  `update losant_usage.statement_lines set quantity = 0`,
  `delete from losant_usage.statements`,
  `select losant_usage.open_statement(instance_id, '2020-01-01', false, 'forged', now()) from losant_usage.instances`,
  `select losant_usage.seal_statement(gen_random_uuid(), 'lines.csv', '')`,
  `delete from losant_usage.months`,
  `begin; lock table losant_usage.load_lock in share mode`,
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

/** The sums over the year by organization and flow, and by payload type and source, of the days on which it was there. */
async function sumTruth(
  last: string,
  until: Readonly<Record<string, string>>,
): Promise<Record<string, string>> {
  const sums = new Map<string, bigint>();
  const add = (key: string, number = '0') => sums.set(key, (sums.get(key) ?? 0n) + BigInt(number));
  for (const line of await readTruth(exported.platform, `${LEAP}-01-01`, last)) {
    const [stream = '', orgId = '', day = '', ...numbers] = line.split(' ');
    if (day > (until[orgId] ?? '9999')) continue;
    for (const [index, metric] of (FLOWS[stream] ?? []).entries()) add(`${orgId} ${metric}`, numbers[index]);
    if (stream === 'payload_sources') {
      add(`${orgId} ${numbers[0]} ${numbers[1]}`, numbers[2]);
      add(`${orgId} payload_source_count`, numbers[2]);
    }
  }
  return Object.fromEntries([...sums].map(([key, sum]) => [key, `${sum}`]));
}

async function sumStatements(): Promise<Record<string, string>> {
  const rows = await query(`select l.org_id || ' ' || l.metric as key, sum(l.quantity)::text as sum
      from losant_usage.statement_lines l where l.kind = 'flow' group by 1
    union all
    select s.org_id || ' ' || s.payload_type || ' ' || s.source, sum(s.quantity)::text
      from losant_usage.statement_sources s group by 1`);
  return Object.fromEntries(rows.map(({ key, sum }) => [String(key), String(sum)]));
}

/** Gives every organization a period of its own, from the 15th to the 14th, as if it had been seen in Losant. */
async function seeOwnPeriods(): Promise<void> {
  const starts = [`${LEAP}-01-01`, ...MONTHS.map((month) => `${month}-15`), `${LEAP + 1}-01-15`];
  for (const [index, start] of starts.slice(0, -1).entries()) {
    await query(`insert into losant_usage.organization_history
        (org_id, valid_from, valid_to, instance_id, name, tags, limits, is_read_only, current_period_start, current_period_end)
      select org_id, '${start}T00:00Z', '${start}T12:00Z', instance_id, name, tags, limits, false, '${start}T00:00Z',
        '${starts[index + 1]}T00:00Z' from losant_usage.organizations`);
  }
}

test.each([
  { periods: 'calendar', last: `${LEAP}-12-31`, adjusted: [`${LEAP}-02`, `${LEAP}-07`, `${LEAP}-11`] },
  { periods: 'losant', last: `${LEAP}-12-14`, adjusted: [`${LEAP}-03`, `${LEAP}-07`, `${LEAP}-12`] },
])(
  'every month of a leap year is closed by periods of $periods, adjusted and verified, and comes to the truth',
  async ({ periods, last, adjusted }) => {
    billingPeriods = periods;
    exported = await openExport({ orgs: 2 });
    folder = await mkdtemp(join(tmpdir(), 'year-'));
    const { platform, run } = exported;
    const keys = generateKeyPairSync('ed25519');
    await writeFile(join(folder, 'statement.key'), keys.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await writeFile(join(folder, 'statement.pub'), keys.publicKey.export({ type: 'spki', format: 'pem' }));
    clerk = await createUser('closer');
    forger = await createUser('writer');
    // The platform keeps the detail of all these days, and the program asks for them.
    await platform.control('config', { detailDays: 3650 });
    const [first = '', second = ''] = await orgIdsOf(platform);
    await platform.control('orgs', {
      id: 'a'.repeat(24),
      creationDate: `${LEAP}-02-29T08:00:00Z`,
      size: 0.5,
    });
    await platform.control('orgs', {
      id: 'b'.repeat(24),
      creationDate: `${LEAP}-05-10T23:59:59Z`,
      size: 0.2,
    });
    await platform.control('omit', { orgId: first, day: `${LEAP}-07-10`, action: 'deviceCounts' });
    // Left out after its last checkpoint, a level is unavailable: known to be missing, and no gap.
    expect((await backfill(...YEAR)).code).toBe(0);
    // Deleted in September, as far as this database knows; the program would say: now.
    await query(
      `update losant_usage.organizations set removed_at = '${LEAP}-09-15T10:00Z' where org_id = '${second}'`,
    );
    if (periods === 'losant') await seeOwnPeriods();

    // Restated before its month is closed: read again, billed once.
    await platform.control('restate', { orgId: first, day: `${LEAP}-03-05` });
    expect(await readAgain(first, `${LEAP}-03-05`)).toBe(0);

    const isMoved = (month: string) => periods === 'losant' && month === `${LEAP}-09`;
    for (const month of MONTHS.filter((each) => !isMoved(each))) {
      const isJuly = month === `${LEAP}-07`;
      expect([month, await closeMonth(month)]).toEqual([month, isJuly ? 'refused unavailable' : 'closed']);
      if (isJuly) {
        const day = ['--org', first, '--day', `${LEAP}-07-10`, '--stream', 'device_counts'];
        expect((await run(['waive', ...day, '--reason', 'no count'])).code).toBe(0);
        expect(await closeMonth(month)).toBe('closed');
      }
      if (periods === 'losant' && month === `${LEAP}-08`) {
        // The next period is moved over days that are billed: these are not billed again.
        await query(`update losant_usage.organization_history set current_period_start = '${LEAP}-08-10T00:00Z'
          where org_id = '${first}' and current_period_start = '${LEAP}-08-15T00:00Z'`);
        expect(await closeMonth(`${LEAP}-08`, '--adjust')).toBe('unchanged');
        expect(await closeMonth(`${LEAP}-09`)).toBe('refused already_billed');
        expect(await closeMonth(`${LEAP}-09`, '--incomplete', 'the period was moved')).toBe(
          'closed already_billed',
        );
        expect(
          await query(`select distinct period_start::text, period_end::text from losant_usage.statement_lines
            where org_id = '${first}' and period_end between '${LEAP}-08-01' and '${LEAP}-09-30' order by 1`),
        ).toEqual([
          { period_start: `${LEAP}-07-15`, period_end: `${LEAP}-08-14` },
          { period_start: `${LEAP}-08-15`, period_end: `${LEAP}-09-14` },
        ]);
      }
      if (month === MONTHS[0]) expect(await forge()).toEqual(new Set(['42501']));
    }
    expect(await query('select * from losant_usage.adjustments')).toEqual([]);

    // After the closing: a restatement on the leap day, one in November, and the number that was waived.
    await platform.control('restate', { orgId: 'a'.repeat(24), day: `${LEAP}-02-29` });
    await platform.control('restate', { orgId: first, day: `${LEAP}-11-30` });
    await platform.control('omit', {
      orgId: first,
      day: `${LEAP}-07-10`,
      action: 'deviceCounts',
      omit: false,
    });
    for (const [orgId, day] of [
      ['a'.repeat(24), `${LEAP}-02-29`],
      [first, `${LEAP}-07-10`],
      [first, `${LEAP}-11-30`],
    ] as const) {
      expect((await backfill('--org', orgId, '--from', day, '--to', day, '--force')).code).toBe(0);
    }
    expect(
      await query(`select distinct to_char(period_month, 'YYYY-MM') as month, cause
        from losant_usage.adjustments order by 1`),
    ).toEqual([
      { month: adjusted[0], cause: 'restated' },
      { month: adjusted[1], cause: 'loaded_later' },
      { month: adjusted[2], cause: 'restated' },
    ]);
    for (const month of adjusted) expect(await closeMonth(month, '--adjust')).toBe('closed');
    expect(await query('select * from losant_usage.adjustments')).toEqual([]);
    expect(await forge()).toEqual(new Set(['42501']));
    expect(await sumStatements()).toEqual(await sumTruth(last, { [second]: `${LEAP}-09-15` }));

    // The whole chain in one folder, with its signatures.
    await mkdir(join(folder, 'all'));
    for (const month of MONTHS) {
      expect((await asClerk('statement', '--period', month, '--out', join(folder, 'all', month))).code).toBe(
        0,
      );
    }
    const verified = await asClerk(
      'verify',
      join(folder, 'all'),
      '--key',
      join(folder, 'statement.pub'),
      '--json',
    );
    expect(jsonOf(verified)).toMatchObject({ ok: true, problems: [], notes: [] });
    expect(await query('select distinct closed_by from losant_usage.statements')).toEqual([
      { closed_by: clerk },
    ]);
  },
  180_000,
);
