import type { Kysely } from 'kysely';
import type { DatabaseHandle } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';
import { isUniqueViolation } from '../database/sqlstate.ts';
import { SettingsError } from '../errors.ts';
import { daysOfMonth, isMonthOver, type Month } from '../usage/period.ts';
import { makePack } from './make-pack.ts';
import {
  type BilledInstance,
  type Blocker,
  findOverlap,
  readBlockers,
  readLines,
  readStatements,
  readTotals,
  type Statement,
  type StatementLine,
  type StatementTotal,
} from './statements.ts';
import {
  atOneMoment,
  insertAdjustmentLines,
  insertClosingLines,
  insertStatement,
  type NewStatement,
} from './write-statements.ts';

export interface CloseRequest {
  readonly month: Month;
  /** Why it is closed though not all is billable; null: it is not then. */
  readonly reason: string | null;
  /** Settles what changed since the month was closed. */
  readonly isAdjustment: boolean;
  /** Nothing is kept. */
  readonly isDryRun: boolean;
  readonly newId: () => string;
  readonly signal: AbortSignal;
}

export type CloseOutcome =
  | {
      readonly kind: 'closed';
      /** Null in a dry run. */
      readonly statement: Statement | null;
      readonly lines: number;
      readonly totals: readonly StatementTotal[];
      /** Every line, in a dry run only. */
      readonly dryRun: readonly StatementLine[];
      /** What it was closed without. */
      readonly blockers: readonly Blocker[];
    }
  /** Not all is billable, and no reason was given. */
  | { readonly kind: 'refused'; readonly blockers: readonly Blocker[] }
  /** Nothing differs from what was closed. */
  | { readonly kind: 'unchanged' };

/**
 * Closes a month of an instance, or settles what changed since, in one transaction: statement, lines and
 * proof pack, or nothing. Throws SettingsError where it is closed already, or was not yet.
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
  // A closed month keeps the periods it was closed by.
  const source = closing?.source ?? instance.source;
  const blockers = isAdjustment ? [] : await readBlockers(trx, { instanceId, month, source });
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
  const lines = await (isAdjustment ? insertAdjustmentLines : insertClosingLines)(trx, statement);
  if (lines === 0 && isAdjustment) return { kind: 'unchanged' };
  if (lines === 0) throw nothingToClose(instance, month);
  if (!isAdjustment) await requireNoOverlap(trx, instance, statement);
  const totals = await readTotals(trx, statementId);
  if (isDryRun) {
    return {
      kind: 'closed',
      statement: null,
      lines,
      totals,
      dryRun: await readLines(trx, statementId),
      blockers,
    };
  }
  const manifestSha256 = await makePack(trx, statement, { at, signal });
  await insertStatement(trx, statement, { at, manifestSha256 });
  const made = (await readStatements(trx, { month, instanceId })).at(-1) as Statement;
  return { kind: 'closed', statement: made, lines, totals, dryRun: [], blockers };
}

/** By the database's clock, as everything that says which day is over. */
function requireOver(month: Month, at: string): void {
  if (isMonthOver(month, Date.parse(at))) return;
  throw new SettingsError(`${month} is not over: its last day is ${daysOfMonth(month).to} (UTC)`, {
    hint: 'close a month after its end, when its last days are final: 72 hours later by default (FINAL_AT_HOURS)',
  });
}

/** The closing that an adjustment follows; undefined for a closing. */
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
      hint: `a closed period stays as it is; settle what changed since with: losant-usage close --period ${month} --adjust`,
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

/** How messages name a month of an instance. */
export function nameOf({ instanceId, name }: BilledInstance, month: Month): string {
  return `${month} of instance ${name === null ? instanceId : `${name} (${instanceId})`}`;
}
