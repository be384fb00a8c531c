/** What pages consist of: links, states, instants and facts. */
import { html } from 'hono/html';
import { formatDays, showCode, showInstant, showName } from '../terminal/words.ts';
import { STANDINGS, type Standing } from '../usage/standing.ts';

export type Html = ReturnType<typeof html>;

type Query = Readonly<Record<string, string | null>>;

/** Returns an address of this server with a query, without values that are empty or null. */
export function addressOf(path: string, query: Query): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== '') params.set(name, value);
  return params.size === 0 ? path : `${path}?${params.toString()}`;
}

export function linkTo(path: string, query: Query, text: string | number): Html {
  return html`<a href="${addressOf(path, query)}">${text}</a>`;
}

export function renderLink(address: string, text: string, isCurrent: boolean, current = 'true'): Html {
  return html`<a href="${address}"${isCurrent && html` aria-current="${current}"`}>${text}</a> `;
}

export function linkToOrganization(orgId: string, name: string): Html {
  return html`<a href="/organizations/${orgId}" title="${name}, ${orgId}">${showName(name, orgId)}</a>`;
}

/** Renders a command, or a sentence. A click selects an entire command, to be copied. */
export function renderRemedy(remedy: string): Html {
  return remedy.startsWith('losant-usage ') ? html`<code class="command">${remedy}</code>` : html`${remedy}`;
}

export function renderPill(tone: string, text: string): Html {
  return html`<span class="pill ${tone}">${text}</span>`;
}

export function renderInstant(instant: string): Html {
  return html`<time datetime="${instant}">${showInstant(instant)}</time>`;
}

/** Formats a month, or that of a day: `October 2026`. */
export const showMonth = formatDays({ month: 'long', year: 'numeric' });

/** Renders a standing with its symbol; null means not expected. */
export function renderStanding(standing: Standing | null): Html {
  if (standing === null) return html`<span class="quiet">not expected</span>`;
  const { symbol, sentence, tone } = STANDINGS[standing];
  return html`<span class="t-${tone} whole" title="${sentence}"><span aria-hidden="true">${symbol}</span>
    ${showCode(standing)}</span>`;
}

/** Renders a list of facts by name, without those that are null, false or empty. */
export function renderFacts(facts: Readonly<Record<string, Html | string | false | null>>): Html {
  const visibleFacts = Object.entries(facts).filter(([, value]) => value !== null && value !== false && value !== '');
  return html`<dl class="facts">${visibleFacts.map(
    ([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>\n`,
  )}</dl>`;
}
