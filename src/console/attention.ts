/** The lines about what needs a person, the worst first, each with where to go. */
import { html } from 'hono/html';
import type { Health, StreamHealth } from '../queries/health.ts';
import { count } from '../terminal/words.ts';
import type { Activity, Counts } from './counts.ts';
import { type Html, linkToOrganization, plain } from './page.ts';
import type { InstanceStatus } from './sources.ts';
import { showChange } from './table.ts';

interface AttentionFacts {
  readonly health: Health;
  readonly statuses: readonly InstanceStatus[];
  /** Null before they were counted. */
  readonly counts: Counts | null;
}

/** A message (none if it is empty), with what to do, and organizations of which it holds. */
type Line = readonly [
  tone: 'bad' | 'warn',
  address: string,
  text: string,
  more?: string,
  examples?: readonly Example[],
];

/** An organization, and a day, a change or a limit that says more. */
type Example = Pick<Activity, 'org_id' | 'org_name'> & { readonly detail: string | null };

export function renderAttention(facts: AttentionFacts): Html {
  const lines = [...listTroubles(facts), ...listOrganizations(facts.counts), ...listOthers(facts)];
  const visibleLines = lines.filter(([, , text]) => text !== '');
  const head = html`<h2>Needs attention</h2>`;
  if (visibleLines.length === 0 && facts.counts !== null) {
    return html`${head}<ul class="attention"><li class="on-good">Nothing needs attention.</li></ul>`;
  }
  return html`${head}<ul class="attention">${visibleLines.map(
    ([tone, address, text, more = '', examples = []]) =>
      html`<li class="on-${tone}"><a href="${address}">${plain(text)}</a>${
        more !== '' && `; ${plain(more)}`
      }${examples.length > 0 && ': '}${examples.map(renderExample)}</li>\n`,
  )}</ul>`;
}

function renderExample({ org_id: orgId, org_name: name, detail }: Example, index: number): Html {
  return html`${index > 0 && ', '}${linkToOrganization(orgId, name)}${detail !== null && ` (${detail})`}`;
}

/** Formats a count with its noun and the rest of the sentence; '' for 0. */
function countPhrase(number: number, what: string, rest: string): string {
  return number === 0 ? '' : `${count(number, what)} ${rest}`;
}

function sum(health: Health, value: (stream: StreamHealth) => number): number {
  const streams = health.instances.flatMap((instance) => instance.streams);
  return streams.reduce((total, each) => total + value(each), 0);
}

function listTroubles({ health: { instances }, health, statuses, counts }: AttentionFacts): Line[] {
  const differences = instances.reduce((total, each) => total + each.differences, 0);
  const incomplete = instances.filter(({ listProblem }) => listProblem !== null);
  return [
    ...statuses.flatMap(({ problem }): Line[] =>
      problem === null ? [] : [['bad', '/runs', problem.message, problem.hint]],
    ),
    ...incomplete.map(({ instanceId, name, listProblem }): Line => {
      const text = `Organizations of ${name ?? instanceId} may be missing: the last list was incomplete (${listProblem})`;
      return ['bad', '/runs', text, 'the next run reads the list again'];
    }),
    ...(['missing', 'in_doubt'] as const).map((standing): Line => {
      const cells = sum(health, (each) => each.cells[standing]);
      const [orgs, examples] = findOrganizations(counts, (org) => org[`${standing}_on`]);
      // The organizations are counted later.
      const of = orgs === 0 ? '' : `of ${count(orgs, 'organization')} `;
      const words = `${of}${cells === 1 ? 'is' : 'are'} ${standing.replace('_', ' ')}`;
      return ['bad', `/gaps?standing=${standing}`, countPhrase(cells, 'cell', words), '', examples];
    }),
    [
      'bad',
      '/months',
      countPhrase(differences, 'settled sum', 'that differ from control totals or counterparts'),
      'see losant-usage reconcile',
    ],
  ];
}

type DetailOf = (org: Activity) => string | null;

/** Returns how many organizations have the detail, and names of those that usually use most. */
function findOrganizations(counts: Counts | null, detailOf: DetailOf): readonly [number, readonly Example[]] {
  const matches = (counts?.organizations ?? []).filter((org) => detailOf(org) !== null);
  return [matches.length, matches.slice(0, 3).map((org) => ({ ...org, detail: detailOf(org) }))];
}

function listOrganizations(counts: Counts | null): Line[] {
  const line = (tone: Line[0], only: string, words: string, detailOf: DetailOf): Line => {
    const [orgs, examples] = findOrganizations(counts, detailOf);
    return [tone, `/organizations?only=${only}`, countPhrase(orgs, 'organization', words), '', examples];
  };
  return [
    line('bad', 'crossing', 'above a limit', (org) => ((org.limit_share ?? 0) > 1 ? org.limit_name : null)),
    line('warn', 'crossing', 'on track to exceed a limit this month', (org) => org.exceeds_on),
    line('warn', 'silent', 'silent for three days', (org) => (org.is_silent ? org.last_active_on : null)),
    line('warn', 'moved', 'changed by half or more in 7 days', (org) =>
      org.has_large_change && !org.is_silent ? showChange(org.change_ratio ?? 0) : null,
    ),
  ];
}

function listOthers({ health }: Pick<AttentionFacts, 'health'>): Line[] {
  const expiring = sum(health, (each) => each.expiring);
  const failing = sum(health, (each) => each.failing);
  const restatements = health.instances.reduce((total, each) => total + each.finalRestatements30Days, 0);
  return [
    ['bad', '/gaps?sort=usage_date', countPhrase(expiring, 'gap', 'that expire within 7 days')],
    ['warn', '/runs', countPhrase(failing, 'stored cell', 'whose reads keep failing')],
    ['warn', '/changes?which=final', countPhrase(restatements, 'final cell', 'restated in the last 30 days')],
    ...health.unconfiguredInstances.map((id): Line => {
      const text = `Instance ${id} is in the database but not in the settings, so it is neither read nor shown`;
      return ['warn', '/runs', text, `if it is no longer used: losant-usage retire --instance ${id}`];
    }),
  ];
}
