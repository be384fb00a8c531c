import { hash } from 'node:crypto';
import { html, raw } from 'hono/html';
import { showDistance, showDuration } from '../terminal/words.ts';
import { dayAt, type Month, parseMonth } from '../usage/day.ts';
import { type CachedRead, describeReadFailure, type Recall } from './cached-reads.ts';
import { type Html, renderLink } from './elements.ts';
import type { PageSources } from './sources.ts';
import { STYLE } from './style.ts';

export interface PageRequest extends PageSources {
  readonly recall: Recall;
  readonly nowMs: number;
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
}

export interface ConsolePage {
  /** The route as hono writes it, e.g. `/organizations/:id`. */
  readonly path: string;
  /** The path of the page in the navigation; by default the first part of its own. */
  readonly navPath?: string;
  /** What it shows, as the subject of a sentence; by default the first part of its path: `The gaps`. */
  readonly subject?: string;
  /** Returns null if the address names nothing that exists. */
  readonly show: (request: PageRequest) => Promise<PageContent | null>;
}

interface PageContent {
  readonly title: string;
  readonly body: Html;
  /** When it is reloaded, unless something that it recalls is not known yet; by default never. */
  readonly reloadSeconds?: number;
}

const NAVIGATION = [
  ['/', 'Home'],
  ['/usage', 'Usage'],
  ['/organizations', 'Organizations'],
  ['/billing', 'Billing'],
  ['/coverage', 'Data quality'],
  ['/changes', 'Changes'],
] as const;

export const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3"
  fill="#0a58b0"/><path d="M4 12V8M8 12V4M12 12V6" stroke="#fff" stroke-width="2.2"/></svg>`;

/**
 * The script of every page. It reloads a page whose content is still changing, unless somebody is typing or selecting
 * text. Pages can be read without it.
 */
const SCRIPT = `
const reloadSeconds = Number(document.body.dataset.reloadSeconds ?? 0);
if (reloadSeconds > 0) setInterval(() => {
  const isTyping = document.activeElement.closest('input') !== null ||
    document.getElementById('find').value !== '';
  if (!document.hidden && !isTyping && String(getSelection()) === '') location.reload();
}, reloadSeconds * 1000);
`;

/** The source for the Content-Security-Policy: the only script that may run. */
export const SCRIPT_SOURCE = `'sha256-${hash('sha256', SCRIPT, 'base64')}'`;

/** Matches characters that are invisible, or change how their neighbors are displayed. */
const INVISIBLE = /[^\P{Cc}\n]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Renders a page. Whoever wrote a text in it, none has control characters or direction marks. */
export async function renderPage({
  title,
  navPath,
  body,
  reloadSeconds = 0,
}: PageContent & { readonly navPath: string }): Promise<string> {
  const document = await html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Losant usage</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<style>${raw(STYLE)}</style>
</head>
<body data-reload-seconds="${reloadSeconds}">
<a class="skip" href="#main">Skip to content</a>
<header><strong>Losant usage</strong>
<nav aria-label="Pages">${NAVIGATION.map(([href, name]) => renderLink(href, name, href === navPath, 'page'))}</nav>
<form class="find" method="get" action="/organizations" role="search" aria-label="Organizations"><label class="hidden"
  for="find">Find an organization by name, referral ID or ID</label>
<input id="find" name="q" type="search" placeholder="Find an organization"></form></header>
<main id="main" tabindex="-1">
${body}
</main>
<script>${raw(SCRIPT)}</script>
</body>
</html>
`;
  return document.toString().replaceAll(INVISIBLE, '\ufffd');
}

/** Returns the month of an address; null if it is not a month, or has not begun. */
export function readMonth({ params, nowMs }: PageRequest): Month | null {
  const month = parseMonth(params['month'] ?? '');
  return month === null || `${month}-01` > dayAt(nowMs) ? null : month;
}

/** For a page on which something is still being counted. */
export const RELOAD_SECONDS = 3;
/** An older result is shown with its age. */
const OLD_RESULT_MS = 180_000;

/** Returns the age of a result that is old or could not be read again, as `As of 4 min ago`; otherwise ''. */
function showAge({ snapshot, error, nowMs }: CachedRead<unknown>): string {
  if (snapshot === null || (error === undefined && nowMs - snapshot.atMs <= OLD_RESULT_MS)) return '';
  return `As of ${showDistance(snapshot.atMs - nowMs)}`;
}

/** Renders a count in its place: what is known, or that it is being read, or why it could not be. */
export function renderCount<T>(read: CachedRead<T>, subject: string, render: (value: T) => Html): Html {
  const { snapshot, startedAtMs, error, nowMs } = read;
  const failure = error === undefined ? '' : `${subject} could not be read: ${describeReadFailure(error)}.`;
  if (snapshot !== null) {
    const age = showAge(read);
    return html`${render(snapshot.value)}${age !== '' && html`<p class="warn">${age}. ${failure}</p>`}`;
  }
  if (failure !== '') return html`<p class="bad">${failure}</p>`;
  const ms = nowMs - (startedAtMs ?? nowMs);
  return html`<p class="quiet">Counting…${ms > OLD_COUNTING_MS && ` for ${showDuration(ms)}`}<noscript> <a
  href="">Reload</a></noscript></p>`;
}

const OLD_COUNTING_MS = 10_000;

/** Whether the count will be known soon, so that the page reloads. */
export function isCounting({ snapshot, error }: CachedRead<unknown>): boolean {
  return snapshot === null && error === undefined;
}

export async function renderNotFound(navPath: string): Promise<string> {
  const title = 'Page not found';
  const [, parent = ''] = NAVIGATION.find(([href]) => href === navPath) ?? [];
  const body = html`<h1>${title}</h1><p>There is no page at this address. <a href="/">Home</a>${
    navPath !== '/' && html` · <a href="${navPath}">${parent}</a>`
  }</p>`;
  return await renderPage({ title, navPath, body });
}
