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

/** What blocks a month and is accepted: the hash is that of the list that was shown. */
export interface Acceptance {
  readonly reason: string;
  readonly blockersHash: string;
}

export interface CloseRequest {
  readonly month: Month;
  /** What is accepted although it blocks the month; null to close it only if nothing does. */
  readonly acceptance: Acceptance | null;
  /** Whether to bill what has changed since the month was closed. */
  readonly isAdjustment: boolean;
  /** Whether to store nothing, which needs the right to read only. */
  readonly isDryRun: boolean;
  /** The Ed25519 key that signs the manifest; null to sign nothing. */
  readonly signingKey: KeyObject | null;
  /** The most lines that are returned, null for all; totals are of all. */
  readonly linesMax: number | null;
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
  /** What blocks the month, or was accepted. */
  readonly blockers: readonly Blocker[];
  /** What accepts exactly these blockers; null without any. */
  readonly blockersHash: string | null;
  readonly totals: readonly Total[];
  /** The first lines, by organization; `lineCount` is the number of all. */
  readonly lines: readonly BillLine[];
  readonly lineCount: number;
  readonly controls: StatementDocument['controls'];
}

/**
 * What a statement bills of a metric, over all organizations. Text, because it may exceed a JavaScript
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
    return request.isDryRun
      ? await draftStatement(db, instance, request)
      : await closeAtOneMoment(db, instance, request);
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

/** Reads what a statement would say now. Takes no lock, so a load under way may count in part. */
async function draftStatement(
  db: Kysely<Schema>,
  instance: BilledInstance,
  request: CloseRequest,
): Promise<CloseOutcome> {
  const { month, isAdjustment } = request;
  const transaction = db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only');
  return await transaction.execute(async (trx) => {
    await sql`select losant_usage.require_closable(${instance.instanceId}, ${firstOf(month)}, ${isAdjustment},
      clock_timestamp())`.execute(trx);
    return await readDraft(trx, instance, request);
  });
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
  const draft = sql`losant_usage.statement_draft(${instanceId}, ${first}, ${isAdjustment})`;
  const hash = sql`losant_usage.blockers_hash(${instanceId}, ${first}, (
    select string_agg(concat_ws(' ', l.org_id, l.metric, coalesce(l.quantity::text, '-')), E'\\n'
      order by l.org_id collate "C", l.metric collate "C") from all_lines l))`;
  const bill = await readBill(trx, { lines: draft, hash, linesMax: request.linesMax });
  const { blockersHash, lineCount } = bill;
  const blockers = blockersHash === null ? [] : await readBlockers(trx, { month, instanceId });
  const all = { ...bill, statement: null, blockers, controls: await readControls(trx, instance, month) };
  if (blockersHash !== null && acceptance === null) return { kind: 'refused', ...all };
  if (blockersHash !== null) requireSame(instance, request, blockersHash);
  if (lineCount > 0) return { kind: 'closed', ...all };
  if (!isAdjustment) throw nothingToClose(instance, month);
  return { kind: await tellUnsettled(trx, instance, month), ...all };
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
  const { month, acceptance, isAdjustment, linesMax } = request;
  const { instanceId } = instance;
  const accepted = sql<string | null>`${acceptance?.blockersHash ?? null}::text`;
  return await db.transaction().execute(async (trx): Promise<CloseOutcome> => {
    // Said in SQL, as kysely's driver for PGlite ignores a level that is set on the transaction.
    await sql`set transaction isolation level repeatable read`.execute(trx);
    const moment = await takeMoment(trx);
    const open = sql<StatementDocument | null>`losant_usage.open_statement(${instanceId}, ${firstOf(month)},
      ${isAdjustment}, ${acceptance?.reason ?? null}, ${accepted}, ${moment}::timestamptz)`;
    const { opened } = await trx.selectNoFrom(open.as('opened')).executeTakeFirstOrThrow();
    if (opened === null) return await readDraft(trx, instance, request);
    await makePack(trx, opened, request);
    const made = await readStatements(trx, { month, instanceIds: [instanceId] });
    const lines = sql`(select * from losant_usage.statement_lines where statement_id = ${opened.id}::uuid)`;
    return {
      kind: 'closed',
      statement: made.find(({ statementId }) => statementId === opened.id) ?? null,
      blockers: acceptance === null ? [] : await readBlockers(trx, { month, instanceId }),
      controls: opened.controls,
      ...(await readBill(trx, { lines, hash: accepted, linesMax })),
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

function requireSame(instance: BilledInstance, { month, acceptance }: CloseRequest, hash: string): void {
  if (acceptance === null || acceptance.blockersHash === hash) return;
  throw new SettingsError(
    `What blocks ${nameOf(instance, month)}, or what would be billed, ` +
      `is not what --blockers ${acceptance.blockersHash} accepts: it is ${hash} now`,
    { hint: 'look at the list once more: the same command without --incomplete and --blockers' },
  );
}

async function readControls(
  trx: Kysely<Schema>,
  { instanceId }: BilledInstance,
  month: Month,
): Promise<StatementDocument['controls']> {
  const { rows } = await sql<StatementDocument['controls'][number]>`
    select * from losant_usage.month_controls(${instanceId}, ${firstOf(month)})
    order by stream, compared_with, outcome, reason`.execute(trx);
  return rows;
}

/** Tells whether something differs although an adjustment has nothing to bill. */
async function tellUnsettled(
  trx: Kysely<Schema>,
  { instanceId }: BilledInstance,
  month: Month,
): Promise<'unchanged' | 'unsettled'> {
  const differing = trx.selectFrom('adjustments').select('metric').where('instance_id', '=', instanceId);
  const one = await differing.where('month', '=', `${month}-01`).limit(1).executeTakeFirst();
  return one === undefined ? 'unchanged' : 'unsettled';
}

function nothingToClose(instance: BilledInstance, month: Month): SettingsError {
  return new SettingsError(`${nameOf(instance, month)} has no day of any organization: nothing to close`, {
    hint: 'losant-usage status shows since when numbers are collected; losant-usage backfill collects earlier days',
  });
}

function firstOf(month: Month): RawBuilder<string> {
  return sql<string>`${`${month}-01`}::date`;
}

type Bill = Pick<CloseOutcome, 'totals' | 'lines' | 'lineCount' | 'blockersHash'>;

/** Reads lines, given as a table of a query: the first of them, and the totals and the hash of all. */
async function readBill(
  trx: Kysely<Schema>,
  {
    lines,
    hash,
    linesMax,
  }: {
    readonly lines: RawBuilder<unknown>;
    readonly hash: RawBuilder<unknown>;
    readonly linesMax: number | null;
  },
): Promise<Bill> {
  const { rows } = await sql<Bill>`
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
      from all_lines order by lower(org_name), org_id, position limit ${linesMax}::integer
    )
    select ${hash} as "blockersHash", (select count(*) from all_lines) as "lineCount",
      (select coalesce(jsonb_agg(to_jsonb(t) - 'position' order by t.position), '[]') from totals t) as totals,
      (select coalesce(json_agg(s), '[]') from shown s) as lines`.execute(trx);
  const [bill] = rows;
  if (bill === undefined) throw new Error('the database answered no row');
  return bill;
}
