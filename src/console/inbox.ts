/** What needs attention, as Home lists it. */
import { html } from 'hono/html';
import {
  ATTENTION_KINDS,
  type AttentionGroup,
  type AttentionItem,
  addressOfKind,
  describeItem,
  nameItem,
} from '../queries/attention.ts';
import type { Health } from '../queries/health.ts';
import { showNumber } from '../terminal/words.ts';
import { addressOf, type Html, renderRemedy } from './elements.ts';
import type { Problem } from './sources.ts';

/** Renders the failure of the last run, even without a database, and then what the database knows. */
export function renderAttention(health: Health | null, problem: Problem | null): Html | string {
  const failure = problem === null ? [] : [renderFailure(problem)];
  const lines = [...failure, ...(health?.attention ?? []).map(renderGroup)];
  if (health === null && lines.length === 0) return '';
  const calmLine = html`<li class="calm">Nothing needs attention.</li>`;
  return html`<h2>Needs attention</h2>
<ul class="inbox">${lines.length === 0 ? calmLine : lines}</ul>`;
}

function renderFailure({ message, hint }: Problem): Html {
  return html`<li class="bad"><b>Run failed</b><ul><li>${message} <span class="quiet">${hint}</span></li></ul></li>\n`;
}

/** So many that the list stays short. */
const MAX_ITEMS = 5;

function renderGroup({ kind, total, items }: AttentionGroup): Html {
  const { label, tone } = ATTENTION_KINDS[kind];
  const act = `View all ${showNumber(total)}`;
  const hasMore = total > Math.min(items.length, MAX_ITEMS);
  return html`<li class="${tone}"><b>${label}</b><ul>${items.slice(0, MAX_ITEMS).map(renderItem)}</ul>
${hasMore && html`<a class="go" href="${addressOfKind(kind)}" aria-label="${act}: ${label}">${act}</a>`}</li>\n`;
}

function renderItem(item: AttentionItem): Html {
  const name = nameItem(item);
  const address = addressOfItem(item);
  const title = address === null ? name : html`<a href="${address}">${name}</a>`;
  // The page of an organization says what can be done about it.
  const remedy = item.orgId === null && renderRemedy(item.remedy);
  return html`<li>${title} <span class="quiet">${describeItem(item)}</span> ${remedy}</li>`;
}

/** Returns the page about an item; null if it is about the whole instance. */
function addressOfItem({ kind, subject, orgId }: AttentionItem): string | null {
  if (kind === 'missing' || kind === 'in_doubt') return addressOf('/gaps', { standing: kind, q: orgId });
  if (orgId !== null) return `/organizations/${orgId}`;
  if (kind === 'difference') return addressOf('/reconciliation', { outcome: 'difference', metric: subject });
  return kind.startsWith('month_') ? `/billing/${subject}` : null;
}
