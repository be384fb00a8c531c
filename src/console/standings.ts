/** Standings in pages: one sign, colour and word for each. */
import { html } from 'hono/html';
import { showNumber } from '../terminal/words.ts';
import { STANDINGS, type Standing, type StandingCounts, standings } from '../usage/standing.ts';
import type { Html } from './page.ts';

/** The standings from worst to best. */
export const worstFirst: readonly Standing[] = standings.toReversed();

/** `renderStanding` shows sign and word; null stands for not tracked. With `isCalm` a gap is no alarm. */
export function renderStanding(standing: Standing | null, isCalm = false): Html {
  if (standing === null) return html`<span class="quiet">not tracked</span>`;
  const { symbol, label, sentence, tone } = STANDINGS[standing];
  return html`<span class="${isCalm && tone === 'bad' ? 'quiet' : tone} whole" title="${sentence}"><span aria-hidden="true">${symbol}</span> ${label}</span>`;
}

/** `renderKeys` explains the signs and colours of maps of days. */
export function renderKeys(): Html {
  const key = (tone: string, symbol: string, text: string) =>
    html`<span class="whole"><span class="key m-${tone}" aria-hidden="true">${symbol}</span> ${text}</span> `;
  return html`<p class="quiet">${standings.map((standing) => {
    const { tone, symbol, label } = STANDINGS[standing];
    return key(tone, symbol, label);
  })}${key('untracked', ' ', 'not tracked')}</p>`;
}

/** `renderGlossary` explains each standing in a sentence. */
export function renderGlossary(): Html {
  return html`<details><summary>What the words mean</summary><dl class="list">${standings.map(
    (standing) => html`<dt>${renderStanding(standing)}</dt><dd>${STANDINGS[standing].sentence}</dd>\n`,
  )}</dl></details>`;
}

/**
 * `describeCounts` counts the cells that are not final, worst first: `3 missing, 2 stored`; empty if
 * there are none.
 */
export function describeCounts(counts: Readonly<Partial<StandingCounts>>): string {
  return worstFirst
    .filter((standing) => standing !== 'final' && (counts[standing] ?? 0) > 0)
    .map((standing) => `${showNumber(counts[standing] ?? 0)} ${STANDINGS[standing].label}`)
    .join(', ');
}
