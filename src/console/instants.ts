import { html } from 'hono/html';
import { showDistance, showInstant } from '../terminal/words.ts';
import type { Html } from './page.ts';

/** How long ago, or how soon; the instant itself in UTC shows on hover, and is read out. */
export function renderDistance(instant: string, nowMs: number): Html {
  const shown = showInstant(instant);
  return html`<time datetime="${instant}" title="${shown}">${showDistance(Date.parse(instant) - nowMs)}</time>`;
}

/** The instant in UTC with its distance. */
export function renderInstant(instant: string, nowMs: number): Html {
  return html`<time datetime="${instant}">${showInstant(instant)}</time> (${showDistance(Date.parse(instant) - nowMs)})`;
}

/** The UTC day of an instant; the instant itself shows on hover. */
export function renderDayOf(instant: string): Html {
  return html`<time datetime="${instant}" title="${showInstant(instant)}">${instant.slice(0, 10)}</time>`;
}

export function renderDay(day: string | null): Html {
  return day === null ? html`–` : html`<time datetime="${day}">${day}</time>`;
}
