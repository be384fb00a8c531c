/** The lines about what needs a person, the worst first, each with where to go. */
import { html } from 'hono/html';
import type { Health, StreamHealth } from '../queries/health.ts';
import { count } from '../terminal/words.ts';
import type { Activity, Counts, Example } from './counts.ts';
import { type Html, linkToOrganization, plain } from './page.ts';
import type { InstanceStatus } from './sources.ts';
import { showChange } from './table.ts';

interface AttentionFacts {
  readonly health: Health;
  readonly statuses: readonly InstanceStatus[];
  /** Null before they were counted. */
  readonly counts: Counts | null;
}

export function renderAttention(facts: AttentionFacts): Html {
  const lines = [...listTroubles(facts), ...listOrganizations(facts), ...listOthers(facts)];
  const shown = lines.filter(({ text }) => text !== false);
  const head = html`<h2>What needs a person</h2>`;
  if (shown.length === 0 && facts.counts !== null) {
    return html`${head}<ul class="attention"><li class="on-good">Nothing.</li></ul>`;
  }
  return html`${head}<ul class="attention">${shown.map(
    ({ tone, text, address, more, examples = [] }) =>
      html`<li class="on-${tone}"><a href="${address}">${plain(`${text}`)}</a>${
        more !== undefined && `; ${plain(more)}`
      }${examples.length > 0 && ': '}${examples.map(renderExample)}</li>\n`,
  )}</ul>`;
}

function renderExample({ org_id: orgId, org_name: name, detail }: Example, place: number): Html {
  return html`${place > 0 && ', '}${linkToOrganization(orgId, name)}${detail != null && ` (${detail})`}`;
}

interface Line {
  readonly tone: 'bad' | 'warn';
  readonly address: string;
  /** False where there is nothing to say. */
  readonly text: string | false;
  /** What to do. */
  readonly more?: string | undefined;
  readonly examples?: readonly Example[] | undefined;
}

function bad(address: string, text: Line['text'], rest: Pick<Line, 'more' | 'examples'> = {}): Line {
  return { tone: 'bad', address, text, ...rest };
}

function warn(address: string, text: Line['text'], rest: Pick<Line, 'more' | 'examples'> = {}): Line {
  return { tone: 'warn', address, text, ...rest };
}

function sum(health: Health, value: (stream: StreamHealth) => number): number {
  const streams = health.instances.flatMap((instance) => instance.streams);
  return streams.reduce((total, each) => total + value(each), 0);
}

function listTroubles({ health, statuses, counts }: AttentionFacts): Line[] {
  const differences = health.instances.reduce((total, each) => total + each.differences, 0);
  const gaps = (['missing', 'in_doubt'] as const).map((standing) => {
    const cells = sum(health, (each) => each.cells[standing]);
    const found = counts?.gaps.find((each) => each.standing === standing);
    const of = found === undefined ? '' : ` of ${count(found.orgs, 'organization')}`;
    const text = `${count(cells, 'number')}${of} ${cells === 1 ? 'is' : 'are'} ${standing.replace('_', ' ')}`;
    return bad(`/gaps?standing=${standing}`, cells > 0 && text, { examples: found?.examples });
  });
  return [
    ...statuses.map(({ trouble }) =>
      bad('/runs', trouble !== null && trouble.message, { more: trouble?.hint }),
    ),
    ...health.instances.map(({ instanceId, name, listProblem }) =>
      bad(
        '/runs',
        listProblem !== null &&
          `Organizations of ${name ?? instanceId} may be missing: the list was not complete, ${listProblem}`,
        { more: 'the next run asks for it again' },
      ),
    ),
    ...gaps,
    bad(
      '/months',
      differences > 0 &&
        `${count(differences, 'settled number differs', 'settled numbers differ')} from totals or counterparts`,
      { more: 'losant-usage reconcile shows each' },
    ),
  ];
}

/** Names of each kind those organizations that usually use most. */
function listOrganizations({ counts }: Pick<AttentionFacts, 'counts'>): Line[] {
  const note = (holds: (org: Activity) => boolean, detail: (org: Activity) => string | null) => {
    const found = counts?.organizations.filter(holds) ?? [];
    const examples = found.slice(0, 3).map((each) => ({ ...each, detail: detail(each) }));
    const say = (words: string) => found.length > 0 && `${count(found.length, 'organization')} ${words}`;
    return { say, examples };
  };
  const over = note(
    ({ limit_share: share }) => share !== null && share > 1,
    ({ limit_name: limit }) => limit,
  );
  const crossing = note(
    ({ crosses_on: day }) => day !== null,
    ({ crosses_on: day }) => day,
  );
  const silent = note(
    ({ is_silent: isSilent }) => isSilent,
    ({ last_active_on: day }) => day,
  );
  const moved = note(
    ({ is_moved: isMoved, is_silent: isSilent }) => isMoved && !isSilent,
    ({ change }) => showChange(change ?? 0),
  );
  return [
    bad('/organizations?only=crossing', over.say('above a limit'), over),
    warn('/organizations?only=crossing', crossing.say('will pass a limit this month'), crossing),
    warn('/organizations?only=silent', silent.say('silent since three days'), silent),
    warn('/organizations?only=moved', moved.say('moved by half or more'), moved),
  ];
}

function listOthers({ health }: Pick<AttentionFacts, 'health'>): Line[] {
  const expiring = sum(health, (each) => each.expiring);
  const quarantined = sum(health, (each) => each.quarantined);
  const failing = sum(health, (each) => each.failing);
  const changes = health.instances.reduce((total, each) => total + each.finalChanges30Days, 0);
  return [
    bad(
      '/gaps?sort=usage_date',
      expiring > 0 &&
        `${count(expiring, 'gap passes', 'gaps pass')} the horizon within 7 days and will be lost`,
    ),
    warn(
      '/quarantine',
      quarantined > 0 && `The newest answers about ${count(quarantined, 'number')} are in quarantine`,
    ),
    warn('/runs', failing > 0 && `Reads of ${count(failing, 'stored number')} keep failing`),
    warn(
      '/changes?which=final',
      changes > 0 && `${count(changes, 'final number')} changed in the last 30 days`,
    ),
    ...health.notInSettings.map((id) =>
      warn(
        '/runs',
        `Instance ${id} is in the database and not in the settings: nothing of it is read or shown`,
        {
          more: `if it is gone for good: losant-usage run --end ${id}`,
        },
      ),
    ),
  ];
}
