import { html } from 'hono/html';
import { type Advice, type CellPlace, explainCommand, rereadCommand } from '../queries/advice.ts';
import type { CellStory, LedgerRow, QuarantinedAnswer, Revision, StoredValue } from '../queries/explain.ts';
import type { QuarantinedBody } from '../queries/quarantined-bodies.ts';
import {
  describeChange,
  describeSeen,
  describeState,
  describeWaiver,
  type Fact,
  ledgerFacts,
  showHeld,
} from '../queries/story-facts.ts';
import { escapeControls } from '../terminal/text.ts';
import { capitalize, count, showDays, showNumber } from '../terminal/words.ts';
import { isHeldState } from '../usage/cell.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import { renderDistance } from './instants.ts';
import { type Html, renderTable } from './page.ts';

/** A day may have many sources, and many changes: a page shows the first of them, and says how many there are. */
const ROWS_MAX = 200;

interface CellContext {
  readonly place: CellPlace;
  /** Of invalid answers of its stream. */
  readonly bodies: readonly QuarantinedBody[];
  readonly nowMs: number;
  /** After its end, by which a day that is read is final. */
  readonly finalAtHours: number;
}

/** How a cell stands, what it holds, how that came about, and what can be done. */
export function renderCell(cell: CellStory & { readonly advice: Advice }, context: CellContext): Html {
  const { stream, ledger, values, isGap, advice } = cell;
  const gap = ledger !== null && isHeldState(ledger.state) ? 'in doubt' : 'missing';
  return html`<section class="card story"><h2>${stream}: <span class="${isGap ? 'bad' : ''}">${describeState(cell)}${isGap ? `, ${gap}` : ''}</span></h2>
${renderReason(ledger, context)}
<p>Next: ${advice.text}</p>
${renderValues(values, stream)}
${renderFacts(ledger, context.nowMs)}
${renderCommands(cell, context.place)}
${renderRevisions(cell.revisions, context.nowMs)}
${renderWaivers(cell)}
${cell.quarantine.map((answer) => renderAnswer(answer, context.bodies))}
</section>\n`;
}

/** Why the cell is not final, before anything else; nothing where it is. */
function renderReason(ledger: LedgerRow | null, { finalAtHours }: CellContext): Html | string {
  if (ledger === null) return html`<p>Why: no run has read it</p>`;
  const { errorCode, errorMessage, state } = ledger;
  if (errorCode !== null) return html`<p>Why: <strong>${errorCode}</strong>: ${errorMessage ?? ''}</p>`;
  if (state !== 'loaded') return '';
  return html`<p>Not final yet: a read ${count(finalAtHours, 'hour')} or more after the end of its day makes it so</p>`;
}

/** Facts that take a line of their own: times stand side by side before them. */
const LONG_FACTS: readonly string[] = ['run', 'response sha256'];

/** What stands above them. */
const SAID: readonly string[] = ['reason', 'next read', 'next try'];

function renderFacts(ledger: LedgerRow | null, nowMs: number): Html | string {
  if (ledger === null) return '';
  const facts = ledgerFacts(ledger, nowMs).filter(([name]) => !SAID.includes(name));
  const isLong = ([name]: Fact) => LONG_FACTS.includes(name);
  const ordered = [...facts.filter((fact) => !isLong(fact)), ...facts.filter(isLong)];
  return html`<dl class="facts">${ordered.map(
    (fact) =>
      html`<div class="${isLong(fact) ? 'long' : ''}"><dt>${capitalize(fact[0])}</dt><dd>${renderFact(fact, ledger)}</dd></div>\n`,
  )}</dl>`;
}

/** A run that is on record has a page. */
function renderFact([name, value]: Fact, { runId, runKind }: LedgerRow): Html | string {
  if (name === 'run' && runKind !== null) return html`<a href="/runs/${runId}">${value}</a>`;
  return name === 'response sha256' ? html`<code>${value}</code>` : value;
}

function renderCommands(cell: CellStory & { readonly advice: Advice }, place: CellPlace): Html {
  const reread = rereadCommand(cell, place);
  const commands = [
    ...cell.advice.commands,
    ...(reread === null ? [] : [{ when: 'to read it anew', command: reread }]),
    { when: 'to see this in a terminal', command: explainCommand(cell, place) },
  ];
  const hasReason = commands.some(({ command }) => command.endsWith(' TEXT'));
  return html`<details${cell.isGap ? html` open` : ''}><summary>Commands</summary>
<dl class="commands">${commands.map(({ when, command }) => html`<dt>${capitalize(when)}</dt><dd><code>${command}</code></dd>\n`)}</dl>
${hasReason ? html`<p class="quiet">In place of TEXT, give the reason in quotes: it stays on record.</p>` : ''}</details>`;
}

function renderValues(values: readonly StoredValue[], stream: string): Html | string {
  if (values.length === 0) return '';
  const { keyColumns, columns } = streamNamed(stream);
  const table = renderTable({
    columns: [
      ...keyColumns.map((name) => ({ name, isText: true })),
      ...columns.map((name) => ({ name, isNumber: true })),
    ],
    rows: values
      .slice(0, ROWS_MAX)
      .map((row) => [
        ...keyColumns.map((column) => row.key[column] ?? ''),
        ...columns.map((column) => showHeld(row.values[column])),
      ]),
  });
  return html`${table}${renderRest(values.length)}`;
}

function renderRest(length: number): Html | string {
  if (length <= ROWS_MAX) return '';
  return html`<p class="quiet">The first ${ROWS_MAX} of ${showNumber(length)}; losant-usage explain lists them all.</p>`;
}

function renderRevisions(revisions: readonly Revision[], nowMs: number): Html | string {
  if (revisions.length === 0) return '';
  return html`<h3>Changes</h3>
${renderTable({
  columns: [
    { name: 'When' },
    { name: 'Revision', isNumber: true },
    { name: 'What changed', isText: true },
    { name: 'By', isText: true },
  ],
  rows: revisions
    .slice(0, ROWS_MAX)
    .map((change) => [
      renderDistance(change.changedAt, nowMs),
      showNumber(change.revision),
      describeChange(change).replaceAll(' -> ', ' → '),
      renderAuthor(change),
    ]),
})}${renderRest(revisions.length)}`;
}

/** The run that made a change, or the database user that made it by hand. */
export function renderAuthor({ runId, changedBy }: Pick<Revision, 'runId' | 'changedBy'>): Html {
  if (runId === null) return html`<strong>${changedBy}</strong>, by hand`;
  return html`<a href="/runs/${runId}">run ${runId.slice(0, 8)}</a>`;
}

function renderWaivers({ waivers }: CellStory): Html | string {
  if (waivers.length === 0) return '';
  const lines = waivers.map(
    (waiver) => html`<li>“${waiver.reason}” <span class="quiet">${describeWaiver(waiver)}</span></li>\n`,
  );
  return html`<h3>Waivers</h3><ul>${lines}</ul>`;
}

/** An invalid answer with what Losant sent: as text, with its control characters shown. */
function renderAnswer(answer: QuarantinedAnswer, bodies: readonly QuarantinedBody[]): Html {
  const body = bodies.find(({ from, to }) => from === answer.from && to === answer.to);
  const text = body?.text.split('\n').map(escapeControls).join('\n');
  return html`<h3>Invalid answer for ${showDays(answer)}</h3>
<p>${answer.code}: ${answer.problem} <span class="quiet">(${describeSeen(answer)})</span></p>
${
  body === undefined
    ? html`<p class="quiet">What Losant sent is not kept, or this database user may not see it.</p>`
    : html`<details${answer.isResolved ? '' : html` open`}><summary>What Losant sent${body.isCut ? ', its beginning' : ''}</summary>
<pre>${text}</pre>${body.isCut ? html`<p class="quiet">Cut here. The table losant_usage.quarantine keeps up to 256 Ki characters.</p>` : ''}</details>`
}`;
}
