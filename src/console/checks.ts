/** Pages of doubts about Losant's answers: totals that differ from the sums, and answers in quarantine. */
import { html } from 'hono/html';
import { type OpenQuarantine, readOpenQuarantine } from '../queries/gaps.ts';
import { readInstanceNames } from '../queries/organizations.ts';
import {
  type Comparison,
  type MonthNotRead,
  type Outcome,
  readReconciliation,
} from '../queries/reconciliation.ts';
import { count, showDays, showNumber } from '../terminal/words.ts';
import { addDays, dayAt, type UsageDay } from '../usage/day.ts';
import { daysOfMonth, type Month, parseMonth } from '../usage/period.ts';
import { addressOf } from './lists.ts';
import { showMonth } from './month-judge.ts';
import { type Html, renderAway, renderDay, renderDistance, renderPage, renderTable } from './page.ts';
import { type ConsolePage, READING_WAIT_MS, readOrNull, shownHealth } from './sources.ts';

const TOTALS = '/totals';
/** The number of months to choose from, besides older ones in which something differs. */
const MONTHS_SHOWN = 4;
const ROWS_MAX = 200;

/** The page of a month's sums beside Losant's own totals: one month at a time, which takes seconds with many organizations. */
export const totalsPage: ConsolePage = {
  path: TOTALS,
  open: (sources) => async (c) => {
    const yesterday = addDays(dayAt(sources.now()), -1);
    const month = parseMonth(c.req.query('month') ?? '') ?? yesterday.slice(0, 7);
    const scope = { range: daysOfMonth(month), instanceIds: null, withEqual: false };
    const found = await readOrNull(sources, async (db) => ({
      ...(await readReconciliation(db, scope)),
      names: await readInstanceNames(db),
    }));
    const health = shownHealth(await sources.database(READING_WAIT_MS));
    const differing = (health?.instances ?? []).flatMap(({ differingMonths }) => differingMonths ?? []);
    const body = html`<h1>Losant's own totals</h1>
<p class="quiet">Where the sums of organizations differ from what Losant counts for the instance's day or the organization's month. Nothing here changes a number; a difference on final numbers keeps the month from being invoiced.</p>
${renderMonthChoice({ newest: yesterday.slice(0, 7), shown: month, differing })}
${found === null ? renderAway() : html`${renderNotRead(found.monthsNotRead, found.names)}${renderComparisons(found.rows, found.names, month)}`}`;
    return await c.html(renderPage({ title: 'Totals', path: TOTALS, body }), found === null ? 503 : 200);
  },
};

/** Renders a link to each of the newest months, and to each older one in which a final number differs. */
function renderMonthChoice({
  newest,
  shown,
  differing,
}: {
  newest: Month;
  shown: Month;
  differing: readonly UsageDay[];
}): Html {
  const months = [newest];
  while (months.length < MONTHS_SHOWN) months.push(addDays(`${months.at(-1)}-01`, -1).slice(0, 7));
  const older = differing.map((first) => first.slice(0, 7)).filter((month) => !months.includes(month));
  months.push(...[...new Set(older)].sort().reverse());
  return html`<nav aria-label="Months"><p>${months.map((month) => html`<a href="${addressOf(TOTALS, { month })}"${month === shown ? html` aria-current="true"` : ''}>${showMonth(month)}</a> `)}</p></nav>`;
}

/** Names the summaries that were not read in full: nothing can be said of what they would show. */
function renderNotRead(months: readonly MonthNotRead[], names: ReadonlyMap<string, string>): Html[] {
  return months.map(({ instanceId, month, reason }) => {
    const name = names.get(instanceId) ?? instanceId;
    return html`<p>Not compared in full: the summaries of ${showMonth(month.slice(0, 7))} of ${name} (<code>${reason}</code>).</p>\n`;
  });
}

const OUTCOMES: Readonly<Record<Outcome, Html | string>> = {
  equal: 'equal',
  differs: html`<span class="bad">differs</span>`,
  pending: 'not final yet',
  not_compared: html`<span class="bad">not compared</span>`,
};

function renderComparisons(
  rows: readonly Comparison[],
  names: ReadonlyMap<string, string>,
  month: Month,
): Html {
  if (rows.length === 0) return html`<p>Nothing that was compared differs in ${showMonth(month)}.</p>`;
  const rank = ({ outcome }: Comparison) => ['differs', 'not_compared', 'pending'].indexOf(outcome);
  const sorted = rows.toSorted((a, b) => rank(a) - rank(b));
  return html`<p>${count(rows.filter(({ outcome }) => outcome === 'differs').length, 'final number')} of ${count(rows.length, 'difference')}.</p>
${renderTable({
  columns: [
    { name: 'Outcome' },
    { name: 'Of', isText: true },
    { name: 'When' },
    { name: 'Number' },
    { name: 'Ours', isNumber: true },
    { name: "Losant's", isNumber: true },
    { name: 'Difference', isNumber: true },
  ],
  rows: sorted
    .slice(0, ROWS_MAX)
    .map((row) => [
      row.outcome === 'not_compared'
        ? html`${OUTCOMES.not_compared} <code>${row.reason ?? ''}</code>`
        : OUTCOMES[row.outcome],
      row.orgId === null || !row.isListed
        ? (row.orgName ?? names.get(row.instanceId) ?? row.instanceId)
        : html`<a href="/organizations/${row.orgId}">${row.orgName ?? row.orgId}</a>`,
      row.day === null ? row.month.slice(0, 7) : renderDay(row.day),
      html`${row.metric} <span class="quiet">${row.unit}</span>`,
      ...[row.quantity, row.total, row.difference].map((value) => value ?? '–'),
    ]),
})}${rows.length > ROWS_MAX ? html`<p class="quiet">The first ${ROWS_MAX}; <code>losant-usage reconcile</code> lists them all.</p>` : ''}`;
}

/** The page of answers that are set aside as invalid, with what was wrong. */
export const quarantinePage: ConsolePage = {
  path: '/quarantine',
  open: (sources) => async (c) => {
    const answers = await readOrNull(sources, (db) => readOpenQuarantine(db, ROWS_MAX + 1));
    const body = html`<h1>Answers in quarantine</h1>
<p class="quiet">Answers of Losant that were invalid and that no good one has followed. Numbers that were stored before stay.</p>
${answers === null ? renderAway() : renderAnswers(answers, sources.now())}`;
    return await c.html(
      renderPage({ title: 'Quarantine', path: '/quarantine', body }),
      answers === null ? 503 : 200,
    );
  },
};

function renderAnswers(answers: readonly OpenQuarantine[], nowMs: number): Html {
  if (answers.length === 0) return html`<p>There is none.</p>`;
  return html`${renderTable({
    columns: [
      { name: 'Last seen' },
      { name: 'Organization', isText: true },
      { name: 'Stream' },
      { name: 'Days' },
      { name: 'Times', isNumber: true },
      { name: 'What was wrong', isText: true },
    ],
    rows: answers
      .slice(0, ROWS_MAX)
      .map(({ orgId, orgName, stream, from, to, code, problem, ...seen }) => [
        renderDistance(seen.lastSeenAt, nowMs),
        html`<a href="/organizations/${orgId}">${orgName}</a>`,
        stream,
        html`<a href="/coverage/${orgId}/${to}/${stream}">${showDays({ from, to })}</a>`,
        showNumber(seen.times),
        html`<strong>${code}</strong>: ${problem}`,
      ]),
  })}${answers.length > ROWS_MAX ? html`<p class="quiet">The newest ${ROWS_MAX}.</p>` : ''}`;
}
