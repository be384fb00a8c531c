import { html } from 'hono/html';
import {
  type CellStory,
  type Change,
  type DayStory,
  type LedgerRow,
  type QuarantinedAnswer,
  readDayStory,
  type Waiver,
} from '../queries/explain.ts';
import { capitalize, showDays, showNumber } from '../terminal/words.ts';
import { addDays, parseDay } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { FIRST_DAY, LAST_DAY } from '../usage/policy.ts';
import { isGap, STANDINGS, standings } from '../usage/standing.ts';
import { detailPage } from './detail.ts';
import {
  type Html,
  linkToOrganization,
  plain,
  renderCommands,
  renderInstant,
  renderPage,
  renderStanding,
} from './page.ts';
import { type Column, renderTable, showDifference } from './table.ts';

const PLACE = '/coverage';

/** The story of an organization's day: why each number is not all right, worst first, and what can be done. */
export const storyPage = detailPage({
  path: '/coverage/:org/:day',
  place: PLACE,
  noun: 'organization or day',
  read: async (c, { read, instanceIds, now }) => {
    const orgId = c.req.param('org') ?? '';
    const day = parseDay(c.req.param('day') ?? '');
    if (!isLosantId(orgId) || day === null || day < FIRST_DAY || day > LAST_DAY) return null;
    const story = await read((db) => readDayStory(db, { orgId, day, streams: null }, { nowMs: now() }));
    return story !== null && instanceIds.includes(story.org.instanceId) ? story : null;
  },
  render: renderStory,
});

function renderStory({ org, day, standing, cells }: DayStory, nowMs: number): Html {
  const { orgId, orgName, removedOn } = org;
  const place = (cell: CellStory) => (cell.standing === null ? -1 : standings.indexOf(cell.standing));
  const worstFirst = cells.toSorted((a, b) => place(b) - place(a));
  const wanted = worstFirst.filter((cell) => cell.standing !== null);
  const unwanted = worstFirst.filter((cell) => cell.standing === null).map(({ stream }) => stream);
  const body = html`<h1>${plain(orgName)}, ${day}: ${renderStanding(standing)}</h1>
<p>${linkToOrganization(orgId, orgName)} · <a href="/coverage/${orgId}/${addDays(day, -1)}">the day before</a> · <a
  href="/coverage/${orgId}/${addDays(day, 1)}">the day after</a>${
    removedOn === null
      ? ''
      : html` · found deleted on
    ${removedOn}`
  }</p>
${wanted.map((cell) => renderCell(cell, nowMs))}
${unwanted.length === 0 ? '' : html`<p class="quiet">Not wanted on this day: ${unwanted.join(', ')}.</p>`}`;
  return renderPage({ title: `${orgName}, ${day}`, path: PLACE, body });
}

function renderCell(cell: CellStory, nowMs: number): Html {
  const { stream, standing, ledger, numbers, changes, waivers, quarantine, advice } = cell;
  const isBad = standing !== null && isGap(standing);
  return html`<section class="cell ${isBad ? 'on-bad' : ''}"><h2>${stream}: ${renderStanding(standing)}</h2>
<p>${standing === null ? '' : `${capitalize(STANDINGS[standing].sentence)}. `}${describeReason(ledger)}</p>
<p>${capitalize(advice.text)}.</p>
${renderAdvice(advice.commands)}
${numbers.length === 0 ? '' : renderNumbers(numbers, nowMs)}
${renderList('Changed', changes, (change) => describeChange(change, nowMs))}
${renderList('Accepted', waivers, (waiver) => describeWaiver(waiver, nowMs))}
${renderList('Set aside', quarantine, (answer) => describeAnswer(answer, ledger, nowMs))}
${ledger === null ? '' : renderReads(ledger, nowMs)}</section>\n`;
}

function describeReason(ledger: LedgerRow | null): Html | string {
  if (ledger === null || ledger.reason === null) return '';
  const message = ledger.message === null ? '' : html`: ${plain(ledger.message)}`;
  return html`<strong>${ledger.reason}</strong>${message}`;
}

function renderAdvice(commands: CellStory['advice']['commands']): Html | string {
  if (commands.length === 0) return '';
  return html`${commands.map(
    ({ when, command }) => html`<p
    class="quiet">${capitalize(when)}:</p>${renderCommands([command])}`,
  )}`;
}

type StoredNumber = CellStory['numbers'][number];

const NUMBERS: readonly Column<StoredNumber>[] = [
  { name: 'metric', label: 'Number', kind: 'value' },
  { name: 'part', label: 'Of', kind: 'text' },
  { name: 'quantity', label: 'Stored', kind: 'number' },
];

/** The numbers that are shown unfolded. */
const NUMBERS_SHOWN = 8;

function renderNumbers(numbers: readonly StoredNumber[], nowMs: number): Html {
  const table = renderTable(numbers, NUMBERS, { nowMs });
  if (numbers.length <= NUMBERS_SHOWN) return table;
  return html`<details><summary>${showNumber(numbers.length)} numbers</summary>${table}</details>`;
}

function renderList<Item>(
  title: string,
  items: readonly Item[],
  describe: (item: Item) => Html,
): Html | string {
  if (items.length === 0) return '';
  return html`<h3>${title}</h3><ul>${items.map((item) => html`<li>${describe(item)}</li>`)}</ul>`;
}

function describeChange(
  { metric, type, source, hour, old, new: now, wasFinal, runId, changedAt }: Change,
  nowMs: number,
): Html {
  const part = [type, source, hour === null ? null : `hour ${hour}`]
    .filter((each) => each !== null)
    .join(', ');
  const numbers = `${showStored(old)} → ${showStored(now)} (${showDifference((now ?? 0) - (old ?? 0))})`;
  return html`${renderInstant(changedAt, nowMs)}: ${metric}${part === '' ? '' : ` of ${plain(part)}`}
    ${numbers}${wasFinal ? ', although it was final' : ''}, by <a href="/runs/${runId}">a run</a>`;
}

function showStored(value: number | null): string {
  return value === null ? 'nothing' : showNumber(value);
}

function describeWaiver({ reason, waivedBy, waivedAt, liftedAt, liftedByRun }: Waiver, nowMs: number): Html {
  const what = liftedByRun === null ? 'replaced' : 'lifted by a good read';
  const until = liftedAt === null ? 'in force' : html`${what} ${renderInstant(liftedAt, nowMs)}`;
  return html`“${plain(reason)}”, by ${plain(waivedBy)} ${renderInstant(waivedAt, nowMs)}, ${until}`;
}

function describeAnswer(answer: QuarantinedAnswer, ledger: LedgerRow | null, nowMs: number): Html {
  const { code, problem, seenAt, body } = answer;
  const isFollowed = ledger?.verifiedAt != null && ledger.verifiedAt > seenAt;
  return html`${renderInstant(seenAt, nowMs)}, ${showDays(answer)}: ${code}, ${plain(problem)}${
    isFollowed ? '; a good answer followed' : ''
  }
${
  body === null
    ? ''
    : html`<details><summary>The answer${
        body.isCut ? ', its beginning' : ''
      }</summary><pre>${plainLines(body.text)}</pre></details>`
}`;
}

function plainLines(text: string): string {
  return text.split('\n').map(plain).join('\n');
}

/** Renders when the cell was read and by whom; hashes and ids are folded. */
function renderReads(ledger: LedgerRow, nowMs: number): Html {
  const instant = (text: string | null) => (text === null ? null : renderInstant(text, nowMs));
  const isRead = ledger.attempts > 0;
  const facts = [
    ['First stored', instant(ledger.firstLoadedAt)],
    ['Read', instant(ledger.verifiedAt)],
    ['Final since', instant(ledger.finalizedAt)],
    ['Newest failed read', isRead ? instant(ledger.attemptedAt) : null],
    ['Failed reads since the last good one', isRead ? showNumber(ledger.attempts) : null],
    ['Answers that left it out', ledger.silences > 0 ? showNumber(ledger.silences) : null],
    ['Revision', ledger.isStored ? showNumber(ledger.revision) : null],
    ['Run', ledger.runId === null ? null : html`<a href="/runs/${ledger.runId}">${ledger.runId}</a>`],
    ['SHA-256 of the answer', ledger.responseSha256],
  ] as const;
  return html`<details><summary>When it was read</summary><dl class="facts">${facts.map(([name, value]) =>
    value === null ? '' : html`<div><dt>${name}</dt><dd>${value}</dd></div>`,
  )}</dl></details>`;
}
