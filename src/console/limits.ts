import { html } from 'hono/html';
import type { LimitUse, PayloadShare } from '../queries/limits.ts';
import { count, showNumber } from '../terminal/words.ts';
import { showMonth } from './month-judge.ts';
import { type Html, renderTable } from './page.ts';

/** The running period of an organization, to date, against its limits. */
export function renderLimits(uses: readonly LimitUse[]): Html {
  const [first] = uses;
  if (first === undefined) {
    return html`<h2>Limits</h2><p class="quiet">No limits of it are known for a period that is running.</p>`;
  }
  const { from, to, source, daysExpected, daysHeld } = first;
  const period = source === 'calendar' ? showMonth(from.slice(0, 7)) : 'The billing period';
  const held =
    daysHeld === daysExpected
      ? `all ${count(daysExpected, 'day')} of it so far are held`
      : `${showNumber(daysHeld)} of ${count(daysExpected, 'day')} of it so far are held`;
  return html`<h2>Limits</h2>
<p class="quiet">${period} to date, <span class="whole">${from}</span> to <span class="whole">${to}</span>: ${held}. Projected is what it comes to if it goes on like this.</p>
${renderTable({
  columns: [
    { name: 'Limit' },
    { name: 'To date', isNumber: true },
    { name: 'Allowed', isNumber: true },
    { name: 'Share', isNumber: true },
    { name: 'Used' },
    { name: 'Projected', isNumber: true },
  ],
  rows: uses.map(renderUse),
})}`;
}

function renderUse(use: LimitUse): (Html | string)[] {
  const { limitName, metric, unit, limit, quantity, share, projected, projectedShare } = use;
  if (metric === null) {
    return [limitName, html`<span class="quiet">not counted here</span>`, showNumber(limit), '–', '–', '–'];
  }
  return [
    html`${limitName}<br><span class="quiet">${metric}</span>`,
    quantity === null ? '–' : `${showNumber(quantity)} ${unit}`,
    showNumber(limit),
    renderShare(share),
    share === null ? '–' : renderBar(share, projectedShare ?? share),
    projected === null ? '–' : html`${showNumber(projected)} (${renderShare(projectedShare)})`,
  ];
}

/** Of the limit's bar: what is used, and a mark at what is projected. It ends at the limit, or where more is used. */
function renderBar(share: number, projected: number): Html {
  const end = Math.max(1, share, projected);
  const at = (value: number) => Math.round((value / end) * 1_000) / 10;
  return html`<svg class="bar" aria-hidden="true" width="140" height="14" viewBox="0 0 100 14" preserveAspectRatio="none">
<rect class="bar-room" width="${at(1)}" y="3" height="8"/><rect class="${share > 1 ? 'bar-over' : 'bar-used'}" width="${at(share)}" y="3" height="8"/>
<rect class="bar-mark" x="${Math.min(at(projected), 99)}" width="1" height="14"/></svg>`;
}

/** Rounded down, so that 100 % means that the limit is reached. */
function renderShare(share: number | null): Html | string {
  if (share === null) return '–';
  const shown = `${showNumber(Math.floor(share * 100))} %`;
  return share > 1 ? html`<span class="bad">${shown}, over</span>` : shown;
}

/** The share of its limit of payloads, in a list; of what is projected only that it would be over. */
export function renderPayloadShare(use: PayloadShare | undefined): Html | string {
  if (use === undefined || use.share === null) return '–';
  const { share, projectedShare } = use;
  if (share > 1 || projectedShare === null || projectedShare <= 1) return renderShare(share);
  return html`${renderShare(share)}<br><span class="bad">${showNumber(Math.floor(projectedShare * 100))} % projected</span>`;
}
