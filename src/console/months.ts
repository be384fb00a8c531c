import { html } from 'hono/html';
import { type InvoicedMonth, type MonthEntry, PERIODS_MAX, readMonths } from '../billing/month.ts';
import { capitalize, showNumber } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import type { Month } from '../usage/period.ts';
import {
  checkMonth,
  judgeMonth,
  type MonthStep,
  nameOfMonth,
  renderChecklist,
  showMonth,
} from './month-judge.ts';
import { type MonthQuery, readMonthQuery, renderInstances, renderPeriods } from './month-list.ts';
import { type Html, renderAwayPage, renderCopy, renderDistance, renderMissing, renderPage } from './page.ts';
import type { Reading } from './readings.ts';
import { type ConsolePage, instanceNames, type Names, READING_WAIT_MS, readOrNull } from './sources.ts';

const PATH = '/months';
/** The number of seconds after which a browser asks again for a month that is being counted. */
const AGAIN_S = 3;

/** The page of a month; by default the newest that is over, or the first while none is. */
export const monthsPage: ConsolePage = { path: PATH, open: openMonth };
export const monthPage: ConsolePage = { path: `${PATH}/:month`, open: openMonth };

function openMonth(sources: Parameters<ConsolePage['open']>[0]): ReturnType<ConsolePage['open']> {
  return async (c) => {
    const [view, months] = await Promise.all([
      sources.database(READING_WAIT_MS),
      readOrNull(sources, readMonths),
    ]);
    if (months === null || !view.isUp) return c.html(renderAwayPage({ title: 'Months', path: PATH }), 503);
    const asked = c.req.param('month');
    const entry = asked === undefined ? newest(months) : months.find(({ month }) => month === asked);
    if (entry === undefined && asked !== undefined) return c.html(renderUnknown(asked), 404);
    if (entry === undefined) {
      const body = html`<h1>Nothing has been exported yet.</h1><p>The first run begins the first month.</p>`;
      return c.html(renderPage({ title: 'Months', path: PATH, body }));
    }
    const reading = await sources.month(entry.month);
    if (reading === null) {
      c.header('refresh', String(AGAIN_S));
      const title = showMonth(entry.month);
      const body = html`<h1>${title} is being counted.</h1>
<p>It takes a moment with many organizations. This page reloads by itself.</p>
${renderChoice(months, entry.month)}`;
      return c.html(renderPage({ title, path: PATH, body }));
    }
    const query = readMonthQuery(entry.month, c.req.query());
    const instances = view.reading?.value.instances ?? [];
    const context = {
      ...{ query, names: instanceNames(view), nowMs: sources.now() },
      hasRun: instances.length > 0 && instances.every(({ hasRun }) => hasRun),
    };
    return c.html(renderMonth(reading, months, context));
  };
}

function newest(months: readonly MonthEntry[]): MonthEntry | undefined {
  return months.find(({ isOver }) => isOver) ?? months[0];
}

interface MonthContext {
  readonly query: MonthQuery;
  readonly names: Names;
  readonly hasRun: boolean;
  readonly nowMs: number;
}

function renderMonth(
  { value, atMs }: Reading<InvoicedMonth>,
  months: readonly MonthEntry[],
  { nowMs, ...context }: MonthContext,
): Html {
  const { month, periods, statements, differing } = value;
  const name = showMonth(month);
  const choice = renderChoice(months, month);
  if (periods === null) {
    const body = html`<h1>${name} has more organizations than this page shows.</h1>
<p>It shows ${showNumber(PERIODS_MAX)} at most. Ask the view <code>period_usage</code>, or <code>losant-usage close --period ${month} --dry-run</code>.</p>${choice}`;
    return renderPage({ title: name, path: PATH, body });
  }
  const yesterday = addDays(dayAt(nowMs), -1);
  const facts = { ...value, periods, yesterday, hasRun: context.hasRun };
  const verdict = judgeMonth(facts);
  const body = html`<h1 class="${verdict.tone}">${verdict.sentence}</h1>
<p class="quiet">Counted ${renderDistance(new Date(atMs).toISOString(), nowMs)}.</p>
${choice}
${renderChecklist(checkMonth(facts))}
${verdict.steps.length === 0 ? '' : html`<ul class="steps">${verdict.steps.map(renderStep)}</ul>`}
${differing === 0 ? '' : html`<p><a href="/changes?month=${month}&amp;which=closed">Numbers of ${name} that changed after it was closed</a></p>`}
${renderInstances(periods, statements, context.names, nowMs)}
${renderPeriods(periods, { ...context, yesterday })}`;
  return renderPage({ title: name, path: PATH, body });
}

/** `renderStep` lists the actions for each organization as lines to copy. */
function renderStep({ text, actions }: MonthStep): Html {
  const [first, ...others] = actions;
  if (first === undefined) return html`<li>${text}</li>`;
  if (others.length === 0) return html`<li>${text} ${renderAction(first)}</li>`;
  return html`<li>${text} <details><summary>What to do, ${showNumber(actions.length)} lines</summary>${renderCopy(actions.join('\n'), 'Copy all lines', 'Copy all')}<pre>${actions.join('\n')}</pre></details></li>`;
}

function renderAction(action: string): Html | string {
  return action.startsWith('losant-usage ')
    ? html`<code>${action}</code> ${renderCopy(action, 'Copy the command', 'Copy')}`
    : capitalize(action);
}

function renderUnknown(asked: string): Html {
  return renderMissing({
    path: PATH,
    title: 'Unknown month',
    sentence: `There is no month ${asked} here.`,
    hint: html`Nothing is tracked in it, or it is not written like 2026-10. <a href="${PATH}">The newest month that is over</a> leads to the others.`,
  });
}

function renderChoice(months: readonly MonthEntry[], shown: Month): Html {
  const years = [...Map.groupBy(months, ({ month }) => month.slice(0, 4))];
  const link = ({ month, isOver, isClosed }: MonthEntry) => {
    const mark = isClosed ? ' closed' : isOver ? '' : ' not over';
    return html`<span class="whole"><a href="${PATH}/${month}"${month === shown ? html` aria-current="true"` : ''}>${nameOfMonth(month)}</a><span class="quiet">${mark}</span></span> `;
  };
  return html`<nav class="months" aria-label="Months">${years.map(([year, each]) => html`<p>${year}: ${each.map(link)}</p>`)}</nav>`;
}
