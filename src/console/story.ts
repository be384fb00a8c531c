import type { Context } from 'hono';
import { html } from 'hono/html';
import { readInstanceNames } from '../queries/instances.ts';
import { type QuarantinedBody, readQuarantinedBodies } from '../queries/quarantined-bodies.ts';
import { type DayStory, readDayStory, type StoryQuery } from '../queries/story.ts';
import { addDays, dayAt, parseDay, type UsageDay } from '../usage/day.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import { type ConsolePage, readOrNull, renderAway } from './console-page.ts';
import { renderDay, renderInstant } from './instants.ts';
import { type Html, renderMissing, renderPage } from './page.ts';
import type { PageSources } from './page-sources.ts';
import { renderCell } from './story-cell.ts';

const PATH = '/coverage';
const answer = (sources: PageSources) => (c: Context) => answerStory(sources, c);

/** All streams of an organization and day. */
export const dayStoryPage: ConsolePage = { path: `${PATH}/:org/:day`, open: answer };

/** One stream of them. */
export const streamStoryPage: ConsolePage = { path: `${PATH}/:org/:day/:stream`, open: answer };

async function answerStory(sources: PageSources, c: Context): Promise<Response> {
  const query = readStoryQuery((name) => c.req.param(name));
  if (query === null) return await c.html(renderNowhere(), 404);
  const nowMs = sources.now();
  const found = await readOrNull(sources, async (db) => ({
    story: await readDayStory(db, query, { nowMs, policy: sources.policy }),
    bodies: await readQuarantinedBodies(db, query),
    names: await readInstanceNames(db),
  }));
  if (found === null) return await c.html(renderStoryPage(query.day, renderAway()), 503);
  if (found.story === null) return await c.html(renderUnknown(query), 404);
  return await c.html(renderStory({ ...found, story: found.story, query, nowMs, ...sources.policy }));
}

/** What the address asks for; null: it makes no sense. */
function readStoryQuery(given: (name: string) => string | undefined): StoryQuery | null {
  const orgId = given('org') ?? '';
  const day = parseDay(given('day') ?? '');
  const stream = given('stream');
  if (!/^[0-9a-f]{24}$/.test(orgId) || day === null || !isStorable(day)) return null;
  if (stream !== undefined && !streamNames.includes(stream)) return null;
  return { orgId, day, streams: stream === undefined ? null : [stream] };
}

/** Days that the ledger can hold. */
function isStorable(day: UsageDay): boolean {
  return '2015-01-01' <= day && day <= '2049-12-31';
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
  readonly query: StoryQuery;
  readonly story: DayStory;
  readonly bodies: readonly QuarantinedBody[];
  readonly nowMs: number;
  readonly finalAtHours: number;
  readonly names: ReadonlyMap<string, string>;
}

function renderStory({ query, story, bodies, nowMs, finalAtHours, names }: StoryFacts): Html {
  const { org, cells, place } = story;
  const { day, streams } = query;
  const removed =
    org.removedAt === null ? '' : html` · found deleted in Losant ${renderInstant(org.removedAt, nowMs)}`;
  const suffix = streams === null ? '' : `/${streams.join('')}`;
  const link = (to: UsageDay, text: string) =>
    html`<a href="${PATH}/${org.orgId}/${to}${suffix}">${text}</a>`;
  const isLast = day >= addDays(dayAt(nowMs), -1);
  const body = html`<h1>${org.orgName}, ${renderDay(day)}</h1>
<p class="quiet"><a href="/organizations/${org.orgId}">${org.orgId}</a> · instance ${names.get(org.instanceId) ?? org.instanceId}${removed}</p>
<nav aria-label="Days beside this one"><p>${link(addDays(day, -1), `← ${addDays(day, -1)}`)} · ${isLast ? '' : html`${link(addDays(day, 1), `${addDays(day, 1)} →`)} · `}
<a href="${PATH}?days=90&amp;q=${org.orgId}">its days in the map of coverage</a>
${streams === null ? '' : html` · <a href="${PATH}/${org.orgId}/${day}">all streams of this day</a>`}</p></nav>
${cells.map((cell) =>
  renderCell(cell, {
    place,
    bodies: bodies.filter(({ stream }) => stream === cell.stream),
    nowMs,
    finalAtHours,
  }),
)}`;
  return renderStoryPage(`${org.orgName}, ${day}`, body);
}

function renderStoryPage(title: string, body: Html): Html {
  return renderPage({ title, path: PATH, body });
}
