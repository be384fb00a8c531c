import { html } from 'hono/html';
import {
  type CoverageMap,
  type CoverageQuery,
  ORGANIZATIONS_PER_MAP,
  readCoverageMap,
} from '../queries/coverage.ts';
import { readInstanceNames } from '../queries/organizations.ts';
import { addDays, dayAt, parseDay, type UsageDay } from '../usage/day.ts';
import { isGap, STANDINGS, type Standing, standings } from '../usage/standing.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import { renderGrid } from './coverage-maps.ts';
import {
  addressOf,
  describeOrganizations,
  instanceOptions,
  readChoice,
  readInstanceId,
  readPageNumber,
  readSearch,
  renderPages,
  renderSearch,
  renderSelect,
} from './lists.ts';
import { type Html, renderAway, renderDay, renderPage } from './page.ts';
import { type ConsolePage, readOrNull } from './sources.ts';
import { renderGlossary, renderKeys, worstFirst } from './standings.ts';

const PATH = '/coverage';
/** The lengths of the map: a month of any length, and a quarter of a year. */
const LENGTHS = ['31', '90'] as const;
/** The filters of organizations: those with a gap of either kind, or with one standing. */
const CHOICES = ['gap', ...standings.filter((standing) => standing !== 'final')] as const;
/** The first day that can be stored. */
const FIRST_DAY = '2015-01-01';

interface CoverageRequest extends CoverageQuery {
  /** The newest day that is over. */
  readonly yesterday: UsageDay;
  readonly length: (typeof LENGTHS)[number];
  readonly choice: (typeof CHOICES)[number] | null;
}

export const coveragePage: ConsolePage = {
  path: PATH,
  open: (sources) => async (c) => {
    const yesterday = addDays(dayAt(sources.now()), -1);
    const request = readRequest((name) => c.req.query(name), yesterday);
    const found = await readOrNull(sources, async (db) => ({
      map: await readCoverageMap(db, request),
      names: await readInstanceNames(db),
    }));
    return await c.html(renderCoverage(request, found), found === null ? 503 : 200);
  },
};

/** `readRequest` reads the query of the address and ignores invalid values. */
function readRequest(given: (name: string) => string | undefined, yesterday: UsageDay): CoverageRequest {
  const length = readChoice(given('days'), LENGTHS) ?? LENGTHS[0];
  const wanted = parseDay(given('to') ?? '') ?? yesterday;
  const to = wanted > yesterday || wanted < FIRST_DAY ? yesterday : wanted;
  const choice = readChoice(given('only'), CHOICES);
  return {
    search: readSearch(given('q')),
    instanceId: readInstanceId(given('instance')),
    stream: readChoice(given('stream'), streamNames),
    choice,
    only: choice === null ? null : choice === 'gap' ? standings.filter(isGap) : [choice],
    range: { from: addDays(to, 1 - Number(length)), to },
    page: readPageNumber(given('page')),
    yesterday,
    length,
  };
}

function renderCoverage(
  request: CoverageRequest,
  found: { readonly map: CoverageMap; readonly names: ReadonlyMap<string, string> } | null,
): Html {
  const body = html`<h1>Coverage</h1>
<p class="quiet">How each organization and UTC day stands: by the worst of its numbers. Each day leads to its story.</p>
${renderForm(request, found?.names ?? new Map())}
${found === null ? renderAway() : renderMap(request, found.map)}`;
  return renderPage({ title: 'Coverage', path: PATH, body });
}

function renderForm(request: CoverageRequest, names: ReadonlyMap<string, string>): Html {
  const { search, instanceId, stream, choice, length, range, yesterday } = request;
  const standingOption = (standing: Standing) =>
    [standing, `with a number ${STANDINGS[standing].label}`] as const;
  return html`<form method="get" action="${PATH}" role="search">
${renderSearch(search)}
${names.size > 1 ? renderSelect({ name: 'instance', label: 'Instance', options: instanceOptions(names), chosen: instanceId ?? '' }) : ''}
${renderSelect({ name: 'stream', label: 'Stream', options: [['', 'all'], ...streamNames.map((name) => [name, name] as const)], chosen: stream ?? '' })}
${renderSelect({
  name: 'only',
  label: 'Organizations',
  options: [
    ['', 'all'],
    ['gap', 'with a gap'],
    ...worstFirst.filter((standing) => standing !== 'final').map(standingOption),
  ],
  chosen: choice ?? '',
})}
${renderSelect({ name: 'days', label: 'Days', options: LENGTHS.map((days) => [days, days] as const), chosen: length })}
${range.to === yesterday ? '' : html`<input type="hidden" name="to" value="${range.to}">`}
<button type="submit">Show</button></form>`;
}

function renderMap(request: CoverageRequest, { count: found, deleted, organizations }: CoverageMap): Html {
  const { range, stream, page } = request;
  const what = describeOrganizations(found - deleted, deleted);
  if (organizations.length === 0) return html`<p>${what}${found === 0 ? '' : ', none on this page'}.</p>`;
  return html`<p>${what}, ${renderDay(range.from)} to ${renderDay(range.to)}. ${renderSteps(request)}</p>
${renderKeys()}
${renderGrid({ lines: organizations, range, stream })}
${renderGlossary()}
${renderPages({ path: PATH, query: queryOf(request), page, found, perPage: ORGANIZATIONS_PER_MAP })}`;
}

/** `renderSteps` renders links to the days before and after. */
function renderSteps(request: CoverageRequest): Html {
  const { range, length, yesterday } = request;
  const before = addDays(range.from, -1);
  const after = addDays(range.to, Number(length));
  const link = (to: UsageDay, text: string) =>
    html`<a href="${addressOf(PATH, { ...queryOf(request), to: to >= yesterday ? '' : to })}">${text}</a> `;
  return html`<span class="whole">${before < FIRST_DAY ? '' : link(before, 'Earlier')} ${range.to === yesterday ? '' : link(after, 'Later')}</span>`;
}

function queryOf({ search, instanceId, stream, choice, length, range, yesterday }: CoverageRequest) {
  return {
    q: search,
    instance: instanceId ?? '',
    stream: stream ?? '',
    only: choice ?? '',
    days: length === LENGTHS[0] ? '' : length,
    to: range.to === yesterday ? '' : range.to,
  };
}
