import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';
import { daysOfMonth, type Month, type PeriodSource } from '../usage/period.ts';

/** A month as it is invoiced: every organization's period, and the statements. */
export interface InvoicedMonth {
  readonly month: Month;
  /** The periods by name; null if there are too many to keep in memory. */
  readonly periods: readonly OrganizationPeriod[] | null;
  /** The blockers of every organization of an instance. */
  readonly blockers: readonly (PeriodBlocker & Pick<BlockedPeriod, 'instanceId'>)[];
  readonly statements: readonly Statement[];
  /** The number of organizations with a number that now differs from the closed one and is not adjusted. */
  readonly differing: number;
}

/** A period of an organization, or a substitute for one that is blocked and has no row. */
export type OrganizationPeriod = Awaited<ReturnType<typeof readPeriods>>[number] & {
  /** Its blockers, as `close` names them; none if it is billable or the complete instance is blocked. */
  readonly blockers: readonly PeriodBlocker[];
};

/** A cause that keeps a period from being invoiced: a row of the view period_blockers. */
export interface PeriodBlocker {
  readonly cause: string;
  /** The number of days; null where it means nothing. */
  readonly days: number | null;
  readonly firstDay: UsageDay;
  readonly lastDay: UsageDay;
  readonly streams: readonly string[] | null;
  /** A sentence or a command. */
  readonly whatToDo: string;
}

/** A blocker with its period, and its organization or the complete instance. */
export interface BlockedPeriod extends PeriodBlocker {
  readonly instanceId: string;
  /** The organization; null if it blocks every period of the instance that contains one of its days. */
  readonly orgId: string | null;
  readonly orgName: string | null;
  readonly referralId: string | null;
  readonly from: UsageDay;
  readonly to: UsageDay;
}

/** The causes in words, shown beside their days: people may not know the codes of the view. */
const CAUSES: Readonly<Record<string, string>> = {
  not_over: 'not over',
  list_incomplete: 'organizations may be missing',
  not_fully_tracked: 'not every day is tracked',
  no_period: 'in no known billing period',
  already_billed: 'billed with another month',
  not_final: 'not final yet',
  missing: 'missing',
  in_doubt: 'in doubt',
  unavailable: 'unavailable',
  contradicted: "contradicted by Losant's own total",
  changed_by_hand: 'changed by hand',
};

/** `describeBlocker` returns the cause in words, e.g. `3 days missing (payload_totals)`. */
export function describeBlocker({ cause, days, streams }: PeriodBlocker): string {
  const text = CAUSES[cause] ?? cause.replaceAll('_', ' ');
  const counted = days === null ? text : `${days} ${days === 1 ? 'day' : 'days'} ${text}`;
  return streams === null ? counted : `${counted} (${streams.join(', ')})`;
}

/** The most periods kept in memory, of about 500 bytes each. */
export const PERIODS_MAX = 200_000;

/** `readMonth` reads a month; takes four seconds at 10,000 organizations. */
export async function readMonth(db: Kysely<Schema>, month: Month): Promise<InvoicedMonth> {
  const statements = await readStatements(db, { month });
  const periods = await readPeriods(db, month);
  const blockers = await readBlockers(db, { month });
  const ofInstances = blockers.filter(({ orgId }) => orgId === null);
  const base = { month, statements, blockers: ofInstances };
  const differing = statements.length === 0 ? 0 : await countDiffering(db, month);
  if (periods.length > PERIODS_MAX) return { ...base, periods: null, differing };
  const byPeriod = Map.groupBy(blockers, ({ orgId, from }) => `${orgId} ${from}`);
  const blockersOf = ({ orgId, from }: { readonly orgId: string; readonly from: UsageDay }) =>
    byPeriod.get(`${orgId} ${from}`) ?? [];
  const known = new Set(periods.map(({ orgId, from }) => `${orgId} ${from}`));
  const others = [...byPeriod].flatMap(([key, [first]]) =>
    first === undefined || first.orgId === null || known.has(key) ? [] : [toPeriod(first, first.orgId)],
  );
  return {
    ...base,
    differing,
    periods: [...periods, ...others].map((period) => ({ ...period, blockers: blockersOf(period) })),
  };
}

async function countDiffering(db: Kysely<Schema>, month: Month): Promise<number> {
  const { orgs } = await db
    .selectFrom('adjustments')
    .select((eb) => eb.fn.count<number>('org_id').distinct().as('orgs'))
    .where('period_month', '=', `${month}-01`)
    .executeTakeFirstOrThrow();
  return orgs;
}

/**
 * `readPeriods` returns the periods as statements have them: the month itself, or the billing periods of Losant that
 * end in it.
 */
async function readPeriods(db: Kysely<Schema>, month: Month) {
  const { from, to } = daysOfMonth(month);
  return await db
    .selectFrom('period_usage')
    .select(['org_id as orgId', 'instance_id as instanceId', 'org_name as name', 'referral_id as referralId'])
    .select(['period_start as from', 'period_end as to', 'standing', 'is_over as isOver'])
    .select(['is_billable as isBillable', 'days_accepted as daysAccepted'])
    .select(['days_unreported as daysUnreported', 'days_untracked as daysUntracked'])
    .select(['payload_billable_count as payloads', 'devices_total as devices'])
    .where('days_expected', '>', 0)
    .where((eb) =>
      eb.or([
        eb.and([eb('source', '=', 'calendar'), eb('period_start', '=', from)]),
        eb.and([eb('source', '=', 'losant'), eb.between('period_end', from, to)]),
      ]),
    )
    .orderBy((eb) => eb.fn('lower', ['org_name']))
    .orderBy('org_id')
    .orderBy('period_start')
    .limit(PERIODS_MAX + 1)
    .execute();
}

/**
 * `readBlockers` returns what keeps the month of each instance, or of one, from being closed or adjusted: blockers of
 * the month itself, or of the billing periods of Losant that end in it.
 */
export async function readBlockers(
  db: Kysely<Schema>,
  { month, instanceId = null }: { readonly month: Month; readonly instanceId?: string | null },
): Promise<BlockedPeriod[]> {
  const { rows } = await sql<BlockedPeriod>`
    select i.instance_id as "instanceId", b.org_id as "orgId", b.org_name as "orgName", b.referral_id as "referralId",
      b.period_start as "from", b.period_end as "to", b.cause, b.days, b.first_day as "firstDay",
      b.last_day as "lastDay", b.streams, b.what_to_do as "whatToDo"
    from losant_usage.instances i
    cross join lateral losant_usage.closing_blockers(i.instance_id, ${`${month}-01`}::date) b
    where ${instanceId}::text is null or i.instance_id = ${instanceId}
    order by i.instance_id, b.org_name, b.org_id, b.period_start, b.cause, b.first_day`.execute(db);
  return rows;
}

export async function readAcceptedBlockers(
  db: Kysely<Schema>,
  statementId: string,
): Promise<BlockedPeriod[]> {
  return await db
    .selectFrom('statement_blockers as b')
    .innerJoin('statements as s', 's.statement_id', 'b.statement_id')
    .leftJoin('organizations as o', 'o.org_id', 'b.org_id')
    .select(['s.instance_id as instanceId', 'b.org_id as orgId', 'b.org_name as orgName'])
    .select(['o.referral_id as referralId', 'b.period_start as from', 'b.period_end as to', 'b.cause'])
    .select(['b.days', 'b.first_day as firstDay', 'b.last_day as lastDay', 'b.streams'])
    .select('b.what_to_do as whatToDo')
    .where('b.statement_id', '=', statementId)
    .orderBy('b.position')
    .execute();
}

/** `toPeriod` returns the substitute for an organization that is blocked and has no row of the period. */
function toPeriod(blocked: BlockedPeriod, orgId: string): Omit<OrganizationPeriod, 'blockers'> {
  const { instanceId, orgName, referralId, from, to } = blocked;
  return {
    ...{ orgId, instanceId, name: orgName ?? orgId, referralId, from, to },
    ...{ standing: null, isOver: true, isBillable: false },
    ...{ daysAccepted: 0, daysUnreported: 0, daysUntracked: 0, payloads: null, devices: null },
  };
}

/** A month with a tracked day. */
export interface MonthEntry {
  readonly month: Month;
  readonly isOver: boolean;
  /** Whether it is closed for every instance that was collected in it. */
  readonly isClosed: boolean;
}

export async function readMonths(db: Kysely<Schema>): Promise<MonthEntry[]> {
  const { rows } = await sql<MonthEntry>`
    select to_char(m.month, 'YYYY-MM') as month, m.next_month <= (now() at time zone 'UTC')::date as "isOver",
      not exists (
        select from losant_usage.instances i where exists (
          select from losant_usage.organizations o join losant_usage.tracking t on t.org_id = o.org_id
          where o.instance_id = i.instance_id and t.tracked_from < m.next_month) and not exists (
          select from losant_usage.statements s where s.instance_id = i.instance_id and s.period_month = m.month)) as "isClosed"
    from losant_usage.months m
    where m.next_month > (select min(tracked_from) from losant_usage.tracking)
      and m.month < (now() at time zone 'UTC')::date
    order by m.month desc`.execute(db);
  return rows;
}

/** A month that is over and not closed. */
export interface OpenMonth {
  readonly month: Month;
  /** The number of organizations and instances that something blocks; 0 if it can be closed. */
  readonly blocked: number;
}

/** `readOpenMonth` returns the newest month that is over, if it is not closed; null otherwise. It takes a second at 10,000 organizations. */
export async function readOpenMonth(db: Kysely<Schema>): Promise<OpenMonth | null> {
  const newest = (await readMonths(db)).find(({ isOver }) => isOver);
  if (newest === undefined || newest.isClosed) return null;
  const blockers = await readBlockers(db, { month: newest.month });
  const blocked = new Set(blockers.map(({ instanceId, orgId }) => `${instanceId} ${orgId}`));
  return { month: newest.month, blocked: blocked.size };
}

/** An instance that this database collects. */
export type BilledInstance = Awaited<ReturnType<typeof readBilledInstances>>[number];

export async function readBilledInstances(db: Kysely<Schema>) {
  return await db
    .selectFrom('instances')
    .select((eb) => [
      'instance_id as instanceId',
      'name',
      eb.ref('billing_periods').$castTo<PeriodSource>().as('source'),
    ])
    .orderBy('instance_id')
    .execute();
}

/** A closing or an adjustment of a month, numbered by instance; hashes of manifests in hex. */
export type Statement = Awaited<ReturnType<typeof readStatements>>[number];

/**
 * `readStatements` returns the statements of a month, of all instances or one, in the order in which they
 * were made.
 */
export async function readStatements(
  db: Kysely<Schema>,
  { month, instanceId = null }: { readonly month: Month; readonly instanceId?: string | null },
) {
  let query = db
    .selectFrom('statements')
    .select((eb) => [
      'statement_id as statementId',
      'instance_id as instanceId',
      'number',
      eb.ref('kind').$castTo<'closing' | 'adjustment'>().as('kind'),
      eb.ref('source').$castTo<PeriodSource>().as('source'),
      'reason',
      'orgs',
      'closed_at as closedAt',
      'closed_by as closedBy',
      'manifest_sha256',
      'previous_sha256',
    ])
    .where('period_month', '=', `${month}-01`)
    .orderBy('instance_id')
    .orderBy('number');
  if (instanceId !== null) query = query.where('instance_id', '=', instanceId);
  const rows = await query.execute();
  return rows.map(({ manifest_sha256, previous_sha256, ...statement }) => ({
    ...statement,
    month,
    // Only the transaction that closes it sees one without.
    manifestSha256: manifest_sha256?.toString('hex') ?? '',
    previousSha256: previous_sha256?.toString('hex') ?? null,
  }));
}
