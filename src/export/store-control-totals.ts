import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { type BeginOptions, beginWriting } from '../ledger/transaction.ts';
import type { UsageDay } from '../usage/day.ts';

/** The totals of a day by metric; null if Losant left the day out. */
export interface DayTotals {
  readonly day: UsageDay;
  readonly totals: Readonly<Record<string, number | null>>;
}

interface TotalsAnswer {
  readonly instanceId: string;
  /** The time at which they were asked for. */
  readonly verifiedAt: Instant;
  readonly sha256: string;
}

/**
 * Stores the instance's totals of some days in one transaction. A number that Losant has changed is
 * kept in `earlier`. A day that is left out now keeps its number, and an older answer changes nothing.
 */
export async function recordTotals(
  db: Kysely<Schema>,
  { instanceId, verifiedAt, sha256, days }: TotalsAnswer & { readonly days: readonly DayTotals[] },
  begin: BeginOptions,
): Promise<void> {
  const rows = days.flatMap(({ day, totals }) =>
    Object.entries(totals).map(([metric, quantity]) => ({ day, metric, quantity })),
  );
  await db.transaction().execute(async (trx) => {
    await beginWriting(trx, begin);
    await sql`
      insert into losant_usage.instance_totals as t
        (instance_id, usage_date, metric, quantity, verified_at, run_id, response_sha256)
      select ${instanceId}, day, metric, quantity, ${verifiedAt}::timestamptz, ${begin.runId}::uuid, decode(${sha256}, 'hex')
      from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as r (day date, metric text, quantity bigint)
      order by day, metric
      on conflict (instance_id, usage_date, metric) do update set
        quantity = coalesce(excluded.quantity, t.quantity),
        earlier = case when t.quantity <> excluded.quantity then t.earlier || jsonb_build_object(
          'quantity', t.quantity, 'verified_at', to_jsonb(t.verified_at)) else t.earlier end,
        verified_at = excluded.verified_at, run_id = excluded.run_id, response_sha256 = excluded.response_sha256
      where t.verified_at <= excluded.verified_at`.execute(trx);
  });
}

export interface StoredSummary {
  readonly resourceType: string;
  readonly resourceId: string;
  readonly resourceName: string | null;
  readonly proration: number | null;
  readonly figures: Readonly<Record<string, number>>;
}

/** Stores monthly summaries in one transaction. Figures that Losant has changed are kept in `earlier`. */
export async function recordSummaries(
  db: Kysely<Schema>,
  {
    instanceId,
    month,
    verifiedAt,
    sha256,
    summaries,
  }: TotalsAnswer & { readonly month: UsageDay; readonly summaries: readonly StoredSummary[] },
  begin: BeginOptions,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await beginWriting(trx, begin);
    await sql`
      insert into losant_usage.monthly_summaries as t (instance_id, month, resource_type, resource_id, resource_name,
        proration, figures, verified_at, run_id, response_sha256)
      select distinct on ("resourceType", "resourceId") ${instanceId}, ${month}::date, "resourceType", "resourceId",
        "resourceName", proration, figures, ${verifiedAt}::timestamptz, ${begin.runId}::uuid, decode(${sha256}, 'hex')
      from jsonb_to_recordset(${JSON.stringify(summaries)}::text::jsonb) as r (
        "resourceType" text, "resourceId" text, "resourceName" text, proration numeric, figures jsonb)
      order by "resourceType", "resourceId"
      on conflict (instance_id, month, resource_type, resource_id) do update set
        resource_name = excluded.resource_name, proration = excluded.proration, figures = excluded.figures,
        earlier = case when t.figures <> excluded.figures then t.earlier || jsonb_build_object(
          'figures', t.figures, 'verified_at', to_jsonb(t.verified_at)) else t.earlier end,
        verified_at = excluded.verified_at, run_id = excluded.run_id, response_sha256 = excluded.response_sha256
      where t.verified_at <= excluded.verified_at`.execute(trx);
  });
}

/** Records that a question was answered completely. */
export async function recordTotalsRead(
  db: Kysely<Schema>,
  { instanceId, question, verifiedAt }: { instanceId: string; question: string; verifiedAt: Instant },
): Promise<void> {
  await sql`
    insert into losant_usage.control_total_reads (instance_id, question, verified_at, attempted_at)
    values (${instanceId}, ${question}, ${verifiedAt}::timestamptz, ${verifiedAt}::timestamptz)
    on conflict (instance_id, question) do update set verified_at = excluded.verified_at, attempts = 0,
      attempted_at = excluded.attempted_at, next_read_at = null, reason = null, message = null`.execute(db);
}

/** The number of failures in a row of a question, and the reason of the last; null if it was answered. */
export interface TotalsFailures {
  readonly attempts: number;
  readonly code: string | null;
}

export async function readTotalsFailures(
  db: Kysely<Schema>,
  { instanceId, question }: { instanceId: string; question: string },
): Promise<TotalsFailures> {
  const { rows } = await sql<TotalsFailures>`
    select attempts, reason as code from losant_usage.control_total_reads
    where instance_id = ${instanceId} and question = ${question}`.execute(db);
  return rows[0] ?? { attempts: 0, code: null };
}

export interface TotalsFailure {
  readonly instanceId: string;
  readonly question: string;
  readonly attempts: number;
  readonly attemptedAt: Instant;
  readonly nextReadAt: Instant;
  readonly code: string;
  readonly message: string;
}

/** Records that a question was not answered, and when it is asked again. */
export async function recordTotalsFailure(db: Kysely<Schema>, failure: TotalsFailure): Promise<void> {
  const { instanceId, question, attempts, attemptedAt, nextReadAt, code, message } = failure;
  await sql`
    insert into losant_usage.control_total_reads
      (instance_id, question, attempts, attempted_at, next_read_at, reason, message)
    values (${instanceId}, ${question}, ${attempts}, ${attemptedAt}::timestamptz, ${nextReadAt}::timestamptz,
      ${code}, ${message})
    on conflict (instance_id, question) do update set attempts = excluded.attempts,
      attempted_at = excluded.attempted_at, next_read_at = excluded.next_read_at,
      reason = excluded.reason, message = excluded.message`.execute(db);
}
