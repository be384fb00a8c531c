/** A first look at what is stored, for someone who has just loaded it. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';

export interface Sample {
  /** Rows by table. */
  readonly tables: Readonly<Record<SampleTable, number>>;
  /** Cells of the ledger by standing. */
  readonly cells: Readonly<Record<string, number>>;
  /** HTTP requests of all runs. */
  readonly requests: number;
  /** Null while no payloads are stored for the newest day. */
  readonly orgDay: OrgDay | null;
  /** Payloads of all organizations by usage day, oldest first. */
  readonly payloadsByDay: readonly { readonly day: UsageDay; readonly payloads: number }[];
}

export interface OrgDay {
  readonly orgId: string;
  readonly name: string;
  readonly day: UsageDay;
  readonly numbers: readonly { readonly stream: string; readonly metric: string; readonly value: number }[];
}

type SampleTable = (typeof TABLES)[number];

const TABLES = [
  'device_counts',
  'notebook_minutes',
  'payload_totals',
  'payload_sources',
  'organizations',
  'coverage',
  'revisions',
  'runs',
] as const;

/** Counts whole tables: for small databases. */
export async function readSample(db: Kysely<Schema>): Promise<Sample> {
  return {
    tables: await countRows(db),
    cells: await countCells(db),
    requests: await sumRequests(db),
    orgDay: await readBusiestOrgDay(db),
    payloadsByDay: await sumPayloads(db),
  };
}

async function countRows(db: Kysely<Schema>): Promise<Record<SampleTable, number>> {
  const counts: Partial<Record<SampleTable, number>> = {};
  for (const table of TABLES) {
    const { count } = await db
      .selectFrom(table)
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .executeTakeFirstOrThrow();
    counts[table] = count;
  }
  return counts as Record<SampleTable, number>;
}

async function countCells(db: Kysely<Schema>): Promise<Record<string, number>> {
  const rows = await db
    .selectFrom('coverage')
    .select(['standing', (eb) => eb.fn.countAll<number>().as('count')])
    .groupBy('standing')
    .orderBy('standing')
    .execute();
  return Object.fromEntries(rows.map(({ standing, count }) => [standing, count]));
}

async function sumRequests(db: Kysely<Schema>): Promise<number> {
  const rows = await db.selectFrom('runs').select('requests').execute();
  return rows.reduce((sum, { requests }) => sum + requests, 0);
}

async function sumPayloads(db: Kysely<Schema>): Promise<Sample['payloadsByDay']> {
  const rows = await db
    .selectFrom('payload_totals')
    .select(['usage_date as day', (eb) => eb.fn.sum<string>('all_count').as('payloads')])
    .groupBy('usage_date')
    .orderBy('usage_date')
    .execute();
  return rows.map(({ day, payloads }) => ({ day, payloads: Number(payloads) }));
}

/** The newest day of the organization that sent payloads from the most sources on it. */
async function readBusiestOrgDay(db: Kysely<Schema>): Promise<OrgDay | null> {
  const { rows: found } = await sql<{ orgId: string; name: string; day: UsageDay }>`
    select o.org_id as "orgId", o.name, s.usage_date as day
    from losant_usage.payload_sources s join losant_usage.organizations o using (org_id)
    group by o.org_id, o.name, s.usage_date
    order by s.usage_date desc, count(*) desc, o.org_id limit 1`.execute(db);
  const org = found[0];
  if (!org) return null;
  const { rows: numbers } = await sql<OrgDay['numbers'][number]>`
    with day as (select ${org.day}::date as usage_date, ${org.orgId}::text as org_id)
    select stream, metric, value from (
      select 1 as place, 'device_counts' as stream, m.place as part, m.metric, m.value
      from losant_usage.device_counts natural join day, lateral (values
        (1, 'created', created), (2, 'deleted', deleted), (3, 'total', total)) as m (place, metric, value)
      union all
      select 2, 'notebook_minutes', m.place, m.metric, m.value
      from losant_usage.notebook_minutes natural join day, lateral (values (1, 'minutes', minutes),
        (2, 'completed', completed), (3, 'errored', errored), (4, 'canceled', canceled),
        (5, 'timeout', timeout)) as m (place, metric, value)
      union all
      select 3, 'payload_totals', m.place, m.metric, m.value
      from losant_usage.payload_totals natural join day, lateral (values (1, 'billable_count', billable_count),
        (2, 'all_count', all_count), (3, 'all_bytes', all_bytes)) as m (place, metric, value)
      union all
      select 4, 'payload_sources', (row_number() over (order by count desc))::integer,
        payload_type || ' ' || source, count
      from losant_usage.payload_sources natural join day
    ) as numbers
    order by place, part`.execute(db);
  return { ...org, numbers: numbers.map(({ stream, metric, value }) => ({ stream, metric, value })) };
}
