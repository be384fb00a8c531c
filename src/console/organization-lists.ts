/** The lists of an organization's page beside its charts: gaps, changes and sources. */
import { html } from 'hono/html';
import type { ChangeList } from '../queries/changes.ts';
import type { OpenCells, SourceCount } from '../queries/organization.ts';
import { count, showNumber } from '../terminal/words.ts';
import { isGap } from '../usage/standing.ts';
import { addressOf } from './lists.ts';
import { type Html, linkToDay, renderDistance } from './page.ts';
import { renderStanding } from './standings.ts';
import { renderAuthor } from './story.ts';
import { column, numberColumn, renderTable, textColumn } from './table.ts';

const GAPS_MAX = 20;

export function renderOpenCells(orgId: string, open: readonly OpenCells[]): Html {
  const cells = open.filter(({ standing }) => isGap(standing) || standing === 'unavailable');
  if (cells.length === 0) return html`<h2>Gaps</h2><p>None.</p>`;
  return html`<h2>Gaps</h2>
${renderTable(cells.slice(0, GAPS_MAX), [
  column('Standing', ({ standing }) => renderStanding(standing)),
  column('Stream', ({ stream }) => stream),
  column('Days', ({ stream, days, first, last }) =>
    days === 1
      ? linkToDay(orgId, first, stream)
      : html`${showNumber(days)}, ${linkToDay(orgId, first, stream)} to ${linkToDay(orgId, last, stream)}`,
  ),
  textColumn('Why, and what to do', ({ standing, stream, first, last, reason, message }) => {
    const why = html`<strong>${reason ?? ''}</strong>: ${message}.`;
    return standing === 'missing'
      ? html`${why} Read again by itself; at once: <code>losant-usage backfill --org ${orgId} --stream ${stream} --from ${first} --to ${last}</code>`
      : html`${why} To accept: <code>losant-usage waive --org ${orgId} --day ${first}..${last} --stream ${stream} --reason TEXT</code>`;
  }),
])}${cells.length > GAPS_MAX ? html`<p class="quiet">The first ${GAPS_MAX} of ${showNumber(cells.length)} causes; <code>losant-usage gaps --all</code> lists all.</p>` : ''}`;
}

const CHANGES_MAX = 8;

export function renderChanges(orgId: string, { changes, numbers, byHand }: ChangeList, nowMs: number): Html {
  const all = html`<a href="${addressOf('/changes', { q: orgId, which: 'all' })}">All changes</a>`;
  if (numbers === 0) return html`<h2>Changes</h2><p>No number has changed after its first load.</p>`;
  return html`<h2>Changes</h2>
<p>${count(numbers, 'number')} changed after the first load${byHand === 0 ? '' : html`, <span class="bad">${showNumber(byHand)} by hand</span>`}. ${all}</p>
${renderTable(changes.slice(0, CHANGES_MAX), [
  column('Changed', (change) => renderDistance(change.changed_at, nowMs)),
  column('Day', ({ usage_date, stream }) => linkToDay(orgId, usage_date, stream)),
  textColumn(
    'Number',
    ({ metric, payload_type, source }) =>
      html`${metric}${source === null ? '' : html`<span class="quiet">, ${payload_type} from ${source}</span>`}`,
  ),
  numberColumn('Old', (change) => change.old_quantity ?? 'none'),
  numberColumn('New', (change) => change.new_quantity ?? 'none'),
  column('Was final', ({ was_final }) => (was_final ? html`<strong>final</strong>` : 'not final')),
  textColumn('By', ({ run_id, changed_by }) => renderAuthor(run_id, changed_by)),
])}`;
}

const SOURCES_MAX = 20;

export function renderSources(sources: readonly SourceCount[]): Html | string {
  if (sources.length === 0) return '';
  const all = sources.reduce((sum, source) => sum + source.count, 0);
  return html`<h2>Types and sources</h2>
${renderTable(
  sources.slice(0, SOURCES_MAX),
  [
    textColumn('Type', ({ type }) => type),
    textColumn('Source', ({ source }) => source),
    numberColumn('Payloads', ({ count: payloads }) => payloads),
    numberColumn('Share', ({ count: payloads }) =>
      all === 0 ? null : `${Math.round((payloads / all) * 100)} %`,
    ),
  ],
  'All payloads of the days shown, billable or not.',
)}${sources.length > SOURCES_MAX ? html`<p class="quiet">The largest ${SOURCES_MAX} of ${showNumber(sources.length)}.</p>` : ''}`;
}
