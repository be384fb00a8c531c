import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { showNumber } from '../terminal/words.ts';
import { type DayRange, daysOfMonth, parseMonth } from '../usage/day.ts';
import { type MonthRow, selectBlockers, selectFindings } from './counts.ts';
import {
  COUNTING,
  type ConsolePage,
  type Html,
  type PageRequest,
  plain,
  RELOAD_SECONDS,
  renderCommands,
  showMonth,
} from './page.ts';
import {
  addressOf,
  type Columns,
  optionsOf,
  renderHtmlTable,
  SEARCH,
  showDifference,
  showTable,
} from './table.ts';

const PLACE = '/months';

const TONES: Readonly<Record<MonthRow['state'], string>> = {
  in_progress: 'quiet',
  ready: 'warn',
  blocked: 'bad',
  closed: 'good',
  needs_adjustment: 'bad',
};

const MONTHS: Columns<MonthRow> = {
  month: ['Month', ({ month }) => html`<a href="${PLACE}/${month.slice(0, 7)}">${showMonth(month)}</a>`],
  instance_name: 'Instance',
  state: ['State', ({ state }) => html`<span class="${TONES[state]}">${state.replace('_', ' ')}</span>`],
  causes: 'Blocked by',
  orgs: 'Organizations',
  at_stake: 'Billable payloads affected',
  difference: ['Difference in billable payloads', ({ difference }) => showDifference(difference ?? 0)],
  examples: 'Most affected',
  closed_at: 'Closed at',
};

export function renderMonths(months: readonly MonthRow[]): Html {
  return renderHtmlTable(months, MONTHS);
}

export const monthsPage: ConsolePage = {
  path: PLACE,
  navPath: PLACE,
  show: async ({ counts }) => {
    const counted = await counts();
    const body = html`<h1>Months</h1><p class="quiet">Months that are ready, blocked, closed, or in need of an
      adjustment.</p>${counted === null ? COUNTING : renderMonths(counted.months)}`;
    return { title: 'Months', body, reloadSeconds: counted === null ? RELOAD_SECONDS : 0 };
  },
};

/** The numbers of today and those that were invoiced, of a month of an organization. */
export type Invoiced = {
  readonly payloads: number | null;
  readonly payloads_invoiced: number | null;
  readonly minutes: number | null;
  readonly minutes_invoiced: number | null;
};

export const BILLED_COLUMNS: Columns<Invoiced> = {
  payloads: 'Payloads',
  payloads_billed: ['Billed', ({ payloads, payloads_invoiced: sum }) => renderInvoiced(payloads, sum)],
  minutes: 'Minutes',
  minutes_billed: ['Billed', ({ minutes, minutes_invoiced: sum }) => renderInvoiced(minutes, sum)],
};

type OrgRow = Invoiced & { readonly difference: number | null; readonly remedy: string | null };

const ORGANIZATIONS: Columns<OrgRow> = {
  org_name: 'Organization',
  referral_id: 'Referral id',
  ...BILLED_COLUMNS,
  difference: ['Difference in payloads', ({ difference }) => showDifference(difference ?? 0)],
  causes: 'Blocked by',
  remedy: ['Remedy', ({ remedy: lines }) => renderAdvice(lines ?? '')],
};

/** The blockers of a month, first those of all of it; then each organization. */
export const monthPage: ConsolePage = {
  path: '/months/:month',
  navPath: PLACE,
  show: async (request) => {
    const name = parseMonth(request.params['month'] ?? '');
    if (name === null) return null;
    const days = daysOfMonth(name);
    const counted = await request.counts();
    if (counted === null)
      return { title: showMonth(days.from), body: COUNTING, reloadSeconds: RELOAD_SECONDS };
    return await showTable<OrgRow>(request, {
      title: showMonth(days.from),
      sentence: 'Blocked organizations first, by payloads. Billed and current numbers are side by side.',
      intro: (db) => renderBlockers(db, request, { days, months: counted.months }),
      rows: selectOrganizations(request, days),
      order: sql`r.amount desc nulls last, r.org_name, r.org_id`,
      filters: {
        q: SEARCH,
        only: {
          label: 'Show only',
          options: optionsOf(['blocked', 'to adjust']),
          where: (only) =>
            only === 'blocked'
              ? sql`r.causes is not null`
              : sql`(r.payloads <> r.payloads_invoiced or r.minutes <> r.minutes_invoiced)`,
        },
      },
      columns: ORGANIZATIONS,
    });
  },
};

/** Renders how the month stands, what blocks all of it, and how to close it. */
async function renderBlockers(
  db: Kysely<Schema>,
  { instanceIds }: PageRequest,
  { days, months: all }: { readonly days: DayRange; readonly months: readonly MonthRow[] },
): Promise<Html> {
  const months = all.filter(({ month }) => month === days.from);
  const { rows: blocked } = await sql<OrgRow & { readonly org_name: string; readonly causes: string }>`
    select f.* from (${selectBlockers(days.from)}) as f
    where f.org_id is null and f.instance_id = any (${instanceIds}::text[])`.execute(db);
  const adjust = months.some((each) => each.closed_at !== null) ? ' --adjust' : '';
  return html`${months.length > 0 && renderMonths(months)}${blocked.map(
    ({ org_name: instance, causes, remedy: lines }) =>
      html`<p class="bad">Entire instance ${plain(instance)}: ${causes}</p>${renderAdvice(lines ?? '')}`,
  )}${renderCommands([`losant-usage close --month ${days.from.slice(0, 7)}${adjust} --dry-run`])}
<p><a href="${addressOf('/changes', { ...days, which: 'closed' })}">Changes since the month was closed</a></p>`;
}

/** Selects the organizations of a month. The sums are of one each, so that only those on the page are added up. */
function selectOrganizations({ instanceIds }: PageRequest, { from, to }: DayRange) {
  const sum = (metric: string) =>
    sql`(select sum(d.${sql.ref(metric)})::bigint from losant_usage.usage_days d
      where d.org_id = o.org_id and d.usage_date between ${from}::date and ${to}::date)`;
  const invoiced = (metric: string) =>
    sql`(select sum(l.quantity)::bigint from losant_usage.statement_lines l
      where l.month = ${from}::date and l.org_id = o.org_id and l.metric = ${metric})`;
  const [payloads, payloadsInvoiced] = [sum('payload_billable_count'), invoiced('payload_billable_count')];
  return sql`
    select o.org_id, o.name as org_name, o.referral_id, o.customer_id, o.plan_id, f.causes, f.remedy, f.amount,
      ${payloads} as payloads, ${payloadsInvoiced} as payloads_invoiced,
      nullif(${payloads} - ${payloadsInvoiced}, 0) as difference,
      ${sum('notebook_minutes')} as minutes, ${invoiced('notebook_minutes')} as minutes_invoiced
    from losant_usage.organizations o
    left join (${selectFindings(from)}) as f on f.org_id = o.org_id
    where o.instance_id = any (${instanceIds}::text[]) and exists (
      select from losant_usage.tracks t
      where t.org_id = o.org_id and t.first_day <= ${to}::date and (t.last_day is null or t.last_day >= ${from}::date))`;
}

/** Renders the number that was invoiced, marked where it is not that of today. */
function renderInvoiced(now: number | null, invoiced: number | null): Html | string {
  if (invoiced === null) return '–';
  if (now === invoiced) return showNumber(invoiced);
  return html`<span class="bad" title="the current number differs">${showNumber(invoiced)} ≠</span>`;
}

function renderAdvice(lines: string): Html | string {
  const commands = lines.split('\n');
  return commands.every((line) => line.startsWith('losant-usage ')) ? renderCommands(commands) : lines;
}
