import { type ControlledTransaction, type Kysely, sql } from 'kysely';
import { instantText } from '../database/expressions.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';
import { beginWriting } from '../ledger/transaction.ts';
import type { Month, PeriodSource } from '../usage/period.ts';

/**
 * Does `work` on the numbers as of one moment, in a transaction that sees nothing newer.
 * The moment is exact: while it is taken no load is under way, so that what was recorded
 * before it is seen, and what is not seen is recorded after it. `at` is in microseconds, UTC.
 * What was written is kept if `keep`, and unless `work` throws.
 */
export async function atOneMoment<T>(
  { db, kind }: Pick<DatabaseHandle, 'db' | 'kind'>,
  { keep }: { readonly keep: boolean },
  work: (trx: Kysely<Schema>, at: string) => Promise<T>,
): Promise<T> {
  // The embedded database has one session, and so no load beside this one.
  const lock = kind === 'embedded' ? null : await lockNumbers(db);
  let trx: ControlledTransaction<Schema>;
  let at: string;
  try {
    trx = await db.startTransaction().setIsolationLevel('repeatable read').execute();
    // Its first statement fixes what the transaction sees.
    await beginWriting(trx, { runId: null, lease: null });
    at = await readClock(trx);
  } finally {
    await lock?.rollback().execute();
  }
  try {
    const result = await work(trx, at);
    await (keep ? trx.commit() : trx.rollback()).execute();
    return result;
  } catch (error) {
    await giveUp(trx);
    throw error;
  }
}

/** Waits for the loads under way and holds further ones back until it is rolled back. In the order of every writer. */
async function lockNumbers(db: Kysely<Schema>): Promise<ControlledTransaction<Schema>> {
  const lock = await db.startTransaction().execute();
  try {
    await sql`lock table losant_usage.coverage, losant_usage.usage_days, losant_usage.payload_sources
      in share mode`.execute(lock);
    return lock;
  } catch (error) {
    await giveUp(lock);
    throw error;
  }
}

/** After an error, which is what is told: on a connection that was lost there is nothing to roll back. */
async function giveUp(trx: ControlledTransaction<Schema>): Promise<void> {
  await trx
    .rollback()
    .execute()
    .catch(() => {});
}

async function readClock(trx: Kysely<Schema>): Promise<string> {
  const { rows } = await sql<{ at: string }>`
    select ${instantText(sql`clock_timestamp()`)} as at`.execute(trx);
  return (rows[0] as { at: string }).at;
}

/** A closed month of an instance. */
export interface StatementScope {
  readonly instanceId: string;
  readonly month: Month;
  readonly source: PeriodSource;
}

export interface NewStatement extends StatementScope {
  readonly statementId: string;
  /** 1 for the closing, more for an adjustment. */
  readonly number: number;
  /** Why it is closed though not all is billable; null if all is. */
  readonly reason: string | null;
}

/** Writes the lines of a closing: the numbers of every period. Returns how many. */
export async function insertClosingLines(
  trx: Kysely<Schema>,
  { statementId, instanceId, month, source }: NewStatement,
): Promise<number> {
  return await insertLines(
    trx,
    statementId,
    sql`select n.*, n.total as quantity
      from losant_usage.period_numbers(${instanceId}, ${`${month}-01`}::date, ${sql.lit(source)}) n`,
  );
}

/** Writes the lines of an adjustment: what differs from the newest statement. Returns how many. */
export async function insertAdjustmentLines(
  trx: Kysely<Schema>,
  { statementId, instanceId, month, source }: NewStatement,
): Promise<number> {
  return await insertLines(
    trx,
    statementId,
    sql`
      select a.org_id, a.org_name, a.referral_id, a.plan_id, a.customer_id, a.period_start, a.period_end,
        a.metric, a.unit, a.kind, a.now_quantity as total, a.now_max as total_max, a.now_avg as total_avg,
        coalesce(n.days_in_period, a.period_end + 1 - a.period_start) as days_in_period,
        coalesce(n.days_expected, 0) as days_expected, coalesce(n.days_held, 0) as days_held,
        coalesce(n.days_final, 0) as days_final, coalesce(n.days_waived, 0) as days_waived,
        coalesce(n.days_unavailable, 0) as days_unavailable, coalesce(n.days_unreported, 0) as days_unreported,
        coalesce(n.is_billable, false) as is_billable, a.difference as quantity
      from losant_usage.adjustments_of(${instanceId}, ${`${month}-01`}::date, ${source}) a
      left join losant_usage.period_numbers(${instanceId}, ${`${month}-01`}::date, ${sql.lit(source)}) n
        on n.org_id = a.org_id and n.period_start = a.period_start and n.metric = a.metric`,
  );
}

async function insertLines(
  trx: Kysely<Schema>,
  statementId: string,
  numbers: ReturnType<typeof sql>,
): Promise<number> {
  const { numAffectedRows } = await sql`
    insert into losant_usage.statement_lines (statement_id, org_id, period_start, metric, period_end, org_name,
      referral_id, plan_id, customer_id, unit, kind, quantity, total, total_max, total_avg, days_in_period,
      days_expected, days_held, days_final, days_waived, days_unavailable, days_unreported, is_billable,
      revision_watermark)
    with numbers as materialized (${numbers}),
    newest as materialized (
      select p.org_id, p.period_start, (
        select max(r.id) from losant_usage.revisions r
        where r.org_id = p.org_id and r.usage_date between p.period_start and p.period_end) as id
      from (select distinct org_id, period_start, period_end from numbers) as p
    )
    select ${statementId}::uuid, n.org_id, n.period_start, n.metric, n.period_end, n.org_name,
      n.referral_id, n.plan_id, n.customer_id, n.unit, n.kind, n.quantity, n.total, n.total_max, n.total_avg,
      n.days_in_period, n.days_expected, n.days_held, n.days_final, n.days_waived, n.days_unavailable,
      n.days_unreported, n.is_billable, coalesce(r.id, 0)
    from numbers n join newest r on r.org_id = n.org_id and r.period_start = n.period_start`.execute(trx);
  return Number(numAffectedRows ?? 0);
}

/** Keeps a part of a file of the proof pack. */
export async function insertFilePart(
  trx: Kysely<Schema>,
  { statementId, name, part, gzip }: { statementId: string; name: string; part: number; gzip: Buffer },
): Promise<void> {
  await sql`insert into losant_usage.statement_files (statement_id, name, part, content_gzip)
    values (${statementId}::uuid, ${name}, ${part}, ${gzip})`.execute(trx);
}

/** Writes the statement itself, after its lines and files: from then on nothing is added to it. */
export async function insertStatement(
  trx: Kysely<Schema>,
  { statementId, instanceId, month, number, source, reason }: NewStatement,
  { at, manifestSha256 }: { at: string; manifestSha256: Buffer },
): Promise<void> {
  await sql`insert into losant_usage.statements
      (statement_id, instance_id, period_month, number, kind, source, reason, orgs, closed_at, manifest_sha256)
    select ${statementId}::uuid, ${instanceId}, ${`${month}-01`}::date, ${number}::integer,
      case ${number}::integer when 1 then 'closing' else 'adjustment' end, ${source}, ${reason},
      (select count(distinct org_id) from losant_usage.statement_lines where statement_id = ${statementId}::uuid),
      ${at}::timestamptz, ${manifestSha256}`.execute(trx);
}
