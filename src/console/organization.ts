import { html } from 'hono/html';
import { type LimitUse, readLimits } from '../queries/limits.ts';
import { type Organization, readOrganization } from '../queries/organization.ts';
import { addDays, type DayRange, dayAt } from '../usage/day.ts';
import type { DailyChart } from './chart.ts';
import { type ConsolePage, readOrNull, renderAway } from './console-page.ts';
import { renderDailyChart } from './daily-chart.ts';
import { renderFills } from './fills.ts';
import { renderDayOf, renderDistance, renderInstant } from './instants.ts';
import { renderLimits } from './limits.ts';
import { organizationCharts } from './organization-charts.ts';
import { renderChartCsv } from './organization-csv.ts';
import { type Html, renderMissing, renderPage } from './page.ts';
import { addressOf } from './pagination.ts';

const RANGES = [30, 90, 365] as const;
const RANGE_DAYS = 90;

export const organizationPage: ConsolePage = {
  path: '/organizations/:id',
  open: (sources) => async (c) => {
    const orgId = c.req.param('id') ?? '';
    const days = RANGES.find((each) => String(each) === c.req.query('days')) ?? RANGE_DAYS;
    const to = addDays(dayAt(sources.now()), -1);
    const range = { from: addDays(to, 1 - days), to };
    if (!/^[0-9a-f]{24}$/.test(orgId)) return c.html(renderUnknown(orgId), 404);
    const found = await readOrNull(sources, async (db) => ({
      organization: await readOrganization(db, { orgId, range }),
      limits: await readLimits(db, orgId),
    }));
    if (found === null) return c.html(renderPage({ title: orgId, path: PATH, body: renderAway() }), 503);
    const { organization, limits } = found;
    if (organization === null) return c.html(renderUnknown(orgId), 404);
    const charts = organizationCharts(organization);
    const asked = charts.find(({ id }) => id === c.req.query('csv'));
    if (asked !== undefined) {
      c.header('content-disposition', `attachment; filename="${orgId}-${asked.id}-${range.from}-${to}.csv"`);
      return c.body(renderChartCsv(organization, asked), 200, { 'content-type': 'text/csv; charset=utf-8' });
    }
    return c.html(renderOrganization({ organization, limits, charts, range, days, nowMs: sources.now() }));
  },
};

const PATH = '/organizations';

function renderUnknown(orgId: string): Html {
  return renderMissing({
    path: PATH,
    title: 'Unknown organization',
    sentence: `No organization ${orgId} was ever seen here.`,
    hint: html`<a href="/organizations">Search the organizations</a> by name, referral id or id.
A new one is found by the first run of each UTC day, if the token and LOSANT_ORG_IDS include it.`,
  });
}

interface OrganizationFacts {
  readonly organization: Organization;
  readonly limits: readonly LimitUse[];
  readonly charts: readonly DailyChart[];
  readonly range: DayRange;
  readonly days: number;
  readonly nowMs: number;
}

function renderOrganization({ organization, limits, charts, range, days, nowMs }: OrganizationFacts): Html {
  const { orgId, name } = organization;
  const address = (query: Readonly<Record<string, string>>) => addressOf(`${PATH}/${orgId}`, query);
  const body = html`<h1>${name}</h1>
<p class="quiet"><span class="whole">${orgId}</span> · ${organization.instanceName ?? organization.instanceId} · <a href="${addressOf('/coverage', { q: orgId })}">Coverage</a></p>
${renderStates(organization, nowMs)}
<dl class="facts">${renderFacts(organization, nowMs)}</dl>
${renderLimits(limits)}
<h2>Usage by day</h2>
<nav aria-label="Days shown"><p>The last ${RANGES.map((each) =>
    each === days
      ? html`<a href="${address({ days: `${each}` })}" aria-current="true">${each}</a> `
      : html`<a href="${address({ days: `${each}` })}">${each}</a> `,
  )} days, <span class="whole">${range.from}</span> to <span class="whole">${range.to}</span></p></nav>
${renderFills()}
<div class="charts">${charts.map((chart) => renderDailyChart(chart, address({ days: `${days}`, csv: chart.id })))}</div>`;
  return renderPage({ title: name, path: PATH, body });
}

/** What is unusual of it: nothing for most. */
function renderStates(organization: Organization, nowMs: number): Html {
  const { removedAt, disabledAt, isReadOnly, problem } = organization;
  return html`${removedAt === null ? '' : html`<p><strong>Deleted in Losant</strong>, found ${renderInstant(removedAt, nowMs)}. Its numbers stay.</p>`}
${disabledAt === null ? '' : html`<p><strong>Disabled in Losant</strong> since ${renderInstant(disabledAt, nowMs)}. Its usage is read all the same.</p>`}
${isReadOnly ? html`<p><strong>Read-only in Losant</strong>. Its usage is read all the same.</p>` : ''}
${problem === null ? '' : html`<p><strong>Its attributes could not be read</strong> when it was last listed: ${problem}. Those below are older.</p>`}`;
}

function renderFacts(organization: Organization, nowMs: number): Html[] {
  const { referralId, planId, customerId, tags, createdAt, firstSeenAt, lastSeenAt } = organization;
  const facts: readonly (readonly [string, Html | string | null])[] = [
    ['Referral id', referralId],
    ['Plan', planId],
    ['Customer', customerId],
    ['Created', createdAt === null ? null : renderDayOf(createdAt)],
    ['First seen here', renderDayOf(firstSeenAt)],
    ['Last seen', renderDistance(lastSeenAt, nowMs)],
    [
      'Tags',
      tags.length === 0
        ? null
        : html`${tags.map(({ key, value }) => html`<span class="tag">${key}: ${value}</span> `)}`,
    ],
  ];
  return facts.map(
    ([name, value]) =>
      html`<div class="${name === 'Tags' ? 'tags' : ''}"><dt>${name}</dt><dd>${value ?? '–'}</dd></div>\n`,
  );
}
