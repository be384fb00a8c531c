import { html } from 'hono/html';
import { readInstanceNames } from '../queries/instances.ts';
import { type RunRecord, readRun } from '../queries/run-list.ts';
import { count, showNumber } from '../terminal/words.ts';
import { type ConsolePage, readOrNull, renderAway } from './console-page.ts';
import { renderInstant } from './instants.ts';
import { type Html, renderMissing, renderPage, renderTable } from './page.ts';
import { readRunId, renderLength, renderRange, renderStatus } from './runs.ts';

const PATH = '/runs';

/** One run: what it set out to read, what became of it, and what failed. */
export const runPage: ConsolePage = {
  path: `${PATH}/:id`,
  open: (sources) => async (c) => {
    const runId = readRunId(c.req.param('id'));
    if (runId === null) return await c.html(renderUnknown(), 404);
    const found = await readOrNull(sources, async (db) => ({
      run: await readRun(db, runId),
      names: await readInstanceNames(db),
    }));
    if (found === null)
      return await c.html(renderPage({ title: 'Run', path: PATH, body: renderAway() }), 503);
    if (found.run === null) return await c.html(renderUnknown(), 404);
    const instance = found.names.get(found.run.instanceId) ?? found.run.instanceId;
    return await c.html(renderRun(found.run, { instance, nowMs: sources.now() }));
  },
};

function renderUnknown(): Html {
  return renderMissing({
    path: PATH,
    title: 'Not found',
    sentence: 'There is no such run on record.',
    hint: html`<a href="${PATH}">The list of runs</a> has all that are.`,
  });
}

function renderRun(run: RunRecord, { instance, nowMs }: { instance: string; nowMs: number }): Html {
  const facts: readonly (readonly [string, Html | string])[] = [
    ['Instance', instance],
    ['Ended', renderStatus(run)],
    ['Started', renderInstant(run.startedAt, nowMs)],
    ['Took', renderLength(run, nowMs)],
    ['Days read', renderRange(run)],
    ['Streams', run.streams.join(', ')],
    ['Organizations', showNumber(run.orgs)],
    ['Requests', showNumber(run.requests)],
    ['Host', `${run.host ?? '–'}, version ${run.version}`],
    ['Id', run.runId],
  ];
  const body = html`<h1>Run: ${run.kind}, ${run.status}</h1>
${run.error === null ? '' : html`<p class="bad">${run.error}</p>`}
<dl class="list">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>\n`)}</dl>
<h2>${count(run.planned, 'number')}</h2>
${renderCells(run)}
${run.restated === 0 ? '' : html`<p><a href="/changes?which=all&amp;run=${run.runId}">${count(run.restated, 'number')} changed that ${run.restated === 1 ? 'was' : 'were'} held before</a>, ${showNumber(run.restatedFinal)} of them final.</p>`}
${renderFailures(run)}`;
  return renderPage({ title: `Run of ${run.startedAt.slice(0, 16).replace('T', ' ')}`, path: PATH, body });
}

function renderCells({ loaded, unchanged, absent, failed, quarantined, unavailable }: RunRecord): Html {
  const cells = { 'new or changed': loaded, unchanged, absent, failed, quarantined, unavailable };
  return renderTable({
    columns: Object.keys(cells).map((name) => ({ name, isNumber: true })),
    rows: [Object.values(cells).map((value) => showNumber(value))],
  });
}

function renderFailures({ failures }: RunRecord): Html {
  if (failures.length === 0) return html`<h2>Nothing failed</h2>`;
  return html`<h2>What failed, by cause</h2>
${renderTable({
  columns: [
    { name: 'Cause', isText: true },
    { name: 'Stream' },
    { name: 'Numbers', isNumber: true },
    { name: 'Organizations', isNumber: true },
    { name: 'For example', isText: true },
  ],
  rows: failures.map(({ code, message, stream, cells, orgs, example }) => [
    html`<strong>${code}</strong>: ${message}`,
    stream ?? '–',
    showNumber(cells),
    showNumber(orgs),
    example === null ? '–' : html`<a href="/coverage?q=${example}">${example}</a>`,
  ]),
})}`;
}
