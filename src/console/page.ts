import { createHash } from 'node:crypto';
import { html, raw } from 'hono/html';
import { showInstant } from '../terminal/words.ts';
import { STANDINGS, type Standing } from '../usage/standing.ts';
import type { Counts } from './counts.ts';
import type { PageSources } from './sources.ts';
import { STYLE } from './style.ts';

export type Html = ReturnType<typeof html>;

/** The request of a page. */
export interface PageRequest extends PageSources {
  /** Returns what is counted over all organizations; null before it was. */
  readonly counts: () => Promise<Counts | null>;
  readonly nowMs: number;
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
}

export interface ConsolePage {
  /** The route as hono writes it, e.g. `/organizations/:id`. */
  readonly path: string;
  /** The path of the page in the navigation. */
  readonly navPath: string;
  /** Returns what is shown, a file, or null if the address names nothing that there is. */
  readonly show: (request: PageRequest) => Promise<PageContent | Response | null>;
}

interface PageContent {
  readonly title: string;
  readonly body: Html;
  /** The number of seconds after which it is loaded again; by default it is not. */
  readonly reloadSeconds?: number;
}

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
export const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3"
  fill="#0a58b0"/><path d="M4 12V8M8 12V4M12 12V6" stroke="#fff" stroke-width="2.2"/></svg>`;

/**
 * The script of every page: one that shows what is under way is loaded again, but not while somebody types or
 * selects. Nothing on a page needs it to be read.
 */
const SCRIPT = `
const reloadSeconds = Number(document.body.dataset.reloadSeconds ?? 0);
if (reloadSeconds > 0) setInterval(() => {
  const isTyping = document.activeElement.closest('input, select, textarea') !== null ||
    document.getElementById('find').value !== '';
  if (!document.hidden && !isTyping && String(getSelection()) === '') location.reload();
}, reloadSeconds * 1000);
`;

/** The source for the Content-Security-Policy: the only script that may run. */
export const SCRIPT_SOURCE = `'sha256-${createHash('sha256').update(SCRIPT).digest('base64')}'`;

export function renderPage({
  title,
  navPath,
  body,
  reloadSeconds = 0,
}: PageContent & Pick<ConsolePage, 'navPath'>): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${plain(title)} · Losant usage</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<style>${raw(STYLE)}</style>
</head>
<body data-reload-seconds="${reloadSeconds}">
<a class="skip" href="#main">Skip to content</a>
<header><strong>Losant usage</strong>
<nav aria-label="Pages">${PAGES.map(([href, name]) => renderLink(href, name, href === navPath, 'page'))}</nav>
<form class="find" method="get" action="/organizations" role="search" aria-label="Organizations"><label class="hidden"
  for="find">Find an organization by name, referral id or id</label>
<input id="find" name="q" type="search" placeholder="Find an organization"></form></header>
<main id="main" tabindex="-1">
${body}
</main>
<script>${raw(SCRIPT)}</script>
</body>
</html>`;
}

/** The number of seconds after which a page is loaded again that shows something before it was counted. */
export const RELOAD_SECONDS = 3;
export const COUNTING = html`<p class="quiet">Counting… this page refreshes by itself.</p>`;

/** Renders the page for an address that names nothing; its status is 404. */
export function renderMissing(navPath: string): Html {
  const title = 'Page not found';
  const body = html`<h1>${title}</h1><p><a href="${navPath}">Back to the list</a></p>`;
  return renderPage({ title, navPath, body });
}

/** Renders one of several links; the one to what is shown is marked. */
export function renderLink(address: string, text: string, isCurrent: boolean, current = 'true'): Html {
  return html`<a href="${address}"${isCurrent && html` aria-current="${current}"`}>${text}</a> `;
}

/** Matches characters that show nothing, or change what stands beside them. */
const UNSEEN = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Returns text from outside without control characters and marks of direction. */
export function plain(text: string): string {
  return text.replaceAll(UNSEEN, '\ufffd');
}

export function linkToOrganization(orgId: string, name: string): Html {
  return html`<a href="/organizations/${orgId}" title="${plain(name)}, ${orgId}">${plain(name)}</a>`;
}

/** Renders commands that work as pasted; a click selects all of one. */
export function renderCommands(commands: readonly string[]): Html {
  return html`<ul class="commands">${commands.map((command) => html`<li><code>${plain(command)}</code></li>`)}</ul>`;
}

export function renderInstant(instant: string): Html {
  return html`<time datetime="${instant}">${showInstant(instant)}</time>`;
}

const MONTHS = new Intl.DateTimeFormat('en-US', { month: 'long', year: 'numeric', timeZone: 'UTC' });

/** Returns the month of a day in words, e.g. `October 2026`. */
export function showMonth(day: string): string {
  return MONTHS.format(Date.parse(`${day.slice(0, 7)}-01T00:00:00.000Z`));
}

/** Shows sign and word of a standing; null stands for not wanted. */
export function renderStanding(standing: Standing | null): Html {
  if (standing === null) return html`<span class="quiet">not expected</span>`;
  const { symbol, label, sentence, tone } = STANDINGS[standing];
  return html`<span class="t-${tone} whole" title="${sentence}"><span aria-hidden="true">${symbol}</span>
    ${label}</span>`;
}

/** Renders what is known by name; what is null, false or empty is left out. */
export function renderFacts(facts: Readonly<Record<string, Html | string | false | null>>): Html {
  const visibleFacts = Object.entries(facts).filter(
    ([, value]) => value !== null && value !== false && value !== '',
  );
  return html`<dl class="facts">${visibleFacts.map(
    ([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>\n`,
  )}</dl>`;
}
