import { html } from 'hono/html';
import {
  CHANGE_LINES_MAX,
  type ChangeLine,
  type ChangeList,
  type ChangeQuery,
  type ChangeSum,
  readChangeLines,
  readChangeList,
} from '../queries/changes.ts';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, DAY_MS, parseDay } from '../usage/day.ts';
import { daysOfMonth } from '../usage/period.ts';
import { streams } from '../usage/streams/catalog.ts';
import {
  addressOf,
  type Column,
  column,
  type FileColumn,
  numberColumn,
  type Query,
  readChoice,
  readSearch,
  renderHidden,
  renderSearch,
  renderSelect,
  renderTable,
  sendCsv,
  showDifference,
  textColumn,
} from './lists.ts';
import { type Html, linkToDay, linkToOrganization, renderAway, renderDistance, renderPage } from './page.ts';
import { readRunId } from './runs.ts';
import { type ConsolePage, readOrNull } from './sources.ts';
import { renderAuthor } from './story.ts';

const PATH = '/changes';
const METRICS = streams.flatMap((stream) => stream.metrics);

const DAYS = ['7', '30', '90'] as const;

export const changesPage: ConsolePage = {
  path: PATH,
  open: (sources) => async (c) => {
    const filters = readFilters(c.req.query());
    const query = queryOf(filters, sources.now(), c.req.query('before'));
    if (c.req.query('csv') !== undefined) {
      const lines = await readOrNull(sources, (db) => readChangeLines(db, query));
      if (lines !== null && lines.length <= CHANGE_LINES_MAX)
        return sendCsv(c, 'changes.csv', lines, CSV_COLUMNS);
      const body =
        lines === null
          ? renderAway()
          : html`<h1>These are more than ${showNumber(CHANGE_LINES_MAX)} changes.</h1><p>Choose a month, or write all to a file: <code>losant-usage export --view restatements --from DAY --to DAY --format csv --out FILE</code></p>`;
      return await c.html(renderPage({ title: 'Changes', path: PATH, body }), 503);
    }
    const list = await readOrNull(sources, (db) => readChangeList(db, query));
    const shown = list === null ? renderAway() : renderList(filters, list, query, sources.now());
    return await c.html(renderChanges(filters, shown), list === null ? 503 : 200);
  },
};

/** The filters as addresses have them; '' for one that is not set or not valid. */
type Filters = ReturnType<typeof readFilters>;

function readFilters(given: Query) {
  const month = given['month'] ?? '';
  return {
    q: readSearch(given['q']),
    /** The month of the usage days. */
    month: parseDay(`${month}-01`) === null ? '' : month,
    /** The numbers that changed: those that were final, those of closed months, or all. */
    which: readChoice(given['which'], ['closed', 'all']),
    by: readChoice(given['by'], ['hand']),
    metric: readChoice(given['metric'], METRICS),
    /** The number of past days in which the numbers changed. */
    days: readChoice(given['days'], DAYS),
    /** The first and last UTC day on which the numbers changed. */
    from: parseDay(given['from'] ?? '') ?? '',
    to: parseDay(given['to'] ?? '') ?? '',
    run: readRunId(given['run']) ?? '',
  };
}

function queryOf(filters: Filters, nowMs: number, before = ''): ChangeQuery {
  const { q, month, which, by, metric, days, from, to, run } = filters;
  const since = days === '' ? null : new Date(nowMs - Number(days) * DAY_MS).toISOString();
  return {
    search: q,
    range: month === '' ? null : daysOfMonth(month),
    since: from === '' ? since : `${from}T00:00:00.000Z`,
    until: to === '' ? null : `${addDays(to, 1)}T00:00:00.000Z`,
    onlyByHand: by === 'hand',
    which: which === 'all' ? null : which || 'final',
    metric: metric || null,
    runId: run || null,
    beforeId: /^[1-9]\d{0,14}$/.test(before) ? Number(before) : null,
  };
}

/** Columns of the view, and those of them that people or devices named. */
const CSV_NAMES = [
  ...(['changed_at', 'instance_id', 'org_id', 'org_name', 'usage_date', 'stream', 'metric'] as const),
  ...(['unit', 'payload_type', 'source', 'old_quantity', 'new_quantity', 'difference'] as const),
  ...(['was_final', 'by_hand', 'run_id', 'changed_by'] as const),
];
const TEXTS: readonly string[] = ['org_name', 'payload_type', 'source', 'changed_by'];
const CSV_COLUMNS = CSV_NAMES.map(
  (name): FileColumn<ChangeLine> => [name, (line) => line[name], TEXTS.includes(name)],
);

function renderChanges(filters: Filters, list: Html): Html {
  const { run } = filters;
  const body = html`<h1>Changes</h1>
<p class="quiet">Numbers that changed after their first load, the newest change first. Final ones were not expected to change: an invoice may have the old number. All values of an organization's stream and day that change at once count as one number; each has a line of its own.</p>
<form method="get" action="${PATH}" role="search" aria-label="Changes">
${renderSearch(filters.q)}
${renderSelect('which', 'Numbers', [['', 'that were final'], ['closed', 'of closed months'], 'all'], filters.which)}
${renderSelect(
  'by',
  'Changed',
  [
    ['', 'by anybody'],
    ['hand', 'by hand'],
  ],
  filters.by,
)}
${renderSelect('metric', 'Metric', [['', 'all'], ...METRICS], filters.metric)}
${renderSelect('days', 'In the last', [['', 'days, however many'], ...DAYS.map((each) => [each, `${each} days`] as const)], filters.days)}
<label>or from <input name="from" type="date" value="${filters.from}"></label> <label>to <input name="to" type="date" value="${filters.to}"></label>
<label>Month of the days <input name="month" type="month" value="${filters.month}" placeholder="2026-10" pattern="\\d{4}-\\d\\d" size="8"></label>
${renderHidden('run', run)}
<button type="submit">Show</button></form>
${run === '' ? '' : html`<p>Only those that <a href="/runs/${run}">run ${run.slice(0, 8)}</a> made. <a href="${PATH}">Show those of every run</a></p>`}
${list}`;
  return renderPage({ title: 'Changes', path: PATH, body });
}

function renderList(filters: Filters, list: ChangeList, { beforeId }: ChangeQuery, nowMs: number): Html {
  const { changes, nextId, numbers, byHand } = list;
  if (changes.length === 0) return renderNone(filters, beforeId !== null);
  const noun = filters.which === '' ? 'final number' : 'number';
  return html`<p>${count(numbers, noun)} changed${byHand === 0 ? '' : html`, <span class="bad">${showNumber(byHand)} by hand</span>`}. <a href="${addressOf(PATH, { ...filters, csv: '1' })}" download>Download as CSV</a></p>
${renderSums(list)}
<h2>Each change</h2>
${renderTable(changes, [
  column('Changed', (change) => renderDistance(change.changed_at, nowMs)),
  textColumn('Organization', ({ org_id, org_name }) => linkToOrganization(org_id, org_name)),
  column('Day', ({ org_id, usage_date, stream }) => linkToDay(org_id, usage_date, stream)),
  textColumn(
    'Number',
    ({ metric, unit, payload_type, source }) =>
      html`${metric}<span class="quiet">, ${unit}${payload_type === null ? '' : `, ${payload_type} from ${source ?? ''}`}</span>`,
  ),
  numberColumn('Old', (change) => change.old_quantity ?? 'none'),
  numberColumn('New', (change) => change.new_quantity ?? 'none'),
  numberColumn('Difference', ({ difference }) => showDifference(difference)),
  column('Was final', ({ was_final }) => (was_final ? html`<strong>final</strong>` : 'not final')),
  textColumn('By', ({ run_id, changed_by }) => renderAuthor(run_id, changed_by)),
])}
<nav aria-label="Pages of the list"><p>${beforeId === null ? '' : html`<a href="${addressOf(PATH, filters)}">Newest</a> `}
${nextId === null ? '' : html`<a href="${addressOf(PATH, { ...filters, before: `${nextId}` })}">Older</a>`}</p></nav>`;
}

/** `renderSums` renders the net effect on what is invoiced, then by month, organization and metric. */
function renderSums({ sums, totals }: ChangeList): Html | string {
  if (sums.length === 0) return '';
  const effect = totals.map(
    ({ metric, unit, difference }) =>
      html`<strong>${showDifference(difference)}</strong> ${metric === 'payload_billable_count' ? 'billable payloads' : unit}`,
  );
  const caption = `By month of the usage day, organization and metric; the ${sums.length} largest, what is invoiced first. Differences of devices, which are a level, do not add up to anything.`;
  const columns: Column<ChangeSum>[] = [
    column('Month', ({ month }) => html`<a href="/months/${month.slice(0, 7)}">${month.slice(0, 7)}</a>`),
    textColumn(
      'Organization',
      ({ month, orgId, orgName, metric }) =>
        html`<a href="${addressOf(PATH, { q: orgId, month: month.slice(0, 7), metric, which: 'all' })}">${orgName}</a>`,
    ),
    column('Metric', ({ metric, unit }) => html`${metric}<span class="quiet">, ${unit}</span>`),
    numberColumn('Changes', ({ changes }) => changes),
    numberColumn('Net difference', ({ difference }) => showDifference(difference)),
  ];
  return html`<h2>Net effect: ${effect.length === 0 ? 'nothing that is invoiced by quantity' : effect.map((each, place) => html`${place === 0 ? '' : ', '}${each}`)}</h2>
${renderTable(sums, columns, caption)}`;
}

/** `renderNone` repeats the query, so that an empty list explains itself. */
function renderNone(filters: Filters, isLaterPage: boolean): Html {
  const { q, month, which, by, days } = filters;
  const what = { '': 'No final number', closed: 'No number of a closed month', all: 'No number' }[which];
  const of = q === '' ? '' : ` of organizations with “${q}”`;
  const when = month === '' ? '' : ` of ${month}`;
  const how = by === '' ? '' : ' by hand';
  const since = days === '' ? '' : ` in the last ${days} days`;
  const rest = isLaterPage ? ' before that' : '';
  return html`<p>${what}${of}${when} has changed${how}${since}${rest}.${which === 'all' ? '' : html` <a href="${addressOf(PATH, { ...filters, which: 'all' })}">Show all changes</a>`}</p>`;
}
