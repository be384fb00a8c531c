import { type ControlledTransaction, type Kysely, type RawBuilder, sql } from 'kysely';
import { instantText } from '../database/expressions.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';
import { isUniqueViolation } from '../database/sqlstate.ts';
import { SettingsError } from '../errors.ts';
import { daysOfMonth, isMonthOver, type Month } from '../usage/period.ts';
import { type BlockedPeriod, readBlockers } from './month.ts';
import { makePack, type NewStatement } from './pack.ts';
import {
  type BilledInstance,
  findOverlap,
  readLines,
  readStatements,
  readTotals,
  type Statement,
  type StatementLine,
  type StatementTotal,
} from './statements.ts';

export interface CloseRequest {
  readonly month: Month;
  /** The reason for closing it although something blocks it; null to close it only if nothing does. */
  readonly reason: string | null;
  /** Whether to bill what has changed since the month was closed. */
  readonly isAdjustment: boolean;
  /** Whether to store nothing. */
  readonly isDryRun: boolean;
  readonly newId: () => string;
  readonly signal: AbortSignal;
}

export type CloseOutcome =
  | {
      readonly kind: 'closed';
      /** The statement; null in a dry run. */
      readonly statement: Statement | null;
      readonly lines: number;
      readonly totals: readonly StatementTotal[];
      /** Every line, in a dry run only. */
      readonly dryRun: readonly StatementLine[];
      /** The blockers that were accepted. */
      readonly blockers: readonly BlockedPeriod[];
    }
  /** Something blocks the period, and no reason was given. */
  | { readonly kind: 'refused'; readonly blockers: readonly BlockedPeriod[] }
  /** Nothing differs from what was closed. */
  | { readonly kind: 'unchanged' };

/**
 * Closes a month of an instance, or bills what has changed since, in one transaction: statement, lines
 * and proof pack, or nothing. Throws SettingsError if the month is already closed, or for an
 * adjustment if it is not yet.
 */
export async function closePeriod(
  handle: DatabaseHandle,
  instance: BilledInstance,
  request: CloseRequest,
): Promise<CloseOutcome> {
  const options = { keep: !request.isDryRun };
  try {
    return await atOneMoment(handle, options, async (trx, at) => await closeAt(trx, instance, request, at));
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new SettingsError(
      `${nameOf(instance, request.month)} was closed or adjusted by another process meanwhile`,
      {
        hint: 'start again to see what is left to do',
        cause: error,
      },
    );
  }
}

async function closeAt(
  trx: Kysely<Schema>,
  instance: BilledInstance,
  request: CloseRequest,
  at: string,
): Promise<CloseOutcome> {
  const { instanceId } = instance;
  const { month, reason, isAdjustment, isDryRun, signal } = request;
  requireOver(month, at);
  const earlier = await readStatements(trx, { month, instanceId });
  const closing = requirePlace(earlier[0], instance, request);
  // A closed month keeps the periods by which it was closed.
  const source = closing?.source ?? instance.source;
  const blockers = isAdjustment ? [] : await readBlockers(trx, { instanceId, month });
  if (blockers.length > 0 && reason === null) return { kind: 'refused', blockers };
  const statement: NewStatement = {
    statementId: request.newId(),
    instanceId,
    month,
    source,
    number: earlier.length + 1,
    reason,
  };
  const { statementId } = statement;
  const lines = await insertLines(
    trx,
    statementId,
    isAdjustment ? adjustedNumbers(statement) : closedNumbers(statement),
  );
  if (lines === 0 && isAdjustment) return { kind: 'unchanged' };
  if (lines === 0) throw nothingToClose(instance, month);
  if (!isAdjustment) await requireNoOverlap(trx, instance, statement);
  const totals = await readTotals(trx, statementId);
  if (isDryRun) {
    const dryRun = await readLines(trx, statementId);
    return { kind: 'closed', statement: null, lines, totals, dryRun, blockers };
  }
  const manifestSha256 = await makePack(trx, statement, { at, signal });
  await insertStatement(trx, statement, { at, manifestSha256 });
  const made = (await readStatements(trx, { month, instanceId })).at(-1) as Statement;
  return { kind: 'closed', statement: made, lines, totals, dryRun: [], blockers };
}

/** Throws unless the month is over by the database's clock, which decides everywhere which day is over. */
function requireOver(month: Month, at: string): void {
  if (isMonthOver(month, Date.parse(at))) return;
  throw new SettingsError(`${month} is not over: its last day is ${daysOfMonth(month).to} (UTC)`, {
    hint: 'close a month after its end, when its last days are final: 72 hours later by default (FINAL_AT_HOURS)',
  });
}

/** Returns the closing that an adjustment follows; undefined for a closing. */
function requirePlace(
  closing: Statement | undefined,
  instance: BilledInstance,
  { month, isAdjustment }: CloseRequest,
): Statement | undefined {
  const name = nameOf(instance, month);
  if (isAdjustment && closing === undefined) {
    throw new SettingsError(`${name} is not closed, so there is nothing to adjust`, {
      hint: `close it first: losant-usage close --period ${month}`,
    });
  }
  if (!isAdjustment && closing !== undefined) {
    throw new SettingsError(`${name} is closed already, since ${closing.closedAt} by ${closing.closedBy}`, {
      hint: `a closed period stays as it is; what changed since is billed with: losant-usage close --period ${month} --adjust`,
    });
  }
  return closing;
}

function nothingToClose(instance: BilledInstance, month: Month): SettingsError {
  return new SettingsError(
    `${nameOf(instance, month)} has no tracked day of any organization: nothing to close`,
    {
      hint: 'losant-usage status shows since when numbers are collected; losant-usage backfill collects earlier days',
    },
  );
}

async function requireNoOverlap(
  trx: Kysely<Schema>,
  instance: BilledInstance,
  { statementId, month }: NewStatement,
): Promise<void> {
  const overlap = await findOverlap(trx, statementId);
  if (overlap === null) return;
  const { orgId, periodStart, periodEnd, closedMonth } = overlap;
  throw new SettingsError(
    `${nameOf(instance, month)}: the period ${periodStart} to ${periodEnd} of organization ${orgId} has days of ${closedMonth}, which is closed`,
    {
      hint: 'a day is billed once: BILLING_PERIODS was changed since; set it back to close this month',
    },
  );
}

/** Returns the name of an instance's month in messages. */
export function nameOf({ instanceId, name }: BilledInstance, month: Month): string {
  return `${month} of instance ${name === null ? instanceId : `${name} (${instanceId})`}`;
}

/**
 * Runs `work` on the numbers as of one moment, in a transaction that sees nothing newer. The moment is
 * exact: no load is under way while it is taken, so everything recorded before it is seen and
 * everything else is recorded after it. `at` is in microseconds, UTC. Changes are kept if `keep` is
 * set, unless `work` throws.
 */
async function atOneMoment<T>(
  { db, kind }: Pick<DatabaseHandle, 'db' | 'kind'>,
  { keep }: { readonly keep: boolean },
  work: (trx: Kysely<Schema>, at: string) => Promise<T>,
): Promise<T> {
  // The embedded database has one session, so no load runs beside this one.
  const lock = kind === 'embedded' ? null : await holdLoads(db);
  let trx: ControlledTransaction<Schema>;
  let at: string;
  try {
    trx = await db.startTransaction().setIsolationLevel('repeatable read').execute();
    at = await beginClosing(trx);
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

/** Waits for the loads under way and blocks further ones until it is rolled back. */
async function holdLoads(db: Kysely<Schema>): Promise<ControlledTransaction<Schema>> {
  const lock = await db.startTransaction().execute();
  try {
    await sql`select losant_usage.hold_loads()`.execute(lock);
    return lock;
  } catch (error) {
    await giveUp(lock);
    throw error;
  }
}

/**
 * Rolls back after an error, and ignores a failure to do so: the first error is reported, and a lost
 * connection has nothing to roll back.
 */
async function giveUp(trx: ControlledTransaction<Schema>): Promise<void> {
  await trx
    .rollback()
    .execute()
    .catch(() => {});
}

/**
 * Runs the first statement, which fixes what the transaction sees. Commits synchronously whatever the
 * server's default.
 */
async function beginClosing(trx: Kysely<Schema>): Promise<string> {
  const { rows } = await sql<{ at: string }>`
    select ${instantText(sql`clock_timestamp()`)} as at,
      set_config('synchronous_commit', case current_setting('synchronous_commit')
        when 'off' then 'on' else current_setting('synchronous_commit') end, true)`.execute(trx);
  return (rows[0] as { at: string }).at;
}

/** Returns the lines of a closing: the numbers of every period. */
function closedNumbers({ instanceId, month, source }: NewStatement): RawBuilder<unknown> {
  return sql`select n.*, n.total as quantity
    from losant_usage.period_numbers(${instanceId}, ${`${month}-01`}::date, ${sql.lit(source)}) n`;
}

/** Returns the lines of an adjustment: the differences from the newest statement. */
function adjustedNumbers({ instanceId, month, source }: NewStatement): RawBuilder<unknown> {
  return sql`
    select a.org_id, a.org_name, a.referral_id, a.plan_id, a.customer_id, a.period_start, a.period_end,
      a.metric, a.unit, a.kind, a.now_quantity as total, a.now_max as total_max, a.now_avg as total_avg,
      coalesce(n.days_in_period, a.period_end + 1 - a.period_start) as days_in_period,
      coalesce(n.days_expected, 0) as days_expected, coalesce(n.days_stored, 0) as days_stored,
      coalesce(n.days_final, 0) as days_final, coalesce(n.days_accepted, 0) as days_accepted,
      coalesce(n.days_unavailable, 0) as days_unavailable, coalesce(n.days_unreported, 0) as days_unreported,
      coalesce(n.is_billable, false) as is_billable, a.difference as quantity
    from losant_usage.adjustments_of(${instanceId}, ${`${month}-01`}::date, ${source}) a
    left join losant_usage.period_numbers(${instanceId}, ${`${month}-01`}::date, ${sql.lit(source)}) n
      on n.org_id = a.org_id and n.period_start = a.period_start and n.metric = a.metric`;
}

/** Writes the lines of a statement and returns their number. */
async function insertLines(
  trx: Kysely<Schema>,
  statementId: string,
  numbers: RawBuilder<unknown>,
): Promise<number> {
  const { numAffectedRows } = await sql`
    insert into losant_usage.statement_lines (statement_id, org_id, period_start, metric, period_end, org_name,
      referral_id, plan_id, customer_id, unit, kind, quantity, total, total_max, total_avg, days_in_period,
      days_expected, days_stored, days_final, days_accepted, days_unavailable, days_unreported, is_billable,
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
      n.days_in_period, n.days_expected, n.days_stored, n.days_final, n.days_accepted, n.days_unavailable,
      n.days_unreported, n.is_billable, coalesce(r.id, 0)
    from numbers n join newest r on r.org_id = n.org_id and r.period_start = n.period_start`.execute(trx);
  return Number(numAffectedRows ?? 0);
}

/** Writes the statement itself, after its lines and files; from then on nothing is added to it. */
async function insertStatement(
  trx: Kysely<Schema>,
  { statementId, instanceId, month, number, source, reason }: NewStatement,
  { at, manifestSha256 }: { at: string; manifestSha256: Buffer },
): Promise<void> {
  await trx
    .insertInto('statements')
    .values((eb) => ({
      statement_id: statementId,
      instance_id: instanceId,
      period_month: `${month}-01`,
      number,
      kind: number === 1 ? 'closing' : 'adjustment',
      source,
      reason,
      orgs: eb
        .selectFrom('statement_lines')
        .select(({ fn }) => fn.count<number>('org_id').distinct().as('orgs'))
        .where('statement_id', '=', statementId),
      closed_at: at,
      manifest_sha256: manifestSha256,
    }))
    .execute();
}
