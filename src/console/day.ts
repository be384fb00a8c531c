/** A day of an organization: why each of its cells is as it is, and how its numbers changed. */
import { html } from 'hono/html';
import { type CellExplanation, type DayExplanation, explainDay, type LedgerRow } from '../queries/explain.ts';
import { capitalize, showName, showNumber } from '../terminal/words.ts';
import { addDays, parseDay } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { isGap, STANDINGS, standings } from '../usage/standing.ts';
import { type Html, linkToOrganization, renderFacts, renderInstant, renderRemedy, renderStanding } from './elements.ts';
import type { ConsolePage } from './page.ts';
import { type Columns, renderHtmlTable, type TableRow } from './table.ts';

/** Explains a day of an organization: each cell with its numbers, history and advice, the worst first. */
export const dayPage: ConsolePage = {
  path: '/coverage/:org/:day',
  subject: 'The day',
  show: async ({ params, read, nowMs }) => {
    const orgId = params['org'] ?? '';
    const day = parseDay(params['day'] ?? '');
    if (!isLosantId(orgId) || day === null) return null;
    const explanation = await read((db) => explainDay(db, { orgId, day, streams: null, nowMs }));
    if (explanation === null) return null;
    return { title: `${showName(explanation.org.orgName, orgId)}, ${day}`, body: renderDayExplanation(explanation) };
  },
};

function renderDayExplanation({ org, day, standing, cells }: DayExplanation): Html {
  const { orgId, orgName, deletedOn } = org;
  const expectedCells = cells
    .flatMap((cell) => (cell.ledger === null ? [] : { ...cell, ledger: cell.ledger }))
    .toSorted((a, b) => standings.indexOf(b.ledger.standing) - standings.indexOf(a.ledger.standing));
  const notExpected = Map.groupBy(
    cells.filter(({ ledger }) => ledger === null),
    ({ advice }) => advice.text,
  );
  return html`<h1><span>${showName(orgName, orgId)}</span>, ${day}: ${renderStanding(standing)}</h1>
<p>${linkToOrganization(orgId, orgName)} · <a href="/coverage/${orgId}/${addDays(day, -1)}">Previous day</a> · <a
  href="/coverage/${orgId}/${addDays(day, 1)}">Next day</a>${
    deletedOn !== null && ` · deleted (noticed ${deletedOn})`
  }</p>
${expectedCells.map(renderCell)}
${[...notExpected].map(([text, group]) => {
  const streams = group.map(({ stream }) => stream).join(', ');
  return html`<p class="quiet">Not expected on this day: ${streams}. ${capitalize(text)}.</p>`;
})}`;
}

function renderCell(cell: CellExplanation & { readonly ledger: LedgerRow }): Html {
  const { stream, ledger, changes, waivers, quarantine, advice } = cell;
  const { standing, reason, detail } = ledger;
  return html`<section class="cell ${isGap(standing) && 'on-bad'}"><h2>${stream}: ${renderStanding(standing)}</h2>
<p>${capitalize(STANDINGS[standing].sentence)}. <strong>${reason}</strong>${detail !== null && `: ${detail}`}</p>
<p>${capitalize(advice.text)}.</p>
${advice.commands.map(renderCommand)}
${cell.numbers.length > 0 && renderHtmlTable(cell.numbers, ['metric', 'quantity'])}
${renderList('Changes', changes, CHANGES)}
${renderList('Waivers', waivers, WAIVERS)}
${renderList('Quarantined responses', quarantine, QUARANTINE)}
${renderReads(ledger)}</section>\n`;
}

const CHANGES = ['changedAt', 'metric', 'type', 'source', 'hour', 'old', 'new', 'wasFinal', 'reason', 'changedBy'];
const WAIVERS = ['waivedAt', 'waivedBy', 'reason', 'liftedAt', 'liftedByRun'];
const QUARANTINE: Columns<TableRow> = [
  ['seenAt', 'Received'],
  ['from', 'First day'],
  ['to', 'Last day'],
  'reason',
  'detail',
];

function renderList(title: string, rows: readonly TableRow[], columns: Columns<TableRow>): Html {
  return html`${rows.length > 0 && html`<h3>${title}</h3>${renderHtmlTable(rows, columns)}`}`;
}

function renderCommand({ when, command }: CellExplanation['advice']['commands'][number]): Html {
  return html`<p><span class="quiet">${capitalize(when)}:</span> ${renderRemedy(command)}</p>`;
}

function renderReads({ firstLoadedAt, lastReadAt, finalizedAt, failedReads, runId }: LedgerRow): Html {
  const facts = {
    'First stored': firstLoadedAt !== null && renderInstant(firstLoadedAt),
    'Last read': lastReadAt !== null && renderInstant(lastReadAt),
    'Final since': finalizedAt !== null && renderInstant(finalizedAt),
    'Failed reads in a row': failedReads > 0 && showNumber(failedReads),
    Run: runId,
  };
  return html`<details><summary>Read history</summary>${renderFacts(facts)}</details>`;
}
