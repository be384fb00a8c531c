import { createHash } from 'node:crypto';
import { html, raw } from 'hono/html';
import type { Health, InstanceHealth, RunLine } from '../database/read/health.ts';
import type { InstanceStatus, WorkerStatus } from './status.ts';

const STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #1c2430; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d8dee8; vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.bad { color: #a40e26; font-weight: 600 } .good { color: #146c2e } .dim { color: #5d6b7e }
@media (prefers-color-scheme: dark) { body { background: #14181f; color: #dde3ec } th, td { border-color: #333c49 }
.bad { color: #ff8f9b } .good { color: #7ed894 } .dim { color: #95a3b6 } }
`;

/** For the Content-Security-Policy: the one style that may apply. */
export const STYLE_SOURCE = `'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`;

type Html = ReturnType<typeof html>;

/** The overview page: what is fresh, what is missing, what ran, what is wrong. Times are UTC. */
export function renderOverview(status: WorkerStatus, health: Health | null): Html {
  const troubled = status.instances.filter(({ trouble }) => trouble !== null);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Losant usage export</title>
<style>${raw(STYLE)}</style>
</head>
<body>
<h1>Losant usage export</h1>
<p>${renderVerdict(troubled, health)}</p>
<p class="dim">Version ${status.version} on ${status.host}, since ${status.startedAt}.
Next wake-up: ${status.nextWakeAt ?? 'none'} (${status.schedule}, UTC).</p>
${troubled.map(renderTrouble)}
${health === null ? '' : renderLedger(health)}
<h2>This process</h2>
<table><tr><th>Instance</th><th>State</th><th>Last pass</th><th>Last complete pass</th></tr>
${status.instances.map(renderInstance)}</table>
<p class="dim"><a href="/status.json">status.json</a> · <a href="/metrics">metrics</a></p>
</body>
</html>`;
}

function renderVerdict(troubled: readonly InstanceStatus[], health: Health | null): Html {
  if (health === null) return html`<span class="bad">The database does not answer.</span>`;
  const gaps = health.instances.flatMap(({ streams }) => streams).reduce((sum, { gaps }) => sum + gaps, 0);
  if (gaps > 0) return html`<span class="bad">${gaps} numbers are missing.</span>`;
  if (troubled.length > 0) return html`<span class="bad">The newest pass had trouble.</span> No gap so far.`;
  return html`<span class="good">No gap: every number that is due is held.</span>`;
}

function renderTrouble({ instanceId, trouble }: InstanceStatus): Html {
  return html`<p><span class="bad">Instance ${instanceId}: ${trouble?.message}</span><br>${trouble?.hint}</p>`;
}

function renderLedger({ instances, runs, at }: Health): Html {
  return html`<h2>Ledger at ${at}</h2>
<table><tr><th>Instance</th><th>Stream</th><th>Complete to</th><th>Held</th><th>Final</th><th>Gaps</th><th>Oldest gap</th><th>Lost or waived</th></tr>
${instances.flatMap(renderStreams)}</table>
<h2>Last runs</h2>
<table><tr><th>Started</th><th>Instance</th><th>Kind</th><th>Status</th><th>Days</th><th>Cells</th><th>Error</th></tr>
${runs.map(renderRun)}</table>`;
}

function renderStreams({ instanceId, streams }: InstanceHealth): Html[] {
  return streams.map(({ stream, cells, gaps, oldestGap, completeTo }) => {
    const lost = cells.unavailable + cells.waived;
    return html`<tr><td>${instanceId}</td><td>${stream}</td><td>${completeTo ?? '–'}</td>
<td class="n">${cells.loaded + cells.final}</td><td class="n">${cells.final}</td>
<td class="n ${gaps > 0 ? 'bad' : ''}">${gaps}</td><td>${oldestGap ?? '–'}</td><td class="n">${lost}</td></tr>
`;
  });
}

function renderRun({ startedAt, instanceId, kind, status, from, to, cells, error }: RunLine): Html {
  const days = from === null ? '–' : `${from} to ${to}`;
  return html`<tr><td>${startedAt}</td><td>${instanceId}</td><td>${kind}</td>
<td class="${status === 'complete' || status === 'running' ? '' : 'bad'}">${status}</td><td>${days}</td>
<td class="n">${cells}</td><td>${error ?? ''}</td></tr>
`;
}

function renderInstance({ instanceId, state, lastPass, lastCompletePassAt }: InstanceStatus): Html {
  return html`<tr><td>${instanceId}</td><td>${state}</td>
<td>${lastPass === null ? '–' : `${lastPass.result} at ${lastPass.finishedAt}`}</td>
<td>${lastCompletePassAt ?? '–'}</td></tr>
`;
}
