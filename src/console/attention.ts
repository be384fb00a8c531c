/** The lines about what needs a person: at most ten, the worst first, each with where to go. */
import { html } from 'hono/html';
import type { OpenMonth } from '../billing/month.ts';
import { CHANGES_SHOWN_DAYS, type Health } from '../queries/health.ts';
import type { OrganizationFigures, Overview } from '../queries/organizations.ts';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, dayAt, daysFrom, type UsageDay } from '../usage/day.ts';
import { STANDINGS } from '../usage/standing.ts';
import { addressOf, showDifference } from './lists.ts';
import { changeOf, SHOWN, type Shown } from './organizations.ts';
import { type Html, showMonth } from './page.ts';
import { sumOf } from './shapes.ts';
import type { InstanceTrouble } from './verdict.ts';

/** A line of the list. */
export interface AttentionLine {
  readonly tone: 'bad' | 'warn' | 'good';
  readonly text: string;
  readonly address: string;
  /** Details of it. */
  readonly more?: string;
  /** The organizations that it is mostly about. */
  readonly examples?: readonly { readonly orgId: string; readonly text: string }[];
}

export interface AttentionFacts {
  readonly health: Health;
  readonly troubles: readonly InstanceTrouble[];
  /** The organizations; null before they were counted. */
  readonly overview: Overview | null;
  readonly openMonth: OpenMonth | null;
  readonly horizonDays: number;
  readonly nowMs: number;
}

/** The organizations that a line names. */
const EXAMPLES = 3;

/** `listAttention` returns the lines, the worst first; none if nothing needs anybody. Pure. */
export function listAttention(facts: AttentionFacts): AttentionLine[] {
  const lines = [
    describeTroubles(facts.troubles),
    describeGaps(facts, 'missing'),
    describeDifferences(facts.health),
    describeGaps(facts, 'in_doubt'),
    describeOrganizationsOf('over', facts.overview),
    describeHandmade(facts.health),
    describeOrganizationsOf('crossing', facts.overview),
    describeOrganizationsOf('silent', facts.overview),
    describeOrganizationsOf('moved', facts.overview),
    describeOpenMonth(facts.openMonth),
  ];
  return lines.filter((line) => line !== null);
}

/** All instances with trouble share a line, so that the list keeps its length. */
function describeTroubles([first, ...others]: readonly InstanceTrouble[]): AttentionLine | null {
  if (first === undefined) return null;
  const { message, hint } = first.trouble;
  const text = message.startsWith('Instance ')
    ? message
    : `Instance ${first.name ?? first.instanceId}: ${message}`;
  const more = others.length === 0 ? '' : `; ${count(others.length, 'more instance')} with trouble`;
  return { tone: 'bad', text: `${text}${more}`, address: '/runs', more: hint };
}

function describeDifferences({ instances }: Health): AttentionLine | null {
  const counts = instances.flatMap(({ differences }) => Object.values(differences ?? {}));
  const number = sumOf(counts);
  if (number === 0) return null;
  const newest = instances
    .flatMap(({ differingMonths }) => differingMonths ?? [])
    .sort()
    .at(-1);
  const text = `${count(number, 'final number differs', 'final numbers differ')} from Losant's own totals`;
  return { tone: 'bad', text, address: addressOf('/totals', { month: newest?.slice(0, 7) ?? '' }) };
}

function describeHandmade({ instances }: Health): AttentionLine | null {
  const number = sumOf(instances.map(({ changesByHand30Days }) => changesByHand30Days));
  if (number === 0) return null;
  const text = `${count(number, 'number was', 'numbers were')} changed by hand in the last ${CHANGES_SHOWN_DAYS} days`;
  const address = addressOf('/changes', { which: 'all', by: 'hand', days: `${CHANGES_SHOWN_DAYS}` });
  return { tone: 'bad', text, address };
}

function describeOpenMonth(open: OpenMonth | null): AttentionLine | null {
  if (open === null || open.blocked > 0) return null;
  return {
    tone: 'good',
    text: `${showMonth(open.month)} is ready to close`,
    address: `/months/${open.month}`,
  };
}

function describeGaps(
  { health, horizonDays, nowMs }: AttentionFacts,
  standing: 'missing' | 'in_doubt',
): AttentionLine | null {
  const streams = health.instances
    .flatMap((instance) => instance.streams)
    .filter(({ cells }) => cells[standing] > 0);
  const number = sumOf(streams.map(({ cells }) => cells[standing]));
  if (number === 0) return null;
  const oldest = streams.flatMap(({ oldestGap }) => oldestGap ?? []).sort()[0];
  const today = dayAt(nowMs);
  // The newest map has the last 90 days.
  const to = oldest === undefined || daysFrom(oldest, today) <= 90 ? '' : addDays(oldest, 89);
  const names = [...new Set(streams.map(({ stream }) => stream))].join(', ');
  return {
    tone: 'bad',
    text: `${count(number, 'number is', 'numbers are')} ${STANDINGS[standing].label} (${names})`,
    address: addressOf('/coverage', { only: standing, days: '90', to }),
    more: oldest === undefined ? '' : describeExpiry(oldest, addDays(today, -horizonDays)),
  };
}

/** `describeExpiry` describes when the oldest gap passes the first of the days that Losant keeps. */
function describeExpiry(oldest: UsageDay, horizon: UsageDay): string {
  return oldest < horizon
    ? `the oldest gap is of ${oldest}, which Losant no longer keeps: accept it with losant-usage waive`
    : `the oldest gap is of ${oldest} and can be read for ${count(daysFrom(horizon, oldest) + 1, 'day')} more`;
}

/** The filters of the list of organizations that a line leads to. */
type ListedFilter = Exclude<Shown, 'missing' | 'in_doubt'>;

/** The beginning of each line about organizations, the order of their list, and the rank and text of its examples. */
const LINES: Readonly<
  Record<
    ListedFilter,
    {
      readonly tone: AttentionLine['tone'];
      readonly says: (number: number) => string;
      readonly sort: string;
      readonly rank: (figures: OrganizationFigures) => number | string;
      readonly describe: (figures: OrganizationFigures, to: UsageDay) => string;
    }
  >
> = {
  over: {
    tone: 'bad',
    says: (number) => `${count(number, 'organization is', 'organizations are')} over a limit`,
    sort: 'share',
    rank: ({ limit }) => -(limit?.share ?? Number.POSITIVE_INFINITY),
    describe: ({ limit }) => `${limit?.name}, ${showShare(limit?.share ?? null)}since ${limit?.crossesOn}`,
  },
  crossing: {
    tone: 'warn',
    says: (number) => `${count(number, 'organization')} will pass a limit`,
    sort: 'crosses',
    rank: ({ nextLimit }) => nextLimit?.crossesOn ?? '',
    describe: ({ nextLimit: next }) =>
      `${next?.name}, ${showShare(next?.share ?? null)}on ${next?.crossesOn}`,
  },
  silent: {
    tone: 'warn',
    says: (number) =>
      `${count(number, 'organization has', 'organizations have')} been silent for 3 days or more`,
    sort: 'silent',
    rank: ({ silentSince }) => silentSince ?? '',
    describe: ({ silentSince }) => `last payload on ${silentSince}`,
  },
  moved: {
    tone: 'warn',
    says: (number) =>
      `${count(number, 'organization')} changed by half or more against the same days of last month`,
    sort: 'change',
    rank: ({ compared }) => -Math.abs((compared?.now ?? 0) - (compared?.before ?? 0)),
    describe: (figures) => `${showDifference(Math.round((changeOf(figures) ?? 0) * 100))} %`,
  },
};

function showShare(share: number | null): string {
  return share === null ? '' : `${showNumber(Math.floor(share * 100))} %, `;
}

function describeOrganizationsOf(shown: ListedFilter, overview: Overview | null): AttentionLine | null {
  if (overview === null) return null;
  const { organizations, to } = overview;
  const { tone, says, sort, rank, describe } = LINES[shown];
  const found = organizations.filter((each) => each.removedAt === null && SHOWN[shown].has(each, to));
  if (found.length === 0) return null;
  const ranked = found
    .map((each) => ({ each, by: rank(each) }))
    .sort((a, b) => (a.by < b.by ? -1 : a.by > b.by ? 1 : 0));
  const examples = ranked
    .slice(0, EXAMPLES)
    .map(({ each }) => ({ orgId: each.orgId, text: `${each.name} (${describe(each, to)})` }));
  const address = addressOf('/organizations', { show: shown, sort });
  return { tone, text: says(found.length), address, examples };
}

export function renderAttention(lines: readonly AttentionLine[], isCounted: boolean): Html {
  const counting = isCounted
    ? ''
    : html`<p class="quiet">The organizations are being counted: limits, silence and changes follow in a moment.</p>`;
  if (lines.length === 0)
    return html`<h2>Attention</h2>${isCounted ? html`<p>Nothing needs you.</p>` : counting}`;
  return html`<h2>Attention</h2><ol class="attention">${lines.map(renderLine)}</ol>${counting}`;
}

function renderLine({ tone, text, address, more = '', examples = [] }: AttentionLine): Html {
  const named = examples.map(
    ({ orgId, text: example }, place) =>
      html`${place === 0 ? ': ' : '; '}<a class="calm" href="/organizations/${orgId}">${example}</a>`,
  );
  return html`<li class="on-${tone}"><a class="${tone}" href="${address}">${text}</a>${named}${more === '' ? '' : html` <span class="quiet">– ${more}</span>`}</li>\n`;
}
