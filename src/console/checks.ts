/** Pages of doubts about Losant's answers: totals that differ from the sums, and answers in quarantine. */
import { html } from 'hono/html';
import { type OpenQuarantine, readOpenQuarantine } from '../queries/gaps.ts';
import { type Comparison, type MonthNotRead, type Outcome } from '../queries/reconciliation.ts';
import { escapeControls } from '../terminal/text.ts';
import { count, showDays } from '../terminal/words.ts';
import { addDays, dayAt, type UsageDay } from '../usage/day.ts';
import { daysOfMonth, type Month, parseMonth } from '../usage/period.ts';
import { streams } from '../usage/streams/catalog.ts';
import { addressOf, column, numberColumn, renderTable, textColumn } from './lists.ts';
import {
  AGAIN_S,
  type Html,
  linkToOrganization,
  renderAway,
  renderDay,
  renderDistance,
  renderLink,
  renderPage,
  showMonth,
} from './page.ts';
import {
  type ConsolePage,
  instanceNames,
  type Names,
  READING_WAIT_MS,
  readOrNull,
  shownHealth,
} from './sources.ts';

const TOTALS = '/totals';
/** The number of months to choose from, besides older ones in which something differs. */
const MONTHS_SHOWN = 4;
const ROWS_MAX = 200;

/**
 * The page of a month's sums beside Losant's own totals: one month at a time, which takes seconds with
 * many organizations.
 */
export const totalsPage: ConsolePage = {
  path: TOTALS,
  open: (sources) => async (c) => {
    const yesterday = addDays(dayAt(sources.now()), -1);
    const month = parseMonth(c.req.query('month') ?? '') ?? yesterday.slice(0, 7);
    const [view, reading] = await Promise.all([sources.database(READING_WAIT_MS), sources.totals(month)]);
    if (reading === null && view.isUp) c.header('refresh', String(AGAIN_S));
    const differing = (shownHealth(view)?.instances ?? []).flatMap(
      ({ differingMonths }) => differingMonths ?? [],
    );
    const list = () => {
      if (!view.isUp) return renderAway();
      if (reading === null)
        return html`<p>${showMonth(month)} is being compared. This page reloads by itself.</p>`;
      const names = instanceNames(view);
      const { rows, monthsNotRead } = reading.value;
      return html`${renderNotRead(monthsNotRead, names)}${renderComparisons(rows, names, month)}`;
    };
    const body = html`<h1>Losant's own totals</h1>
<p class="quiet">Where the sums of organizations differ from what Losant counts for the instance's day or the organization's month. Nothing here changes a number; a difference on final numbers keeps the month from being invoiced.</p>
${renderMonthChoice(yesterday.slice(0, 7), month, differing)}
${list()}`;
    return await c.html(renderPage({ title: 'Totals', path: TOTALS, body }), view.isUp ? 200 : 503);
  },
};

/** `renderMonthChoice` links to each of the newest months, and to each older one in which a final number differs. */
function renderMonthChoice(newest: Month, shown: Month, differing: readonly UsageDay[]): Html {
  const months = [newest];
  while (months.length < MONTHS_SHOWN) months.push(addDays(`${months.at(-1)}-01`, -1).slice(0, 7));
  const older = differing.map((first) => first.slice(0, 7)).filter((month) => !months.includes(month));
  months.push(...[...new Set(older)].sort().reverse());
  return html`<nav aria-label="Months"><p>${months.map((month) => renderLink(addressOf(TOTALS, { month }), showMonth(month), month === shown))}</p></nav>`;
}

/** `renderNotRead` names the summaries that were not read in full: nothing can be said of what they would show. */
function renderNotRead(months: readonly MonthNotRead[], names: Names): Html[] {
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

function renderComparisons(rows: readonly Comparison[], names: Names, month: Month): Html {
  if (rows.length === 0) return html`<p>Nothing that was compared differs in ${showMonth(month)}.</p>`;
  const rank = ({ outcome }: Comparison) => ['differs', 'not_compared', 'pending'].indexOf(outcome);
  const sorted = rows.toSorted((a, b) => rank(a) - rank(b));
  return html`<p>${count(rows.filter(({ outcome }) => outcome === 'differs').length, 'final number')} of ${count(rows.length, 'difference')}.</p>
${renderTable(sorted.slice(0, ROWS_MAX), [
  column('Outcome', ({ outcome, reason }) =>
    outcome === 'not_compared' ? html`${OUTCOMES[outcome]} <code>${reason ?? ''}</code>` : OUTCOMES[outcome],
  ),
  textColumn('Of', ({ orgId, orgName, isListed, instanceId }) =>
    orgId === null || !isListed
      ? (orgName ?? names.get(instanceId) ?? instanceId)
      : linkToOrganization(orgId, orgName ?? orgId),
  ),
  column('When', (row) => (row.day === null ? row.month.slice(0, 7) : renderDay(row.day))),
  column('Number', ({ metric, unit }) => html`${metric} <span class="quiet">${unit}</span>`),
  numberColumn('Ours', ({ quantity }) => showFigure(quantity)),
  numberColumn("Losant's", ({ total }) => showFigure(total)),
  numberColumn('Difference', ({ difference }) => showFigure(difference)),
  textColumn('Who is missing', renderWhoIsMissing),
  textColumn('What to do', renderRemedy),
])}${rows.length > ROWS_MAX ? html`<p class="quiet">The first ${ROWS_MAX}; <code>losant-usage reconcile</code> lists them all.</p>` : ''}`;
}

/** `showFigure` renders a figure; those of summaries may have decimals, as their megabytes do. */
function showFigure(figure: string | null): string | bigint | null {
  return figure !== null && /^-?\d+$/.test(figure) ? BigInt(figure) : figure;
}

function renderWhoIsMissing(row: Comparison): Html | string {
  const { orgsMissing, orgsRemoved, daysMissing, metric, day, isListed, orgId } = row;
  const stream = streams.find(({ metrics }) => metrics.includes(metric))?.name ?? '';
  if (orgsMissing !== null && orgsMissing > 0 && day !== null) {
    return html`<a href="${addressOf('/coverage', { stream, to: day, only: 'gap' })}">${count(orgsMissing, 'organization')}</a> without a number`;
  }
  if (orgsRemoved !== null && orgsRemoved > 0) return `${count(orgsRemoved, 'organization')} deleted since`;
  if (daysMissing !== null && daysMissing > 0 && orgId !== null) {
    return html`<a href="${addressOf('/coverage', { q: orgId, stream, days: '90' })}">${count(daysMissing, 'day')}</a> without a number`;
  }
  return isListed ? 'nobody' : 'the organization: it was never listed here';
}

/** The reasons that pass by themselves. */
const PASSING: readonly string[] = ['not_final', 'total_not_final', 'total_outdated'];

function renderRemedy({ outcome, reason, orgId, day, month, isListed }: Comparison): Html | string {
  const range = day === null ? daysOfMonth(month.slice(0, 7)) : { from: day, to: day };
  const again = html`<code>losant-usage backfill ${orgId === null ? '' : `--org ${orgId} `}--from ${range.from} --to ${range.to} --force</code>`;
  if (!isListed)
    return html`Check LOSANT_ORG_IDS and the token's organizations, then <code>losant-usage run</code>`;
  if (reason !== null && PASSING.includes(reason)) return 'Wait: it is compared again once it is final';
  if (outcome === 'not_compared') {
    return reason === 'not_stored'
      ? again
      : html`Losant gave no total (${reason ?? 'unknown'}): it is asked again; <code>losant-usage check</code> tells whether the token may`;
  }
  if (reason !== null) return html`Fill the gaps first: ${again}`;
  return html`Read it again: ${again} If it still differs, ask Losant; <code>losant-usage close --incomplete REASON</code> invoices it all the same`;
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

/** The characters of a body shown in the list; the page of the day has more. */
const BODY_SHOWN = 600;

function escapeBody(text: string): string {
  return text.slice(0, BODY_SHOWN).toWellFormed().split('\n').map(escapeControls).join('\n');
}

function renderAnswers(answers: readonly OpenQuarantine[], nowMs: number): Html {
  if (answers.length === 0) return html`<p>There is none.</p>`;
  return html`${renderTable(answers.slice(0, ROWS_MAX), [
    column('Last seen', ({ lastSeenAt }) => renderDistance(lastSeenAt, nowMs)),
    textColumn('Organization', ({ orgId, orgName }) => linkToOrganization(orgId, orgName)),
    column('Stream', ({ stream }) => stream),
    column(
      'Days',
      ({ orgId, stream, from, to }) =>
        html`<a href="/coverage/${orgId}/${to}/${stream}">${showDays({ from, to })}</a>`,
    ),
    numberColumn('Times', ({ times }) => times),
    textColumn(
      'What was wrong, and what Losant sent',
      ({ code, problem, body }) =>
        html`<strong>${code}</strong>: ${problem}${body === null ? html` <span class="quiet">(the body is not kept, or this database user may not see it)</span>` : html`<details><summary>What Losant sent${body.isCut || body.text.length > BODY_SHOWN ? ', its beginning' : ''}</summary><pre>${escapeBody(body.text)}</pre></details>`}`,
    ),
  ])}${answers.length > ROWS_MAX ? html`<p class="quiet">The newest ${ROWS_MAX}.</p>` : ''}`;
}
