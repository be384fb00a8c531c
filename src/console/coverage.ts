import { html } from 'hono/html';
import {
  type CoverageMap,
  type CoverageQuery,
  ORGANIZATIONS_PER_MAP,
  readCoverageMap,
} from '../queries/coverage.ts';
import { readInstanceNames } from '../queries/organizations.ts';
import { addDays, dayAt, parseDay, type UsageDay } from '../usage/day.ts';
import { isGap, STANDINGS, standings } from '../usage/standing.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import { renderGrid } from './coverage-maps.ts';
import {
  addressOf,
  describeOrganizations,
  type Query,
  readChoice,
  readInstanceId,
  readPageNumber,
  readSearch,
  renderHidden,
  renderInstanceChoice,
  renderPages,
  renderSearch,
  renderSelect,
} from './lists.ts';
import { type Html, renderAway, renderDay, renderPage } from './page.ts';
import { type ConsolePage, type Names, readOrNull } from './sources.ts';
import { renderGlossary, renderKeys, worstFirst } from './standings.ts';

const PATH = '/coverage';
/** The lengths of the map in days: a month of any length, and a quarter of a year. */
const MONTH = '31';
const QUARTER = '90';
/** The filters of organizations: those with a gap of either kind, or with one standing. */
const CHOICES = ['gap', ...worstFirst.filter((standing) => standing !== 'final')] as const;
/** The first day that can be stored. */
const FIRST_DAY = '2015-01-01';

export const coveragePage: ConsolePage = {
  path: PATH,
  open: (sources) => async (c) => {
    const yesterday = addDays(dayAt(sources.now()), -1);
    const filters = readFilters(c.req.query(), yesterday);
    const query = queryOf(filters, readPageNumber(c.req.query('page')), yesterday);
    const found = await readOrNull(sources, async (db) => ({
      map: await readCoverageMap(db, query),
      names: await readInstanceNames(db),
    }));
    const body = html`<h1>Coverage</h1>
<p class="quiet">How each organization and UTC day stands: by the worst of its numbers. Each day leads to its story.</p>
${renderForm(filters, found?.names ?? new Map())}
${found === null ? renderAway() : renderMap(filters, query, found.map, yesterday)}`;
    return await c.html(renderPage({ title: 'Coverage', path: PATH, body }), found === null ? 503 : 200);
  },
};

/** The filters as addresses have them; '' for one that is not set or not valid. */
type Filters = ReturnType<typeof readFilters>;

function readFilters(given: Query, yesterday: UsageDay) {
  const to = parseDay(given['to'] ?? '') ?? '';
  return {
    q: readSearch(given['q']),
    instance: readInstanceId(given['instance']),
    stream: readChoice(given['stream'], streamNames),
    only: readChoice(given['only'], CHOICES),
    days: readChoice(given['days'], [QUARTER]),
    /** The last day of the map; '' for yesterday. */
    to: to >= yesterday || to < FIRST_DAY ? '' : to,
  };
}

function queryOf(filters: Filters, page: number, yesterday: UsageDay): CoverageQuery {
  const { q, instance, stream, only, days, to } = filters;
  const last = to || yesterday;
  return {
    search: q,
    instanceId: instance || null,
    stream: stream || null,
    only: only === '' ? null : only === 'gap' ? standings.filter(isGap) : [only],
    range: { from: addDays(last, 1 - Number(days || MONTH)), to: last },
    page,
  };
}

function renderForm(filters: Filters, names: Names): Html {
  const choices = CHOICES.map((choice) => {
    const text = choice === 'gap' ? 'with a gap' : `with a number ${STANDINGS[choice].label}`;
    return [choice, text] as const;
  });
  return html`<form method="get" action="${PATH}" role="search">
${renderSearch(filters.q)}
${renderInstanceChoice(names, filters.instance)}
${renderSelect('stream', 'Stream', [['', 'all'], ...streamNames], filters.stream)}
${renderSelect('only', 'Organizations', [['', 'all'], ...choices], filters.only)}
${renderSelect('days', 'Days', [MONTH, QUARTER], filters.days || MONTH)}
${renderHidden('to', filters.to)}
<button type="submit">Show</button></form>`;
}

function renderMap(
  filters: Filters,
  { range, stream, page }: CoverageQuery,
  { count: found, deleted, organizations }: CoverageMap,
  yesterday: UsageDay,
): Html {
  const what = describeOrganizations(found - deleted, deleted);
  if (organizations.length === 0) return html`<p>${what}${found === 0 ? '' : ', none on this page'}.</p>`;
  const before = addDays(range.from, -1);
  const after = addDays(range.to, Number(filters.days || MONTH));
  const step = (to: UsageDay, text: string) =>
    html`<a href="${addressOf(PATH, { ...filters, to: to >= yesterday ? '' : to })}">${text}</a> `;
  const steps = html`<span class="whole">${before < FIRST_DAY ? '' : step(before, 'Earlier')} ${range.to === yesterday ? '' : step(after, 'Later')}</span>`;
  return html`<p>${what}, ${renderDay(range.from)} to ${renderDay(range.to)}. ${steps}</p>
${renderKeys()}
${renderGrid({ lines: organizations, range, stream })}
${renderGlossary()}
${renderPages({ path: PATH, query: filters, page, found, perPage: ORGANIZATIONS_PER_MAP })}`;
}
