/** The lines about what needs a person, the worst first, each with where to go. */
import { html } from 'hono/html';
import type { Health, StreamHealth } from '../queries/health.ts';
import { count } from '../terminal/words.ts';
import type { Activity, Counts, Example } from './counts.ts';
import { type Html, linkToOrganization, plain } from './page.ts';
import type { InstanceStatus } from './sources.ts';
import { showChange } from './table.ts';

interface Line {
  /** Whether it is to be shown. */
  readonly holds: boolean;
  readonly tone: 'bad' | 'warn';
  readonly text: string;
  readonly address: string;
  /** What to do. */
  readonly more?: string;
  readonly examples?: readonly Example[];
}

interface AttentionFacts {
  readonly health: Health;
  readonly statuses: readonly InstanceStatus[];
  /** Null before they were counted. */
  readonly counts: Counts | null;
}

export function renderAttention(facts: AttentionFacts): Html {
  const lines = listLines(facts).filter(({ holds }) => holds);
  const none =
    facts.counts === null ? '' : html`<ul class="attention"><li class="on-good">Nothing.</li></ul>`;
  const list = html`<ul class="attention">${lines.map(
    ({ tone, text, address, more = '', examples = [] }) =>
      html`<li class="on-${tone}"><a href="${address}">${plain(text)}</a>${more === '' ? '' : `; ${plain(more)}`}${
        examples.length === 0 ? '' : html`: ${examples.map(renderExample)}`
      }</li>\n`,
  )}</ul>`;
  return html`<h2>What needs a person</h2>${lines.length === 0 ? none : list}`;
}

function renderExample({ org_id: orgId, org_name: name, detail }: Example, place: number): Html {
  return html`${place === 0 ? '' : ', '}${linkToOrganization(orgId, name)}${detail == null ? '' : ` (${detail})`}`;
}

function listLines({ health, statuses, counts }: AttentionFacts): readonly Line[] {
  const { instances, notInSettings } = health;
  const streams = instances.flatMap((instance) => instance.streams);
  const sum = (value: (stream: StreamHealth) => number) =>
    streams.reduce((total, each) => total + value(each), 0);
  const differences = instances.reduce((total, each) => total + each.differences, 0);
  const changes = instances.reduce((total, each) => total + each.finalChanges30Days, 0);
  const [expiring, quarantined, failing] = [
    sum((each) => each.expiring),
    sum((each) => each.quarantined),
    sum((each) => each.failing),
  ];
  return [
    ...statuses.map(({ trouble }) => ({
      holds: trouble !== null,
      tone: 'bad' as const,
      text: trouble?.message ?? '',
      address: '/runs',
      more: trouble?.hint ?? '',
    })),
    ...instances.map(({ instanceId, name, listProblem }) => ({
      holds: listProblem !== null,
      tone: 'bad' as const,
      text: `Organizations of ${name ?? instanceId} may be missing: the list was not complete, ${listProblem ?? ''}`,
      address: '/runs',
      more: 'the next run asks for it again',
    })),
    describeGaps(
      'missing',
      sum((each) => each.cells.missing),
      counts,
    ),
    {
      holds: differences > 0,
      tone: 'bad',
      text: `${count(differences, 'settled number differs', 'settled numbers differ')} from totals or counterparts`,
      address: '/months',
      more: 'losant-usage reconcile shows each',
    },
    describeGaps(
      'in_doubt',
      sum((each) => each.cells.in_doubt),
      counts,
    ),
    ...describeOrganizations(counts?.organizations ?? []),
    {
      holds: expiring > 0,
      tone: 'bad',
      text: `${count(expiring, 'gap passes', 'gaps pass')} the horizon within 7 days and will be lost`,
      address: '/gaps?sort=usage_date',
    },
    {
      holds: quarantined > 0,
      tone: 'warn',
      text: `The newest answers about ${count(quarantined, 'number')} are in quarantine`,
      address: '/quarantine',
    },
    {
      holds: failing > 0,
      tone: 'warn',
      text: `Reads of ${count(failing, 'stored number')} keep failing`,
      address: '/runs',
    },
    {
      holds: changes > 0,
      tone: 'warn',
      text: `${count(changes, 'final number')} changed in the last 30 days`,
      address: '/changes?which=final',
    },
    ...notInSettings.map((id) => ({
      holds: true,
      tone: 'warn' as const,
      text: `Instance ${id} is in the database and not in the settings: nothing of it is read or shown`,
      address: '/runs',
      more: `if it is gone for good: losant-usage run --end ${id}`,
    })),
  ];
}

function describeGaps(standing: 'missing' | 'in_doubt', cells: number, counts: Counts | null): Line {
  const found = counts?.gaps.find((each) => each.standing === standing);
  const of = found === undefined ? '' : ` of ${count(found.orgs, 'organization')}`;
  return {
    holds: cells > 0,
    tone: 'bad',
    text: `${count(cells, 'number')}${of} ${cells === 1 ? 'is' : 'are'} ${standing.replace('_', ' ')}`,
    address: `/gaps?standing=${standing}`,
    examples: found?.examples ?? [],
  };
}

/** The filters of the list of organizations that need somebody. */
const NOTED = [
  {
    only: 'crossing',
    tone: 'bad',
    words: ['organization has passed a limit', 'organizations have passed a limit'],
    holds: ({ limit_share: share }: Activity) => share !== null && share > 1,
    detail: ({ limit_name: limit }: Activity) => limit,
  },
  {
    only: 'crossing',
    tone: 'warn',
    words: ['organization passes a limit this month', 'organizations pass a limit this month'],
    holds: ({ crosses_on: day }: Activity) => day !== null,
    detail: ({ crosses_on: day }: Activity) => day,
  },
  {
    only: 'silent',
    tone: 'warn',
    words: ['organization is silent since three days', 'organizations are silent since three days'],
    holds: ({ is_silent: isSilent }: Activity) => isSilent,
    detail: ({ last_active_on: day }: Activity) => day,
  },
  {
    only: 'moved',
    tone: 'warn',
    words: ['organization moved by half or more', 'organizations moved by half or more'],
    holds: ({ is_moved: isMoved, is_silent: isSilent }: Activity) => isMoved && !isSilent,
    detail: ({ change }: Activity) => showChange(change ?? 0),
  },
] as const;

/** Names of each kind those that usually use most. */
function describeOrganizations(organizations: readonly Activity[]): Line[] {
  return NOTED.map(({ only, tone, words: [one, more], holds, detail }) => {
    const found = organizations.filter(holds);
    const examples = found.slice(0, 3).map((each) => ({ ...each, detail: detail(each) }));
    return {
      holds: found.length > 0,
      tone,
      text: count(found.length, one, more),
      address: `/organizations?only=${only}`,
      examples,
    };
  });
}
