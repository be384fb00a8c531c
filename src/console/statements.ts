/** What was billed for closed months: to each customer, in a year, and the days that explain adjustments. */
import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import { type CustomerKey, SealError, SealedMonth } from '../billing/customers.ts';
import { readStatements } from '../billing/statements.ts';
import type { Schema } from '../database/schema.ts';
import { readNamedInstances } from '../ledger/instances.ts';
import { showCode, showName } from '../terminal/words.ts';
import type { Month } from '../usage/day.ts';
import { readMetrics, renderCustomerStatement, titleStatement } from './customer-statement.ts';
import { type Html, linkTo, type Query, renderFoldedList, showMonth } from './elements.ts';
import { filterByInstance, SEARCH, searchIn, selectInstanceName } from './filters.ts';
import { SUMS_BILLED } from './months.ts';
import { type ConsolePage, readMonth } from './page.ts';
import { createTablePage, type TableColumn } from './table.ts';

const PATH = '/billing';

function linkToPart(month: string, part: string, query: Query, text: string | number): Html {
  return linkTo(`${PATH}/${month.slice(0, 7)}/${part}`, query, text);
}

type CustomerRow = {
  readonly month: string;
  readonly instance_id: string;
  readonly customer_id: string | null;
  readonly org_id: string | null;
  readonly org_name: string;
};

function renderCustomer(row: CustomerRow): Html {
  const { month, instance_id: instance, customer_id: customer, org_id: org, org_name: name } = row;
  return linkToPart(month, 'customer', { instance, customer, org }, showName(name, org ?? customer ?? ''));
}

const CUSTOMERS = { path: `${PATH}/:month/customers`, subject: 'The customers' };

/** A row for each customer, statement and metric; as a file it is what to bill. */
export const customersPage = createTablePage<CustomerRow>(CUSTOMERS, async (request) => {
  const { instanceIds } = request;
  const month = readMonth(request);
  if (month === null) return null;
  return {
    title: `Customers, ${showMonth(month)}`,
    sentence:
      'What each statement of the month bills to each customer; an organization without one is listed by itself.',
    rows: sql`
        select c.*, ${selectInstanceName(instanceIds)}
        from losant_usage.customer_statements c join losant_usage.instances i on i.instance_id = c.instance_id
        where c.month = ${`${month}-01`}::date and c.instance_id = any (${instanceIds}::text[])`,
    order: sql`r.org_name, r.customer_id, r.org_id, r.number, r.metric`,
    filters: {
      q: searchIn('Name, customer, referral ID or ID', 'org_name', 'referral_id', 'customer_id', 'org_id'),
      number: { label: 'Statement number', options: 'text' },
      metric: { label: 'Metric', options: 'text' },
      ...(await filterByInstance(request)),
    },
    columns: [
      ['org_name', 'Name', renderCustomer],
      'metric',
      'billed_before',
      ['quantity', 'Billed'],
      'unit',
      ['number', 'Statement'],
      'total',
      ['statement_kind', 'Kind'],
      'customer_id',
      'referral_id',
      'plan_id',
      'instance_name',
    ],
  };
});

/** The page of a customer, which is also its file. */
export const customerPage: ConsolePage = {
  path: `${PATH}/:month/customer`,
  subject: 'The statement',
  show: async (request) => {
    const month = readMonth(request);
    const { read, query, instanceIds } = request;
    const { instance: instanceId = '', customer: customerId = '', org: orgId = '' } = query;
    if (month === null || !instanceIds.includes(instanceId) || (customerId === '') === (orgId === '')) return null;
    const customer = { customerId: customerId || null, orgId: orgId || null };
    try {
      return await read((db) => readCustomerPage(db, { month, instanceId, customer }));
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      const title = 'This statement cannot be shown';
      const body = html`<h1>${title}</h1><p class="bad">${error.message}</p><p>${error.hint}</p>`;
      return { title, body };
    }
  },
};

/** Returns null if the customer has no statement. */
async function readCustomerPage(
  db: Kysely<Schema>,
  { month, instanceId, customer }: { month: Month; instanceId: string; customer: CustomerKey },
) {
  const statements = await readStatements(db, { month, instanceIds: [instanceId] });
  const instance = (await readNamedInstances(db)).find((each) => each.instanceId === instanceId);
  if (instance === undefined) return null;
  using sealed = await SealedMonth.read(db, statements, { customer, signal: AbortSignal.timeout(READ_MS) });
  const [statement] = sealed.customers();
  if (statement === undefined) return null;
  const facts = { instance, month, statements, metrics: await readMetrics(db) };
  return { title: titleStatement(statement, facts), body: renderCustomerStatement(statement, facts) };
}

/** The packs of a month may have tens of megabytes. */
const READ_MS = 30_000;

type DayRow = { readonly cause: string };

const CAUSE: TableColumn<DayRow> = ['cause', 'Cause', ({ cause }) => showCode(cause)];

const ADJUSTMENT_DAYS = { path: `${PATH}/:month/days`, subject: 'The days' };

export const adjustmentDaysPage = createTablePage<DayRow>(ADJUSTMENT_DAYS, (request) => {
  const { instanceIds } = request;
  const month = readMonth(request);
  if (month === null) return null;
  return {
    title: `Days that explain adjustments, ${showMonth(month)}`,
    sentence: 'The number of a day that was billed, the number that replaces it, and what changed it.',
    rows: sql`
      select d.org_id, d.org_name, d.usage_date, d.metric, d.number, d.billed_quantity, d.quantity, d.difference,
        d.cause, d.changed_at, d.revision, d.run_id, d.waiver_reason, o.referral_id
      from losant_usage.adjustment_days d join losant_usage.organizations o on o.org_id = d.org_id
      where d.month = ${`${month}-01`}::date and d.instance_id = any (${instanceIds}::text[])`,
    order: sql`r.number desc nulls first, r.org_name, r.org_id, r.metric, r.usage_date`,
    filters: {
      q: SEARCH,
      only: { label: 'Show only', options: { unbilled: 'not billed yet' }, where: () => sql`r.number is null` },
      number: { label: 'Statement number', options: 'text' },
    },
    columns: [
      'org_name',
      'usage_date',
      'metric',
      ['billed_quantity', 'Billed'],
      ['quantity', 'Now'],
      CAUSE,
      'difference',
      ['number', 'Statement'],
      'changed_at',
      'revision',
      'run_id',
      ['waiver_reason', 'Waiver'],
    ],
  };
});

type BilledRow = {
  /** The customer, or the organization that has none. */
  readonly id: string;
  /** Each month as `2026-09 22,800 payloads, 150 minutes`, the newest first. */
  readonly by_month: readonly string[];
};

/** The years that can be chosen, by how long ago they are. */
const YEARS = { this: 0, last: 1, before_last: 2 } as const;

export const billedPage = createTablePage<BilledRow>(
  { path: '/billed', navPath: '/billing', subject: 'What was billed' },
  ({ instanceIds, query, nowMs }) => {
    const years = Object.entries(YEARS).map(
      ([name, ago]) => [name, `${new Date(nowMs).getUTCFullYear() - ago}`] as const,
    );
    const year = years.find(([name]) => name === query['year'])?.[1] ?? '';
    return {
      title: year === '' ? 'Billed' : `Billed in ${year}`,
      sentence:
        'What the statements of closed months bill to each customer. An organization without one is listed by itself.',
      rows: sql`
        select m.id, (array_agg(m.name order by m.month desc))[1] as name, sum(m.payloads)::bigint as payloads,
          sum(m.minutes)::bigint as minutes, count(*) as months,
          array_agg(concat(to_char(m.month::timestamp, 'YYYY-MM '),
            to_char(m.payloads, 'FM999,999,999,999,999,990" payloads, "'),
            to_char(m.minutes, 'FM999,999,999,999,990" minutes"')) order by m.month desc) as by_month
        from (
          select coalesce(nullif(l.customer_id, ''), l.org_id) as id, l.month, ${SUMS_BILLED},
            coalesce(string_agg(distinct l.org_name, ', ' order by l.org_name)
              filter (where l.metric = 'payload_billable_count'), max(l.org_name)) as name
          from losant_usage.statement_lines l join losant_usage.statements s on s.statement_id = l.statement_id
          where s.instance_id = any (${instanceIds}::text[])
            and ${year}::text in ('', extract(year from l.month)::text)
          group by 1, l.month
        ) as m
        group by m.id`,
      order: sql`r.payloads desc nulls last, r.id`,
      filters: {
        year: { label: 'Year', options: Object.fromEntries(years), where: null },
        q: searchIn('Name or customer', 'name', 'id'),
      },
      columns: [
        'name',
        ['id', 'Customer'],
        'payloads',
        'minutes',
        ['months', 'Months closed'],
        ['by_month', 'By month', renderMonths],
      ],
      summed: ['payloads', 'minutes'],
    };
  },
);

function renderMonths({ id, by_month: months }: BilledRow): Html {
  const items = months.map((text) => {
    const month = text.slice(0, 'YYYY-MM'.length);
    return html`${linkToPart(month, 'customers', { q: id }, month)}${text.slice(month.length)}`;
  });
  return renderFoldedList('Each month', items);
}
