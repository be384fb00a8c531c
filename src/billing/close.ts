import type { KeyObject } from 'node:crypto';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { CLOCK, instantText } from '../database/expressions.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';
import { isUniqueViolation, readClosingRefusal } from '../database/sqlstate.ts';
import { SettingsError } from '../errors.ts';
import type { Month } from '../usage/day.ts';
import type { StatementDocument } from './manifest.ts';
import { makePack } from './pack.ts';
import {
  type BilledInstance,
  type Blocker,
  nameOf,
  readBlockers,
  readStatements,
  type Statement,
} from './statements.ts';

/** The acceptance of blockers: the hash is that of the list that was shown. */
export interface Acceptance {
  readonly reason: string;
  readonly blockersHash: string;
}

export interface CloseRequest {
  readonly month: Month;
  /** The blockers that are accepted; null to close the month only if nothing blocks it. */
  readonly acceptance: Acceptance | null;
  /** Whether to bill what has changed since the month was closed. */
  readonly isAdjustment: boolean;
  /** Whether to store nothing, which needs the right to read only. */
  readonly isDryRun: boolean;
  /** The Ed25519 key that signs the manifest; null to sign nothing. */
  readonly signingKey: KeyObject | null;
  readonly signal: AbortSignal;
}

export interface CloseOutcome {
  /**
   * `refused`: nothing was stored, and the lines are what would be billed. `unchanged`: nothing differs from
   * what was closed. `unsettled`: something differs, and none of it can be billed yet. `closed` without a
   * statement: a dry run.
   */
  readonly kind: 'closed' | 'refused' | 'unchanged' | 'unsettled';
  readonly statement: Statement | null;
  /** The blockers of the month, also those that were accepted. */
  readonly blockers: readonly Blocker[];
  /** The hash that accepts exactly these blockers; null without any. */
  readonly blockersHash: string | null;
  readonly totals: readonly Total[];
  /** The first lines, by organization, of `lineCount`; all of a statement are in `statement_lines`. */
  readonly lines: readonly BillLine[];
  readonly lineCount: number;
  readonly controls: StatementDocument['controls'];
}

/**
 * The sum that a statement bills of a metric, over all organizations. Text, because it may exceed a JavaScript
 * number.
 */
export interface Total {
  readonly metric: string;
  readonly unit: string;
  readonly orgs: number;
  readonly quantity: string | null;
}

/** A line as it is shown; quantities are text, because they may exceed a JavaScript number. */
export interface BillLine {
  readonly orgId: string;
  readonly orgName: string;
  readonly referralId: string | null;
  readonly planId: string | null;
  readonly customerId: string | null;
  readonly isCustomerChanged: boolean;
  readonly metric: string;
  readonly unit: string;
  readonly kind: string;
  readonly quantity: string | null;
  readonly billedBefore: string | null;
  readonly total: string | null;
  readonly maximum: string | null;
  readonly average: string | null;
  readonly daysExpected: number;
  readonly daysFinal: number;
  readonly daysAccepted: number;
  readonly daysOpen: number;
  readonly daysUnavailable: number;
  readonly daysInDoubt: number;
  readonly daysMissing: number;
  readonly daysUnreported: number;
}

/**
 * Closes a month of an instance, or bills what has changed since, in one transaction on one connection:
 * statement, lines and proof pack, or nothing. The database computes and writes them. Throws SettingsError if
 * the month is not over or is already closed, for an adjustment if it is not closed, and for a hash that is
 * not of what blocks it now.
 */
export async function closeMonth(
  { db }: Pick<DatabaseHandle, 'db'>,
  instance: BilledInstance,
  request: CloseRequest,
): Promise<CloseOutcome> {
  try {
    if (!request.isDryRun) return await closeAtOneMoment(db, instance, request);
    // Takes no lock, so a load under way may count in part.
    const transaction = db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only');
    return await transaction.execute(async (trx) => await readDraft(trx, instance, request));
  } catch (error) {
    const refusal = readClosingRefusal(error);
    if (refusal !== null) throw new SettingsError(refusal.message, { hint: refusal.hint, cause: error });
    if (!isUniqueViolation(error)) throw error;
    throw new SettingsError(
      `${nameOf(instance, request.month)} was closed or adjusted by another process meanwhile`,
      { hint: 'start again to see what is left to do', cause: error },
    );
  }
}

/** Reads what would be billed, and what keeps it from being billed; nothing of it is stored. */
async function readDraft(
  trx: Kysely<Schema>,
  instance: BilledInstance,
  request: CloseRequest,
): Promise<CloseOutcome> {
  const { month, isAdjustment, acceptance } = request;
  const { instanceId } = instance;
  const first = firstOf(month);
  const hash = sql<string | null>`losant_usage.require_closable(${instanceId}, ${first}, ${isAdjustment},
    ${acceptance?.blockersHash ?? null}, clock_timestamp())`;
  const { blockersHash } = await trx.selectNoFrom(hash.as('blockersHash')).executeTakeFirstOrThrow();
  const lines = sql`losant_usage.statement_draft(${instanceId}, ${first}, ${isAdjustment})`;
  const shown = await readShown(trx, { month, instanceId }, { blockersHash, lines });
  const all = { ...shown, statement: null };
  if (blockersHash !== null && acceptance === null) return { kind: 'refused', ...all };
  if (shown.lineCount > 0) return { kind: 'closed', ...all };
  if (isAdjustment) {
    const differing = trx.selectFrom('adjustments').select('metric').where('instance_id', '=', instanceId);
    const one = await differing.where('month', '=', `${month}-01`).limit(1).executeTakeFirst();
    return { kind: one === undefined ? 'unchanged' : 'unsettled', ...all };
  }
  throw new SettingsError(`${nameOf(instance, month)} has no day of any organization: nothing to close`, {
    hint: 'losant-usage status shows since when numbers are collected; losant-usage backfill collects earlier days',
  });
}

/**
 * Closes the month on the numbers as of one moment, in a transaction that sees nothing newer. The moment is
 * exact: no load is under way while it is taken, so everything recorded before it is seen and everything else
 * is recorded after it.
 */
async function closeAtOneMoment(
  db: Kysely<Schema>,
  instance: BilledInstance,
  request: CloseRequest,
): Promise<CloseOutcome> {
  const { month, acceptance, isAdjustment } = request;
  const { instanceId } = instance;
  const blockersHash = acceptance?.blockersHash ?? null;
  return await db.transaction().execute(async (trx): Promise<CloseOutcome> => {
    // Said in SQL, as kysely's driver for PGlite ignores a level that is set on the transaction.
    await sql`set transaction isolation level repeatable read`.execute(trx);
    const moment = await takeMoment(trx);
    const open = sql<StatementDocument | null>`losant_usage.open_statement(${instanceId}, ${firstOf(month)},
      ${isAdjustment}, ${acceptance?.reason ?? null}, ${blockersHash}::text, ${moment}::timestamptz)`;
    const { opened } = await trx.selectNoFrom(open.as('opened')).executeTakeFirstOrThrow();
    if (opened === null) return await readDraft(trx, instance, request);
    await makePack(trx, opened, request);
    const made = await readStatements(trx, { month, instanceIds: [instanceId] });
    const lines = sql`(select * from losant_usage.statement_lines where statement_id = ${opened.id}::uuid)`;
    return {
      kind: 'closed',
      statement: made.find(({ statementId }) => statementId === opened.id) ?? null,
      ...(await readShown(trx, { month, instanceId }, { blockersHash, lines })),
    };
  });
}

/**
 * Waits for other statements and for the loads under way, fixes what the transaction sees, and lets loads go
 * on. The tables are locked before the first query, which fixes the snapshot, and given back with the
 * savepoint. Returns the moment in microseconds, UTC.
 */
async function takeMoment(trx: Kysely<Schema>): Promise<string> {
  await sql`lock table losant_usage_internal.closing_lock in share row exclusive mode`.execute(trx);
  await sql`savepoint loads`.execute(trx);
  await sql`lock table losant_usage_internal.ledger_lock in share mode`.execute(trx);
  const { at } = await trx.selectNoFrom(instantText(CLOCK).as('at')).executeTakeFirstOrThrow();
  await sql`rollback to savepoint loads`.execute(trx);
  // A pooler may have given a session of which the program has set nothing.
  await sql`select set_config('synchronous_commit', case current_setting('synchronous_commit')
    when 'off' then 'on' else current_setting('synchronous_commit') end, true)`.execute(trx);
  return at;
}

function firstOf(month: Month): RawBuilder<string> {
  return sql<string>`${`${month}-01`}::date`;
}

/** The number of lines that are shown: those of some fifty organizations. */
const LINES_MAX = 600;

/** Reads what is shown of lines, given as a table of a query, and what speaks against the month. */
async function readShown(
  trx: Kysely<Schema>,
  { month, instanceId }: { readonly month: Month; readonly instanceId: string },
  { blockersHash, lines }: Pick<CloseOutcome, 'blockersHash'> & { readonly lines: RawBuilder<unknown> },
): Promise<Omit<CloseOutcome, 'kind' | 'statement'>> {
  const { rows } = await sql<Pick<CloseOutcome, 'totals' | 'lines' | 'lineCount' | 'controls'>>`
    with all_lines as (
      select l.*, m.position from ${lines} as l join losant_usage.metrics m on m.metric = l.metric
    ),
    totals as (
      select metric, unit, count(*) as orgs, sum(quantity)::text as quantity, position
      from all_lines group by metric, unit, position
    ),
    shown as (
      select org_id as "orgId", org_name as "orgName", referral_id as "referralId", plan_id as "planId",
        customer_id as "customerId", is_customer_changed as "isCustomerChanged", metric, unit, kind,
        quantity::text, billed_before::text as "billedBefore", total::text, maximum::text, average::text,
        days_expected as "daysExpected", days_final as "daysFinal", days_accepted as "daysAccepted",
        days_open as "daysOpen", days_unavailable as "daysUnavailable", days_in_doubt as "daysInDoubt",
        days_missing as "daysMissing", days_unreported as "daysUnreported"
      from all_lines order by lower(org_name), org_id, position limit ${LINES_MAX}
    )
    select (select count(*) from all_lines) as "lineCount",
      (select coalesce(jsonb_agg(to_jsonb(t) - 'position' order by t.position), '[]') from totals t) as totals,
      (select coalesce(jsonb_agg(to_jsonb(c) order by c.stream, c.compared_with, c.outcome, c.reason), '[]')
        from losant_usage.month_controls(${instanceId}, ${firstOf(month)}) c) as controls,
      (select coalesce(json_agg(s), '[]') from shown s) as lines`.execute(trx);
  const [bill] = rows;
  if (bill === undefined) throw new Error('the database answered no row');
  const blockers = blockersHash === null ? [] : await readBlockers(trx, { month, instanceId });
  return { ...bill, blockers, blockersHash };
}
