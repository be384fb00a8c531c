/** Reads statements: what they bill in total, and what they bill to each customer. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { Month } from '../usage/day.ts';
import { type Blocker, toFirstDay, toMonth } from './months.ts';

/** A blocker as a statement has it: the row of `month_blockers` as JSON. */
type AcceptedBlocker = Pick<Blocker, 'cause' | 'days' | 'detail' | 'streams'> &
  Readonly<Record<'org_id' | 'org_name', string | null>> &
  Readonly<Record<'first_day' | 'last_day', string>>;

export type Statement = Awaited<ReturnType<typeof readStatements>>[number];

/** Returns the statements of a month, oldest first. */
export async function readStatements(db: Kysely<Schema>, month: Month) {
  const rows = await db
    .selectFrom('statements as s')
    .select(['s.statement_id as statementId', 's.number', 's.month', 's.created_at as createdAt'])
    .select(['s.created_by as createdBy', 's.reason'])
    .select((eb) => [
      eb.ref('s.kind').$castTo<Kind>().as('kind'),
      eb.ref('s.blockers').$castTo<readonly AcceptedBlocker[] | null>().as('blockers'),
    ])
    .select(
      sql<number>`(
        select count(distinct l.org_id)::integer from losant_usage.statement_lines l
        where l.statement_id = s.statement_id)`.as('orgs'),
    )
    .where('s.month', '=', toFirstDay(month))
    .orderBy('s.number')
    .execute();
  return rows.map(({ month: firstDay, ...row }) => ({ ...row, month: toMonth(firstDay) }));
}

type Kind = 'closing' | 'adjustment';

export interface MetricTotal {
  readonly metric: string;
  readonly unit: string;
  readonly kind: 'flow' | 'level';
  /** Over all organizations; null if none has a number. It may be above 2^53, so it is text. */
  readonly quantity: string | null;
  readonly orgs: number;
}

export async function readStatementTotals(db: Kysely<Schema>, statementId: string): Promise<MetricTotal[]> {
  return await sumLines(db, sql`select * from losant_usage.statement_lines where statement_id = ${statementId}::uuid`);
}

/** Returns the totals that a statement would have if it were made now, from what the reader may read. */
export async function readDraftTotals(
  db: Kysely<Schema>,
  { month, isAdjustment }: { month: Month; isAdjustment: boolean },
): Promise<MetricTotal[]> {
  const firstDay = toFirstDay(month);
  const adjustment = sql`select metric, difference as quantity from losant_usage.adjustments
    where month = ${firstDay}::date`;
  const closing = sql`
    select m.metric, (u.sums ->> m.metric)::bigint as quantity
    from (select to_jsonb(u) as sums from losant_usage.monthly_usage u where u.month = ${firstDay}::date offset 0) as u
    join losant_usage.metrics m on u.sums ->> (m.stream || '_standing') is not null`;
  return await sumLines(db, isAdjustment ? adjustment : closing);
}

/** Returns the totals of lines: a table with the columns `metric` and `quantity`. */
async function sumLines(db: Kysely<Schema>, lines: RawBuilder<unknown>): Promise<MetricTotal[]> {
  const { rows } = await sql<MetricTotal>`
    select m.metric, m.unit, m.kind, l.quantity, l.orgs
    from (
      select metric, sum(quantity)::text as quantity, count(*)::integer as orgs from (${lines}) as n group by metric
    ) as l
    join losant_usage.metrics m on m.metric = l.metric order by m.position`.execute(db);
  return rows;
}

/** A customer; an organization that has none is a customer by itself. */
export interface Customer {
  /** The customer ID, or the organization ID. */
  readonly key: string;
  /** Null if the key is an organization. */
  readonly customerId: string | null;
  readonly orgs: number;
  readonly orgNames: string;
}

const CUSTOMER_KEY = sql<string>`coalesce(nullif(l.customer_id, ''), l.org_id)`;

interface CustomerPage {
  readonly limit: number;
  readonly offset?: number;
  /** Part of a name, of a customer ID, or of an organization ID; all by default. */
  readonly search?: string;
}

/** Returns the customers that the statements of a month bill, by the names of their organizations. */
export async function readCustomers(
  db: Kysely<Schema>,
  month: Month,
  { limit, offset = 0, search = '' }: CustomerPage,
): Promise<Customer[]> {
  const { rows } = await sql<Customer>`
    select c.key, c."customerId", count(*)::integer as orgs, string_agg(c.name, ', ' order by c.name) as "orgNames"
    from (
      select ${CUSTOMER_KEY} as key, max(nullif(l.customer_id, '')) as "customerId", l.org_id, max(l.org_name) as name
      from losant_usage.statement_lines l where l.month = ${toFirstDay(month)}::date
      group by ${CUSTOMER_KEY}, l.org_id
    ) as c
    group by c.key, c."customerId"
    having strpos(lower(c.key || ' ' || string_agg(concat_ws(' ', c.name, c.org_id), ' ')), lower(${search})) > 0
    order by "orgNames", c.key limit ${limit} offset ${offset}`.execute(db);
  return rows;
}

export interface CustomerLine {
  readonly number: number;
  readonly kind: Kind;
  readonly createdAt: string;
  readonly orgId: string;
  readonly orgName: string;
  readonly metric: string;
  readonly unit: string;
  readonly quantity: number | null;
  readonly maximum: number | null;
  readonly average: string | null;
  readonly daysExpected: number;
  readonly daysStored: number;
}

/** Returns the lines that the statements of a month bill to a customer, by statement, organization and metric. */
export async function readCustomerLines(
  db: Kysely<Schema>,
  month: Month,
  customerKey: string,
): Promise<CustomerLine[]> {
  const { rows } = await sql<CustomerLine>`
    select s.number, s.kind, s.created_at as "createdAt", l.org_id as "orgId", l.org_name as "orgName", l.metric,
      l.unit, l.quantity, l.maximum, l.average::text as average, l.days_expected as "daysExpected",
      l.days_stored as "daysStored"
    from losant_usage.statement_lines l
    join losant_usage.statements s on s.statement_id = l.statement_id
    join losant_usage.metrics m on m.metric = l.metric
    where l.month = ${toFirstDay(month)}::date and ${CUSTOMER_KEY} = ${customerKey}
    order by s.number, l.org_name, l.org_id, m.position`.execute(db);
  return rows;
}
