import { html } from 'hono/html';
import {
  type CellStory,
  type LedgerRow,
  type QuarantinedAnswer,
  type QuarantinedBody,
  type Revision,
  readQuarantinedBodies,
  type StoredValue,
  type StoryQuery,
} from '../queries/explain.ts';
import { readInstanceNames } from '../queries/organizations.ts';
import {
  type Advice,
  type CellPlace,
  type DayStory,
  describeCell,
  describeChange,
  describeSeen,
  describeWaiver,
  explainCommand,
  type Fact,
  ledgerFacts,
  readDayStory,
  rereadCommand,
  showStored,
} from '../queries/story.ts';
import { escapeControls } from '../terminal/text.ts';
import { capitalize, count, showDays, showNumber } from '../terminal/words.ts';
import { addDays, dayAt, parseDay, type UsageDay } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { parseMonth } from '../usage/period.ts';
import { isGap, STANDINGS } from '../usage/standing.ts';
import { streamNamed, streamNames } from '../usage/streams/catalog.ts';
import { column, numberColumn, type Query, renderTable, textColumn } from './lists.ts';
import {
  type Html,
  renderAway,
  renderDay,
  renderDistance,
  renderInstant,
  renderMissing,
  renderPage,
  renderStanding,
} from './page.ts';
import { type ConsolePage, type Names, type PageSources, readOrNull } from './sources.ts';

const PATH = '/coverage';
/** The page of all streams of an organization and day. */
export const dayStoryPage: ConsolePage = { path: `${PATH}/:org/:day`, open: openStory };

/** The page of one stream of an organization and day. */
export const streamStoryPage: ConsolePage = { path: `${PATH}/:org/:day/:stream`, open: openStory };

function openStory(sources: PageSources): ReturnType<ConsolePage['open']> {
  return async (c) => {
    const query = readStoryQuery(c.req.param());
    if (query === null) return c.html(renderNowhere(), 404);
    const { policy } = sources;
    const nowMs = sources.now();
    const found = await readOrNull(sources, async (db) => ({
      story: await readDayStory(db, query, { nowMs, policy }),
      bodies: await readQuarantinedBodies(db, query),
      names: await readInstanceNames(db),
    }));
    if (found === null) return c.html(renderStoryPage(query.day, renderAway()), 503);
    const { story, ...rest } = found;
    if (story === null) return c.html(renderUnknown(query), 404);
    return c.html(renderStory(query, { ...rest, story, nowMs, finalAtHours: policy.finalAtHours }));
  };
}

function readStoryQuery({ org: orgId = '', day: given = '', stream }: Query): StoryQuery | null {
  const day = parseDay(given);
  if (!isLosantId(orgId) || day === null || parseMonth(day.slice(0, 7)) === null) return null;
  if (stream !== undefined && !streamNames.includes(stream)) return null;
  return { orgId, day, streams: stream === undefined ? null : [stream] };
}

function renderNowhere(): Html {
  return renderMissing({
    path: PATH,
    title: 'Not found',
    sentence: 'This is no organization and day.',
    hint: html`The address of a story is /coverage/ORGANIZATION/DAY, with an id of 24 hex digits and a day as 2026-11-20; a stream may follow. <a href="${PATH}">Choose one in the map of coverage.</a>`,
  });
}

function renderUnknown({ orgId }: StoryQuery): Html {
  return renderMissing({
    path: PATH,
    title: 'Not found',
    sentence: `This database has never seen the organization ${orgId}.`,
    hint: html`Check the id. <a href="/organizations">The list of organizations</a> has all that are known.`,
  });
}

interface StoryFacts {
  readonly story: DayStory;
  readonly bodies: readonly QuarantinedBody[];
  readonly names: Names;
  readonly nowMs: number;
  /** The hours after its end from which a day that is read is final. */
  readonly finalAtHours: number;
}

function renderStory(query: StoryQuery, facts: StoryFacts): Html {
  const { nowMs, names } = facts;
  const { org, cells, standing } = facts.story;
  const { day, streams } = query;
  const removed =
    org.removedAt === null ? '' : html` · found deleted in Losant ${renderInstant(org.removedAt, nowMs)}`;
  const suffix = streams === null ? '' : `/${streams.join('')}`;
  const link = (to: UsageDay, text: string) =>
    html`<a href="${PATH}/${org.orgId}/${to}${suffix}">${text}</a>`;
  const isLast = day >= addDays(dayAt(nowMs), -1);
  const body = html`<h1>${org.orgName}, ${renderDay(day)}: ${renderStanding(standing)}</h1>
<p class="quiet"><a href="/organizations/${org.orgId}">${org.orgId}</a> · instance ${names.get(org.instanceId) ?? org.instanceId}${removed}</p>
<nav aria-label="Days beside this one"><p>${link(addDays(day, -1), `← ${addDays(day, -1)}`)} · ${isLast ? '' : html`${link(addDays(day, 1), `${addDays(day, 1)} →`)} · `}
<a href="${PATH}?days=90&amp;q=${org.orgId}">its days in the map of coverage</a>
${streams === null ? '' : html` · <a href="${PATH}/${org.orgId}/${day}">all streams of this day</a>`}</p></nav>
${cells.map((cell) => renderCell(cell, facts))}`;
  return renderStoryPage(`${org.orgName}, ${day}`, body);
}

function renderStoryPage(title: string, body: Html): Html {
  return renderPage({ title, path: PATH, body });
}

/**
 * The most rows shown: a day may have many sources and many changes, so a page shows the first and the
 * number of all.
 */
const ROWS_MAX = 200;

function renderCell(cell: CellStory & { readonly advice: Advice }, facts: StoryFacts): Html {
  const { stream, standing, ledger, values, advice } = cell;
  const tone = standing !== null && isGap(standing) ? 'bad' : '';
  return html`<section class="card story"><h2>${stream}: <span class="${tone}">${describeCell(cell)}</span></h2>
${renderReason(cell, facts.finalAtHours)}
<p>Next: ${advice.text}</p>
${renderValues(values, stream)}
${renderFacts(ledger, facts.nowMs)}
${renderCommands(cell, facts.story.place)}
${renderRevisions(cell.revisions, facts.nowMs)}
${renderWaivers(cell)}
${cell.quarantine.map((answer) =>
  renderAnswer(
    answer,
    facts.bodies.find((body) => body.stream === stream && body.from === answer.from && body.to === answer.to),
  ),
)}
</section>\n`;
}

function renderReason({ standing, ledger }: CellStory, finalAtHours: number): Html | string {
  if (ledger === null) return html`<p>Why: no run has read it</p>`;
  const { reason, message } = ledger;
  if (reason !== null) return html`<p>Why: <strong>${reason}</strong>: ${message ?? ''}</p>`;
  if (standing !== 'stored') return '';
  return html`<p>${capitalize(STANDINGS.stored.sentence)}: a read ${count(finalAtHours, 'hour')} or more after the end of its day makes it final</p>`;
}

/** The facts that take a line of their own; times stand side by side before them. */
const LONG_FACTS: readonly string[] = ['run', 'response sha256'];

/** The facts that are shown above the list. */
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

/** `renderFact` renders a fact. A recorded run links to its page. */
function renderFact([name, value]: Fact, { runId, runKind }: LedgerRow): Html | string {
  if (name === 'run' && runKind !== null) return html`<a href="/runs/${runId}">${value}</a>`;
  return name === 'response sha256' ? html`<code>${value}</code>` : value;
}

function renderCommands(cell: CellStory & { readonly advice: Advice }, place: CellPlace): Html {
  const reread = rereadCommand(cell, place);
  const commands = [
    ...cell.advice.commands,
    ...(reread === null ? [] : [{ when: 'to read it again', command: reread }]),
    { when: 'to see this in a terminal', command: explainCommand(cell, place) },
  ];
  const hasReason = commands.some(({ command }) => command.endsWith(' TEXT'));
  return html`<details${cell.standing !== null && isGap(cell.standing) ? html` open` : ''}><summary>Commands</summary>
<dl class="commands">${commands.map(({ when, command }) => html`<dt>${capitalize(when)}</dt><dd><code>${command}</code></dd>\n`)}</dl>
${hasReason ? html`<p class="quiet">In place of TEXT, give the reason in quotes: it stays on record.</p>` : ''}</details>`;
}

function renderValues(values: readonly StoredValue[], stream: string): Html | string {
  if (values.length === 0) return '';
  const { keyColumns, columns } = streamNamed(stream);
  const table = renderTable(values.slice(0, ROWS_MAX), [
    ...keyColumns.map((name) => textColumn<StoredValue>(name, ({ key }) => key[name] ?? '')),
    ...columns.map((name) => numberColumn<StoredValue>(name, (row) => showStored(row.values[name]))),
  ]);
  return html`${table}${renderRest(values.length)}`;
}

function renderRest(length: number): Html | string {
  if (length <= ROWS_MAX) return '';
  return html`<p class="quiet">The first ${ROWS_MAX} of ${showNumber(length)}; losant-usage explain lists them all.</p>`;
}

function renderRevisions(revisions: readonly Revision[], nowMs: number): Html | string {
  if (revisions.length === 0) return '';
  return html`<h3>Changes</h3>
${renderTable(revisions.slice(0, ROWS_MAX), [
  column('When', ({ changedAt }) => renderDistance(changedAt, nowMs)),
  numberColumn('Revision', ({ revision }) => revision),
  textColumn('What changed', (change) => describeChange(change).replaceAll(' -> ', ' → ')),
  textColumn('By', ({ runId, changedBy }) => renderAuthor(runId, changedBy)),
])}${renderRest(revisions.length)}`;
}

/** `renderAuthor` renders the run that made a change, or the database user that made it by hand. */
export function renderAuthor(runId: string | null, changedBy: string): Html {
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

/** `renderAnswer` renders an invalid answer with what Losant sent: as text, with its control characters shown. */
function renderAnswer(answer: QuarantinedAnswer, body: QuarantinedBody | undefined): Html {
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
