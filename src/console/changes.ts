import { html } from 'hono/html';
import { type ChangeLine, type ChangeList, type ChangeQuery, readChangeList } from '../queries/changes.ts';
import { count, showNumber } from '../terminal/words.ts';
import { DAY_MS, parseDay } from '../usage/day.ts';
import { daysOfMonth } from '../usage/period.ts';
import { addressOf, readChoice, readSearch, renderSearch, renderSelect } from './lists.ts';
import { type Html, renderAway, renderDay, renderDistance, renderPage, renderTable } from './page.ts';
import { readRunId } from './runs.ts';
import { type ConsolePage, readOrNull } from './sources.ts';
import { renderAuthor } from './story.ts';

const PATH = '/changes';

interface ChangeRequest extends ChangeQuery {
  /** The month of the usage days, `YYYY-MM`; empty for all. */
  readonly month: string;
  /** The number of past days in which the numbers changed; null for all changes. */
  readonly days: (typeof DAYS)[number] | null;
}

const DAYS = ['7', '30', '90'] as const;

export const changesPage: ConsolePage = {
  path: PATH,
  open: (sources) => async (c) => {
    const request = readRequest((name) => c.req.query(name), sources.now());
    const list = await readOrNull(sources, (db) => readChangeList(db, request));
    return await c.html(renderChanges(request, list, sources.now()), list === null ? 503 : 200);
  },
};

/** `readRequest` reads the query of the address and ignores invalid values. */
function readRequest(given: (name: string) => string | undefined, nowMs: number): ChangeRequest {
  const month = given('month') ?? '';
  const from = parseDay(`${month}-01`);
  const before = given('before') ?? '';
  const days = readChoice(given('days'), DAYS);
  return {
    search: readSearch(given('q')),
    month: from === null ? '' : month,
    range: from === null ? null : daysOfMonth(month),
    days,
    since: days === null ? null : new Date(nowMs - Number(days) * DAY_MS).toISOString(),
    onlyByHand: given('by') === 'hand',
    onlyFinal: readChoice(given('which'), ['all']) === null,
    runId: readRunId(given('run')),
    beforeId: /^[1-9]\d{0,14}$/.test(before) ? Number(before) : null,
  };
}

function renderChanges(request: ChangeRequest, list: ChangeList | null, nowMs: number): Html {
  const { search, month, onlyFinal, onlyByHand, days, runId } = request;
  const body = html`<h1>Changes</h1>
<p class="quiet">Numbers that changed after their first load, the newest change first. Final ones were not expected to change: an invoice may have the old number. All values of an organization's stream and day that change at once count as one number; each has a line of its own.</p>
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
${renderSelect({
  name: 'by',
  label: 'Changed',
  options: [
    ['', 'by anybody'],
    ['hand', 'by hand'],
  ],
  chosen: onlyByHand ? 'hand' : '',
})}
${renderSelect({
  name: 'days',
  label: 'In the last',
  options: [['', 'days, however many'], ...DAYS.map((each) => [each, `${each} days`] as const)],
  chosen: days ?? '',
})}
<label>Month <input name="month" type="month" value="${month}" placeholder="2026-10" pattern="\\d{4}-\\d\\d" size="8"></label>
${runId === null ? '' : html`<input type="hidden" name="run" value="${runId}">`}
<button type="submit">Show</button></form>
${runId === null ? '' : html`<p>Only those that <a href="/runs/${runId}">run ${runId.slice(0, 8)}</a> made. <a href="${PATH}">Show those of every run</a></p>`}
${list === null ? renderAway() : renderList(request, list, nowMs)}`;
  return renderPage({ title: 'Changes', path: PATH, body });
}

function renderList(request: ChangeRequest, list: ChangeList, nowMs: number): Html {
  const { changes, nextId, numbers, byHand } = list;
  if (changes.length === 0) return renderNone(request);
  const noun = request.onlyFinal ? 'final number' : 'number';
  return html`<p>${count(numbers, noun)} changed${byHand === 0 ? '' : html`, <span class="bad">${showNumber(byHand)} by hand</span>`}.</p>
${renderTable({
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

/** `renderNone` repeats the query, so that an empty list explains itself. */
function renderNone(request: ChangeRequest): Html {
  const { search, month, onlyFinal, onlyByHand, days, beforeId } = request;
  const what = onlyFinal ? 'No final number' : 'No number';
  const of = search === '' ? '' : ` of organizations with “${search}”`;
  const when = month === '' ? '' : ` of ${month}`;
  const by = onlyByHand ? ' by hand' : '';
  const since = days === null ? '' : ` in the last ${days} days`;
  const rest = beforeId === null ? '' : ' before that';
  return html`<p>${what}${of}${when} has changed${by}${since}${rest}.${onlyFinal ? html` <a href="${addressOf(PATH, { ...queryOf(request), which: 'all' })}">Show changes of numbers that were not final</a>` : ''}</p>`;
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

function queryOf({ search, month, onlyFinal, onlyByHand, days, runId }: ChangeRequest) {
  return {
    ...{ q: search, month, which: onlyFinal ? '' : 'all', by: onlyByHand ? 'hand' : '' },
    ...{ days: days ?? '', run: runId ?? '' },
  };
}
