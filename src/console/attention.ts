/** The lines about what needs a person: at most ten, the worst first, each with where to go. */
import { html } from 'hono/html';
import type { OpenMonth } from '../billing/month.ts';
import type { Health, StreamHealth } from '../queries/health.ts';
import { CHANGES_SHOWN_DAYS } from '../queries/health.ts';
import type { OrganizationFigures, Overview } from '../queries/organizations.ts';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, dayAt, daysFrom, type UsageDay } from '../usage/day.ts';
import { addressOf } from './lists.ts';
import { showMonth } from './month-judge.ts';
import { changeOf, SHOWN, type Shown } from './organizations.ts';
import type { Html } from './page.ts';
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
  const { health, troubles, overview, openMonth } = facts;
  const sum = (pick: (instance: Health['instances'][number]) => number) =>
    health.instances.reduce((total, instance) => total + pick(instance), 0);
  const differences = sum(({ differences: each }) =>
    Object.values(each ?? {}).reduce((total, number) => total + number, 0),
  );
  const byHand = sum(({ changesByHand30Days }) => changesByHand30Days);
  const ofOrganizations = (shown: ListedFilter) =>
    overview === null ? [] : describeOrganizationsOf(shown, overview);
  const line = (tone: AttentionLine['tone'], text: string, address: string) => [{ tone, text, address }];
  return [
    ...describeTroubles(troubles),
    ...describeGaps(facts, 'missing'),
    ...(differences === 0
      ? []
      : line(
          'bad',
          `${count(differences, 'final number')} ${differences === 1 ? 'differs' : 'differ'} from Losant's own totals`,
          totalsAddress(health),
        )),
    ...describeGaps(facts, 'in_doubt'),
    ...ofOrganizations('over'),
    ...(byHand === 0
      ? []
      : line(
          'bad',
          `${count(byHand, 'number')} ${byHand === 1 ? 'was' : 'were'} changed by hand in the last ${CHANGES_SHOWN_DAYS} days`,
          addressOf('/changes', { which: 'all', by: 'hand', days: `${CHANGES_SHOWN_DAYS}` }),
        )),
    ...ofOrganizations('crossing'),
    ...ofOrganizations('silent'),
    ...ofOrganizations('moved'),
    ...(openMonth === null || openMonth.blocked > 0
      ? []
      : line('good', `${showMonth(openMonth.month)} is ready to close`, `/months/${openMonth.month}`)),
  ];
}

/** All instances with trouble share a line, so that the list keeps its length. */
function describeTroubles(troubles: readonly InstanceTrouble[]): AttentionLine[] {
  const [first, ...others] = troubles;
  if (first === undefined) return [];
  const { message } = first.trouble;
  const text = message.startsWith('Instance ')
    ? message
    : `Instance ${first.name ?? first.instanceId}: ${message}`;
  const more = others.length === 0 ? '' : `; ${count(others.length, 'more instance')} with trouble`;
  return [{ tone: 'bad', text: `${text}${more}`, address: '/runs', more: first.trouble.hint }];
}

function describeGaps(
  { health, horizonDays, nowMs }: AttentionFacts,
  standing: 'missing' | 'in_doubt',
): AttentionLine[] {
  const streams = health.instances.flatMap((instance) => instance.streams);
  const number = streams.reduce((sum, { cells }) => sum + cells[standing], 0);
  if (number === 0) return [];
  const word = standing === 'missing' ? 'missing' : 'in doubt';
  const having = streams.filter(({ cells }) => cells[standing] > 0);
  const oldest = having.flatMap(({ oldestGap }) => oldestGap ?? []).sort()[0];
  const names = [...new Set(having.map(({ stream }) => stream))].join(', ');
  return [
    {
      tone: 'bad',
      text: `${count(number, 'number')} ${number === 1 ? 'is' : 'are'} ${word} (${names})`,
      address: addressOf('/coverage', { only: standing, days: '90', to: oldestShown(oldest, nowMs) }),
      more: describeExpiry(having, { horizonDays, nowMs }),
    },
  ];
}

/** `oldestShown` returns the last day of the map in which the oldest gap is; empty if the newest map has it. */
function oldestShown(oldest: UsageDay | undefined, nowMs: number): string {
  return oldest === undefined || daysFrom(oldest, dayAt(nowMs)) <= 90 ? '' : addDays(oldest, 89);
}

function totalsAddress({ instances }: Health): string {
  const newest = instances
    .flatMap(({ differingMonths }) => differingMonths ?? [])
    .sort()
    .at(-1);
  return newest === undefined ? '/totals' : addressOf('/totals', { month: newest.slice(0, 7) });
}

/** `describeExpiry` describes when the oldest gap that can still be read passes the days that Losant keeps. */
function describeExpiry(
  streams: readonly StreamHealth[],
  { horizonDays, nowMs }: { readonly horizonDays: number; readonly nowMs: number },
): string {
  const horizon = addDays(dayAt(nowMs), -horizonDays);
  const oldest = streams.flatMap(({ oldestGap }) => oldestGap ?? []).sort()[0];
  if (oldest === undefined) return '';
  if (oldest < horizon)
    return `the oldest gap is of ${oldest}, which Losant no longer keeps: accept it with losant-usage waive`;
  return `the oldest gap is of ${oldest} and can be read for ${count(daysFrom(horizon, oldest) + 1, 'day')} more`;
}

/** The filters of the list of organizations that a line leads to. */
type ListedFilter = Exclude<Shown, 'missing' | 'in_doubt'>;

/** How the lines about organizations begin, which come first among their examples, and what is said of each. */
const LINES: Readonly<
  Record<
    ListedFilter,
    {
      readonly tone: AttentionLine['tone'];
      readonly says: (number: number) => string;
      readonly rank: (figures: OrganizationFigures) => number | string;
      readonly describe: (figures: OrganizationFigures, to: UsageDay) => string;
    }
  >
> = {
  over: {
    tone: 'bad',
    says: (number) => `${count(number, 'organization')} ${number === 1 ? 'is' : 'are'} over a limit`,
    rank: ({ limit }) => -(limit?.share ?? Number.POSITIVE_INFINITY),
    describe: ({ limit }) => `${limit?.name}, ${showShare(limit?.share ?? null)}since ${limit?.crossesOn}`,
  },
  crossing: {
    tone: 'warn',
    says: (number) => `${count(number, 'organization')} will pass a limit`,
    rank: ({ nextLimit }) => nextLimit?.crossesOn ?? '',
    describe: ({ nextLimit: next }) =>
      `${next?.name}, ${showShare(next?.share ?? null)}on ${next?.crossesOn}`,
  },
  silent: {
    tone: 'warn',
    says: (number) =>
      `${count(number, 'organization')} ${number === 1 ? 'has' : 'have'} been silent for 3 days or more`,
    rank: ({ silentSince }) => silentSince ?? '',
    describe: ({ silentSince }) => `last payload on ${silentSince}`,
  },
  moved: {
    tone: 'warn',
    says: (number) =>
      `${count(number, 'organization')} changed by half or more against the same days of last month`,
    rank: ({ compared }) => -Math.abs((compared?.now ?? 0) - (compared?.before ?? 0)),
    describe: (figures) => {
      const change = Math.round((changeOf(figures) ?? 0) * 100);
      return `${change > 0 ? '+' : ''}${showNumber(change)} %`;
    },
  },
};

function showShare(share: number | null): string {
  return share === null ? '' : `${showNumber(Math.floor(share * 100))} %, `;
}

function describeOrganizationsOf(shown: ListedFilter, { organizations, to }: Overview): AttentionLine[] {
  const { tone, says, rank, describe } = LINES[shown];
  const found = organizations.filter((each) => each.removedAt === null && SHOWN[shown].has(each, to));
  if (found.length === 0) return [];
  const ranked = found
    .map((each) => ({ each, by: rank(each) }))
    .sort((a, b) => (a.by < b.by ? -1 : a.by > b.by ? 1 : 0));
  const sort = { over: 'share', crossing: 'crosses', silent: 'silent', moved: 'change' }[shown];
  return [
    {
      ...{ tone, text: says(found.length), address: addressOf('/organizations', { show: shown, sort }) },
      examples: ranked
        .slice(0, EXAMPLES)
        .map(({ each }) => ({ orgId: each.orgId, text: `${each.name} (${describe(each, to)})` })),
    },
  ];
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
