import pg from 'pg';
import type { StreamName } from './truth.ts';

/** One promised or known cell with its rows, as plain SQL finds them. */
export interface LedgerCell {
  readonly orgId: string;
  readonly stream: StreamName;
  readonly day: string;
  readonly isPromised: boolean;
  /** Null: never asked for. */
  readonly state: string | null;
  readonly reported: boolean;
  readonly revision: number;
  readonly verifiedAtMs: number | null;
  readonly attempts: number;
  readonly errorCode: string | null;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

export interface RevisionRow {
  readonly id: number;
  readonly stream: StreamName;
  readonly orgId: string;
  readonly day: string;
  readonly revision: number;
  readonly key: string;
  readonly old: string | null;
  readonly now: string | null;
}

/** Everything the checker reads of a database. */
export interface LedgerRows {
  readonly cells: readonly LedgerCell[];
  readonly revisions: readonly RevisionRow[];
  readonly promises: readonly {
    orgId: string;
    stream: string;
    from: string;
    to: string | null;
    removed: boolean;
  }[];
}

const FACTS = `
  select usage_date, org_id, 'device_counts' as stream, jsonb_build_object('created', created, 'deleted', deleted,
    'total', total, 'revision', revision) as numbers from losant_usage.device_counts
  union all select usage_date, org_id, 'notebook_minutes', jsonb_build_object('minutes', minutes, 'completed', completed,
    'canceled', canceled, 'errored', errored, 'timeout', timeout, 'revision', revision) from losant_usage.notebook_minutes
  union all select usage_date, org_id, 'payload_totals', jsonb_build_object('billable_count', billable_count,
    'all_count', all_count, 'all_bytes', all_bytes, 'revision', revision) from losant_usage.payload_totals
  union all select usage_date, org_id, 'payload_sources', jsonb_build_object('payload_type', payload_type,
    'source', source, 'count', count, 'revision', revision) from losant_usage.payload_sources`;

/** Promised cells up to `lastDay`, with every cell that has a row of the ledger or of facts. */
const CELLS = `
  with promised as (
    select t.org_id, t.stream, d::date as usage_date
    from losant_usage.tracking t join losant_usage.organizations o using (org_id)
    cross join lateral unnest(t.tracked_days * datemultirange(daterange(
      null, least($1::date, (o.removed_at at time zone 'UTC')::date), '(]'))) as part
    cross join lateral generate_series(lower(part)::timestamp, upper(part) - interval '1 day', '1 day') as d
  ), facts as (
    select usage_date, org_id, stream, jsonb_agg(numbers order by numbers::text) as rows from (${FACTS}) f
    group by usage_date, org_id, stream
  )
  select coalesce(p.org_id, c.org_id, f.org_id) as org_id, coalesce(p.stream, c.stream, f.stream) as stream,
    coalesce(p.usage_date, c.usage_date, f.usage_date)::text as day, p.org_id is not null as promised,
    c.state, coalesce(c.reported, false) as reported, coalesce(c.revision, 0) as revision,
    (extract(epoch from c.verified_at) * 1000)::float8 as verified, coalesce(c.attempts, 0) as attempts, c.error_code,
    coalesce(f.rows, '[]') as rows
  from promised p
  full join losant_usage.coverage c using (org_id, stream, usage_date)
  full join facts f on (f.org_id, f.stream, f.usage_date)
    = (coalesce(p.org_id, c.org_id), coalesce(p.stream, c.stream), coalesce(p.usage_date, c.usage_date))`;

export async function readLedgerRows(databaseUrl: string, lastDay: string): Promise<LedgerRows> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const cells = await client.query<Record<string, never>>(CELLS, [lastDay]);
    const revisions = await client.query<Record<string, never>>(
      `select id::integer, stream, org_id, usage_date::text as day, revision, key::text, old::text, new::text as now
       from losant_usage.revisions order by id`,
    );
    const promises = await client.query<Record<string, never>>(
      `select org_id, stream, tracked_from::text as "from", tracked_to::text as "to", removed_at is not null as removed
       from losant_usage.tracking join losant_usage.organizations using (org_id)`,
    );
    return {
      cells: cells.rows.map(({ org_id, promised, verified, error_code, ...cell }) => ({
        ...(cell as unknown as LedgerCell),
        orgId: org_id as unknown as string,
        isPromised: promised as unknown as boolean,
        verifiedAtMs: verified as unknown as number | null,
        errorCode: error_code as unknown as string | null,
      })),
      revisions: revisions.rows.map(({ org_id, ...row }) => ({
        ...(row as unknown as RevisionRow),
        orgId: org_id as unknown as string,
      })),
      promises: promises.rows.map(({ org_id, ...row }) => ({
        ...(row as unknown as LedgerRows['promises'][number]),
        orgId: org_id as unknown as string,
      })),
    };
  } finally {
    await client.end();
  }
}
