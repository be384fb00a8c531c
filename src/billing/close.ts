import type { KeyObject } from 'node:crypto';
import { type Expression, type Kysely, type RawBuilder, sql } from 'kysely';
import { jsonArrayFrom } from 'kysely/helpers/postgres';
import { CLOCK, toInstantText } from '../database/expressions.ts';
import type { DatabaseHandle } from '../database/handle.ts';
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
  const { month, acceptance, isDryRun } = request;
  const { instanceId } = instance;
  try {
    return await db.transaction().execute(async (trx) => {
      // In SQL, because kysely's driver for PGlite ignores the isolation level of a transaction.
      await sql`set transaction isolation level repeatable read`.execute(trx);
      // A dry run takes no lock, so a load under way may count in part.
      const opened = isDryRun ? null : await beginStatement(trx, instanceId, request);
      if (opened === null) return await readDraft(trx, instance, request);
      await createPack(trx, opened, request);
      const statements = await readStatements(trx, { month, instanceIds: [instanceId] });
      const lines = sql<Line>`(select * from losant_usage.statement_lines
        where statement_id = ${opened.id}::uuid)`;
      const blockersHash = acceptance?.blockersHash ?? null;
      return {
        kind: 'closed',
        statement: statements.find(({ statementId }) => statementId === opened.id) ?? null,
        ...(await readClosePreview(trx, { month, instanceId }, { blockersHash, lines })),
      };
    });
  } catch (error) {
    const refusal = readClosingRefusal(error);
    if (refusal === null) throw error;
    throw new SettingsError(refusal.message, { hint: refusal.hint, cause: error });
  }
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
  const moment = await fixSnapshot(trx);
  const opened = sql<StatementDocument | null>`losant_usage.begin_statement(${instanceId}, ${firstOf(month)},
    ${isAdjustment}, ${acceptance?.reason ?? null}, ${acceptance?.blockersHash ?? null},
    ${moment}::timestamptz)`;
  return (await trx.selectNoFrom(opened.as('opened')).executeTakeFirstOrThrow()).opened;
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
  const hash = sql<string | null>`losant_usage.check_closable(${instanceId}, ${first}, ${isAdjustment},
    ${acceptance?.blockersHash ?? null}, clock_timestamp())`;
  const { blockersHash } = await trx.selectNoFrom(hash.as('blockersHash')).executeTakeFirstOrThrow();
  const lines = sql<Line>`losant_usage.statement_draft(${instanceId}, ${first}, ${isAdjustment})`;
  const preview = await readClosePreview(trx, { month, instanceId }, { blockersHash, lines });
  const all = { ...preview, statement: null };
  if (blockersHash !== null && acceptance === null) return { kind: 'refused', ...all };
  if (preview.lineCount > 0) return { kind: 'closed', ...all };
  if (isAdjustment) {
    const differing = trx.selectFrom('adjustments').select('metric').where('instance_id', '=', instanceId);
    const one = await differing.where('month', '=', `${month}-01`).limit(1).executeTakeFirst();
    return { kind: one === undefined ? 'unchanged' : 'unsettled', ...all };
  }
  throw new SettingsError(`${formatMonthName(instance, month)} has no data, so there is nothing to close`, {
    hint: 'losant-usage status shows which days are stored; losant-usage backfill loads earlier ones',
  });
}

/**
 * Waits for other statements and for the loads under way, fixes what the transaction sees, and lets loads go
 * on. The tables are locked before the first query, which fixes the snapshot, and given back with the
 * savepoint. Returns the moment in microseconds, UTC.
 */
async function fixSnapshot(trx: Kysely<Schema>): Promise<string> {
  await sql`lock table losant_usage_internal.closing_lock in share row exclusive mode`.execute(trx);
  await sql`savepoint loads`.execute(trx);
  await sql`lock table losant_usage_internal.ledger_lock in share mode`.execute(trx);
  const { at } = await trx.selectNoFrom(toInstantText(CLOCK).as('at')).executeTakeFirstOrThrow();
  await sql`rollback to savepoint loads`.execute(trx);
  // Set here, because a pooler may hand out a session that prepareSession has not seen.
  await sql`select set_config('synchronous_commit', case current_setting('synchronous_commit')
    when 'off' then 'on' else current_setting('synchronous_commit') end, true)`.execute(trx);
  return at;
}

function firstOf(month: Month): RawBuilder<string> {
  return sql<string>`${`${month}-01`}::date`;
}

/** The number of lines that are shown: those of some fifty organizations. */
const MAX_TABLE_ROWS = 600;

type Line = Schema['statement_lines'];

type ClosePreview = Awaited<ReturnType<typeof readClosePreview>>;

/** Reads a preview of the month: sums and first lines of `lines`, blockers, their hash, and the reconciliation. */
async function readClosePreview(
  trx: Kysely<Schema>,
  { month, instanceId }: { readonly month: Month; readonly instanceId: string },
  { blockersHash, lines }: { readonly blockersHash: string | null; readonly lines: RawBuilder<Line> },
) {
  const compared = sql<
    StatementDocument['reconciliation'][number]
  >`losant_usage.month_reconciliation(${instanceId},
    ${firstOf(month)})`;
  const reconciliation = await trx
    .selectFrom(compared.as('c'))
    .selectAll()
    .orderBy(sql`stream, compared_with, outcome, reason`)
    .execute();
  const blockers = blockersHash === null ? [] : await readBlockers(trx, { month, instanceId });
  const bill = await readLineSummary(trx, lines);
  const lineCount = bill.totals.reduce((sum, { orgs }) => sum + orgs, 0);
  return { ...bill, lineCount, reconciliation, blockers, blockersHash };
}

/**
 * Reads the sums of lines by metric, and the first lines, by organization; quantities as text, because they may
 * exceed a JavaScript number.
 */
async function readLineSummary(trx: Kysely<Schema>, lines: RawBuilder<Line>) {
  return await trx
    .with('bill', (db) =>
      db
        .selectFrom(lines.as('l'))
        .innerJoin('metrics as m', 'm.metric', 'l.metric')
        .selectAll('l')
        .select('m.position'),
    )
    .selectNoFrom((eb) => [
      jsonArrayFrom(
        eb
          .selectFrom('bill')
          .select(['metric', 'unit'])
          .select((of) => of.fn.countAll<number>().as('orgs'))
          .select((of) => asText(of.fn.sum('quantity')).as('quantity'))
          .groupBy(['metric', 'unit', 'position'])
          .orderBy('position'),
      ).as('totals'),
      jsonArrayFrom(
        eb
          .selectFrom('bill')
          .select([
            'org_id as orgId',
            'org_name as orgName',
            'referral_id as referralId',
            'plan_id as planId',
          ])
          .select(['customer_id as customerId', 'is_customer_changed as isCustomerChanged'])
          .select(['metric', 'unit', 'kind'])
          .select((of) => asText(of.ref('quantity')).as('quantity'))
          .select((of) => asText(of.ref('billed_before')).as('billedBefore'))
          .select((of) => asText(of.ref('total')).as('total'))
          .select((of) => asText(of.ref('maximum')).as('maximum'))
          .select((of) => asText(of.ref('average')).as('average'))
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

function asText(value: Expression<unknown>) {
  return sql<string | null>`${value}::text`;
}
