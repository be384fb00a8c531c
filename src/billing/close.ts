/** Closes a month: makes a statement of the numbers that are stored, in one transaction. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { isLockTimeout, retryTransaction } from '../database/sqlstate.ts';
import { BusyError, SettingsError } from '../errors.ts';
import { LEDGER_LOCK } from '../ledger/lease.ts';
import { showInstant } from '../terminal/words.ts';
import type { Month } from '../usage/day.ts';
import { type Blocker, readClosing, readMonthBlockers, toFirstDay } from './months.ts';

interface CloseRequest {
  readonly month: Month;
  readonly isAdjustment: boolean;
  /** Why the month is closed despite its blockers; null to accept none. */
  readonly reason: string | null;
}

/** `blocked`: nothing was stored. `unchanged`: an adjustment has nothing to bill. */
export type CloseOutcome =
  | { readonly kind: 'created'; readonly statementId: string; readonly number: number }
  | { readonly kind: 'blocked'; readonly blockers: readonly Blocker[] }
  | { readonly kind: 'unchanged' };

/**
 * Makes the closing of a month, or an adjustment of what has changed since. It waits for loads in flight and keeps new
 * ones out until it ends. Throws SettingsError if the month has not ended, is closed already or has nothing to bill, or
 * for an adjustment if it is not closed; and BusyError `lease_busy` if loads or another close last too long.
 */
export async function closeMonth(db: Kysely<Schema>, request: CloseRequest): Promise<CloseOutcome> {
  try {
    return await retryTransaction(() =>
      db
        .transaction()
        // Each statement sees what was committed while the lock was awaited, whatever the session's default is.
        .setIsolationLevel('read committed')
        .execute((trx) => createStatement(trx, request)),
    );
  } catch (error) {
    if (!isLockTimeout(error)) throw error;
    throw new BusyError('lease_busy', 'Usage is being loaded, or another month closed, for too long', {
      hint: 'nothing was stored; try again later',
      cause: error,
    });
  }
}

async function createStatement(trx: Kysely<Schema>, request: CloseRequest): Promise<CloseOutcome> {
  const { month, isAdjustment, reason } = request;
  // The session's lock_timeout bounds this wait.
  await sql`select pg_advisory_xact_lock(${LEDGER_LOCK}::bigint)`.execute(trx);
  await requireClosable(trx, request);
  const blockers = isAdjustment ? [] : await readMonthBlockers(trx, month);
  if (blockers.length > 0 && reason === null) return { kind: 'blocked', blockers };
  if (isAdjustment && !(await hasAdjustments(trx, month))) return { kind: 'unchanged' };
  const statement = await insertStatement(trx, request, blockers.length > 0);
  const lineCount = await insertLines(trx, statement.statementId, request);
  if (lineCount === 0n) {
    throw new SettingsError(`${month} has nothing to bill, so there is nothing to close`, {
      hint: 'losant-usage close lists the months; losant-usage backfill loads earlier days',
    });
  }
  return { kind: 'created', ...statement };
}

/** Returns the number of lines. */
async function insertLines(
  trx: Kysely<Schema>,
  statementId: string,
  { month, isAdjustment }: CloseRequest,
): Promise<bigint> {
  // Otherwise the planner computes what is the same for all metrics of an organization for each of them.
  if (!isAdjustment) await sql`select set_config('join_collapse_limit', '1', true)`.execute(trx);
  const lines = isAdjustment
    ? sql`select *, quantity - coalesce(billed_quantity, 0) as billed from losant_usage_internal.adjustment_lines`
    : sql`select *, quantity as billed from losant_usage_internal.month_lines`;
  const { numAffectedRows = 0n } = await sql`
    insert into losant_usage.statement_lines (statement_id, month, org_id, org_name, referral_id, plan_id, customer_id,
      metric, unit, kind, quantity, maximum, average, days_expected, days_stored, days_final, days_waived,
      days_unreported)
    select ${statementId}::uuid, n.month, n.org_id, n.org_name, n.referral_id, n.plan_id, n.customer_id, n.metric,
      n.unit, n.kind, n.billed, n.maximum, n.average, n.days_expected, n.days_stored, n.days_final, n.days_waived,
      n.days_unreported
    from (${lines}) as n where n.month = ${toFirstDay(month)}::date`.execute(trx);
  return numAffectedRows;
}

async function hasAdjustments(trx: Kysely<Schema>, month: Month): Promise<boolean> {
  const row = await trx
    .selectFrom('adjustments')
    .select('org_id')
    .where('month', '=', toFirstDay(month))
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** The number is the next one: nobody else makes a statement at the same time. */
async function insertStatement(trx: Kysely<Schema>, { month, isAdjustment, reason }: CloseRequest, isBlocked: boolean) {
  const firstDay = toFirstDay(month);
  const blockers = sql`(
    select jsonb_agg(to_jsonb(b) - 'month' order by b.org_id nulls first, b.cause)
    from losant_usage.month_blockers b where b.month = ${firstDay}::date)`;
  const { rows } = await sql<{ statementId: string; number: number }>`
    insert into losant_usage.statements (number, month, kind, reason, blockers)
    select coalesce(max(s.number), 0) + 1, ${firstDay}::date, ${isAdjustment ? 'adjustment' : 'closing'},
      ${isBlocked ? reason : null}::text, ${isBlocked ? blockers : sql`null::jsonb`}
    from losant_usage.statements s
    returning statement_id as "statementId", number`.execute(trx);
  return rows[0] as (typeof rows)[number];
}

/** Throws SettingsError if the month cannot be closed or adjusted, whatever its numbers are. */
export async function requireClosable(
  db: Kysely<Schema>,
  { month, isAdjustment }: Pick<CloseRequest, 'month' | 'isAdjustment'>,
): Promise<void> {
  const { hasEnded, closedAt, closedBy } = await readClosing(db, month);
  if (!hasEnded) {
    throw new SettingsError(`${month} has not ended (UTC)`, {
      hint: 'close a month once its last days are final: by default 72 hours after it ends (FINAL_AFTER_HOURS)',
    });
  }
  if (isAdjustment && closedAt === null) {
    throw new SettingsError(`${month} is not closed, so there is nothing to adjust`, {
      hint: `close it first: losant-usage close --month ${month}`,
    });
  }
  if (!isAdjustment && closedAt !== null) {
    throw new SettingsError(`${month} was already closed on ${showInstant(closedAt)} by ${closedBy}`, {
      hint: `bill later changes with: losant-usage close --month ${month} --adjust`,
    });
  }
}
