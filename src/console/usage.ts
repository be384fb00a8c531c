import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import type { Growth, UsageTotals } from '../queries/usage-totals.ts';
import { showChange, showName, showNumber } from '../terminal/words.ts';
import { dayAt, type UsageDay } from '../usage/day.ts';
import { addressOf, type Html, linkTo } from './elements.ts';
import { readValues, renderForm } from './filters.ts';
import { type ConsolePage, type PageRequest, renderCount } from './page.ts';
import { renderHtmlTable } from './table.ts';
import {
  describeForecast,
  readForecast,
  readSourceShares,
  readUsageQuery,
  recallTotals,
  renderSourceShares,
  renderUsageChart,
  renderUsageForm,
  showRange,
  toParams,
  type UsageQuery,
} from './usage-query.ts';

const PATH = '/usage';

const TOPICS = { days: 'Days and growth', sources: 'Types and sources', plans: 'Plans and limits' } as const;
type Topic = keyof typeof TOPICS;
const SHOW = { show: { label: 'Show', options: TOPICS, byDefault: 'days' } };

/** The usage of all organizations: by day, with who grew and who fell; by type and source; or by plan. */
export const usagePage: ConsolePage = {
  path: PATH,
  navPath: '/',
  show: async (request) => {
    const query = readUsageQuery(request);
    const { show } = readValues(SHOW, request.query);
    const values = { ...toParams(query), show };
    const content = await CONTENTS[show as Topic](request, query);
    const body = html`<h1>Usage of all organizations</h1>
${
  show === 'plans'
    ? renderForm(PATH, SHOW, values)
    : renderUsageForm(request, values, { hasSeries: show === 'days', more: SHOW })
}
${content}`;
    return { title: 'Usage', body };
  },
};

const CONTENTS: Readonly<Record<Topic, (request: PageRequest, query: UsageQuery) => Promise<Html>>> = {
  days: async (request, query) => {
    const { recall, instanceIds, nowMs } = request;
    const [totals, forecast] = await Promise.all([
      recallTotals(request, query),
      recall(['forecast', query.metric, dayAt(nowMs)], (db) =>
        readForecast(db, { metric: query.metric, condition: isAny('o.instance_id', instanceIds), nowMs }),
      ),
    ]);
    const renderedForecast = renderCount(forecast, 'The forecast', (value) => html`<p>${describeForecast(value)}</p>`);
    return renderCount(totals, 'The days', (value) => renderDays(query, value, renderedForecast));
  },
  sources: async ({ recall, instanceIds }, { range }) => {
    const shares = await recall(['sources', range], (db) =>
      readSourceShares(db, range, isAny('o.instance_id', instanceIds)),
    );
    return html`<h2>All payloads by type and source, ${showRange(range)}</h2>
${renderCount(shares, 'The types and sources', renderSourceShares)}`;
  },
  plans: async ({ recall, instanceIds }) => {
    const plans = await recall(['plans'], (db) => readPlans(db, instanceIds));
    return renderCount(plans, 'The plans', renderPlans);
  },
};

function renderDays(query: UsageQuery, { days, changes }: UsageTotals, forecast: Html): Html {
  const [growers, fallers] = [
    changes.filter(({ difference }) => difference > 0),
    changes.filter(({ difference }) => difference < 0).toReversed(),
  ];
  const addressOfDay = (day: UsageDay) => addressOf(PATH, { ...toParams(query), from: day, to: day });
  return html`${renderUsageChart(query, days, { addressOf: addressOfDay })}
${forecast}
<div class="halves"><div><h2>Grew most</h2>${renderChanges(query, growers)}</div><div><h2>Fell most</h2>${renderChanges(
    query,
    fallers,
  )}</div></div>
<p class="quiet">Only days that are stored on both sides are compared. An organization
  counts as 0 before its creation and after its deletion.</p>`;
}

function renderChanges(query: UsageQuery, changes: readonly Growth[]): Html {
  if (changes.length === 0) return html`<p>None.</p>`;
  const rows = changes.map((each) => ({ ...each, change: each.difference }));
  return renderHtmlTable(rows, [
    [
      'org_name',
      'Organization',
      ({ org_id: orgId, org_name: name }) => linkTo(`/organizations/${orgId}`, toParams(query), showName(name, orgId)),
    ],
    ['previous_quantity', 'Before'],
    ['current_quantity', 'Now'],
    'difference',
    [
      'change',
      'Change',
      ({ current_quantity: current, previous_quantity: previous }) =>
        previous === 0 ? 'from 0' : showChange(current / previous - 1),
    ],
  ]);
}

type PlanLimit = Awaited<ReturnType<typeof readPlans>>[number];

async function readPlans(db: Kysely<Schema>, instanceIds: readonly string[]) {
  const { rows } = await sql<{ plan: string; plan_id: string | null; orgs_over: number; orgs_at_risk: number }>`
    select l.plan_id, coalesce(l.plan_id, 'none') as plan, l.limit_name, l.unit, count(*) as orgs,
      count(*) filter (where l.is_exceeded) as orgs_over,
      count(*) filter (where l.exceeds_on is not null) as orgs_at_risk,
      sum(l.quantity)::float8 as quantity, sum(l.limit_quantity)::float8 as limit_quantity,
      (sum(l.quantity) / nullif(sum(l.limit_quantity), 0))::float8 as share,
      nullif(sum(l.days_expected - l.days_stored), 0)::bigint as days_not_stored
    from losant_usage.usage_vs_limits l
    where ${isAny('l.instance_id', instanceIds)} and l.metric is not null and l.limit_quantity >= 0
    group by l.plan_id, l.limit_name, l.unit
    order by count(*) filter (where l.is_exceeded)::float8 / count(*) desc, 10 desc nulls last, 2, 3`.execute(db);
  return rows;
}

function renderPlans(plans: readonly PlanLimit[]): Html {
  const intro = html`<h2>Usage this month against the limits of each plan</h2>
<p class="quiet">The plan with the largest share of its organizations over a limit comes first.</p>`;
  if (plans.length === 0)
    return html`${intro}<p>No organization has a limit on devices, notebook minutes or payloads.</p>`;
  return html`${intro}${renderHtmlTable(plans, [
    ['plan', 'Plan', renderPlan],
    'limit_name',
    'unit',
    'orgs',
    ['orgs_over', 'Over the limit', ({ orgs_over: orgs }) => renderOrgs(orgs, 'bad')],
    ['orgs_at_risk', 'About to exceed it', ({ orgs_at_risk: orgs }) => renderOrgs(orgs, 'warn')],
    ['quantity', 'Used this month'],
    ['limit_quantity', 'Allowed'],
    'share',
    'days_not_stored',
  ])}`;
}

function renderPlan({ plan, plan_id: id }: PlanLimit): Html {
  return linkTo('/organizations', id === null ? { only: 'no_plan' } : { plan_id: id }, plan);
}

function renderOrgs(orgs: number, tone: string): Html | string {
  return orgs === 0 ? '0' : html`<span class="${tone}">${showNumber(orgs)}</span>`;
}
