import type { KeyObject } from 'node:crypto';
import { type Expression, type Kysely, type RawBuilder, sql } from 'kysely';
import { jsonArrayFrom } from 'kysely/helpers/postgres';
import { CLOCK, toInstantText } from '../database/expressions.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { retryTransaction } from '../database/retry.ts';
import type { Schema } from '../database/schema.ts';
import { readClosingRefusal } from '../database/sqlstate.ts';
import { SettingsError } from '../errors.ts';
import type { Month } from '../usage/day.ts';
import type { StatementDocument } from './manifest.ts';
import { createPack } from './pack.ts';
import {
  type BilledInstance,
  formatMonthName,
  readBlockers,
  readStatements,
  type Statement,
} from './statements.ts';

/** An acceptance names the list that was shown by its hash, so that nothing else can be accepted. */
export interface Acceptance {
  readonly reason: string;
  readonly blockersHash: string;
}

export interface CloseRequest {
  readonly month: Month;
  /** Null to close the month only if nothing blocks it. */
  readonly acceptance: Acceptance | null;
  readonly isAdjustment: boolean;
  /** A dry run stores nothing, and needs only the role reader. */
  readonly isDryRun: boolean;
  /** Ed25519; null to leave the manifest unsigned. */
  readonly signingKey: KeyObject | null;
  readonly signal: AbortSignal;
}

export interface CloseOutcome extends ClosePreview {
  /**
   * `refused`: blocked; nothing was stored, and the lines are what would be billed. `unchanged`: nothing differs
   * from the statements. `unsettled`: something differs, but is not settled yet. A dry run is `closed` without a
   * statement.
   */
  readonly kind: 'closed' | 'refused' | 'unchanged' | 'unsettled';
  readonly statement: Statement | null;
}

/**
 * Closes a month of an instance, or bills what has changed since it was closed. Statement, lines and proof pack are
 * stored in one transaction, or none of them. Throws SettingsError if the month has not ended or is already closed, for
 * an adjustment if it is not closed, and if the accepted hash is not that of the current blockers.
 */
export async function closeMonth(
  { db }: Pick<DatabaseHandle, 'db'>,
  instance: BilledInstance,
  request: CloseRequest,
): Promise<CloseOutcome> {
  const work = (trx: Kysely<Schema>) => createStatement(trx, instance, request);
  try {
    return await retryTransaction(() => db.transaction().execute(work));
  } catch (error) {
    const refusal = readClosingRefusal(error);
    if (refusal === null) throw error;
    throw new SettingsError(refusal.message, { hint: refusal.hint, cause: error });
  }
}

async function createStatement(
  trx: Kysely<Schema>,
  instance: BilledInstance,
  request: CloseRequest,
): Promise<CloseOutcome> {
  const { month, acceptance, isDryRun } = request;
  const { instanceId } = instance;
  // In SQL, because kysely's driver for PGlite ignores the isolation level of a transaction.
  await sql`set transaction isolation level repeatable read`.execute(trx);
  // A dry run takes no lock, so it may see a part of a load in progress.
  const document = isDryRun ? null : await beginStatement(trx, instanceId, request);
  if (document === null) return await readDraft(trx, instance, request);
  await createPack(trx, document, request);
  const statements = await readStatements(trx, { month, instanceIds: [instanceId] });
  const lines = sql<Line>`(select * from losant_usage.statement_lines
    where statement_id = ${document.id}::uuid)`;
  const blockersHash = acceptance?.blockersHash ?? null;
  return {
    kind: 'closed',
    statement: statements.find(({ statementId }) => statementId === document.id) ?? null,
    ...(await readClosePreview(trx, { month, instanceId }, { blockersHash, lines })),
  };
}

/**
 * Begins a statement as of one moment (see fixSnapshot). Returns null if there is nothing to bill or the month is
 * blocked.
 */
async function beginStatement(
  trx: Kysely<Schema>,
  instanceId: string,
  { month, isAdjustment, acceptance }: CloseRequest,
): Promise<StatementDocument | null> {
  const asOf = await fixSnapshot(trx);
  const statement = sql<StatementDocument | null>`losant_usage.begin_statement(${instanceId},
    ${toFirstDay(month)}, ${isAdjustment}, ${acceptance?.reason ?? null}, ${acceptance?.blockersHash ?? null},
    ${asOf}::timestamptz)`;
  const { document } = await trx.selectNoFrom(statement.as('document')).executeTakeFirstOrThrow();
  return document;
}

/** Reads only: what would be billed, and what blocks it. */
async function readDraft(
  trx: Kysely<Schema>,
  instance: BilledInstance,
  request: CloseRequest,
): Promise<CloseOutcome> {
  const { month, isAdjustment, acceptance } = request;
  const { instanceId } = instance;
  const firstDay = toFirstDay(month);
  const hash = sql<string | null>`losant_usage.check_closable(${instanceId}, ${firstDay}, ${isAdjustment},
    ${acceptance?.blockersHash ?? null}, clock_timestamp())`;
  const { blockersHash } = await trx.selectNoFrom(hash.as('blockersHash')).executeTakeFirstOrThrow();
  const lines = sql<Line>`losant_usage.statement_draft(${instanceId}, ${firstDay}, ${isAdjustment})`;
  const preview = await readClosePreview(trx, { month, instanceId }, { blockersHash, lines });
  const draft = { ...preview, statement: null };
  if (blockersHash !== null && acceptance === null) return { kind: 'refused', ...draft };
  if (preview.lineCount > 0) return { kind: 'closed', ...draft };
  if (isAdjustment) {
    const differences = trx.selectFrom('adjustments').select('metric').where('instance_id', '=', instanceId);
    const difference = await differences.where('month', '=', `${month}-01`).limit(1).executeTakeFirst();
    return { kind: difference === undefined ? 'unchanged' : 'unsettled', ...draft };
  }
  throw new SettingsError(`${formatMonthName(instance, month)} has no data, so there is nothing to close`, {
    hint: 'losant-usage status shows which days are stored; losant-usage backfill loads earlier ones',
  });
}

/**
 * A statement must contain everything that was loaded before `closed_at` and nothing after it, because later changes
 * are found by comparing their times with it. A snapshot alone does not ensure that: a load may take its time before
 * the snapshot and commit after it. So this locks the ledger in SHARE mode, which waits for loads in flight and keeps
 * new ones out, and only then runs its first query, which reads the clock and fixes the repeatable-read snapshot.
 * Rolling back to the savepoint releases the locks and keeps the snapshot: loads are held up for a moment, however long
 * the close takes. Loads do their part by taking their times after their locks (writeCells). The closer has no rights
 * to the ledger tables; it locks the view ledger_lock, with the rights of its owner.
 */
async function fixSnapshot(trx: Kysely<Schema>): Promise<string> {
  // One statement at a time, see closing_lock.
  await sql`lock table losant_usage_internal.closing_lock in share row exclusive mode`.execute(trx);
  await sql`savepoint loads`.execute(trx);
  await sql`lock table losant_usage_internal.ledger_lock in share mode`.execute(trx);
  const { at } = await trx.selectNoFrom(toInstantText(CLOCK).as('at')).executeTakeFirstOrThrow();
  await sql`rollback to savepoint loads`.execute(trx);
  return at;
}

function toFirstDay(month: Month): RawBuilder<string> {
  return sql<string>`${`${month}-01`}::date`;
}

/** The lines of some fifty organizations. */
const MAX_TABLE_ROWS = 600;

type Line = Schema['statement_lines'];

type ClosePreview = Awaited<ReturnType<typeof readClosePreview>>;

/** Reads a preview of the month: sums and first lines of `lines`, blockers, their hash, and the reconciliation. */
async function readClosePreview(
  trx: Kysely<Schema>,
  { month, instanceId }: { readonly month: Month; readonly instanceId: string },
  { blockersHash, lines }: { readonly blockersHash: string | null; readonly lines: RawBuilder<Line> },
) {
  const reconciliationRows = sql<
    StatementDocument['reconciliation'][number]
  >`losant_usage.month_reconciliation(${instanceId},
    ${toFirstDay(month)})`;
  const reconciliation = await trx
    .selectFrom(reconciliationRows.as('c'))
    .selectAll()
    .orderBy(sql`stream, compared_with, outcome, reason`)
    .execute();
  const blockers = blockersHash === null ? [] : await readBlockers(trx, { month, instanceId });
  const summary = await readLineSummary(trx, lines);
  const lineCount = summary.totals.reduce((sum, { orgs }) => sum + orgs, 0);
  return { ...summary, lineCount, reconciliation, blockers, blockersHash };
}

/**
 * Reads the sums of lines by metric, and the first lines, by organization; quantities as text, because they may
 * exceed a JavaScript number.
 */
async function readLineSummary(trx: Kysely<Schema>, lines: RawBuilder<Line>) {
  return await trx
    .with('billable_lines', (db) =>
      db
        .selectFrom(lines.as('l'))
        .innerJoin('metrics as m', 'm.metric', 'l.metric')
        .selectAll('l')
        .select('m.position'),
    )
    .selectNoFrom((eb) => [
      jsonArrayFrom(
        eb
          .selectFrom('billable_lines')
          .select(['metric', 'unit'])
          .select((of) => of.fn.countAll<number>().as('orgs'))
          .select((of) => toText(of.fn.sum('quantity')).as('quantity'))
          .groupBy(['metric', 'unit', 'position'])
          .orderBy('position'),
      ).as('totals'),
      jsonArrayFrom(
        eb
          .selectFrom('billable_lines')
          .select([
            'org_id as orgId',
            'org_name as orgName',
            'referral_id as referralId',
            'plan_id as planId',
          ])
          .select(['customer_id as customerId', 'is_customer_changed as isCustomerChanged'])
          .select(['metric', 'unit', 'kind'])
          .select((of) => toText(of.ref('quantity')).as('quantity'))
          .select((of) => toText(of.ref('billed_before')).as('billedBefore'))
          .select((of) => toText(of.ref('total')).as('total'))
          .select((of) => toText(of.ref('maximum')).as('maximum'))
          .select((of) => toText(of.ref('average')).as('average'))
          .select(['days_expected as daysExpected', 'days_final as daysFinal', 'days_waived as daysWaived'])
          .select(['days_pending as daysPending', 'days_unavailable as daysUnavailable'])
          .select(['days_in_doubt as daysInDoubt', 'days_missing as daysMissing'])
          .select('days_unreported as daysUnreported')
          .orderBy(sql`lower(org_name), org_id, position`)
          .limit(MAX_TABLE_ROWS),
      ).as('lines'),
    ])
    .executeTakeFirstOrThrow();
}

function toText(value: Expression<unknown>) {
  return sql<string | null>`${value}::text`;
}
