import { html } from 'hono/html';
import { type CsvColumn, renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import {
  CHANGE_LINES_MAX,
  type ChangeLine,
  type ChangeList,
  type ChangeQuery,
  readChangeLines,
  readChangeList,
} from '../queries/changes.ts';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, DAY_MS, parseDay, type UsageDay } from '../usage/day.ts';
import { daysOfMonth } from '../usage/period.ts';
import { streams } from '../usage/streams/catalog.ts';
import { addressOf, readChoice, readSearch, renderSearch, renderSelect } from './lists.ts';
import { type Html, renderAway, renderDay, renderDistance, renderPage, renderTable } from './page.ts';
import { readRunId } from './runs.ts';
import { type ConsolePage, readOrNull } from './sources.ts';
import { renderAuthor } from './story.ts';

const PATH = '/changes';
const METRICS = streams.flatMap((stream) => stream.metrics);

interface ChangeRequest extends ChangeQuery {
  /** The month of the usage days, `YYYY-MM`; empty for all. */
  readonly month: string;
  /** The number of past days in which the numbers changed; null for all changes. */
  readonly days: (typeof DAYS)[number] | null;
  /** The first and last UTC day on which the numbers changed; empty for all. */
  readonly from: string;
  readonly to: string;
}

const DAYS = ['7', '30', '90'] as const;

export const changesPage: ConsolePage = {
  path: PATH,
  open: (sources) => async (c) => {
    const request = readRequest((name) => c.req.query(name), sources.now());
    if (c.req.query('csv') !== undefined) {
      const lines = await readOrNull(sources, (db) => readChangeLines(db, request));
      if (lines !== null && lines.length <= CHANGE_LINES_MAX) {
        c.header('content-disposition', 'attachment; filename="changes.csv"');
        return c.body(renderCsv(lines), 200, { 'content-type': 'text/csv; charset=utf-8' });
      }
      const body =
        lines === null
          ? renderAway()
          : html`<h1>These are more than ${showNumber(CHANGE_LINES_MAX)} changes.</h1><p>Choose a month, or write all to a file: <code>losant-usage export --view restatements --from DAY --to DAY --format csv --out FILE</code></p>`;
      return await c.html(renderPage({ title: 'Changes', path: PATH, body }), 503);
    }
    const list = await readOrNull(sources, (db) => readChangeList(db, request));
    return await c.html(renderChanges(request, list, sources.now()), list === null ? 503 : 200);
  },
};

/** `readRequest` reads the query of the address and ignores invalid values. */
function readRequest(given: (name: string) => string | undefined, nowMs: number): ChangeRequest {
  const month = given('month') ?? '';
  const range = parseDay(`${month}-01`);
  const before = given('before') ?? '';
  const days = readChoice(given('days'), DAYS);
  const [from, to] = ['from', 'to'].map((name) => parseDay(given(name) ?? '')) as [
    UsageDay | null,
    UsageDay | null,
  ];
  const since = days === null ? null : new Date(nowMs - Number(days) * DAY_MS).toISOString();
  return {
    search: readSearch(given('q')),
    month: range === null ? '' : month,
    range: range === null ? null : daysOfMonth(month),
    days,
    from: from ?? '',
    to: to ?? '',
    since: from === null ? since : `${from}T00:00:00.000Z`,
    until: to === null ? null : `${addDays(to, 1)}T00:00:00.000Z`,
    onlyByHand: given('by') === 'hand',
    onlyFinal: readChoice(given('which'), ['all', 'closed']) === null,
    afterClosing: given('which') === 'closed',
    metric: readChoice(given('metric'), METRICS),
    runId: readRunId(given('run')),
    beforeId: /^[1-9]\d{0,14}$/.test(before) ? Number(before) : null,
  };
}

const CSV_COLUMNS: readonly CsvColumn[] = [
  ...['changed_at', 'instance_id', 'org_id'].map((name) => ({ name, isText: false })),
  { name: 'org_name', isText: true },
  ...['usage_date', 'stream', 'metric', 'unit'].map((name) => ({ name, isText: false })),
  ...['payload_type', 'source'].map((name) => ({ name, isText: true })),
  ...['old_quantity', 'new_quantity', 'difference', 'was_final', 'by_hand', 'run_id'].map((name) => ({
    name,
    isText: false,
  })),
  { name: 'changed_by', isText: true },
];

function renderCsv(lines: readonly ChangeLine[]): string {
  const rows = lines.map((line) => [
    ...[
      line.changedAt,
      line.instanceId,
      line.orgId,
      line.orgName,
      line.day,
      line.stream,
      line.metric,
      line.unit,
    ],
    ...[
      line.payloadType,
      line.source,
      line.old,
      line.new,
      line.difference,
      line.wasFinal,
      line.runId === null,
    ],
    ...[line.runId, line.changedBy],
  ]);
  return renderCsvHeader(CSV_COLUMNS) + renderCsvRows(CSV_COLUMNS, rows);
}

function renderChanges(request: ChangeRequest, list: ChangeList | null, nowMs: number): Html {
  const { search, month, onlyByHand, days, runId, metric, from, to } = request;
  const body = html`<h1>Changes</h1>
<p class="quiet">Numbers that changed after their first load, the newest change first. Final ones were not expected to change: an invoice may have the old number. All values of an organization's stream and day that change at once count as one number; each has a line of its own.</p>
<form method="get" action="${PATH}" role="search" aria-label="Changes">
${renderSearch(search)}
${renderSelect({
  name: 'which',
  label: 'Numbers',
  options: [
    ['', 'that were final'],
    ['closed', 'of closed months'],
    ['all', 'all'],
  ],
  chosen: whichOf(request),
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
${renderSelect({ name: 'metric', label: 'Metric', options: [['', 'all'], ...METRICS.map((each) => [each, each] as const)], chosen: metric ?? '' })}
${renderSelect({
  name: 'days',
  label: 'In the last',
  options: [['', 'days, however many'], ...DAYS.map((each) => [each, `${each} days`] as const)],
  chosen: days ?? '',
})}
<label>or from <input name="from" type="date" value="${from}"></label> <label>to <input name="to" type="date" value="${to}"></label>
<label>Month of the days <input name="month" type="month" value="${month}" placeholder="2026-10" pattern="\\d{4}-\\d\\d" size="8"></label>
${runId === null ? '' : html`<input type="hidden" name="run" value="${runId}">`}
<button type="submit">Show</button></form>
${runId === null ? '' : html`<p>Only those that <a href="/runs/${runId}">run ${runId.slice(0, 8)}</a> made. <a href="${PATH}">Show those of every run</a></p>`}
${list === null ? renderAway() : renderList(request, list, nowMs)}`;
  return renderPage({ title: 'Changes', path: PATH, body });
}

function whichOf({ onlyFinal, afterClosing }: ChangeRequest): string {
  return afterClosing ? 'closed' : onlyFinal ? '' : 'all';
}

function renderList(request: ChangeRequest, list: ChangeList, nowMs: number): Html {
  const { changes, nextId, numbers, byHand } = list;
  if (changes.length === 0) return renderNone(request);
  const noun = request.onlyFinal ? 'final number' : 'number';
  return html`<p>${count(numbers, noun)} changed${byHand === 0 ? '' : html`, <span class="bad">${showNumber(byHand)} by hand</span>`}. <a href="${addressOf(PATH, { ...queryOf(request), csv: '1' })}" download>Download as CSV</a></p>
${renderSums(list)}
<h2>Each change</h2>
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

/** `renderSums` renders the net effect on what is invoiced, then by month, organization and metric. */
function renderSums({ sums, totals }: ChangeList): Html | string {
  if (sums.length === 0) return '';
  const effect = totals.map(
    ({ metric, unit, difference }) =>
      html`<strong>${showDifference(difference)}</strong> ${metric === 'payload_billable_count' ? 'billable payloads' : unit}`,
  );
  return html`<h2>Net effect: ${effect.length === 0 ? 'nothing that is invoiced by quantity' : effect.map((each, place) => html`${place === 0 ? '' : ', '}${each}`)}</h2>
${renderTable({
  caption: `By month of the usage day, organization and metric; the ${sums.length} largest, what is invoiced first. Differences of devices, which are a level, do not add up to anything.`,
  columns: [
    { name: 'Month' },
    { name: 'Organization', isText: true },
    { name: 'Metric' },
    { name: 'Changes', isNumber: true },
    { name: 'Net difference', isNumber: true },
  ],
  rows: sums.map(({ month, orgId, orgName, metric, unit, changes, difference }) => [
    html`<a href="/months/${month.slice(0, 7)}">${month.slice(0, 7)}</a>`,
    html`<a href="${addressOf(PATH, { q: orgId, month: month.slice(0, 7), metric, which: 'all' })}">${orgName}</a>`,
    html`${metric}<span class="quiet">, ${unit}</span>`,
    showNumber(changes),
    showDifference(difference),
  ]),
})}`;
}

function showDifference(difference: number): string {
  return `${difference > 0 ? '+' : ''}${showNumber(difference)}`;
}

/** `renderNone` repeats the query, so that an empty list explains itself. */
function renderNone(request: ChangeRequest): Html {
  const { search, month, onlyFinal, onlyByHand, afterClosing, days, beforeId } = request;
  const what = onlyFinal ? 'No final number' : afterClosing ? 'No number of a closed month' : 'No number';
  const of = search === '' ? '' : ` of organizations with “${search}”`;
  const when = month === '' ? '' : ` of ${month}`;
  const by = onlyByHand ? ' by hand' : '';
  const since = days === null ? '' : ` in the last ${days} days`;
  const rest = beforeId === null ? '' : ' before that';
  return html`<p>${what}${of}${when} has changed${by}${since}${rest}.${onlyFinal || afterClosing ? html` <a href="${addressOf(PATH, { ...queryOf(request), which: 'all' })}">Show all changes</a>` : ''}</p>`;
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
    showDifference(change.difference),
    change.wasFinal ? html`<strong>final</strong>` : 'not final',
    renderAuthor(change),
  ];
}

function showQuantity(quantity: number | null): string {
  return quantity === null ? 'none' : showNumber(quantity);
}

function queryOf(request: ChangeRequest) {
  const { search, month, onlyByHand, days, runId, metric, from, to } = request;
  return {
    ...{ q: search, month, which: whichOf(request), by: onlyByHand ? 'hand' : '', metric: metric ?? '' },
    ...{ days: days ?? '', from, to, run: runId ?? '' },
  };
}
