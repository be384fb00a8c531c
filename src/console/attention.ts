/** The section "Needs attention" of the home page: one line per issue, each with a link. */
import { html } from 'hono/html';
import type { Health, StreamHealth } from '../queries/health.ts';
import { count } from '../terminal/words.ts';
import { STANDINGS } from '../usage/standing.ts';
import type { Activity, Counts } from './counts.ts';
import { type Html, linkToOrganization, toPlainText } from './page.ts';
import type { InstanceStatus } from './sources.ts';
import { showChange } from './table.ts';

interface AttentionFacts {
  readonly health: Health;
  readonly statuses: readonly InstanceStatus[];
  /** Null until they have been counted. */
  readonly counts: Counts | null;
}

/** A message with its link, advice and example organizations. A line without text is not shown. */
type Line = readonly [
  tone: 'bad' | 'warn',
  address: string,
  text: string,
  advice?: string,
  examples?: readonly Example[],
];

/** An organization, and the day, change or limit that the message is about. */
type Example = Pick<Activity, 'org_id' | 'org_name'> & { readonly detail: string | null };

export function renderAttention(facts: AttentionFacts): Html {
  const lines = [...listProblems(facts), ...listOrganizationLines(facts.counts), ...listOtherLines(facts)];
  const visibleLines = lines.filter(([, , text]) => text !== '');
  const head = html`<h2>Needs attention</h2>`;
  if (visibleLines.length === 0 && facts.counts !== null) {
    return html`${head}<ul class="attention"><li class="on-good">Nothing needs attention.</li></ul>`;
  }
  return html`${head}<ul class="attention">${visibleLines.map(
    ([tone, address, text, advice = '', examples = []]) =>
      html`<li class="on-${tone}"><a href="${address}">${toPlainText(text)}</a>${
        advice !== '' && `; ${toPlainText(advice)}`
      }${examples.length > 0 && ': '}${examples.map(renderExample)}</li>\n`,
  )}</ul>`;
}

function renderExample({ org_id: orgId, org_name: name, detail }: Example, index: number): Html {
  return html`${index > 0 && ', '}${linkToOrganization(orgId, name)}${detail !== null && ` (${detail})`}`;
}

/** Formats a count with its noun and the rest of the sentence; '' for 0. */
function countPhrase(number: number, noun: string, predicate: string): string {
  return number === 0 ? '' : `${count(number, noun)} ${predicate}`;
}

function sumStreams(health: Health, value: (stream: StreamHealth) => number): number {
  const streams = health.instances.flatMap((instance) => instance.streams);
  return streams.reduce((total, each) => total + value(each), 0);
}

function listProblems({ health: { instances }, health, statuses, counts }: AttentionFacts): Line[] {
  const differences = instances.reduce((total, each) => total + each.differences, 0);
  const incompleteInstances = instances.filter(({ listProblem }) => listProblem !== null);
  // During its first run an instance is being read.
  const unreadInstances = instances.filter(
    (each) => each.neverReadSince !== null && each.leaseAcquiredAt === null,
  );
  return [
    ...statuses.flatMap(({ problem }): Line[] =>
      problem === null ? [] : [['bad', '/runs', problem.message, problem.hint]],
    ),
    ...unreadInstances.map(({ instanceId, name, lastError }): Line => {
      const text = `Instance ${name ?? instanceId} was never read: ${lastError ?? 'no run has read anything yet'}`;
      return ['bad', '/runs', text, 'losant-usage check shows what is wrong'];
    }),
    ...incompleteInstances.map(({ instanceId, name, listProblem }): Line => {
      const reason = `the last list was incomplete (${listProblem})`;
      const text = `Organizations of ${name ?? instanceId} may be missing: ${reason}`;
      return ['bad', '/runs', text, 'the next run reads the list again'];
    }),
    ...(['missing', 'in_doubt'] as const).map((standing): Line => {
      const cells = sumStreams(health, (each) => each.cells[standing]);
      const [orgs, examples] = findOrganizations(counts, (org) => org[`${standing}_on`]);
      // Cells may already be known while organizations are still being counted.
      const scope = orgs === 0 ? '' : `of ${count(orgs, 'organization')} `;
      const predicate = `${scope}${cells === 1 ? 'is' : 'are'} ${STANDINGS[standing].label}`;
      return ['bad', `/gaps?standing=${standing}`, countPhrase(cells, 'cell', predicate), '', examples];
    }),
    [
      'bad',
      '/months',
      countPhrase(
        differences,
        'settled sum',
        `${differences === 1 ? 'differs' : 'differ'} from a control total or counterpart`,
      ),
      'see losant-usage reconcile',
    ],
  ];
}

type DetailOf = (org: Activity) => string | null;

/** Returns how many organizations have the detail, and the three of them with the most payloads as examples. */
function findOrganizations(counts: Counts | null, detailOf: DetailOf): readonly [number, readonly Example[]] {
  const matches = (counts?.organizations ?? []).filter((org) => detailOf(org) !== null);
  return [matches.length, matches.slice(0, 3).map((org) => ({ ...org, detail: detailOf(org) }))];
}

function listOrganizationLines(counts: Counts | null): Line[] {
  const toLine = (tone: Line[0], only: string, predicate: string, detailOf: DetailOf): Line => {
    const [orgs, examples] = findOrganizations(counts, detailOf);
    return [tone, `/organizations?only=${only}`, countPhrase(orgs, 'organization', predicate), '', examples];
  };
  return [
    toLine('bad', 'exceeding', 'above a limit', (org) =>
      (org.limit_share ?? 0) > 1 ? org.limit_name : null,
    ),
    toLine('warn', 'exceeding', 'on track to exceed a limit this month', (org) => org.exceeds_on),
    toLine('warn', 'silent', 'silent for three days', (org) => (org.is_silent ? org.last_active_on : null)),
    toLine('warn', 'changed', 'changed by half or more in 7 days', (org) =>
      org.has_large_change && !org.is_silent ? showChange(org.change_ratio ?? 0) : null,
    ),
  ];
}

function listOtherLines({ health }: Pick<AttentionFacts, 'health'>): Line[] {
  const expiringGaps = sumStreams(health, (each) => each.expiring);
  const failingCells = sumStreams(health, (each) => each.failing);
  const restatements = health.instances.reduce((total, each) => total + each.finalRestatements30Days, 0);
  return [
    [
      'bad',
      '/gaps?sort=usage_date',
      countPhrase(expiringGaps, 'gap', `${expiringGaps === 1 ? 'expires' : 'expire'} within 7 days`),
    ],
    ['warn', '/runs', countPhrase(failingCells, 'stored cell', 'whose reads keep failing')],
    ['warn', '/changes?which=final', countPhrase(restatements, 'final cell', 'restated in the last 30 days')],
    ...health.unconfiguredInstances.map((id): Line => {
      const text = `Instance ${id} is in the database but not in the settings, so it is neither read nor shown`;
      return ['warn', '/runs', text, `if it is no longer used: losant-usage retire --instance ${id}`];
    }),
  ];
}
