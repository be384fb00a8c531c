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
  const shown = lines.filter(([, , text]) => text !== '');
  const head = html`<h2>What needs a person</h2>`;
  if (shown.length === 0 && facts.counts !== null) {
    return html`${head}<ul class="attention"><li class="on-good">Nothing.</li></ul>`;
  }
  return html`${head}<ul class="attention">${shown.map(
    ([tone, address, text, more = '', examples = []]) =>
      html`<li class="on-${tone}"><a href="${address}">${plain(text)}</a>${
        more !== '' && `; ${plain(more)}`
      }${examples.length > 0 && ': '}${examples.map(renderExample)}</li>\n`,
  )}</ul>`;
}

function renderExample({ org_id: orgId, org_name: name, detail }: Example, place: number): Html {
  return html`${place > 0 && ', '}${linkToOrganization(orgId, name)}${detail !== null && ` (${detail})`}`;
}

/** Returns what is said of a number of things; nothing of none. */
function say(number: number, what: string, rest: string): string {
  return number === 0 ? '' : `${count(number, what)} ${rest}`;
}

function sum(health: Health, value: (stream: StreamHealth) => number): number {
  const streams = health.instances.flatMap((instance) => instance.streams);
  return streams.reduce((total, each) => total + value(each), 0);
}

function listTroubles({ health: { instances }, health, statuses, counts }: AttentionFacts): Line[] {
  const differences = instances.reduce((total, each) => total + each.differences, 0);
  const incomplete = instances.filter(({ listProblem }) => listProblem !== null);
  // During its first run an instance has yet to be read.
  const neverRead = instances.filter((each) => each.neverReadSince !== null && each.leaseSince === null);
  return [
    ...statuses.flatMap(({ trouble }): Line[] =>
      trouble === null ? [] : [['bad', '/runs', trouble.message, trouble.hint]],
    ),
    ...neverRead.map(({ instanceId, name, lastError }): Line => {
      const text = `Instance ${name ?? instanceId} was never read: ${lastError ?? 'no run has read anything yet'}`;
      return ['bad', '/runs', text, 'losant-usage check finds out what is wrong'];
    }),
    ...incomplete.map(({ instanceId, name, listProblem }): Line => {
      const text = `Organizations of ${name ?? instanceId} may be missing: the list was not complete, ${listProblem}`;
      return ['bad', '/runs', text, 'the next run asks for it again'];
    }),
    ...(['missing', 'in_doubt'] as const).map((standing): Line => {
      const cells = sum(health, (each) => each.cells[standing]);
      const [orgs, examples] = find(counts, (org) => org[`${standing}_on`]);
      // The organizations are counted later.
      const of = orgs === 0 ? '' : `of ${count(orgs, 'organization')} `;
      const words = `${of}${cells === 1 ? 'is' : 'are'} ${standing.replace('_', ' ')}`;
      return ['bad', `/gaps?standing=${standing}`, say(cells, 'number', words), '', examples];
    }),
    [
      'bad',
      '/months',
      say(differences, 'settled number', 'not equal to totals or counterparts'),
      'losant-usage reconcile shows each',
    ],
  ];
}

type DetailOf = (org: Activity) => string | null;

/** Returns how many organizations have the detail, and names of those that usually use most. */
function find(counts: Counts | null, detailOf: DetailOf): readonly [number, readonly Example[]] {
  const found = (counts?.organizations ?? []).filter((org) => detailOf(org) !== null);
  return [found.length, found.slice(0, 3).map((org) => ({ ...org, detail: detailOf(org) }))];
}

function listOrganizations(counts: Counts | null): Line[] {
  const line = (tone: Line[0], only: string, words: string, detailOf: DetailOf): Line => {
    const [orgs, examples] = find(counts, detailOf);
    return [tone, `/organizations?only=${only}`, say(orgs, 'organization', words), '', examples];
  };
  return [
    line('bad', 'crossing', 'above a limit', (org) => ((org.limit_share ?? 0) > 1 ? org.limit_name : null)),
    line('warn', 'crossing', 'will pass a limit this month', (org) => org.crosses_on),
    line('warn', 'silent', 'silent since three days', (org) => (org.is_silent ? org.last_active_on : null)),
    line('warn', 'moved', 'moved by half or more', (org) =>
      org.is_moved && !org.is_silent ? showChange(org.change ?? 0) : null,
    ),
  ];
}

function listOthers({ health }: Pick<AttentionFacts, 'health'>): Line[] {
  const expiring = sum(health, (each) => each.expiring);
  const failing = sum(health, (each) => each.failing);
  const changes = health.instances.reduce((total, each) => total + each.finalChanges30Days, 0);
  return [
    ['bad', '/gaps?sort=usage_date', say(expiring, 'gap', 'within 7 days of the horizon and then lost')],
    ['warn', '/runs', say(failing, 'stored number', 'whose reads keep failing')],
    ['warn', '/changes?which=final', say(changes, 'final number', 'changed in the last 30 days')],
    ...health.notInSettings.map((id): Line => {
      const text = `Instance ${id} is in the database and not in the settings: nothing of it is read or shown`;
      return ['warn', '/runs', text, `if it is gone for good: losant-usage run --end ${id}`];
    }),
  ];
}
