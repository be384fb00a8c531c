/** A small ledger as runs may leave it, with something to show in every view. */
import { type RawBuilder, sql } from 'kysely';
import { beforeAll, expect } from 'vitest';
import { beginWriting } from '../../src/ledger/lease.ts';
import { type Ledger, useLedger } from '../ledger/ledger.ts';
import { POLICY } from '../usage/cells.ts';

/** Yesterday is the 23rd, which is not late yet. */
export const NOW = '2026-11-24T03:00:00.000Z';

const idOf = (lastDigits: string) => `5d00000000000000000000${lastDigits}`;

export const ORGS = {
  /** Has all streams, hours since 24 October, and cells of every standing. */
  whole: idOf('a1'),
  /** Was created on 15 October. */
  newcomer: idOf('a2'),
  /** Was deleted on 10 November. */
  deleted: idOf('a3'),
  /** Has no cells since 20 November, because no run has created them. */
  unrecorded: idOf('a4'),
  /** Is final except for a waived and an unreported cell. */
  settled: idOf('a5'),
} as const;

const END = '2026-11-24';
const TRACKS = `
  ('${ORGS.whole}', 'device_counts notebook_minutes payload_sources payload_totals', '2026-09-20', '${END}', null),
  ('${ORGS.whole}', 'payload_hours', '2026-10-24', '${END}', null),
  ('${ORGS.newcomer}', 'device_counts payload_totals', '2026-10-15', '${END}', null),
  ('${ORGS.deleted}', 'device_counts', '2026-09-20', '2026-11-10', '2026-11-09'),
  ('${ORGS.unrecorded}', 'device_counts payload_hours', '2026-10-28', '2026-11-20', null),
  ('${ORGS.settled}', 'device_counts', '2026-09-20', '${END}', null)`;

/** Cells that are not final, or not reported: key, standing, is_stored, is_reported and failed reads. */
const EXCEPTIONS = `
  ('${ORGS.whole}', 'device_counts', '2026-09-25', 'missing', false, false, 1),
  ('${ORGS.whole}', 'payload_totals', '2026-10-05', 'in_doubt', true, true, 2),
  ('${ORGS.whole}', 'payload_sources', '2026-10-06', 'unavailable', false, false, 0),
  ('${ORGS.whole}', 'payload_hours', '2026-10-30', 'waiting', false, false, 0),
  ('${ORGS.whole}', 'device_counts', '2026-11-02', 'waived', false, false, 0),
  ('${ORGS.whole}', 'payload_totals', '2026-11-20', 'waiting', false, false, 0),
  ('${ORGS.whole}', 'notebook_minutes', '2026-11-21', 'stored', true, true, 1),
  ('${ORGS.whole}', 'payload_hours', '2026-11-22', 'unavailable', true, true, 0),
  ('${ORGS.whole}', 'payload_totals', '2026-11-23', 'waiting', false, false, 0),
  ('${ORGS.newcomer}', 'device_counts', '2026-11-23', 'in_doubt', true, false, 2),
  ('${ORGS.settled}', 'device_counts', '2026-10-20', 'waived', true, true, 0),
  ('${ORGS.settled}', 'device_counts', '2026-10-21', 'final', true, false, 0)`;

/** Numbers computed from the day of the month, so that sums are easy to check. The bytes of a month exceed 2^53. */
const NUMBERS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  device_counts: { devices_created: 'dom', devices_deleted: '0', devices_total: '40 - dom' },
  notebook_minutes: {
    notebook_minutes: '2 * dom',
    notebook_completed: '3 * dom',
    notebook_canceled: '4 * dom',
    notebook_errored: '5 * dom',
    notebook_timeout: '6 * dom',
  },
  payload_sources: {
    payload_source_count: '7 * dom',
    payload_sources: `jsonb_build_object('timer', jsonb_build_object('timer.flow', dom, '__proto__', 2 * dom),
      'deviceState', jsonb_build_object('device.mqtt', 4 * dom))`,
  },
  payload_totals: {
    payload_billable_count: '8 * dom',
    payload_all_count: '9 * dom',
    payload_all_bytes: '4503599627370496 + dom',
  },
  payload_hours: {
    hours_billable_count: 'hours(0)',
    hours_all_count: 'hours(100)',
    hours_all_bytes: 'hours(4503599627370496)',
  },
};

/** Returns the expression of a column, which is null on days on which its stream is not stored. */
function columnOf(stream: string, expression: string): string {
  const hours = (_: string, base: string) =>
    `array(select ${base} + dom * 24 + hour from generate_series(0, 23) as hour order by hour)::bigint[]`;
  return `case when '${stream}' = any(stored) then ${expression.replace(/hours\((\d+)\)/, hours)} end`;
}

const columns = Object.entries(NUMBERS).flatMap(([stream, each]) =>
  Object.entries(each).map(([column, expression]) => [column, columnOf(stream, expression)] as const),
);

const FILL = [
  // Its streams contradict each other, which blocks no month.
  `update losant_usage.instance set new_orgs_from = '2026-09-20', control_totals = 'show',
    policy = '${JSON.stringify(POLICY)}'`,
  `insert into losant_usage.organizations (org_id, name, referral_id, tags, limits, created_on, deleted_on,
    first_seen_at, last_seen_at, current_period_start, current_period_end)
  select org_id, 'Acme', 'C-1', '[{"key": "tier", "value": "gold"}, {"key": "area", "value": "north"},
      {"key": "tier", "value": "silver"}]',
    '{"payload": 10000, "device": 50, "notebookMinutesPerMonth": -9.3e18, "unknown": 7, "text": "x"}',
    created_on::date, deleted_on::date, now(), now(), '2026-10-10T00:00Z', '2026-11-10T00:00Z'
  from (values
    ('${ORGS.whole}', '2024-01-01', null),
    ('${ORGS.newcomer}', '2026-10-15', null),
    ('${ORGS.deleted}', '2024-01-01', '2026-11-10'),
    ('${ORGS.unrecorded}', '2026-10-28', null),
    ('${ORGS.settled}', null, null)) as o (org_id, created_on, deleted_on)`,
  `insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day)
  select org_id, unnest(string_to_array(streams, ' ')), first_day::date, next_day::date, last_day::date
  from (values ${TRACKS}) as t (org_id, streams, first_day, next_day, last_day)`,
  `insert into losant_usage.coverage (usage_date, org_id, stream, standing, is_stored, is_reported, revision, reason,
    failed_reads, first_loaded_at, last_read_at, finalized_at)
  select day::date, t.org_id, t.stream, coalesce(o.standing, 'final')::losant_usage.standing, stored.is_stored,
    coalesce(o.is_reported, true), stored.is_stored::integer, 'why_' || o.standing, coalesce(o.failed_reads, 0),
    case when stored.is_stored then now() end, now(), case when coalesce(o.standing, 'final') = 'final' then now() end
  from losant_usage.tracks t
  cross join lateral generate_series(t.first_day::timestamp, t.next_day - 1, interval '1 day') as day
  left join (values ${EXCEPTIONS})
    as o (org_id, stream, usage_date, standing, is_stored, is_reported, failed_reads)
    on o.org_id = t.org_id and o.stream = t.stream and o.usage_date::date = day
  cross join lateral (select coalesce(o.is_stored, true) as is_stored) as stored`,
  `insert into losant_usage.usage_days (usage_date, org_id, ${columns.map(([name]) => name).join(', ')})
  select usage_date, org_id, ${columns.map(([, expression]) => expression).join(', ')}
  from (
    select usage_date, org_id, extract(day from usage_date)::bigint as dom,
      array_agg(stream::text) filter (where is_stored) as stored
    from losant_usage.coverage group by usage_date, org_id
  ) as d`,
  // The trigger rolls the cells up into their days.
  'update losant_usage.coverage set failed_reads = failed_reads',
];

async function makeWorld(ledger: Ledger): Promise<void> {
  await ledger.write(...FILL.map((statement): RawBuilder<unknown> => sql.raw(statement)));
}

/** A database with this ledger, and queries of it as lines, or as they would be after statements, which are undone. */
export function useWorldLedger() {
  const ledger = useLedger(NOW);
  beforeAll(() => makeWorld(ledger));
  const rows = (query: string) => ledger.list(sql.raw(query));
  const rowsAfter = async (statements: readonly string[], query: string): Promise<unknown> => {
    const undo = new Error('undone');
    let found: unknown;
    const written = ledger.db.transaction().execute(async (trx) => {
      await beginWriting(trx);
      for (const statement of statements) await sql.raw(statement).execute(trx);
      found = (await sql.raw(query).execute(trx)).rows;
      throw undo;
    });
    await expect(written).rejects.toBe(undo);
    return found;
  };
  return { ledger, rows, rowsAfter };
}
