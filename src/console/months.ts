import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { showNumber } from '../terminal/words.ts';
import { type DayRange, daysOfMonth, parseMonth } from '../usage/day.ts';
import { type MonthRow, selectBlockers, selectFindings } from './counts.ts';
import {
  AGAIN_S,
  COUNTING,
  type ConsolePage,
  type Html,
  type PageRequest,
  plain,
  renderCommands,
  showMonth,
} from './page.ts';
import {
  addressOf,
  type Columns,
  optionsOf,
  renderTable,
  SEARCH,
  showDifference,
  showTable,
} from './table.ts';

const PLACE = '/months';

const TONES: Readonly<Record<MonthRow['state'], string>> = {
  'not over': 'quiet',
  open: 'warn',
  blocked: 'bad',
  closed: 'good',
  different: 'bad',
};

const MONTHS: Columns<MonthRow> = {
  month: ['Month', ({ month }) => html`<a href="${PLACE}/${month.slice(0, 7)}">${showMonth(month)}</a>`],
  instance_name: 'Instance',
  state: ['State', ({ state }) => html`<span class="${TONES[state]}">${state}</span>`],
  causes: 'Blocked by',
  orgs: 'Organizations',
  at_stake: 'Billable payloads at stake',
  difference: ['Billable payloads differ by', ({ difference }) => showDifference(difference ?? 0)],
  examples: 'First of all',
  closed_at: 'Closed',
};

export function renderMonths(months: readonly MonthRow[]): Html {
  return renderTable(months, MONTHS);
}

export const monthsPage: ConsolePage = {
  path: PLACE,
  place: PLACE,
  show: async ({ counts }) => {
    const counted = await counts();
    const body = html`<h1>Months</h1><p class="quiet">Which months are open, blocked, closed, or differ from what was
      invoiced.</p>${counted === null ? COUNTING : renderMonths(counted.months)}`;
    return { title: 'Months', body, again: counted === null ? AGAIN_S : 0 };
  },
};

/** The numbers of today and those that were invoiced, of a month of an organization. */
export type Invoiced = {
  readonly payloads: number | null;
  readonly payloads_invoiced: number | null;
  readonly minutes: number | null;
  readonly minutes_invoiced: number | null;
};

export const INVOICED: Columns<Invoiced> = {
  payloads: 'Payloads',
  payloads_invoiced: ['Invoiced', ({ payloads, payloads_invoiced: sum }) => renderInvoiced(payloads, sum)],
  minutes: 'Minutes',
  minutes_invoiced: ['Invoiced', ({ minutes, minutes_invoiced: sum }) => renderInvoiced(minutes, sum)],
};

type OrgRow = Invoiced & { readonly difference: number | null; readonly what_to_do: string | null };

const ORGANIZATIONS: Columns<OrgRow> = {
  org_name: 'Organization',
  referral_id: 'Referral id',
  ...INVOICED,
  difference: ['Payloads differ by', ({ difference }) => showDifference(difference ?? 0)],
  causes: 'Blocked by',
  what_to_do: ['What to do', ({ what_to_do: lines }) => renderAdvice(lines ?? '')],
};

/** The blockers of a month, first those of all of it; then each organization. */
export const monthPage: ConsolePage = {
  path: '/months/:month',
  place: PLACE,
  show: async (request) => {
    const name = parseMonth(request.params['month'] ?? '');
    if (name === null) return null;
    const days = daysOfMonth(name);
    const counted = await request.counts();
    if (counted === null) return { title: showMonth(days.from), body: COUNTING, again: AGAIN_S };
    return await showTable<OrgRow>(request, {
      title: showMonth(days.from),
      sentence:
        'What blocks it, the most payloads first; then the number that was invoiced beside that of today.',
      intro: (db) => renderBlockers(db, request, { days, months: counted.months }),
      rows: selectOrganizations(request, days),
      order: sql`r.amount desc nulls last, r.org_name, r.org_id`,
      filters: {
        q: SEARCH,
        only: {
          label: 'Only',
          options: optionsOf(['blocked', 'different']),
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
    ({ org_name: instance, causes, what_to_do: lines }) =>
      html`<p class="bad">All of ${plain(instance)}: ${causes}</p>${renderAdvice(lines ?? '')}`,
  )}${renderCommands([`losant-usage close --period ${days.from.slice(0, 7)}${adjust} --dry-run`])}
<p><a href="${addressOf('/changes', { ...days, which: 'closed' })}">What changed since it was invoiced</a></p>`;
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
    select o.org_id, o.name as org_name, o.referral_id, o.customer_id, o.plan_id, f.causes, f.what_to_do, f.amount,
      ${payloads} as payloads, ${payloadsInvoiced} as payloads_invoiced,
      nullif(${payloads} - ${payloadsInvoiced}, 0) as difference,
      ${sum('notebook_minutes')} as minutes, ${invoiced('notebook_minutes')} as minutes_invoiced
    from losant_usage.organizations o
    left join (${selectFindings(from)}) as f on f.org_id = o.org_id
    where o.instance_id = any (${instanceIds}::text[]) and exists (
      select from losant_usage.tracks t
      where t.org_id = o.org_id and t.first_day <= ${to}::date and (t.to_day is null or t.to_day >= ${from}::date))`;
}

/** Renders the number that was invoiced, marked where it is not that of today. */
function renderInvoiced(now: number | null, invoiced: number | null): Html | string {
  if (invoiced === null) return '–';
  if (now === invoiced) return showNumber(invoiced);
  return html`<span class="bad" title="today's number differs">${showNumber(invoiced)} ≠</span>`;
}

function renderAdvice(lines: string): Html | string {
  const commands = lines.split('\n');
  return commands.every((line) => line.startsWith('losant-usage ')) ? renderCommands(commands) : lines;
}
