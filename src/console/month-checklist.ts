/** What stands between a month and its invoice, as a checklist. */
import { html } from 'hono/html';
import { count } from '../terminal/words.ts';
import { addressOf } from './lists.ts';
import type { MonthFacts } from './month-judge.ts';
import type { Html } from './page.ts';

export interface CheckStep {
  readonly name: string;
  readonly isDone: boolean;
  /** What is still to be done, with its count; what was done, if it is. */
  readonly text: string;
  /** Where it is shown; null where there is nothing more to see. */
  readonly address: string | null;
}

/** The steps, and the causes of `period_blockers` that keep each from being done. */
const STEPS = [
  {
    name: 'Stored',
    causes: ['missing', 'unavailable', 'not_fully_tracked', 'no_period', 'list_incomplete'],
    done: 'every number of every organization',
  },
  { name: 'Final', causes: ['not_final', 'in_doubt', 'not_over'], done: 'no number is expected to change' },
  {
    name: 'Agrees with Losant',
    causes: ['contradicted'],
    done: "no final number differs from Losant's own totals",
  },
  { name: 'Nothing by hand', causes: ['changed_by_hand'], done: 'no number was typed in' },
  { name: 'Billed once', causes: ['already_billed'], done: 'no day was billed with another month' },
] as const;

/** `checkMonth` returns the steps in the order in which they are done. Pure. */
export function checkMonth({ month, periods, blockers, statements, differing }: MonthFacts): CheckStep[] {
  const byOrganization = periods.map((period) => period.blockers.map(({ cause }) => cause));
  const ofInstances = blockers.map(({ cause }) => [cause]);
  const addresses = [
    addressOf(`/months/${month}`, { show: 'blocked' }),
    addressOf(`/months/${month}`, { show: 'blocked' }),
    addressOf('/totals', { month }),
    addressOf('/changes', { month, which: 'all', by: 'hand' }),
    addressOf(`/months/${month}`, { show: 'blocked' }),
  ];
  const steps = STEPS.map(({ name, causes, done }, place) => {
    const holds = (found: readonly string[]) =>
      found.some((cause) => (causes as readonly string[]).includes(cause));
    const [orgs, instances] = [byOrganization.filter(holds).length, ofInstances.filter(holds).length];
    const parts = [
      ...(orgs === 0 ? [] : [count(orgs, 'organization')]),
      ...(instances === 0 ? [] : [count(instances, 'instance')]),
    ];
    const isDone = parts.length === 0;
    return {
      name,
      isDone,
      text: isDone ? done : `not yet for ${parts.join(' and ')}`,
      address: isDone ? null : (addresses[place] ?? null),
    };
  });
  const instanceIds = new Set(periods.map(({ instanceId }) => instanceId));
  const closed = new Set(statements.map(({ instanceId }) => instanceId));
  const open = [...instanceIds].filter((instanceId) => !closed.has(instanceId)).length;
  const isDone = open === 0 && differing === 0;
  const left =
    open > 0 ? `not yet for ${count(open, 'instance')}` : `${count(differing, 'organization')} changed since`;
  const changes = addressOf('/changes', { month, which: 'closed' });
  return [
    ...steps,
    {
      name: 'Closed',
      isDone,
      text: isDone ? 'nothing changes it any more' : left,
      address: open === 0 && !isDone ? changes : null,
    },
  ];
}

/** `renderChecklist` renders the steps, each with its sign, its count and where to go. */
export function renderChecklist(steps: readonly CheckStep[]): Html {
  return html`<ol class="checks">${steps.map(
    ({ name, isDone, text, address }) =>
      html`<li><span class="${isDone ? 'good' : 'warn'}"><span aria-hidden="true">${isDone ? '✓' : '○'}</span> ${name}</span>: ${address === null ? text : html`<a href="${address}">${text}</a>`}</li>\n`,
  )}</ol>`;
}
