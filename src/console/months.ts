import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { count, showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { daysOfMonth } from '../usage/month.ts';
import { renderInvoiced } from './organization.ts';
import { markMissing } from './organizations.ts';
import { type Html, linkToOrganization, renderCommands, renderStats, showMonth } from './page.ts';
import {
  addressOf,
  type Filter,
  type Listing,
  type ListRequest,
  listingPage,
  ORG_ID,
  ORGANIZATION,
  optionsOf,
  SEARCH,
  showDifference,
} from './table.ts';

/** The state of a month of an instance, by the words of the view `months`. */
export type MonthState = 'open' | 'blocked' | 'closed' | 'different';

const TONES: Readonly<Record<MonthState, string>> = {
  open: 'quiet',
  blocked: 'bad',
  closed: 'good',
  different: 'bad',
};

interface MonthRow {
  readonly month: UsageDay;
  readonly state: MonthState;
  readonly is_over: boolean;
  readonly causes: readonly string[] | null;
}

const months: Listing<MonthRow> = {
  path: '/months',
  title: 'Months',
  sentence: 'Which months are open, blocked, closed, or differ from what was invoiced.',
  from: ({ instanceIds }) => sql`(
    select m.*, coalesce(i.name, m.instance_id) as instance_name
    from losant_usage.months m join losant_usage.instances i on i.instance_id = m.instance_id
    where m.instance_id = any (${instanceIds}::text[])
  ) as r`,
  filters: [
    {
      name: 'state',
      label: 'State',
      options: optionsOf(Object.keys(TONES)),
      where: (state) => sql`r.state = ${state}`,
    },
  ],
  sort: ['-month', 'instance_id'],
  columns: [
    {
      name: 'month',
      label: 'Month',
      kind: 'value',
      isSortable: true,
      cell: ({ month }) => html`<a href="/months/${month.slice(0, 7)}">${showMonth(month)}</a>`,
    },
    { name: 'instance_id', label: 'Instance id', kind: 'value', isHidden: true },
    { name: 'instance_name', label: 'Instance', kind: 'text' },
    { name: 'is_over', label: 'Over', kind: 'value', isHidden: true },
    {
      name: 'state',
      label: 'State',
      kind: 'value',
      cell: ({ state, is_over }) =>
        html`<span class="${TONES[state]}">${is_over ? state : 'not over'}</span>`,
    },
    {
      name: 'causes',
      label: 'Blocked by',
      kind: 'text',
      cell: ({ causes }) => causes?.join(', ').replaceAll('_', ' ') ?? null,
    },
    { name: 'orgs_blocked', label: 'Organizations blocked', kind: 'number' },
    { name: 'orgs_different', label: 'Organizations different', kind: 'number' },
    { name: 'statements', label: 'Statements', kind: 'number' },
    { name: 'closed_at', label: 'Closed', kind: 'instant' },
  ],
};

export const monthsPage = listingPage(months);

const MONTH = { month: /^20[1-4]\d-(?:0[1-9]|1[0-2])$/ };

/** Returns the first day of the month of an address. */
function firstDayOf({ params }: Pick<ListRequest, 'params'>): UsageDay {
  return `${params.month ?? ''}-01`;
}

interface MonthOrgRow {
  readonly org_id: string;
  readonly org_name: string;
  readonly days_missing: number;
  readonly payloads: number | null;
  readonly payloads_invoiced: number | null;
  readonly minutes: number | null;
  readonly minutes_invoiced: number | null;
  readonly difference: number | null;
}

const only: Filter = {
  name: 'only',
  label: 'Only',
  options: optionsOf(['blocked', 'different', 'missing']),
  where: (value) => {
    if (value === 'blocked') return sql`not r.is_billable`;
    return value === 'missing' ? sql`r.days_missing > 0` : sql`r.is_different`;
  },
};

const month: Listing<MonthOrgRow> = {
  path: '/months/:month',
  place: '/months',
  title: ({ month: name }) => showMonth(name ?? ''),
  params: MONTH,
  sentence: 'Each organization with the number that was invoiced beside that of today.',
  intro: renderMonth,
  from: (request) => sql`(
    select m.org_id, m.org_name, m.referral_id, m.customer_id, m.plan_id, m.standing, m.is_billable, m.days_expected -
      m.days_stored as days_missing,
      m.payload_billable_count as payloads, l.payloads as payloads_invoiced, m.payload_billable_count - l.payloads as
        difference,
      m.notebook_minutes as minutes, l.minutes as minutes_invoiced, m.devices_total as devices,
      l.org_id is not null and (m.payload_billable_count is distinct from l.payloads or m.notebook_minutes is distinct
        from l.minutes) as is_different
    from losant_usage.monthly_usage m
    left join (
      select org_id, sum(quantity) filter (where metric = 'payload_billable_count')::bigint as payloads,
        sum(quantity) filter (where metric = 'notebook_minutes')::bigint as minutes
      from losant_usage.statement_lines where month = ${firstDayOf(request)}::date group by org_id
    ) as l on l.org_id = m.org_id
    where m.month = ${firstDayOf(request)}::date and m.instance_id = any (${request.instanceIds}::text[])
  ) as r`,
  filters: [SEARCH, only],
  sort: ['-payloads', 'org_name', 'org_id'],
  columns: [
    ORGANIZATION,
    ORG_ID,
    { name: 'referral_id', label: 'Referral id', kind: 'value', isSortable: true },
    { name: 'standing', label: 'Standing', kind: 'standing', isSortable: true },
    { name: 'is_billable', label: 'Billable', kind: 'value' },
    { name: 'days_missing', label: 'Days missing', kind: 'number', isHidden: true },
    {
      name: 'payloads',
      label: 'Payloads',
      kind: 'number',
      isSortable: true,
      cell: ({ payloads, days_missing: missing }) =>
        payloads === null ? null : html`${showNumber(payloads)}${markMissing(missing)}`,
    },
    {
      name: 'payloads_invoiced',
      label: 'Invoiced',
      kind: 'number',
      cell: ({ payloads, payloads_invoiced: invoiced }) => renderInvoiced(payloads, invoiced),
    },
    {
      name: 'difference',
      label: 'Difference',
      kind: 'number',
      isSortable: true,
      cell: ({ difference }) => (difference === null || difference === 0 ? null : showDifference(difference)),
    },
    { name: 'minutes', label: 'Minutes', kind: 'number', isSortable: true },
    {
      name: 'minutes_invoiced',
      label: 'Invoiced',
      kind: 'number',
      cell: ({ minutes, minutes_invoiced: invoiced }) => renderInvoiced(minutes, invoiced),
    },
    { name: 'devices', label: 'Devices', kind: 'number', isSortable: true },
    { name: 'customer_id', label: 'Customer', kind: 'value', isHidden: true },
    { name: 'plan_id', label: 'Plan', kind: 'value', isHidden: true },
  ],
};

export const monthPage = listingPage(month);

interface BlockerRow {
  readonly org_id: string | null;
  readonly org_name: string | null;
  readonly first_day: UsageDay;
  readonly what_to_do: string;
}

const CAUSES = [
  'missing',
  'in doubt',
  'unavailable',
  'not final',
  'not fully tracked',
  'contradicted',
  'list incomplete',
];

const blockers: Listing<BlockerRow> = {
  path: '/months/:month/blockers',
  place: '/months',
  title: ({ month: name }) => `What blocks ${showMonth(name ?? '')}`,
  params: MONTH,
  sentence: 'What keeps the month from being invoiced, the most payloads at stake first.',
  from: (request) => sql`(
    select b.instance_id, b.org_id, coalesce(b.org_name, i.name, b.instance_id) as org_name, b.referral_id,
      replace(b.cause, '_', ' ') as cause, b.days,
      b.first_day, b.last_day,
      case when cardinality(b.streams) < (select count(distinct stream) from losant_usage.tracks t where t.org_id =
        b.org_id)
        then array_to_string(b.streams, ', ') else 'all' end as streams,
      b.message, b.what_to_do, (
        select sum(d.payload_billable_count)::bigint from losant_usage.daily_usage d
        where d.org_id = b.org_id and d.usage_date between b.month and (b.month + interval '1 month')::date - 1
      ) as payloads
    from losant_usage.period_blockers b join losant_usage.instances i on i.instance_id = b.instance_id
    where b.month = ${firstDayOf(request)}::date and b.instance_id = any (${request.instanceIds}::text[])
  ) as r`,
  filters: [
    SEARCH,
    {
      name: 'cause',
      label: 'Cause',
      options: optionsOf(CAUSES),
      where: (cause) => sql`r.cause = ${cause}`,
    },
  ],
  sort: ['-payloads', 'org_name', 'org_id', 'cause'],
  columns: [
    {
      name: 'org_name',
      label: 'Organization',
      kind: 'text',
      isSortable: true,
      cell: ({ org_id, org_name }) =>
        org_id === null
          ? html`<strong>All of ${org_name ?? ''}</strong>`
          : linkToOrganization(org_id, org_name ?? org_id),
    },
    { name: 'org_id', label: 'Id', kind: 'value', isHidden: true },
    { name: 'cause', label: 'Cause', kind: 'value', isSortable: true },
    { name: 'payloads', label: 'Payloads at stake', kind: 'number', isSortable: true },
    { name: 'days', label: 'Days', kind: 'number', isSortable: true },
    {
      name: 'first_day',
      label: 'From',
      kind: 'value',
      cell: ({ org_id, first_day }) =>
        org_id === null ? first_day : html`<a href="/coverage/${org_id}/${first_day}">${first_day}</a>`,
    },
    { name: 'last_day', label: 'To', kind: 'value' },
    { name: 'streams', label: 'Streams', kind: 'value' },
    { name: 'message', label: 'What is wrong', kind: 'text' },
    {
      name: 'what_to_do',
      label: 'What to do',
      kind: 'text',
      cell: ({ what_to_do: lines }) => renderAdvice(lines),
    },
  ],
};

export const blockersPage = listingPage(blockers);

function renderAdvice(lines: string): Html | string {
  const commands = lines.split('\n');
  return commands.every((line) => line.startsWith('losant-usage ')) ? renderCommands(commands) : lines;
}

interface MonthFacts {
  readonly instance: string;
  readonly state: MonthState;
  readonly isOver: boolean;
  readonly payloads: number | null;
  readonly invoiced: number | null;
  readonly difference: number | null;
  readonly orgsBlocked: number;
  readonly atStake: number | null;
  readonly isInstanceBlocked: boolean;
  readonly daysMissing: number;
}

/** Reads the state of a month of each instance, with what is at stake: the payloads of what is blocked. */
async function readMonthFacts(
  db: Kysely<Schema>,
  request: Pick<ListRequest, 'instanceIds'> & { readonly month: UsageDay },
): Promise<readonly MonthFacts[]> {
  const { rows } = await sql<MonthFacts>`
    select coalesce(i.name, i.instance_id) as instance, m.state, m.is_over as "isOver", s.payloads, l.invoiced,
      s.days_missing as "daysMissing",
      case when l.invoiced is not null then s.payloads - l.invoiced end as difference, s.orgs_blocked as "orgsBlocked",
      s.at_stake as "atStake", exists (
        select from losant_usage.period_blockers b where b.instance_id = m.instance_id and b.month = m.month and
          b.org_id is null and b.cause <> 'not_over'
      ) as "isInstanceBlocked"
    from losant_usage.months m
    join losant_usage.instances i on i.instance_id = m.instance_id
    left join lateral (
      select sum(u.payload_billable_count)::bigint as payloads, count(*) filter (where not u.is_billable) as
        orgs_blocked,
        sum(u.payload_billable_count) filter (where not u.is_billable)::bigint as at_stake,
          coalesce(sum(u.days_expected - u.days_stored), 0)::bigint as days_missing
      from losant_usage.monthly_usage u where u.month = ${request.month}::date and u.instance_id = m.instance_id
    ) as s on true
    left join lateral (
      select sum(l.quantity)::bigint as invoiced
      from losant_usage.statement_lines l join losant_usage.statements t on t.statement_id = l.statement_id
      where l.month = ${request.month}::date and t.instance_id = m.instance_id and l.metric = 'payload_billable_count'
    ) as l on true
    where m.month = ${request.month}::date and m.instance_id = any (${request.instanceIds}::text[])
    order by i.instance_id`.execute(db);
  return rows;
}

async function renderMonth(db: Kysely<Schema>, request: ListRequest): Promise<Html> {
  const name = request.params.month ?? '';
  const facts = await readMonthFacts(db, { ...request, month: firstDayOf(request) });
  if (facts.length === 0) return html`<p>Nothing of it was exported.</p>`;
  return html`${facts.map((each) => renderInstance(name, each, facts.length > 1))}
<p><a href="/months/${name}/blockers">What blocks it, and what to do</a> · <a href="${addressOf('/changes', {
    from: `${name}-01`,
    to: daysOfMonth(name).to,
    which: 'closed',
  })}">What changed since it was invoiced</a></p>`;
}

function renderInstance(name: string, facts: MonthFacts, hasOthers: boolean): Html {
  const {
    instance,
    state,
    isOver,
    payloads,
    invoiced,
    difference,
    orgsBlocked,
    atStake,
    isInstanceBlocked,
    daysMissing,
  } = facts;
  const blocked = isInstanceBlocked ? 'the whole instance' : count(orgsBlocked, 'organization');
  return html`${hasOthers ? html`<h2>${instance}</h2>` : ''}${renderStats([
    { label: 'State', value: html`<span class="${TONES[state]}">${isOver ? state : 'not over'}</span>` },
    {
      label: 'Billable payloads',
      value: payloads === null ? '–' : html`${showNumber(payloads)}${markMissing(daysMissing)}`,
      note:
        daysMissing === 0
          ? 'nothing is missing'
          : `${count(daysMissing, 'day of an organization is', 'days of organizations are')} missing`,
    },
    ...(invoiced === null
      ? []
      : [
          {
            label: 'Invoiced',
            value: showNumber(invoiced),
            note:
              difference === 0 || difference === null ? 'as today' : `${showDifference(difference)} today`,
          },
        ]),
    ...(isOver && invoiced === null && (orgsBlocked > 0 || isInstanceBlocked)
      ? [{ label: 'At stake', value: showNumber(atStake ?? 0), note: `payloads of ${blocked}` }]
      : []),
  ])}
${
  isOver
    ? renderCommands([`losant-usage close --period ${name}${invoiced === null ? '' : ' --adjust'} --dry-run`])
    : ''
}`;
}
