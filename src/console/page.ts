import { createHash } from 'node:crypto';
import { html, raw } from 'hono/html';
import { showDistance, showInstant, showNumber } from '../terminal/words.ts';
import { DAY_MS } from '../usage/day.ts';
import type { Month } from '../usage/period.ts';
import { STANDINGS, type Standing, type StandingCounts, standings } from '../usage/standing.ts';
import { STYLE } from './style.ts';

export type Html = ReturnType<typeof html>;

export interface Page {
  readonly title: string;
  /** The path of the page in the navigation. */
  readonly path: string;
  readonly body: Html;
}

/** The number of seconds after which a browser asks again for what is being counted. */
export const AGAIN_S = 3;

/** The navigation: each page that is not part of another one. */
const PAGES = [
  ['/', 'Home'],
  ['/organizations', 'Organizations'],
  ['/coverage', 'Coverage'],
  ['/months', 'Months'],
  ['/changes', 'Changes'],
  ['/runs', 'Runs'],
] as const;

/** The icon of the browser's tab: a bar chart in a square. */
export const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#0a58b0"/><path d="M4 12V8M8 12V4M12 12V6" stroke="#fff" stroke-width="2.2"/></svg>`;

/**
 * The script of every page: `/` moves to the search, and a button copies its text. Nothing on a page
 * needs it to be read.
 */
export const SCRIPT = `
addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, textarea')) return;
  event.preventDefault();
  document.getElementById('find').focus();
});
addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (button === null) return;
  const shown = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = '✓';
  } catch {
    button.textContent = '✕';
  }
  setTimeout(() => { button.textContent = shown; }, 1500);
});
`;

/** The source for the Content-Security-Policy: the only script that may run. */
export const SCRIPT_SOURCE = `'sha256-${createHash('sha256').update(SCRIPT).digest('base64')}'`;

export function renderPage({ title, path, body }: Page): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Losant usage</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<style>${raw(STYLE)}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header><strong>Losant usage export</strong>
<nav aria-label="Pages">${PAGES.map(([href, name]) => renderLink(href, name, href === path, 'page'))}</nav>
<form class="find" method="get" action="/organizations" role="search" aria-label="Organizations"><label class="hidden" for="find">Find an organization by name, referral id or id</label>
<input id="find" name="q" type="search" placeholder="Find an organization ( / )" aria-keyshortcuts="/"></form></header>
<main id="main" tabindex="-1">
${body}
</main>
<script>${raw(SCRIPT)}</script>
</body>
</html>`;
}

/** `renderMissing` renders the page for an unknown address, with what to do instead; its status is 404. */
export function renderMissing(
  page: Omit<Page, 'body'> & { readonly sentence: string; readonly hint: Html },
): Html {
  return renderPage({ ...page, body: html`<h1>${page.sentence}</h1><p>${page.hint}</p>` });
}

/** `renderAwayPage` replaces a page whose content is all read from the database, which does not answer; 503. */
export function renderAwayPage(page: Omit<Page, 'body'>): Html {
  return renderPage({ ...page, body: html`<h1>${page.title}</h1>${renderAway()}` });
}

/**
 * `renderAway` replaces the content of a page when the database does not answer in time; its status is
 * 503.
 */
export function renderAway(): Html {
  return html`<p class="bad">The database does not answer in time. Try again in a moment.</p>`;
}

/** `renderLink` renders one of several links; the one to what is shown is marked. */
export function renderLink(address: string, text: string, isCurrent: boolean, current = 'true'): Html {
  return html`<a href="${address}"${isCurrent ? html` aria-current="${current}"` : ''}>${text}</a> `;
}

export function linkToOrganization(orgId: string, name: string): Html {
  return html`<a href="/organizations/${orgId}">${name}</a>`;
}

/** `linkToDay` links to the story of a stream's number of a day. */
export function linkToDay(orgId: string, day: string, stream: string): Html {
  return html`<a href="/coverage/${orgId}/${day}/${stream}">${renderDay(day)}</a>`;
}

/** `renderCopy` renders a button that copies a text; without JavaScript there is none. */
export function renderCopy(text: string, label: string, shown = 'id'): Html {
  return html`<button type="button" class="copy" data-copy="${text}" aria-label="${label}" title="${label}">${shown}</button>`;
}

/**
 * `renderDistance` shows how long ago or how soon, and beyond a day the instant itself; the other one
 * shows on hover.
 */
export function renderDistance(instant: string, nowMs: number): Html {
  const ms = Date.parse(instant) - nowMs;
  const [exact, distance] = [showInstant(instant), showDistance(ms)];
  const [shown, title] = Math.abs(ms) < DAY_MS ? [distance, exact] : [exact, distance];
  return html`<time datetime="${instant}" title="${title}">${shown}</time>`;
}

export function renderInstant(instant: string, nowMs: number): Html {
  return html`<time datetime="${instant}">${showInstant(instant)}</time> (${showDistance(Date.parse(instant) - nowMs)})`;
}

/** `renderDayOf` renders the UTC day of an instant; the instant itself shows on hover. */
export function renderDayOf(instant: string): Html {
  return html`<time datetime="${instant}" title="${showInstant(instant)}">${instant.slice(0, 10)}</time>`;
}

export function renderDay(day: string | null): Html {
  return day === null ? html`–` : html`<time datetime="${day}">${day}</time>`;
}

const MONTHS = new Intl.DateTimeFormat('en-US', { month: 'long', year: 'numeric', timeZone: 'UTC' });

/** `showMonth` returns the month in words, e.g. `October 2026`. */
export function showMonth(month: Month): string {
  return MONTHS.format(Date.parse(`${month}-01T00:00:00.000Z`));
}

/** `nameOfMonth` returns the name of a month or day without its year, e.g. `October`. */
export function nameOfMonth(month: string): string {
  return showMonth(month.slice(0, 7)).split(' ')[0] ?? '';
}

/** The standings from worst to best. */
export const worstFirst: readonly Standing[] = standings.toReversed();

/** `renderStanding` shows sign and word; null stands for not tracked. With `isCalm` a gap is no alarm. */
export function renderStanding(standing: Standing | null, isCalm = false): Html {
  if (standing === null) return html`<span class="quiet">not tracked</span>`;
  const { symbol, label, sentence, tone } = STANDINGS[standing];
  return html`<span class="${isCalm && tone === 'bad' ? 'quiet' : tone} whole" title="${sentence}"><span aria-hidden="true">${symbol}</span> ${label}</span>`;
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
