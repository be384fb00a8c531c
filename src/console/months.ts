import { html } from 'hono/html';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { readStatements, type Statement } from '../billing/statements.ts';
import type { MonthState, Schema } from '../database/schema.ts';
import { joinParts, showCode, showDifference, showNumber } from '../terminal/words.ts';
import { type DayRange, daysOfMonth, type Month, type UsageDay } from '../usage/day.ts';
import { type Html, linkTo, renderCommands, renderPill, showMonth } from './elements.ts';
import { SEARCH, selectInstanceName } from './filters.ts';
import { type ConsolePage, type PageRequest, readMonth, renderCount, showAge } from './page.ts';
import { type Columns, createTablePage, renderHtmlTable, type TableColumn, type TableRow } from './table.ts';

const PATH = '/billing';

/** How each state looks, and what somebody does about a month in it. */
const STATES: Readonly<Record<MonthState, readonly [tone: string, act: string, only: string]>> = {
  in_progress: ['quiet', 'Open', ''],
  settling: ['quiet', 'Open', ''],
  blocked: ['bad', 'Review', 'not_ready'],
  partly_collected: ['quiet', 'Open', ''],
  ready: ['good', 'Close', ''],
  closed: ['good', 'Open', ''],
  needs_adjustment: ['bad', 'Adjust', 'to_adjust'],
};

export type MonthRow = {
  readonly instance_id: string;
  readonly month: UsageDay;
  /** Null if there is only one instance. */
  readonly instance_name: string | null;
  readonly state: MonthState;
  readonly closed_at: string | null;
  /** How many organizations are ready: `58 of 59 ready`; null unless the month has ended and is not closed. */
  readonly readiness: string | null;
  /** The organizations that are most affected, and why. */
  readonly issues: string | null;
  /** Billable payloads of the organizations that are not ready. */
  readonly payloads_on_hold: number | null;
  /** Billable payloads now, minus those billed. */
  readonly difference: number | null;
};

/** Returns what is known of the months in which instances have something to bill, the newest first. */
export async function recallMonths({ recall, instanceIds }: PageRequest) {
  return await recall(['months'], async (db) => {
    const { rows } = await sql<MonthRow>`
      select m.instance_id, m.month, ${selectInstanceName(instanceIds)},
        m.state, m.closed_at, m.readiness, m.issues, m.payloads_on_hold, m.difference
      from losant_usage_internal.month_summaries m
      join losant_usage.instances i on i.instance_id = m.instance_id
      where m.instance_id = any (${instanceIds}::text[])
      order by m.month desc, m.instance_id`.execute(db);
    return rows;
  });
}

export function linkToMonth(month: UsageDay, text = showMonth(month), only = ''): Html {
  return linkTo(`${PATH}/${month.slice(0, 7)}`, { only }, text);
}

function renderState({ state }: MonthRow): Html {
  return renderPill(STATES[state][0], showCode(state));
}

function describeMonth({ readiness, issues }: MonthRow): string {
  return joinParts('; ', readiness, issues);
}

function renderMonths(months: readonly MonthRow[]): Html {
  if (months.length === 0) return html`<p>Nothing has been loaded yet.</p>`;
  const rows = months.map((month) => ({ ...month, summary: describeMonth(month), act: month.state }));
  return renderHtmlTable(rows, [
    ['month', 'Month', ({ month }) => linkToMonth(month)],
    'instance_name',
    ['state', 'Status', renderState],
    ['summary', 'Why'],
    'payloads_on_hold',
    ['difference', 'Payloads since closing'],
    ['closed_at', 'Closed'],
    ['act', 'Next step', ({ month, state }) => linkToMonth(month, STATES[state][1], STATES[state][2])],
  ]);
}

export function renderMonthState(month: MonthRow, head: Html | string = ''): Html {
  const { instance_name: instance, payloads_on_hold: onHold, difference } = month;
  const text = joinParts(
    ' · ',
    describeMonth(month),
    onHold !== null && `${showNumber(onHold)} billable payloads on hold`,
    difference !== null && `${showDifference(difference)} billable payloads since it was closed`,
  );
  return html`<p>${head} ${instance} ${renderState(month)}</p>${text !== '' && html`<p class="quiet">${text}</p>`}\n`;
}

export const monthsPage: ConsolePage = {
  path: PATH,
  subject: 'The months',
  show: async (request) => {
    const months = await recallMonths(request);
    const body = html`<h1>Billing</h1><p class="quiet">Calendar months in UTC. A settling month is resolved by the next
      runs; a partly collected one was not loaded from its first day on. <a href="/billed?year=this">Billed
      this year by customer</a></p>
${renderCount(months, 'The months', renderMonths)}`;
    return { title: 'Billing', body };
  },
};

export type BilledQuantities = Readonly<
  Record<'payloads' | 'payloads_billed' | 'minutes' | 'minutes_billed', number | null>
>;

export const PAYLOADS_BILLED: TableColumn<BilledQuantities> = [
  'payloads_billed',
  'Payloads billed',
  (row) => renderBilledQuantity(row.payloads, row.payloads_billed),
];
export const MINUTES_BILLED: TableColumn<BilledQuantities> = [
  'minutes_billed',
  'Minutes billed',
  (row) => renderBilledQuantity(row.minutes, row.minutes_billed),
];

function renderBilledQuantity(current: number | null, billed: number | null): Html | string {
  if (billed === null) return '–';
  if (current === billed) return showNumber(billed);
  return html`<span class="bad" title="the current number differs">${showNumber(billed)} ≠</span>`;
}

type OrgRow = BilledQuantities & { readonly remedy: string | null };

/** What blocks an entire instance, then each organization with its own causes. */
export const monthPage = createTablePage<OrgRow>({ path: `${PATH}/:month`, subject: 'The month' }, async (request) => {
  const month = readMonth(request);
  if (month === null) return null;
  const days = daysOfMonth(month);
  const [months, totals] = await Promise.all([
    recallMonths(request),
    request.recall(['month totals', month], (db) => readTotals(db, request, days)),
  ]);
  const states = months.snapshot?.value.filter((each) => each.month === days.from) ?? [];
  const intro = renderCount(
    months,
    'The state of the month',
    () => html`${states.map((each) => renderMonthState(each))}`,
  );
  return {
    title: showMonth(month),
    sentence: 'Organizations that are not ready come first. Billed and current numbers are side by side.',
    intro: async (db) => html`${intro}${await renderActions(db, request, { month, states })}`,
    rows: selectOrganizations(request, days),
    order: sql`r.is_not_ready desc, r.org_name, r.org_id`,
    filters: {
      q: SEARCH,
      only: {
        label: 'Show only',
        options: { not_ready: 'not ready', to_adjust: 'to adjust' },
        where: (only) =>
          only === 'not_ready'
            ? // Without "is true", Postgres expects one such organization, and reads the blockers again for each.
              sql`r.is_not_ready is true`
            : sql`r.org_id in (select i.org_id from losant_usage_internal.month_issues i
                  where i.month = ${days.from}::date and i.state = 'needs_adjustment')`,
      },
    },
    note: totals.snapshot === null ? renderCount(totals, 'The totals', () => html``) : html``,
    columns: [
      'org_name',
      'payloads',
      PAYLOADS_BILLED,
      'difference',
      'causes',
      ['remedy', 'Remedy', ({ remedy }) => renderFoldedRemedy(remedy ?? '', request.query['only'] === 'not_ready')],
      'minutes',
      MINUTES_BILLED,
      'referral_id',
      'customer_id',
      'plan_id',
    ],
    totals:
      totals.snapshot === null ? {} : { ...totals.snapshot.value, org_name: joinParts(' ', 'Total', showAge(totals)) },
  };
});

async function readTotals(db: Kysely<Schema>, { instanceIds }: PageRequest, { from }: DayRange) {
  const { rows } = await sql<TableRow>`
    select sum(u.payloads)::bigint as payloads, sum(b.payloads)::bigint as payloads_billed,
      nullif(sum(u.payloads - coalesce(b.payloads, ${selectClosed(from)})), 0)::bigint as difference,
      sum(u.minutes)::bigint as minutes, sum(b.minutes)::bigint as minutes_billed
    from (
      select d.org_id, sum(d.payload_billable_count) as payloads, sum(d.notebook_minutes) as minutes
      from losant_usage.usage_days d where d.month = ${from}::date group by d.org_id
    ) as u
    join losant_usage.organizations o on o.org_id = u.org_id and o.instance_id = any (${instanceIds}::text[])
    left join (${selectBilled(sql`l.month = ${from}::date`)}) as b on b.org_id = u.org_id`.execute(db);
  return rows[0] ?? {};
}

/** The sums that the lines `l` of a group bill. */
export const SUMS_BILLED = sql`
  losant_usage_internal.total(l.quantity) filter (where l.metric = 'payload_billable_count') as payloads,
  losant_usage_internal.total(l.quantity) filter (where l.metric = 'notebook_minutes') as minutes`;

/** Selects what each organization was billed for a month, from the lines `l` that match. */
export function selectBilled(condition: RawBuilder<unknown>) {
  return sql`
    select l.org_id, l.month, ${SUMS_BILLED}
    from losant_usage.statement_lines l where ${condition} group by l.org_id, l.month`;
}

/** Selects 0, as billed, if the instance of the organization `o` has closed the month; otherwise nothing is due yet. */
function selectClosed(from: UsageDay): RawBuilder<unknown> {
  return sql`(select 0 from losant_usage.statements s
    where s.instance_id = o.instance_id and s.month = ${from}::date and s.kind = 'closing')`;
}

/** Renders what blocks entire instances, the commands that preview closing the month, and its statements. */
async function renderActions(
  db: Kysely<Schema>,
  request: PageRequest,
  { month, states }: { month: Month; states: readonly MonthRow[] },
): Promise<Html> {
  const { instanceIds } = request;
  const { from } = daysOfMonth(month);
  const { rows: issues } = await sql<{ readonly name: string; readonly causes: string; readonly remedy: string }>`
    select m.name, m.causes, m.remedy from losant_usage_internal.month_issues m
    where m.org_id is null and m.state <> 'needs_adjustment' and m.month = ${from}::date
      and m.instance_id = any (${instanceIds}::text[])`.execute(db);
  const statements = await readStatements(db, { month, instanceIds });
  const closedIds = new Set(statements.map(({ instanceId }) => instanceId));
  const endedIds = states.flatMap(({ state, instance_id: id }) => (state === 'in_progress' ? [] : [id]));
  // Instances of which some are closed need a command each, because only a closed month is adjusted.
  const toCommands = (ids: readonly string[], options: string) => {
    const scope = ids.length === instanceIds.length ? '' : ` --instance ${ids.join(',')}`;
    return ids.length === 0 ? [] : [`losant-usage close --month ${month}${scope}${options} --dry-run`];
  };
  const unclosedIds = endedIds.filter((id) => !closedIds.has(id));
  const commands = [...toCommands(unclosedIds, ''), ...toCommands([...closedIds], ' --adjust')];
  return html`${issues.map(
    ({ name, causes, remedy }) => html`<p class="bad">Entire instance ${name}: ${causes}</p>${renderRemedy(remedy)}`,
  )}
${renderCommands(commands)}
${renderStatements(statements, request, { month, states })}`;
}

function renderStatements(
  statements: readonly Statement[],
  { instanceIds }: PageRequest,
  { month, states }: { month: Month; states: readonly MonthRow[] },
): Html | string {
  if (statements.length === 0) return '';
  const { from, to } = daysOfMonth(month);
  const names = new Map(states.map((state) => [state.instance_id, state.instance_name]));
  const rows = statements.map((each) => ({
    ...each,
    instance: instanceIds.length > 1 ? (names.get(each.instanceId) ?? each.instanceId) : null,
  }));
  const columns: Columns<(typeof rows)[number]> = [
    'instance',
    [
      'number',
      'Statement',
      ({ number, instance, instanceId }) =>
        linkTo(`${PATH}/${month}/customers`, { number: `${number}`, instance: instance && instanceId }, number),
    ],
    'kind',
    ['closedAt', 'Created'],
    ['closedBy', 'Created by'],
    ['reason', 'Reason for accepting blockers'],
  ];
  return html`<h2>Statements</h2>${renderHtmlTable(rows, columns)}
<p><a href="${PATH}/${month}/customers">What each customer was billed</a> · <a
  href="${PATH}/${month}/days">Days that explain adjustments</a> · <a
  href="${PATH}/${month}/days?only=unbilled">Days of the next adjustment</a></p>
<p>${linkTo('/changes', { from, to, which: 'closed' }, 'Changes since the month was closed')}</p>`;
}

/** Selects the organizations of a month. Each sum and issue is a subquery, so that only those on the page are read. */
function selectOrganizations({ instanceIds }: PageRequest, { from, to }: DayRange) {
  const sum = (metric: string) =>
    sql`(select sum(d.${sql.ref(metric)})::bigint from losant_usage.usage_days d
      where d.org_id = o.org_id and d.usage_date between ${from}::date and ${to}::date)`;
  const sumBilled = (metric: string) =>
    sql`(select sum(l.quantity)::bigint from losant_usage.statement_lines l
      where l.month = ${from}::date and l.org_id = o.org_id and l.metric = ${metric})`;
  const issues = sql`losant_usage_internal.month_issues i where i.month = ${from}::date`;
  const issue = (name: 'causes' | 'remedy') =>
    sql`(select i.${sql.ref(name)} from ${issues} and i.org_id = o.org_id and i.state <> 'needs_adjustment')`;
  // As its statements have them: an organization may have another customer now.
  const atMonthEnd = (column: 'referral_id' | 'customer_id' | 'plan_id') =>
    sql`(select m.${sql.ref(column)} from losant_usage_internal.month_orgs(${from}::date) m where m.org_id = o.org_id)
      as ${sql.ref(column)}`;
  const [payloads, payloadsBilled] = [sum('payload_billable_count'), sumBilled('payload_billable_count')];
  return sql`
    select o.org_id, o.name as org_name, ${atMonthEnd('referral_id')}, ${atMonthEnd('customer_id')},
      ${atMonthEnd('plan_id')},
      o.org_id in (select i.org_id from ${issues} and i.org_id is not null and i.state <> 'needs_adjustment')
        as is_not_ready,
      ${issue('causes')} as causes, ${issue('remedy')} as remedy, ${payloads} as payloads,
      ${payloadsBilled} as payloads_billed,
      nullif(${payloads} - coalesce(${payloadsBilled}, ${selectClosed(from)}), 0) as difference,
      ${sum('notebook_minutes')} as minutes, ${sumBilled('notebook_minutes')} as minutes_billed
    from losant_usage.organizations o
    where o.instance_id = any (${instanceIds}::text[]) and exists (
      select from losant_usage.tracks t
      where t.org_id = o.org_id and t.first_day <= ${to}::date
        and (t.last_day is null or t.last_day >= ${from}::date))`;
}

function renderFoldedRemedy(remedy: string, isOpen: boolean): Html {
  return html`<details${isOpen && ' open'}><summary>To resolve</summary>${renderRemedy(remedy)}</details>`;
}

/** Renders each command of a remedy to be copied, and each sentence above the commands that it is about. */
function renderRemedy(remedy: string): Html {
  return html`${remedy
    .split('\n')
    .map((line) => (line.startsWith('losant-usage ') ? renderCommands([line]) : html`<p>${line}</p>`))}`;
}
