import { html } from 'hono/html';
import { type CellStory, type DayStory, type LedgerRow, readDayStory } from '../queries/explain.ts';
import { capitalize, showNumber } from '../terminal/words.ts';
import { addDays, parseDay } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { FIRST_DAY, LAST_DAY } from '../usage/policy.ts';
import { isGap, STANDINGS, standings } from '../usage/standing.ts';
import {
  type ConsolePage,
  type Html,
  linkToOrganization,
  plain,
  renderCommands,
  renderFacts,
  renderInstant,
  renderStanding,
} from './page.ts';
import { type Columns, type Row, renderTable } from './table.ts';

/** The story of an organization's day: why each number is not all right, worst first, and what can be done. */
export const storyPage: ConsolePage = {
  path: '/coverage/:org/:day',
  place: '/coverage',
  show: async ({ params, read, instanceIds, nowMs }) => {
    const orgId = params['org'] ?? '';
    const day = parseDay(params['day'] ?? '');
    if (!isLosantId(orgId) || day === null || day < FIRST_DAY || day > LAST_DAY) return null;
    const story = await read((db) => readDayStory(db, { orgId, day, streams: null }, { nowMs }));
    if (story === null || !instanceIds.includes(story.org.instanceId)) return null;
    return { title: `${story.org.orgName}, ${day}`, body: renderStory(story) };
  },
};

function renderStory({ org, day, standing, cells }: DayStory): Html {
  const { orgId, orgName, removedOn } = org;
  const place = (cell: CellStory) => (cell.standing === null ? -1 : standings.indexOf(cell.standing));
  const worstFirst = cells.toSorted((a, b) => place(b) - place(a));
  const unwanted = worstFirst.filter((cell) => cell.standing === null).map(({ stream }) => stream);
  return html`<h1>${plain(orgName)}, ${day}: ${renderStanding(standing)}</h1>
<p>${linkToOrganization(orgId, orgName)} · <a href="/coverage/${orgId}/${addDays(day, -1)}">the day before</a> · <a
  href="/coverage/${orgId}/${addDays(day, 1)}">the day after</a>${
    removedOn !== null && ` · found deleted on ${removedOn}`
  }</p>
${worstFirst.filter((cell) => cell.standing !== null).map(renderCell)}
${unwanted.length > 0 && html`<p class="quiet">Not wanted on this day: ${unwanted.join(', ')}.</p>`}`;
}

function renderCell(cell: CellStory): Html {
  const { stream, standing, ledger, changes, waivers, quarantine, advice } = cell;
  const { reason = null, message = null } = ledger ?? {};
  return html`<section class="cell ${standing !== null && isGap(standing) && 'on-bad'}"><h2>${stream}: ${renderStanding(
    standing,
  )}</h2>
<p>${standing !== null && `${capitalize(STANDINGS[standing].sentence)}. `}<strong>${reason}</strong>${
    message !== null && `: ${plain(message)}`
  }</p>
<p>${capitalize(advice.text)}.</p>
${advice.commands.map(
  ({ when, command }) => html`<p class="quiet">${capitalize(when)}:</p>${renderCommands([command])}`,
)}
${cell.numbers.length > 0 && renderTable(cell.numbers, { metric: 'Number', quantity: 'Stored' })}
${renderList('Changed', changes, CHANGES)}
${renderList('Accepted', waivers, WAIVERS)}
${renderList('Set aside', quarantine, ANSWERS)}
${ledger !== null && renderReads(ledger)}</section>\n`;
}

const CHANGES: Columns<CellStory['changes'][number]> = {
  changedAt: 'When',
  metric: 'Number',
  type: 'Type',
  source: 'Source',
  hour: 'Hour',
  old: 'Was',
  new: 'Is',
  wasFinal: 'Was final',
};
const WAIVERS: Columns<CellStory['waivers'][number]> = {
  waivedAt: 'When',
  waivedBy: 'By',
  reason: 'Why',
  liftedAt: 'Lifted or replaced',
  liftedByRun: 'By the good read of run',
};
const ANSWERS: Columns<CellStory['quarantine'][number]> = {
  seenAt: 'When',
  from: 'First day',
  to: 'Last day',
  code: 'Code',
  problem: 'What was wrong',
};

function renderList<R extends Row>(title: string, rows: readonly R[], columns: Columns<R>): Html {
  return html`${rows.length > 0 && html`<h3>${title}</h3>${renderTable(rows, columns)}`}`;
}

/** Renders when the cell was read, folded. */
function renderReads({ firstLoadedAt, verifiedAt, finalizedAt, attempts, silences, runId }: LedgerRow): Html {
  const facts = {
    'First stored': firstLoadedAt !== null && renderInstant(firstLoadedAt),
    Read: verifiedAt !== null && renderInstant(verifiedAt),
    'Final since': finalizedAt !== null && renderInstant(finalizedAt),
    'Failed reads since the last good one': attempts > 0 && showNumber(attempts),
    'Answers that left it out': silences > 0 && showNumber(silences),
    Run: runId,
  };
  return html`<details><summary>When it was read</summary>${renderFacts(facts)}</details>`;
}
