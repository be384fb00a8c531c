/** A database with known numbers, looked at on 26 November 2026, asked in any time zone. */
import pg from 'pg';
import { createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import { addCells, changeCells } from './cells.ts';
import type { Chosen } from './dashboards.ts';

const NORTH = '5c0000000000000000000001';
const SOUTH = '5c0000000000000000000002';
export const ACME = '5d0000000000000000000001';
export const GLOBEX = '5d0000000000000000000002';
export const SILENT = '5d0000000000000000000003';
export const HOSTILE_NAME = `O'Brien "<b>" $1 \\ {{x}}`;

export const ZONES = ['UTC', 'America/Los_Angeles', 'Pacific/Kiritimati'];

/** Begins on 31 October in Los Angeles, and ends on 21 November in Kiritimati. */
export const CHOSEN: Chosen = {
  from: '2026-11-01T06:30:00Z',
  to: '2026-11-20T18:00:00Z',
  variables: {
    instance: [NORTH, SOUTH],
    metric: ['payload_billable_count'],
    comparison: ['weekdays'],
    org: [ACME],
  },
};

const LOOKED_AT = Date.parse('2026-11-26T09:00:00Z');
const STATEMENT = '00000000-0000-4000-8000-000000000002';
const RUN = '00000000-0000-4000-8000-000000000001';
const DAYS = `generate_series(date '2026-08-01', date '2026-11-25', interval '1 day')`;

/** Numbers of every day: billable payloads, of which two more are not billable, and devices. */
const NUMBERS = [
  { orgId: ACME, payloads: 10, devices: 5 },
  { orgId: GLOBEX, payloads: 20, devices: 7 },
  { orgId: SILENT, payloads: 1, devices: 1 },
];

function addDaysOf({ orgId, payloads, devices }: (typeof NUMBERS)[number]): string {
  return `insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total,
      notebook_minutes, notebook_completed, notebook_canceled, notebook_errored, notebook_timeout,
    payload_billable_count,
      payload_all_count, payload_all_bytes, payload_source_count, payload_sources, hours_billable_count,
    hours_all_count,
      hours_all_bytes)
    select day, '${orgId}', 1, 1, ${devices}, 3, 1, 0, 0, 0, ${payloads}, ${payloads + 2}, 1000, ${payloads + 2},
      '{"timer":{"timer.flow":${payloads}},"webhook":{"public.rest":2}}',
      ${[payloads, payloads + 2, 1000].map((sum) => `array_fill(0::bigint, '{23}') || ${sum}::bigint`).join(', ')}
    from ${DAYS} as day;`;
}

/** What is on record of October, when Globex was closed with 3 notebook minutes less, and of November. */
const RECORD = `
  insert into losant_usage.runs (run_id, instance_id, kind, is_full, status, counts, error, started_at, finished_at,
    host, version)
  values ('${RUN}', '${NORTH}', 'scheduled', true, 'partial', '{"cells":{"planned":8,"loaded":6,"failed":2}}',
    'some failed',
    '2026-11-10 00:15Z', '2026-11-10 00:16Z', 'host', '1.2.3');
  insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id,
    changed_at) values
    ('${ACME}', 'payload_totals', '2026-10-05', 2, '{"payload_billable_count":8}', '{"payload_billable_count":10}',
    true,
      '${RUN}', '2026-11-10 00:16Z'),
    ('${ACME}', 'payload_totals', '2026-11-02', 2, '{"payload_billable_count":7}', '{"payload_billable_count":10}',
    false,
      '${RUN}', '2026-11-10 00:16Z');
  insert into losant_usage.quarantine (org_id, stream, from_date, to_date, code, problem, body_sha256,
    body_truncated, run_id, seen_at)
  values ('${SILENT}', 'payload_totals', '2026-11-09', '2026-11-09', 'invalid_value', $$${HOSTILE_NAME}$$,
    sha256('x'), false,
    '${RUN}', '2026-11-10 00:16Z');
  insert into losant_usage.instance_totals (instance_id, usage_date, metric, quantity, verified_at)
  values ('${SOUTH}', '2026-11-10', 'devices_total', 8, '2026-11-14 00:15Z');
  insert into losant_usage.statements (statement_id, instance_id, month, number, kind, orgs, rules, controls,
    closed_at, manifest,
    manifest_sha256)
  values ('${STATEMENT}', '${SOUTH}', '2026-10-01', 1, 'closing', 1, '{}', '{}', '2026-11-04 00:00Z', '{}',
    sha256('{}'));
  insert into losant_usage.statement_lines (statement_id, org_id, metric, month, org_name, customer_id,
    is_customer_changed, unit, kind,
    quantity, total, days_expected, days_stored, days_final, days_accepted, days_open, days_unavailable,
    days_in_doubt,
    days_missing, days_unreported)
  values ('${STATEMENT}', '${GLOBEX}', 'notebook_minutes', '2026-10-01', 'Globex', 'cus_1', false, 'minutes',
    'flow', 90, 90,
    31, 31, 31, 0, 0, 0, 0, 0, 0);
  update losant_usage.coverage set first_loaded_at = '2026-11-05 00:00Z'
  where org_id = '${GLOBEX}' and stream = 'notebook_minutes' and usage_date = '2026-10-31';`;

const SEED = `
  begin;
  set local losant_usage.program = 'test';
  insert into losant_usage.instances (instance_id, name, api_url, policy, all_from, listed_at) values
    ('${NORTH}', 'North', 'https://api.example.com', '{"finalAtHours":72,"horizonDays":90}', '2026-08-01',
    '2026-11-26 08:00Z'),
    ('${SOUTH}', null, 'https://api.example.com', '{"finalAtHours":72,"horizonDays":90}', '2026-08-01',
    '2026-11-26 08:00Z');
  insert into losant_usage.organizations (org_id, instance_id, name, referral_id, plan_id, customer_id, tags,
    limits, created_on,
    first_seen_at, last_seen_at) values
    ('${ACME}', '${NORTH}', 'Acme', 'A-1', 'gold', 'cus_0', '[{"key":"tier","value":"gold"}]',
    '{"payload":200,"device":20}',
      '2026-01-01', now(), now()),
    ('${GLOBEX}', '${SOUTH}', 'Globex', null, null, 'cus_1', '[]', '{}', '2026-01-01', now(), now()),
    ('${SILENT}', '${NORTH}', $$${HOSTILE_NAME}$$, null, 'silver', null, '[]', '{}', '2026-01-01', now(), now());
  insert into losant_usage.tracks (org_id, stream, first_day, next_day)
  select org_id, stream, '2026-08-01', '2026-11-26' from losant_usage.organizations, losant_usage.streams;
  ${NUMBERS.map(addDaysOf).join('\n')}
  ${['final', 'stored']
    .map((standing) => {
      const cells = `select d.usage_date, s.stream, d.org_id from losant_usage.usage_days d, losant_usage.streams s
        where (d.usage_date < '2026-11-22') = (${standing === 'final'})`;
      return addCells(cells, standing);
    })
    .join('\n')}
  update losant_usage.usage_days set payload_billable_count = 0, payload_all_count = 0, payload_all_bytes = 0
  where org_id = '${SILENT}' and usage_date > '2026-11-22';
  update losant_usage.usage_days set payload_billable_count = null, payload_all_count = null, payload_all_bytes = null
  where (org_id, usage_date) in (('${ACME}', '2026-11-10'), ('${SILENT}', '2026-11-09'), ('${ACME}', '2026-10-31'));
  ${changeCells(
    `stream = 'payload_totals' and org_id = '${ACME}' and usage_date in ('2026-11-10', '2026-10-31')`,
    'missing',
  )}
  ${changeCells(
    `stream = 'payload_totals' and org_id = '${SILENT}' and usage_date = '2026-11-09'`,
    'accepted',
    {
      reason: 'waived',
      isStored: false,
    },
  )}
  ${RECORD}
  select losant_usage_internal.sum_days('${NORTH}'), losant_usage_internal.sum_days('${SOUTH}');
  commit;`;

export type Row = Readonly<Record<string, unknown>>;

export interface Answer {
  readonly rows: readonly Row[];
  readonly columns: readonly string[];
}

export interface World {
  readonly url: string;
  /** Returns what `sql` answers in a session of each zone. */
  ask(sql: string, zones?: readonly string[]): Promise<Answer[]>;
  close(): Promise<void>;
}

export async function openWorld(): Promise<World> {
  const database = await createClockDatabase();
  await database.stopClock(LOOKED_AT);
  await queryOnce(database.url, SEED);
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  return {
    url: database.url,
    ask: async (sql, zones = ['UTC']) => {
      const answers: Answer[] = [];
      for (const zone of zones) {
        await client.query(`set time zone '${zone}'`);
        const { rows, fields } = await client.query<Row>({ text: sql, types: { getTypeParser: parserOf } });
        answers.push({ rows, columns: fields.map(({ name }) => name) });
      }
      return answers;
    },
    close: async () => {
      await client.end();
      await database.drop();
    },
  };
}

const DATE = 1082;
const BIGINT = 20;
const NUMERIC = 1700;

/** Dates as text, moments as ISO text, numbers as numbers: nothing that hangs on the time zone of the test. */
function parserOf(oid: number): (text: string) => unknown {
  if (oid === DATE) return (text) => text;
  if (oid === BIGINT || oid === NUMERIC) return Number;
  const parse = pg.types.getTypeParser(oid) as (text: string) => unknown;
  return (text) => {
    const value = parse(text);
    return value instanceof Date ? value.toISOString() : value;
  };
}
