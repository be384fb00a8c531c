import { html } from 'hono/html';
import type { DailyChart } from './chart.ts';
import type { Html } from './page.ts';

/** Series differ in pattern and in lightness as well as in colour. */
const SERIES_FILLS = 7;

/** How the series at that place is filled; one on its own is plain. */
export function fillOf({ series }: Pick<DailyChart, 'series'>, place: number): string {
  return `url(#series-${series.length === 1 ? 0 : place % SERIES_FILLS})`;
}

/** A square of what fills a series, for the legend. */
export function renderSwatch(fill: string): Html {
  return html`<svg class="swatch" aria-hidden="true" width="12" height="12"><rect width="12" height="12" fill="${fill}"/></svg>`;
}

/** What the charts of a page are filled with; once on each page that has one. */
export function renderFills(): Html {
  return html`<svg class="hidden" aria-hidden="true" width="0" height="0"><defs>
${MARKS.map((mark, place) => html`<pattern id="series-${place}" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="series-${place}" width="6" height="6"/>${mark}</pattern>`)}
<pattern id="missing" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="absent" width="6" height="6"/><path class="hatch" d="M-1 1l2-2M0 6l6-6M5 7l2-2"/></pattern>
<pattern id="untracked" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="absent" width="6" height="6"/><path class="rule" d="M-1 5l2 2M0 0l6 6M5-1l2 2"/></pattern>
</defs></svg>`;
}

const mark = (path: string) => html`<path class="mark" d="${path}"/>`;

const MARKS: readonly (Html | string)[] = [
  '',
  mark('M-1 1l2-2M0 6l6-6M5 7l2-2'),
  mark('M0 3h6'),
  mark('M2 2h2v2h-2z'),
  mark('M-1 5l2 2M0 0l6 6M5-1l2 2'),
  mark('M3 0v6'),
  mark('M0 3h6M3 0v6'),
];
