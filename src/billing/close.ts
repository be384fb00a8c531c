import type { KeyObject } from 'node:crypto';
import { type InferResult, type Kysely, type RawBuilder, sql } from 'kysely';
import { CLOCK, toInstantText } from '../database/expressions.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';
import { isConflict, readClosingRefusal, retryTransaction } from '../database/sqlstate.ts';
import { SettingsError } from '../errors.ts';
import type { NamedInstance } from '../ledger/instances.ts';
import { readInPages } from '../queries/view-rows.ts';
import type { Month } from '../usage/day.ts';
import type { StatementDocument } from './manifest.ts';
import { createPack } from './pack.ts';
import {
  addQuantities,
  formatMonthName,
  readAdjustmentDays,
  readBlockers,
  readStatements,
  type Statement,
} from './statements.ts';

export interface CloseRequest {
  readonly month: Month;
  /** Names the list that was shown by its hash, so that nothing else is accepted; null to accept nothing. */
  readonly acceptance: { readonly reason: string; readonly blockersHash: string } | null;
  readonly isAdjustment: boolean;
  /** A dry run stores nothing, and needs only the role reader. */
  readonly isDryRun: boolean;
  /** Ed25519; null to leave the manifest unsigned. */
  readonly signingKey: KeyObject | null;
  readonly signal: AbortSignal;
  /** Takes all lines in pages; those of a statement once it is stored. */
  readonly takeLines?: ((lines: readonly StatementLine[]) => Promise<void>) | undefined;
}

export interface CloseOutcome extends Facts, Lines {
  /**
   * `refused`: blocked; nothing was stored, and the lines are what would be billed. `unchanged`: nothing differs from
   * the statements. `unsettled`: something differs, but is not settled yet. A dry run is `closed` without a statement.
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
  instance: NamedInstance,
  request: CloseRequest,
): Promise<CloseOutcome> {
  // In SQL, because kysely's driver for PGlite ignores the isolation level of a transaction.
  const isolate = <T>(work: (trx: Kysely<Schema>) => Promise<T>) =>
    db.transaction().execute(async (trx) => {
      await sql`set transaction isolation level repeatable read`.execute(trx);
      return await work(trx);
    });
  // A close that fails after lines were taken is not tried again: they would be taken twice.
  let hasTakenLines = false;
  const takeLines: CloseRequest['takeLines'] = async (lines) => {
    hasTakenLines = true;
    await request.takeLines?.(lines);
  };
  try {
    const close = () => isolate((trx) => createStatement(trx, instance, { ...request, takeLines }));
    const canRetry = (error: unknown) => !hasTakenLines && isConflict(error);
    const { document, outcome } = await retryTransaction(close, { canRetry });
    if (document === null) return outcome;
    // After the commit, because taking the lines may last as long as somebody reads them.
    return { ...outcome, ...(await isolate((trx) => readStored(trx, document, request))) };
  } catch (error) {
    const refusal = readClosingRefusal(error);
    if (refusal === null) throw error;
    throw new SettingsError(refusal.message, { hint: refusal.hint, cause: error });
  }
}

/** Stores a statement and returns its document; or stores nothing and returns what it would be. */
async function createStatement(trx: Kysely<Schema>, instance: NamedInstance, request: CloseRequest) {
  // A dry run takes no lock, so it may see a part of a load in progress.
  const document = request.isDryRun ? null : await beginStatement(trx, instance.instanceId, request);
  if (document === null) return { document, outcome: await readDraft(trx, instance, request) };
  await createPack(trx, document, request);
  const facts = await readFacts(trx, document, { ...request, blockersHash: request.acceptance?.blockersHash ?? null });
  return { document, outcome: { kind: 'closed' as const, ...facts } };
}

async function readStored(trx: Kysely<Schema>, { id, instanceId }: StatementDocument, request: CloseRequest) {
  const statements = await readStatements(trx, { month: request.month, instanceIds: [instanceId] });
  const lines = sql<Line>`(select * from losant_usage.statement_lines where statement_id = ${id}::uuid)`;
  return {
    statement: statements.find(({ statementId }) => statementId === id) ?? null,
    ...(await readLines(trx, lines, { ...request, instanceId, statementId: id })),
  };
}

/** Begins a statement as of one moment (see fixSnapshot). Returns null if nothing is to bill, or it is blocked. */
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
async function readDraft(trx: Kysely<Schema>, instance: NamedInstance, request: CloseRequest): Promise<CloseOutcome> {
  const { month, isAdjustment, acceptance } = request;
  const { instanceId } = instance;
  const firstDay = toFirstDay(month);
  const hash = sql<string | null>`losant_usage.check_closable(${instanceId}, ${firstDay}, ${isAdjustment},
    ${acceptance?.blockersHash ?? null}, clock_timestamp())`;
  const { blockersHash } = await trx.selectNoFrom(hash.as('blockersHash')).executeTakeFirstOrThrow();
  const lines = sql<Line>`losant_usage.statement_draft(${instanceId}, ${firstDay}, ${isAdjustment})`;
  const facts = await readFacts(trx, instance, { month, blockersHash });
  const preview = await readLines(trx, lines, { ...request, instanceId, statementId: null });
  const draft = { ...facts, ...preview, statement: null };
  // There is nothing to accept, whatever blocks the month.
  if (isAdjustment && draft.lineCount === 0) {
    const differences = trx.selectFrom('adjustments').select('metric').where('instance_id', '=', instanceId);
    const difference = await differences.where('month', '=', `${month}-01`).limit(1).executeTakeFirst();
    return { kind: difference === undefined ? 'unchanged' : 'unsettled', ...draft };
  }
  if (blockersHash !== null && acceptance === null) return { kind: 'refused', ...draft };
  if (draft.lineCount > 0) return { kind: 'closed', ...draft };
  throw new SettingsError(`${formatMonthName(instance, month)} has nothing to bill, so there is nothing to close`, {
    hint: 'losant-usage close lists the months; losant-usage backfill loads earlier days',
  });
}

/** The tables and views that a statement is read from; a view is locked with its tables. */
const SOURCES = (
  'cells daily_usage instance_totals instances metrics organization_history organizations revisions statement_lines ' +
  'statements streams tracks waivers'
)
  .split(' ')
  .map((name) => sql.table(`losant_usage.${name}`));

/**
 * A statement must contain everything that was loaded before `closed_at` and nothing after it, because later changes
 * are found by comparing their times with it. A snapshot alone does not ensure that: a load may take its time before
 * the snapshot and commit after it. So this locks out loads, which waits for those in flight, and only then runs its
 * first query, which reads the clock and fixes the repeatable-read snapshot. Rolling back to the savepoint releases the
 * lock and keeps the snapshot: loads are held up for a moment, however long the close takes. Loads do their part by
 * taking their times after their locks (writeCells).
 */
async function fixSnapshot(trx: Kysely<Schema>): Promise<string> {
  // One statement at a time, see closing_lock.
  await sql`lock table losant_usage_internal.closing_lock in share row exclusive mode`.execute(trx);
  // Before the snapshot: a table that was rewritten since is empty in it.
  await sql`lock table ${sql.join(SOURCES)} in access share mode`.execute(trx);
  await sql`savepoint loads`.execute(trx);
  await sql`lock table losant_usage_internal.ledger_lock in row exclusive mode`.execute(trx);
  const { at } = await trx.selectNoFrom(toInstantText(CLOCK).as('at')).executeTakeFirstOrThrow();
  await sql`rollback to savepoint loads`.execute(trx);
  return at;
}

function toFirstDay(month: Month): RawBuilder<string> {
  return sql<string>`${`${month}-01`}::date`;
}

/** The lines that an outcome has; `takeLines` gets all of them. */
const FIRST_LINES = 100;
const PAGE_LINES = 1_000;

type Line = Schema['statement_lines'];
type Comparison = StatementDocument['reconciliation'][number];

type Facts = Awaited<ReturnType<typeof readFacts>>;
type Lines = Awaited<ReturnType<typeof readLines>>;

/** Reads what is known of a month, except its lines: the reconciliation, the blockers and their hash. */
async function readFacts(
  trx: Kysely<Schema>,
  { instanceId }: Pick<NamedInstance, 'instanceId'>,
  { month, blockersHash }: { month: Month; blockersHash: string | null },
) {
  const comparisons = sql<Comparison>`losant_usage.month_reconciliation(${instanceId}, ${toFirstDay(month)})`;
  const reconciliation = await trx
    .selectFrom(comparisons.as('c'))
    .selectAll()
    .orderBy(sql`stream, compared_with, outcome, reason`)
    .execute();
  const blockers = blockersHash === null ? [] : await readBlockers(trx, { month, instanceId });
  return { reconciliation, blockers, blockersHash };
}

/**
 * Passes all lines on, by organization; returns the first of them, their number, the sums by metric, and the first days
 * that explain an adjustment.
 */
async function readLines(
  trx: Kysely<Schema>,
  lines: RawBuilder<Line>,
  statement: CloseRequest & { readonly instanceId: string; readonly statementId: string | null },
) {
  const { isAdjustment, takeLines } = statement;
  const explanation = isAdjustment ? await readAdjustmentDays(trx, statement) : { days: [], dayCount: 0 };
  /** Quantities are text. */
  const sums = new Map<string, Pick<LineRow, 'position' | 'metric' | 'unit' | 'quantity'> & { orgs: number }>();
  const firstLines: StatementLine[] = [];
  let lineCount = 0;
  const query = sql<LineRow>`${selectLines(trx, lines)}`;
  for await (const rows of readInPages(trx, query, { cursor: 'lines', size: PAGE_LINES })) {
    for (const { position, metric, unit, quantity } of rows) {
      const { orgs, quantity: sum } = sums.get(metric) ?? { orgs: 0, quantity: null };
      sums.set(metric, { position, metric, unit, orgs: orgs + 1, quantity: addQuantities(sum, quantity) });
    }
    const page = rows.map(({ position, ...line }) => line);
    lineCount += page.length;
    firstLines.push(...page.slice(0, FIRST_LINES - firstLines.length));
    await takeLines?.(page);
  }
  const sorted = [...sums.values()].sort((a, b) => a.position - b.position);
  const totals = sorted.map(({ position, ...total }) => total);
  return { ...explanation, totals, lines: firstLines, lineCount };
}

type LineRow = InferResult<ReturnType<typeof selectLines>>[number];

/** A line of a statement; its quantities are text, because they may exceed a JavaScript number. */
type StatementLine = Omit<LineRow, 'position'>;

function selectLines(trx: Kysely<Schema>, lines: RawBuilder<Line>) {
  return trx
    .selectFrom(lines.as('l'))
    .innerJoin('metrics as m', 'm.metric', 'l.metric')
    .select(['m.position', 'l.org_id as orgId', 'l.org_name as orgName', 'l.referral_id as referralId'])
    .select(['l.plan_id as planId', 'l.customer_id as customerId'])
    .select(['l.is_customer_changed as isCustomerChanged', 'l.metric', 'l.unit', 'l.kind'])
    .select((eb) => [
      eb.cast<string | null>('l.quantity', 'text').as('quantity'),
      eb.cast<string | null>('l.billed_before', 'text').as('billedBefore'),
      eb.cast<string | null>('l.total', 'text').as('total'),
      eb.cast<string | null>('l.maximum', 'text').as('maximum'),
      eb.cast<string | null>('l.average', 'text').as('average'),
    ])
    .select(['l.days_expected as daysExpected', 'l.days_final as daysFinal', 'l.days_waived as daysWaived'])
    .select(['l.days_pending as daysPending', 'l.days_unavailable as daysUnavailable'])
    .select(['l.days_in_doubt as daysInDoubt', 'l.days_missing as daysMissing'])
    .select('l.days_unreported as daysUnreported')
    .orderBy(sql`lower(l.org_name), l.org_id, m.position`);
}
