import { html } from 'hono/html';
import { type ChangeLine, type ChangeList, type ChangeQuery, readChangeList } from '../queries/changes.ts';
import { showNumber } from '../terminal/words.ts';
import { addDays, parseDay } from '../usage/day.ts';
import { type ConsolePage, readOrNull, readSearch, renderAway } from './console-page.ts';
import { readChoice, renderSearch, renderSelect } from './filters.ts';
import { renderDay, renderDistance } from './instants.ts';
import { type Html, renderPage, renderTable } from './page.ts';
import { addressOf } from './pagination.ts';
import { readRunId } from './runs.ts';
import { renderAuthor } from './story-cell.ts';

const PATH = '/changes';

interface ChangeRequest extends ChangeQuery {
  /** `YYYY-MM` of the usage days; empty: all. */
  readonly month: string;
}

export const changesPage: ConsolePage = {
  path: PATH,
  open: (sources) => async (c) => {
    const request = readRequest((name) => c.req.query(name));
    const list = await readOrNull(sources, (db) => readChangeList(db, request));
    return await c.html(renderChanges(request, list, sources.now()), list === null ? 503 : 200);
  },
};

/** What a reader asks for, from the address; whatever makes no sense is left out. */
function readRequest(given: (name: string) => string | undefined): ChangeRequest {
  const month = given('month') ?? '';
  const from = parseDay(`${month}-01`);
  const before = given('before') ?? '';
  return {
    search: readSearch(given('q')),
    month: from === null ? '' : month,
    range: from === null ? null : { from, to: lastDayOf(from) },
    onlyFinal: readChoice(given('which'), ['all']) === null,
    runId: readRunId(given('run')),
    beforeId: /^[1-9]\d{0,14}$/.test(before) ? Number(before) : null,
  };
}

/** Of the month that begins with the day. */
function lastDayOf(first: string): string {
  return addDays(`${addDays(first, 31).slice(0, 7)}-01`, -1);
}

function renderChanges(request: ChangeRequest, list: ChangeList | null, nowMs: number): Html {
  const { search, month, onlyFinal, runId } = request;
  const body = html`<h1>Changes</h1>
<p class="quiet">Numbers that changed after their first load, the newest change first. Final ones were not expected to change: an invoice may hold the old number. Each value has a line of its own here; elsewhere all values of a stream's day count as one number.</p>
<form method="get" action="${PATH}" role="search">
${renderSearch(search)}
${renderSelect({
  name: 'which',
  label: 'Numbers',
  options: [
    ['', 'that were final'],
    ['all', 'all'],
  ],
  chosen: onlyFinal ? '' : 'all',
})}
<label>Month <input name="month" type="month" value="${month}" placeholder="2026-10" pattern="\\d{4}-\\d\\d" size="8"></label>
${runId === null ? '' : html`<input type="hidden" name="run" value="${runId}">`}
<button type="submit">Show</button></form>
${runId === null ? '' : html`<p>Only those that <a href="/runs/${runId}">run ${runId.slice(0, 8)}</a> made. <a href="${PATH}">Show those of every run</a></p>`}
${list === null ? renderAway() : renderList(request, list, nowMs)}`;
  return renderPage({ title: 'Changes', path: PATH, body });
}

function renderList(request: ChangeRequest, { changes, nextId }: ChangeList, nowMs: number): Html {
  if (changes.length === 0) return renderNone(request);
  return html`${renderTable({
    columns: [
      { name: 'Changed' },
      { name: 'Organization', isText: true },
      { name: 'Day' },
      { name: 'Number', isText: true },
      { name: 'Old', isNumber: true },
      { name: 'New', isNumber: true },
      { name: 'Difference', isNumber: true },
      { name: 'Was final' },
      { name: 'By', isText: true },
    ],
    rows: changes.map((change) => renderLine(change, nowMs)),
  })}
<nav aria-label="Pages of the list"><p>${request.beforeId === null ? '' : html`<a href="${addressOf(PATH, queryOf(request))}">Newest</a> `}
${nextId === null ? '' : html`<a href="${addressOf(PATH, { ...queryOf(request), before: `${nextId}` })}">Older</a>`}</p></nav>`;
}

/** Says what was asked for, so that an empty list is no riddle. */
function renderNone(request: ChangeRequest): Html {
  const { search, month, onlyFinal, beforeId } = request;
  const what = onlyFinal ? 'No final number' : 'No number';
  const of = search === '' ? '' : ` of organizations with “${search}”`;
  const when = month === '' ? '' : ` of ${month}`;
  const rest = beforeId === null ? '' : ' before that';
  return html`<p>${what}${of}${when} has changed${rest}.${onlyFinal ? html` <a href="${addressOf(PATH, { ...queryOf(request), which: 'all' })}">Show changes of numbers that were not final</a>` : ''}</p>`;
}

function renderLine(change: ChangeLine, nowMs: number): (Html | string)[] {
  const { orgId, orgName, day, stream, metric, unit, payloadType, source } = change;
  const key = payloadType === null ? '' : `, ${payloadType} from ${source ?? ''}`;
  return [
    renderDistance(change.changedAt, nowMs),
    html`<a href="/organizations/${orgId}">${orgName}</a>`,
    html`<a href="/coverage/${orgId}/${day}/${stream}">${renderDay(day)}</a>`,
    html`${metric}<span class="quiet">, ${unit}${key}</span>`,
    showQuantity(change.old),
    showQuantity(change.new),
    `${change.difference > 0 ? '+' : ''}${showNumber(change.difference)}`,
    change.wasFinal ? html`<strong>final</strong>` : 'not final',
    renderAuthor(change),
  ];
}

function showQuantity(quantity: number | null): string {
  return quantity === null ? 'none' : showNumber(quantity);
}

function queryOf({ search, month, onlyFinal, runId }: ChangeRequest) {
  return { q: search, month, which: onlyFinal ? '' : 'all', run: runId ?? '' };
}
