import type { KeyObject } from 'node:crypto';
import { type ControlledTransaction, type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import { instantText } from '../database/expressions.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import type { Schema, StatementLines } from '../database/schema.ts';
import { isUniqueViolation, readClosingRefusal } from '../database/sqlstate.ts';
import { SettingsError } from '../errors.ts';
import type { Month, PeriodSource } from '../usage/period.ts';
import {
  type BilledInstance,
  type BlockedPeriod,
  readAcceptedBlockers,
  readBlockers,
  readStatements,
  type Statement,
} from './month.ts';
import { makePack, type OpenStatement, type StatementTotal, Totals } from './pack.ts';

export interface CloseRequest {
  readonly month: Month;
  /** The reason for closing it although something blocks it; null to close it only if nothing does. */
  readonly reason: string | null;
  /** Whether to bill what has changed since the month was closed. */
  readonly isAdjustment: boolean;
  /** Whether to store nothing, which needs the right to read only. */
  readonly isDryRun: boolean;
  /** The Ed25519 key that signs the manifest; null to sign nothing. */
  readonly signingKey: KeyObject | null;
  readonly signal: AbortSignal;
}

export type CloseOutcome =
  | (Bills & {
      readonly kind: 'closed';
      /** The statement; null in a dry run. */
      readonly statement: Statement | null;
      /** The blockers that were accepted. */
      readonly blockers: readonly BlockedPeriod[];
    })
  /** Something blocks the period, and no reason was given. The bills are those of a dry run, else none. */
  | (Bills & { readonly kind: 'refused'; readonly blockers: readonly BlockedPeriod[] })
  /** Nothing differs from what was closed. */
  | { readonly kind: 'unchanged' }
  | Unsettled;

/** Figures differ from what was closed, and none of them can be billed yet. */
export interface Unsettled {
  readonly kind: 'unsettled';
  /** The number of lines that an adjustment would have: of an organization, period and metric. */
  readonly figures: number;
  readonly orgs: number;
  /** The blockers of these organizations, and those of the whole instance. */
  readonly blockers: readonly BlockedPeriod[];
}

/** The numbers of a statement, by organization and summed over them. */
interface Bills {
  readonly bills: readonly OrganizationBill[];
  readonly totals: readonly StatementTotal[];
}

const NO_BILLS: Bills = { bills: [], totals: [] };

/**
 * `closePeriod` closes a month of an instance, or bills what has changed since, in one transaction on one
 * connection: statement, lines and proof pack, or nothing. The database computes and writes them.
 * Throws SettingsError if the month is not over or is already closed, or for an adjustment if it is
 * not closed.
 */
export async function closePeriod(
  handle: Pick<DatabaseHandle, 'db'>,
  instance: BilledInstance,
  request: CloseRequest,
): Promise<CloseOutcome> {
  try {
    return request.isDryRun
      ? await draftStatement(handle.db, instance, request)
      : await closeAtOneMoment(handle.db, instance, request);
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

/** `nameOf` returns the name of an instance's month in messages. */
export function nameOf({ instanceId, name }: BilledInstance, month: Month): string {
  return `${month} of instance ${name === null ? instanceId : `${name} (${instanceId})`}`;
}

/** `draftStatement` reads what a statement would say now. Takes no lock, so a load under way may count in part. */
async function draftStatement(
  db: Kysely<Schema>,
  instance: BilledInstance,
  { month, isAdjustment, reason }: CloseRequest,
): Promise<CloseOutcome> {
  const { instanceId } = instance;
  const first = firstOf(month);
  const transaction = db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only');
  return await transaction.execute(async (trx): Promise<CloseOutcome> => {
    const { rows } = await sql<{ source: PeriodSource }>`
      select losant_usage.require_closable(${instanceId}, ${first}, ${isAdjustment}, clock_timestamp()) as source`.execute(
      trx,
    );
    const { source } = rows[0] as { source: PeriodSource };
    const blockers = await readBlockers(trx, { month, instanceId });
    const lines = sql<
      Selectable<StatementLines>
    >`losant_usage.statement_draft(${instanceId}, ${first}, ${source}, ${isAdjustment})`;
    const bills = await readBills(trx, lines, { instanceId, month, source });
    const all = { bills, totals: sumBills(bills), blockers };
    if (blockers.length > 0 && reason === null) return { kind: 'refused', ...all };
    if (bills.length === 0 && isAdjustment) return await readUnsettled(trx, { month, instanceId });
    if (bills.length === 0) throw nothingToClose(instance, month);
    return { kind: 'closed', statement: null, ...all };
  });
}

/** The answer of open_statement. */
type Opened =
  | { readonly outcome: 'refused' }
  | { readonly outcome: 'unchanged' }
  | { readonly outcome: 'empty' }
  | { readonly outcome: 'open'; readonly lines: number; readonly statement: OpenStatement };

/**
 * `closeAtOneMoment` closes the month on the numbers as of one moment, in a transaction that sees nothing newer. The
 * moment is exact: no load is under way while it is taken, so everything recorded before it is seen
 * and everything else is recorded after it.
 */
async function closeAtOneMoment(
  db: Kysely<Schema>,
  instance: BilledInstance,
  request: CloseRequest,
): Promise<CloseOutcome> {
  const trx = await db.startTransaction().execute();
  try {
    // Said in SQL, as kysely's driver for PGlite ignores a level that is set on the transaction.
    await sql`set transaction isolation level repeatable read`.execute(trx);
    const moment = await takeMoment(trx);
    const outcome = await closeAt(trx, instance, request, moment);
    await (outcome.kind === 'closed' ? trx.commit() : trx.rollback()).execute();
    return outcome;
  } catch (error) {
    // The first error is reported, and a lost connection has nothing to roll back.
    await trx
      .rollback()
      .execute()
      .catch(() => {});
    throw error;
  }
}

/**
 * `takeMoment` waits for the loads under way, fixes what the transaction sees, and lets loads go on. The lock is
 * taken before the first query, which fixes the snapshot, and returned with its savepoint. Returns the
 * moment in microseconds, UTC.
 */
async function takeMoment(trx: ControlledTransaction<Schema>): Promise<string> {
  const locked = await trx.savepoint('loads').execute();
  await sql`lock table losant_usage.load_lock in share mode`.execute(locked);
  const { rows } = await sql<{ at: string }>`select ${instantText(sql`clock_timestamp()`)} as at`.execute(
    locked,
  );
  await locked.rollbackToSavepoint('loads').execute();
  // A pooler may have given a session of which the program has set nothing.
  await sql`select set_config('synchronous_commit', case current_setting('synchronous_commit')
    when 'off' then 'on' else current_setting('synchronous_commit') end, true)`.execute(trx);
  return (rows[0] as { at: string }).at;
}

async function closeAt(
  trx: Kysely<Schema>,
  instance: BilledInstance,
  { month, reason, isAdjustment, signingKey, signal }: CloseRequest,
  moment: string,
): Promise<CloseOutcome> {
  const { instanceId } = instance;
  const { rows } = await sql<{ opened: Opened }>`
    select losant_usage.open_statement(${instanceId}, ${firstOf(month)}, ${isAdjustment}, ${reason},
      ${moment}::timestamptz) as opened`.execute(trx);
  const { opened } = rows[0] as { opened: Opened };
  if (opened.outcome === 'unchanged') return await readUnsettled(trx, { month, instanceId });
  if (opened.outcome === 'empty') throw nothingToClose(instance, month);
  if (opened.outcome === 'refused') {
    return { kind: 'refused', ...NO_BILLS, blockers: await readBlockers(trx, { month, instanceId }) };
  }
  const { id, periods: source } = opened.statement;
  const totals = await makePack(trx, opened.statement, { signingKey, signal });
  const [made] = (await readStatements(trx, { month, instanceId })).filter(
    ({ statementId }) => statementId === id,
  );
  const lines = sql<
    Selectable<StatementLines>
  >`(select * from losant_usage.statement_lines where statement_id = ${id}::uuid)`;
  const bills = await readBills(trx, lines, { instanceId, month, source });
  const blockers = await readAcceptedBlockers(trx, id);
  return { kind: 'closed', statement: made as Statement, totals, bills, blockers };
}

/** `readUnsettled` returns what differs although an adjustment has nothing to bill. */
async function readUnsettled(
  trx: Kysely<Schema>,
  { month, instanceId }: { readonly month: Month; readonly instanceId: string },
): Promise<CloseOutcome> {
  const rows = await trx
    .selectFrom('adjustments')
    .select((eb) => ['org_id', eb.fn.countAll<number>().as('figures')])
    .where('instance_id', '=', instanceId)
    .where('period_month', '=', `${month}-01`)
    .groupBy('org_id')
    .execute();
  if (rows.length === 0) return { kind: 'unchanged' };
  const ids = new Set(rows.map(({ org_id }) => org_id));
  const blockers = await readBlockers(trx, { month, instanceId });
  return {
    kind: 'unsettled',
    figures: rows.reduce((sum, { figures }) => sum + figures, 0),
    orgs: rows.length,
    blockers: blockers.filter(({ orgId }) => orgId === null || ids.has(orgId)),
  };
}

function nothingToClose(instance: BilledInstance, month: Month): SettingsError {
  return new SettingsError(
    `${nameOf(instance, month)} has no tracked day of any organization: nothing to close`,
    {
      hint: 'losant-usage status shows since when numbers are collected; losant-usage backfill collects earlier days',
    },
  );
}

function firstOf(month: Month): RawBuilder<string> {
  return sql<string>`${`${month}-01`}::date`;
}

/** The bill of an organization for a period. Days are those of the stream that has most of them. */
export type OrganizationBill = Awaited<ReturnType<typeof readBills>>[number];

/** How the month of an organization compares with the control total. */
interface Control {
  /** `equal`, `differs`, `pending`, or `not_compared`. */
  readonly control: string;
  /** Our number minus Losant's, as text, by the metrics that differ. */
  readonly differences: Readonly<Record<string, string>>;
}

/** A month of an instance that is billed. */
interface StatementScope {
  readonly instanceId: string;
  readonly month: Month;
  readonly source: PeriodSource;
}

/** `readBills` returns the bills of lines, given as a table of a query, by name. */
async function readBills(
  trx: Kysely<Schema>,
  lines: RawBuilder<Selectable<StatementLines>>,
  { instanceId, month, source }: StatementScope,
) {
  const rows = await trx
    .selectFrom(lines.as('l'))
    .select([
      'org_id as orgId',
      'org_name as orgName',
      'referral_id as referralId',
      'customer_id as customerId',
    ])
    .select(['period_start as from', 'period_end as to'])
    .select(({ fn }) => [
      // By metric, as text, because they may exceed a JavaScript number; null if none is stored.
      sql<Readonly<Record<string, string | null>>>`jsonb_object_agg(metric, quantity::text)`.as('quantities'),
      fn.max('days_expected').as('daysExpected'),
      fn.min('days_final').as('daysFinal'),
      fn.max('days_accepted').as('daysAccepted'),
      fn.max('days_not_final').as('daysNotFinal'),
      fn.max('days_unavailable').as('daysUnavailable'),
      fn.max('days_in_doubt').as('daysInDoubt'),
      fn.max('days_missing').as('daysMissing'),
      // Days with zeros that Losant did not name, and with numbers that were typed in.
      fn.max('days_unreported').as('daysUnreported'),
      fn.max('days_by_hand').as('daysByHand'),
      fn.agg<boolean>('bool_and', ['is_billable']).as('isBillable'),
    ])
    .groupBy(['org_id', 'org_name', 'referral_id', 'customer_id', 'period_start', 'period_end'])
    .orderBy(({ fn }) => fn('lower', ['org_name']))
    .orderBy('org_id')
    .orderBy('period_start')
    .execute();
  // Summaries are of calendar months.
  const none: ReadonlyMap<string, Control> = new Map();
  const controls = source === 'calendar' ? await readControls(trx, { instanceId, month }) : none;
  return rows.map((row) => ({ ...row, ...(controls.get(row.orgId) ?? NOT_COMPARED) }));
}

const NOT_COMPARED: Control = { control: 'not_compared', differences: {} };

async function readControls(
  trx: Kysely<Schema>,
  { instanceId, month }: { readonly instanceId: string; readonly month: Month },
): Promise<Map<string, Control>> {
  const { rows } = await sql<Control & { orgId: string }>`
    select r.org_id as "orgId",
      case when bool_or(r.outcome = 'differs') then 'differs' when bool_or(r.outcome = 'pending') then 'pending'
        when bool_or(r.outcome = 'equal') then 'equal' else 'not_compared' end as control,
      coalesce(jsonb_object_agg(r.metric, r.difference::text) filter (where r.outcome = 'differs'), '{}') as differences
    from losant_usage.reconciliation r
    where r.scope = 'org_month' and r.instance_id = ${instanceId} and r.month = ${`${month}-01`}::date
    group by r.org_id`.execute(trx);
  return new Map(rows.map(({ orgId, control, differences }) => [orgId, { control, differences }]));
}

/** `sumBills` returns the sums of bills over all organizations, in the order of the metrics. */
function sumBills(bills: readonly OrganizationBill[]): StatementTotal[] {
  const totals = new Totals();
  for (const each of Map.groupBy(bills, ({ orgId }) => orgId).values())
    totals.add(each.flatMap(({ quantities }) => Object.entries(quantities)));
  return totals.list();
}
