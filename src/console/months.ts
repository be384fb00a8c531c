import { html } from 'hono/html';
import { sql } from 'kysely';
import { showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { daysOfMonth, parseMonth } from '../usage/month.ts';
import type { MonthRow } from './counts.ts';
import {
  AGAIN_S,
  COUNTING,
  type ConsolePage,
  type Html,
  linkToOrganization,
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

type OrgRow = {
  readonly org_id: string | null;
  readonly org_name: string;
  readonly payloads: number | null;
  readonly payloads_invoiced: number | null;
  readonly minutes: number | null;
  readonly minutes_invoiced: number | null;
  readonly difference: number | null;
  readonly what_to_do: string | null;
};

const ORGANIZATIONS: Columns<OrgRow> = {
  org_name: [
    'Organization',
    ({ org_id: id, org_name: name }) =>
      id === null ? html`<strong>All of ${plain(name)}</strong>` : linkToOrganization(id, name),
  ],
  referral_id: 'Referral id',
  payloads: 'Payloads',
  payloads_invoiced: ['Invoiced', ({ payloads, payloads_invoiced: sum }) => renderInvoiced(payloads, sum)],
  difference: ['Difference', ({ difference }) => showDifference(difference ?? 0)],
  minutes: 'Minutes',
  minutes_invoiced: ['Invoiced', ({ minutes, minutes_invoiced: sum }) => renderInvoiced(minutes, sum)],
  causes: 'Blocked by',
  what_to_do: ['What to do', ({ what_to_do: lines }) => renderAdvice(lines ?? '')],
};

/** What blocks a month, first what blocks all of it; then each organization, the largest first. */
export const monthPage: ConsolePage = {
  path: '/months/:month',
  place: PLACE,
  show: async (request) => {
    const name = parseMonth(request.params['month'] ?? '');
    if (name === null) return null;
    const { from: month, to } = daysOfMonth(name);
    const counted = await request.counts();
    const states = counted?.months.filter((each) => each.month === month) ?? [];
    const adjust = states.some((each) => each.closed_at !== null) ? ' --adjust' : '';
    const changes = addressOf('/changes', { from: month, to, which: 'closed' });
    return await showTable<OrgRow>(request, {
      title: showMonth(month),
      sentence: 'What blocks it, first of all; then the number that was invoiced beside that of today.',
      intro: () =>
        Promise.resolve(html`${states.length > 0 && renderMonths(states)}
${renderCommands([`losant-usage close --period ${name}${adjust} --dry-run`])}
<p><a href="${changes}">What changed since it was invoiced</a></p>`),
      rows: selectOrganizations(month, request.instanceIds),
      order: sql`r.causes is null, r.org_id is not null, r.payloads desc nulls last, r.org_name, r.org_id`,
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

/** Selects each organization, and each instance of which all is blocked, without an organization. */
function selectOrganizations(month: UsageDay, instanceIds: readonly string[]) {
  return sql`
    select b.org_id, coalesce(i.name, i.instance_id) as org_name, null as referral_id, null as customer_id,
      null as plan_id, ${CAUSES} as causes, b.what_to_do, null::bigint as payloads, null::bigint as payloads_invoiced,
      null::bigint as difference, null::bigint as minutes, null::bigint as minutes_invoiced
    from losant_usage.period_blockers b join losant_usage.instances i on i.instance_id = b.instance_id
    where b.month = ${month}::date and b.org_id is null and i.instance_id = any (${instanceIds}::text[])
    union all
    select o.org_id, o.name, o.referral_id, o.customer_id, o.plan_id, b.causes, b.what_to_do, n.payloads,
      l.payloads, nullif(n.payloads - l.payloads, 0), n.minutes, l.minutes
    from losant_usage.organizations o
    join (
      select org_id, sum(payload_billable_count)::bigint as payloads, sum(notebook_minutes)::bigint as minutes
      from losant_usage.usage_days where month = ${month}::date group by org_id
    ) as n on n.org_id = o.org_id
    left join (
      select b.org_id, string_agg(${CAUSES}, '; ') as causes, string_agg(b.what_to_do, E'\n') as what_to_do
      from losant_usage.period_blockers b where b.month = ${month}::date group by b.org_id
    ) as b on b.org_id = o.org_id
    left join (
      select org_id, sum(quantity) filter (where metric = 'payload_billable_count')::bigint as payloads,
        sum(quantity) filter (where metric = 'notebook_minutes')::bigint as minutes
      from losant_usage.statement_lines
      where month = ${month}::date and metric in ('payload_billable_count', 'notebook_minutes') group by org_id
    ) as l on l.org_id = o.org_id
    where o.instance_id = any (${instanceIds}::text[])`;
}

/** What a blocker `b` says: its cause, its days, and what is wrong. */
const CAUSES = sql`concat_ws(' ', replace(b.cause, '_', ' '), b.first_day || '..' || b.last_day, b.message)`;

/** Renders the number that was invoiced, marked where it is not that of today. */
export function renderInvoiced(now: number | null, invoiced: number | null): Html | string {
  if (invoiced === null) return '–';
  if (now === invoiced) return showNumber(invoiced);
  return html`<span class="bad" title="today's number differs">${showNumber(invoiced)} ≠</span>`;
}

function renderAdvice(lines: string): Html | string {
  const commands = lines.split('\n');
  return commands.every((line) => line.startsWith('losant-usage ')) ? renderCommands(commands) : lines;
}
