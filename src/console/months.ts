import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { showNumber } from '../terminal/words.ts';
import { type DayRange, daysOfMonth, parseMonth } from '../usage/day.ts';
import { type MonthRow, selectBlockers, selectMonthIssues } from './counts.ts';
import {
  COUNTING,
  type ConsolePage,
  type Html,
  type PageRequest,
  RELOAD_SECONDS,
  renderCommands,
  showMonth,
  toPlainText,
} from './page.ts';
import { renderStatements } from './statements.ts';
import {
  addressOf,
  type Columns,
  optionsOf,
  renderHtmlTable,
  SEARCH,
  showDifference,
  showTable,
} from './table.ts';

const PATH = '/months';

const TONES: Readonly<Record<MonthRow['state'], string>> = {
  in_progress: 'quiet',
  settling: 'quiet',
  blocked: 'bad',
  partly_collected: 'quiet',
  ready: 'warn',
  closed: 'good',
  needs_adjustment: 'bad',
};

const MONTHS: Columns<MonthRow> = {
  month: ['Month', ({ month }) => html`<a href="${PATH}/${month.slice(0, 7)}">${showMonth(month)}</a>`],
  instance_name: 'Instance',
  state: ['State', ({ state }) => html`<span class="${TONES[state]}">${state.replaceAll('_', ' ')}</span>`],
  causes: 'Causes',
  orgs: 'Organizations affected',
  affected_payloads: 'Billable payloads affected',
  difference: ['Difference in billable payloads', ({ difference }) => showDifference(difference ?? 0)],
  examples: 'Most affected',
  closed_at: 'Closed at',
};

export function renderMonths(months: readonly MonthRow[]): Html {
  return renderHtmlTable(months, MONTHS);
}

export const monthsPage: ConsolePage = {
  path: PATH,
  navPath: PATH,
  show: async ({ getCounts }) => {
    const counts = await getCounts();
    const body = html`<h1>Months</h1><p class="quiet">A settling month is resolved by the next runs; a partly collected
      one was not loaded from its first day on.</p>${counts === null ? COUNTING : renderMonths(counts.months)}`;
    return { title: 'Months', body, reloadSeconds: counts === null ? RELOAD_SECONDS : 0 };
  },
};

/** The current and the billed quantities of a month of an organization. */
export type BilledQuantities = {
  readonly payloads: number | null;
  readonly payloads_billed: number | null;
  readonly minutes: number | null;
  readonly minutes_billed: number | null;
};

export const BILLED_COLUMNS: Columns<BilledQuantities> = {
  payloads: 'Billable payloads',
  payloads_billed: [
    'Payloads billed',
    ({ payloads, payloads_billed: billed }) => renderBilledQuantity(payloads, billed),
  ],
  minutes: 'Notebook minutes',
  minutes_billed: [
    'Minutes billed',
    ({ minutes, minutes_billed: billed }) => renderBilledQuantity(minutes, billed),
  ],
};

type OrgRow = BilledQuantities & { readonly difference: number | null; readonly remedy: string | null };

type InstanceBlocker = Pick<MonthRow, 'state' | 'causes'> & {
  readonly org_name: string;
  readonly remedy: string;
};

const ORGANIZATIONS: Columns<OrgRow> = {
  org_name: 'Organization',
  referral_id: 'Referral ID',
  ...BILLED_COLUMNS,
  difference: ['Difference in billable payloads', ({ difference }) => showDifference(difference ?? 0)],
  causes: 'Causes',
  remedy: ['Remedy', ({ remedy }) => renderRemedy(remedy ?? '')],
};

/** The blockers of a month that concern an entire instance, then each organization with its own. */
export const monthPage: ConsolePage = {
  path: '/months/:month',
  navPath: PATH,
  show: async (request) => {
    const month = parseMonth(request.params['month'] ?? '');
    if (month === null) return null;
    const days = daysOfMonth(month);
    const counts = await request.getCounts();
    if (counts === null)
      return { title: showMonth(days.from), body: COUNTING, reloadSeconds: RELOAD_SECONDS };
    return await showTable<OrgRow>(request, {
      title: showMonth(days.from),
      sentence: 'Blocked organizations first, by payloads. Billed and current numbers are side by side.',
      intro: (db) => renderBlockers(db, request, { days, months: counts.months }),
      rows: selectOrganizations(request, days),
      order: sql`r.affected_payloads desc nulls last, r.org_name, r.org_id`,
      filters: {
        q: SEARCH,
        only: {
          label: 'Show only',
          options: optionsOf(['blocked', 'to_adjust']),
          where: (only) =>
            only === 'blocked'
              ? sql`r.state = 'blocked'`
              : sql`(r.payloads <> r.payloads_billed or r.minutes <> r.minutes_billed)`,
        },
      },
      columns: ORGANIZATIONS,
    });
  },
};

/** Renders the state of the month, the blockers of entire instances, and the command that previews its closing. */
async function renderBlockers(
  db: Kysely<Schema>,
  request: PageRequest,
  { days, months: allMonths }: { readonly days: DayRange; readonly months: readonly MonthRow[] },
): Promise<Html> {
  const months = allMonths.filter(({ month }) => month === days.from);
  const { rows: blockers } = await sql<InstanceBlocker>`
    select b.* from (${selectBlockers(days.from)}) as b
    where b.org_id is null and b.instance_id = any (${request.instanceIds}::text[])`.execute(db);
  const isClosed = months.some((each) => each.closed_at !== null);
  const command = `losant-usage close --month ${days.from.slice(0, 7)}${isClosed ? ' --adjust' : ''} --dry-run`;
  return html`${months.length > 0 && renderMonths(months)}${blockers.map(
    ({ org_name: instance, state, causes, remedy }) =>
      html`<p class="${TONES[state]}">Entire instance ${toPlainText(instance)}: ${causes}</p>${renderRemedy(remedy)}`,
  )}${renderCommands([command])}${isClosed && (await renderStatements(db, request, days.from.slice(0, 7)))}${
    isClosed &&
    html`<p><a href="${addressOf('/changes', { ...days, which: 'closed' })}">Changes since the month was closed</a></p>`
  }`;
}

/** Selects the organizations of a month. Each sum is a subquery, so that only those on the page are computed. */
function selectOrganizations({ instanceIds }: PageRequest, { from, to }: DayRange) {
  const sum = (metric: string) =>
    sql`(select sum(d.${sql.ref(metric)})::bigint from losant_usage.usage_days d
      where d.org_id = o.org_id and d.usage_date between ${from}::date and ${to}::date)`;
  const sumBilled = (metric: string) =>
    sql`(select sum(l.quantity)::bigint from losant_usage.statement_lines l
      where l.month = ${from}::date and l.org_id = o.org_id and l.metric = ${metric})`;
  const [payloads, payloadsBilled] = [sum('payload_billable_count'), sumBilled('payload_billable_count')];
  return sql`
    select o.org_id, o.name as org_name, o.referral_id, o.customer_id, o.plan_id, s.state, s.causes, s.remedy,
      s.affected_payloads, ${payloads} as payloads, ${payloadsBilled} as payloads_billed,
      nullif(${payloads} - ${payloadsBilled}, 0) as difference,
      ${sum('notebook_minutes')} as minutes, ${sumBilled('notebook_minutes')} as minutes_billed
    from losant_usage.organizations o
    left join (${selectMonthIssues(from)}) as s on s.org_id = o.org_id
    where o.instance_id = any (${instanceIds}::text[]) and exists (
      select from losant_usage.tracks t
      where t.org_id = o.org_id and t.first_day <= ${to}::date
        and (t.last_day is null or t.last_day >= ${from}::date))`;
}

/** Renders the billed quantity, marked if the current one differs. */
function renderBilledQuantity(current: number | null, billed: number | null): Html | string {
  if (billed === null) return '–';
  if (current === billed) return showNumber(billed);
  return html`<span class="bad" title="the current number differs">${showNumber(billed)} ≠</span>`;
}

/** Renders each command of a remedy to be copied, and each sentence above the commands that it is about. */
function renderRemedy(remedy: string): Html {
  return html`${remedy
    .split('\n')
    .map((line) => (line.startsWith('losant-usage ') ? renderCommands([line]) : html`<p>${line}</p>`))}`;
}
