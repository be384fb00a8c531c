/** The lines about what needs a person, the worst first, each with where to go. */
import { html } from 'hono/html';
import type { Health } from '../queries/health.ts';
import { count, showNumber } from '../terminal/words.ts';
import type { Example, GapExamples, Noted } from './home-facts.ts';
import { type Html, linkToOrganization, plain } from './page.ts';
import type { InstanceStatus } from './sources.ts';

/** A line of the list. */
export interface AttentionLine {
  readonly tone: 'bad' | 'warn';
  readonly text: string;
  readonly address: string;
  /** Details of it, or what to do. */
  readonly more?: string;
  readonly examples?: readonly Example[];
}

export interface AttentionFacts {
  readonly health: Health;
  readonly statuses: readonly InstanceStatus[];
  /** Null before they were counted. */
  readonly gaps: readonly GapExamples[] | null;
  readonly noted: readonly Noted[] | null;
}

/** Returns the lines, the worst first; none if nothing needs anybody. */
export function listAttention({ health, statuses, gaps, noted }: AttentionFacts): AttentionLine[] {
  const lines = [
    ...statuses.map(describeTrouble),
    ...health.instances.map(describeInstance),
    describeGaps('missing', health, gaps),
    describeDifferences(health),
    describeGaps('in_doubt', health, gaps),
    describeNoted('over', noted),
    describeNoted('crossing', noted),
    describeExpiring(health),
    describeFailing(health),
    describeNoted('silent', noted),
    describeNoted('moved', noted),
    describeFinalChanges(health),
    ...health.notInSettings.map(describeOther),
  ];
  return lines.filter((line) => line !== null);
}

function describeTrouble({ trouble }: InstanceStatus): AttentionLine | null {
  if (trouble === null) return null;
  return { tone: 'bad', text: trouble.message, address: '/runs', more: trouble.hint };
}

function describeInstance({
  instanceId,
  name,
  listProblem,
}: Health['instances'][number]): AttentionLine | null {
  if (listProblem === null) return null;
  const text = `Organizations of ${name ?? instanceId} may be missing: the list was not complete, ${listProblem}`;
  return { tone: 'bad', text, address: '/runs', more: 'the next run asks for it again' };
}

function describeGaps(
  standing: GapExamples['standing'],
  { instances }: Health,
  gaps: readonly GapExamples[] | null,
): AttentionLine | null {
  const cells = instances
    .flatMap(({ streams }) => streams)
    .reduce((sum, { cells: each }) => sum + each[standing], 0);
  if (cells === 0) return null;
  const found = gaps?.find((each) => each.standing === standing);
  const words = standing === 'missing' ? 'missing' : 'in doubt';
  const of = found === undefined ? '' : ` of ${count(found.orgs, 'organization')}`;
  return {
    tone: 'bad',
    text: `${count(cells, 'number')}${of} ${cells === 1 ? 'is' : 'are'} ${words}`,
    address: `/gaps?standing=${standing}`,
    examples: found?.examples ?? [],
  };
}

function describeDifferences({ instances }: Health): AttentionLine | null {
  const differences = instances.reduce((sum, each) => sum + each.differences, 0);
  if (differences === 0) return null;
  return {
    tone: 'bad',
    text: `${count(differences, 'settled number differs', 'settled numbers differ')} from totals or counterparts`,
    address: '/months?state=blocked',
    more: 'losant-usage reconcile shows each',
  };
}

const NOTED: Readonly<
  Record<
    Exclude<Noted['kind'], 'new' | 'left'>,
    readonly [tone: AttentionLine['tone'], one: string, more: string, only: string]
  >
> = {
  over: ['bad', 'organization has passed a limit', 'organizations have passed a limit', 'crossing'],
  crossing: [
    'warn',
    'organization passes a limit this month',
    'organizations pass a limit this month',
    'crossing',
  ],
  silent: [
    'warn',
    'organization is silent since three days',
    'organizations are silent since three days',
    'silent',
  ],
  moved: [
    'warn',
    'organization moved: its last 7 days beside the 4 weeks before',
    'organizations moved: their last 7 days beside the 4 weeks before',
    'moved',
  ],
};

function describeNoted(kind: keyof typeof NOTED, noted: readonly Noted[] | null): AttentionLine | null {
  const found = noted?.find((each) => each.kind === kind);
  if (found === undefined) return null;
  const [tone, one, more, only] = NOTED[kind];
  return {
    tone,
    text: count(found.orgs, one, more),
    address: `/organizations?only=${only}`,
    examples: found.examples,
  };
}

function describeExpiring({ instances }: Health): AttentionLine | null {
  const expiring = instances.flatMap(({ streams }) => streams).reduce((sum, each) => sum + each.expiring, 0);
  if (expiring === 0) return null;
  const text = `${count(expiring, 'gap passes', 'gaps pass')} the horizon within 7 days and will be lost`;
  return { tone: 'bad', text, address: '/gaps?sort=usage_date' };
}

function describeFailing({ instances }: Health): AttentionLine | null {
  const streams = instances.flatMap(({ streams: each }) => each);
  const [failing, quarantined] = [
    streams.reduce((sum, each) => sum + each.failing, 0),
    streams.reduce((sum, each) => sum + each.quarantined, 0),
  ];
  if (quarantined > 0) {
    return {
      tone: 'warn',
      text: `The newest answers about ${count(quarantined, 'number')} are in quarantine`,
      address: '/quarantine',
    };
  }
  if (failing === 0) return null;
  return { tone: 'warn', text: `Reads of ${count(failing, 'stored number')} keep failing`, address: '/runs' };
}

function describeFinalChanges({ instances }: Health): AttentionLine | null {
  const changes = instances.reduce((sum, each) => sum + each.finalChanges30Days, 0);
  if (changes === 0) return null;
  return {
    tone: 'warn',
    text: `${count(changes, 'final number')} changed in the last 30 days`,
    address: '/changes?which=final',
  };
}

function describeOther(instanceId: string): AttentionLine {
  const text = `Instance ${instanceId} is in the database and not in the settings: nothing of it is read or shown`;
  return {
    tone: 'warn',
    text,
    address: '/runs',
    more: `if it is gone for good: losant-usage run --end ${instanceId}`,
  };
}

/** Renders the lines; with `isCounted` false more may follow. */
export function renderAttention(lines: readonly AttentionLine[], isCounted: boolean): Html {
  const head = html`<h2>What needs a person</h2>`;
  const rest = isCounted ? '' : html`<p class="quiet">Organizations are still being counted.</p>`;
  if (lines.length === 0) {
    return html`${head}${isCounted ? html`<ul class="attention"><li class="on-good">Nothing.</li></ul>` : rest}`;
  }
  return html`${head}<ul class="attention">${lines.map(
    ({ tone, text, address, more, examples = [] }) =>
      html`<li class="on-${tone}"><a href="${address}">${plain(text)}</a>${
        more === undefined
          ? ''
          : html`;
        ${plain(more)}`
      }${renderExamples(examples)}</li>\n`,
  )}</ul>${rest}`;
}

/** Names organizations, each with a day or a change. */
export function renderExamples(examples: readonly Example[]): Html | string {
  if (examples.length === 0) return '';
  return html`: ${examples.map(
    ({ orgId, name, detail }, place) =>
      html`${
        place === 0 ? '' : ', '
      }${linkToOrganization(orgId, name)}${detail === null ? '' : ` (${showDetail(detail)})`}`,
  )}`;
}

function showDetail(detail: string): string {
  return /^[+-]\s*\d/.test(detail) ? detail.replace(/\s+(?=\d)/, '') : detail;
}

/** Counts organizations: `301 organizations and 1 deleted`. */
export function describeOrganizations(existing: number, deleted: number): string {
  return `${count(existing, 'organization')}${deleted === 0 ? '' : ` and ${showNumber(deleted)} deleted`}`;
}
