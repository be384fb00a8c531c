import pg from 'pg';
import { checkTables } from './table-rules.ts';
import { NUMBERS, type StreamName } from './truth.ts';

/** One tracked or known cell with its numbers, as plain SQL finds them. */
export interface LedgerCell {
  readonly orgId: string;
  readonly stream: StreamName;
  readonly day: string;
  readonly isTracked: boolean;
  /** By the ledger; null: never read. */
  readonly standing: string | null;
  readonly isStored: boolean;
  readonly isReported: boolean;
  readonly omissions: number;
  readonly revision: number;
  readonly verifiedAtMs: number | null;
  readonly nextReadAtMs: number | null;
  readonly firstLoadedAtMs: number | null;
  readonly attempts: number;
  readonly reason: string | null;
  /** Whether a person was the last to change it. */
  readonly isByHand: boolean;
  /** The numbers by the source's words: one row; any number of rows for payload_sources. */
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
  readonly byHand: boolean;
}

/** Everything the checker reads of a database. */
export interface LedgerRows {
  /** The database's clock when it was read. */
  readonly nowMs: number;
  readonly cells: readonly LedgerCell[];
  readonly revisions: readonly RevisionRow[];
  readonly tracks: readonly {
    readonly orgId: string;
    readonly stream: string;
    readonly goesOn: boolean;
    readonly removed: boolean;
    /** The first day on which the organization counts as existing; null if unknown. */
    readonly createdOn: string | null;
  }[];
  /** The list of organizations: when it was last complete, and why a later one was not; null before the first. */
  readonly listing: { readonly atMs: number | null; readonly problem: string | null } | null;
  /** The gaps of the view, one text each. */
  readonly gaps: ReadonlySet<string>;
  /** The contradictions between the tables. */
  readonly contradictions: readonly string[];
}

const FACTS = [
  ...Object.entries(NUMBERS).map(([stream, columns]) => {
    const pairs = Object.entries(columns).map(([word, column]) => `'${word}', ${column}`);
    return `select usage_date, org_id, '${stream}' as stream, jsonb_build_object(${pairs.join(', ')}) as numbers
      from losant_usage.usage_days where num_nonnulls(${Object.values(columns).join(', ')}) > 0`;
  }),
  `select usage_date, org_id, 'payload_sources', jsonb_build_object('payload_type', payload_type,
    'source', source, 'count', count, 'revision', revision) from losant_usage.payload_sources`,
].join(' union all ');

/** The tracked cells up to the day before the database's, with every cell that has a row of the ledger or numbers. */
const CELLS = `
  with wanted as (
    select t.org_id, t.stream, day::date as usage_date
    from losant_usage.tracking t join losant_usage.organizations o using (org_id)
    cross join lateral unnest(t.tracked_days * datemultirange(daterange(null,
      least((now() at time zone 'UTC')::date - 1, (o.removed_at at time zone 'UTC')::date), '(]'))
      * datemultirange(daterange(o.created_on, null))) as part
    cross join lateral generate_series(lower(part)::timestamp, upper(part) - interval '1 day', '1 day') as day
  ), facts as (
    select usage_date, org_id, stream, jsonb_agg(numbers order by numbers::text) as rows from (${FACTS}) f
    group by usage_date, org_id, stream
  )
  select coalesce(w.org_id, c.org_id, f.org_id) as "orgId", coalesce(w.stream, c.stream, f.stream) as stream,
    coalesce(w.usage_date, c.usage_date, f.usage_date)::text as day, w.org_id is not null as "isTracked",
    c.standing, coalesce(c.is_stored, false) as "isStored", coalesce(c.is_reported, false) as "isReported",
    coalesce(c.omissions, 0) as omissions, coalesce(c.revision, 0) as revision,
    (extract(epoch from c.verified_at) * 1000)::float8 as "verifiedAtMs",
    (extract(epoch from c.next_read_at) * 1000)::float8 as "nextReadAtMs",
    (extract(epoch from c.first_loaded_at) * 1000)::float8 as "firstLoadedAtMs", coalesce(c.attempts, 0) as attempts, c.reason,
    c.standing is not null and c.run_id is null as "isByHand", coalesce(f.rows, '[]') as rows
  from wanted w
  full join losant_usage.coverage c using (org_id, stream, usage_date)
  full join facts f on (f.org_id, f.stream, f.usage_date)
    = (coalesce(w.org_id, c.org_id), coalesce(w.stream, c.stream), coalesce(w.usage_date, c.usage_date))`;

const REVISIONS = `
  select id::integer, stream, org_id as "orgId", usage_date::text as day, revision, key::text, old::text,
    new::text as now, run_id is null as "byHand"
  from losant_usage.revisions order by id`;

const TRACKS = `
  select org_id as "orgId", stream, upper_inf(tracked_days) as "goesOn", removed_at is not null as removed,
    created_on::text as "createdOn"
  from losant_usage.tracking join losant_usage.organizations using (org_id)`;

const LISTING = `select (extract(epoch from listed_at) * 1000)::float8 as "atMs", list_problem as problem
  from losant_usage.instances`;

const GAPS = `select concat_ws(' ', stream, org_id, usage_date) as name from losant_usage.coverage_gaps`;

/**
 * The connections of checkers by their databases: with a new one for each look Postgres would plan every view anew.
 * A failover, and the end of a database, ends them.
 */
const clients = new Map<string, pg.Client>();

async function openClient(databaseUrl: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: databaseUrl });
  const forget = () => {
    if (clients.get(databaseUrl) === client) clients.delete(databaseUrl);
  };
  client.on('error', forget).on('end', forget);
  await client.connect();
  clients.set(databaseUrl, client);
  return client;
}

/** All of one moment, so that a run beside it shows as a whole or not at all. */
export async function readLedgerRows(databaseUrl: string): Promise<LedgerRows> {
  const known = clients.get(databaseUrl);
  // Its end may not be known yet.
  const isAlive = await known?.query('select').then(
    () => true,
    () => false,
  );
  const client = known && isAlive ? known : await openClient(databaseUrl);
  await client.query('begin isolation level repeatable read');
  try {
    const clock = await client.query<{ at: number }>('select extract(epoch from now())::float8 * 1000 as at');
    const cells = await client.query<LedgerCell>(CELLS);
    const gaps = await client.query<{ name: string }>(GAPS);
    return {
      nowMs: clock.rows[0]?.at ?? Number.NaN,
      cells: cells.rows,
      revisions: (await client.query<RevisionRow>(REVISIONS)).rows,
      tracks: (await client.query<LedgerRows['tracks'][number]>(TRACKS)).rows,
      listing: (await client.query<NonNullable<LedgerRows['listing']>>(LISTING)).rows[0] ?? null,
      gaps: new Set(gaps.rows.map(({ name }) => name)),
      contradictions: await checkTables(client),
    };
  } finally {
    await client.query('rollback');
  }
}
