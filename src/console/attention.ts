/** The inbox of the home page: what needs a person. */
import { html } from 'hono/html';
import {
  ATTENTION_KINDS,
  type AttentionGroup,
  addressOfKind,
  addressOfSubject,
  type InstanceAttention,
  splitText,
} from '../queries/attention.ts';
import type { Health } from '../queries/health.ts';
import { count, showDistance, showNumber } from '../terminal/words.ts';
import { type Html, toPlainText } from './page.ts';
import type { InstanceStatus } from './sources.ts';

interface Line {
  readonly tone: string;
  readonly label: string;
  /** Who or what it is about, each in a line of its own. */
  readonly subjects: readonly Html[];
  readonly items: number;
  readonly path: string;
  readonly act: string;
}

/** Renders the items of each instance, after what only this process knows. */
export function renderAttention(health: Health, statuses: readonly InstanceStatus[], nowMs: number): Html {
  const hasMany = health.instances.length > 1;
  const problems = statuses.flatMap(({ problem }) =>
    problem === null ? [] : [toProblem('bad', 'Run failed', problem.message, problem.hint)],
  );
  const unconfigured = health.unconfiguredInstances.map((id) =>
    toProblem(
      'warn',
      'Instance not in the settings',
      id,
      `neither read nor shown; if it is no longer used: losant-usage retire --instance ${id}`,
    ),
  );
  const groups = health.instances.flatMap(({ attention, name, instanceId }) =>
    attention.groups.map((group) => ({ group, instance: hasMany ? { instanceId, name } : null })),
  );
  const kinds = Object.keys(ATTENTION_KINDS);
  const lines = [
    ...problems,
    ...groups
      .toSorted((a, b) => kinds.indexOf(a.group.kind) - kinds.indexOf(b.group.kind))
      .map(({ group, instance }) => toLine(group, instance)),
    ...unconfigured,
  ];
  const isKnown =
    health.instances.length > 0 && health.instances.every(({ attention }) => attention.attentionAt !== null);
  const calmLine = isKnown
    ? html`<li class="calm good">Nothing needs attention.</li>`
    : html`<li class="calm">Not known yet: no run has ended.</li>`;
  return html`<h2>Needs attention <small class="quiet">${describeAge(health, nowMs)}</small></h2>
<ul class="inbox">${lines.length === 0 ? calmLine : lines.map(renderLine)}</ul>`;
}

/** Says how old the items of each instance are. */
function describeAge({ instances }: Health, nowMs: number): string {
  const ages = instances.map(({ instanceId, name, attention: { attentionAt } }) => {
    const age = attentionAt === null ? 'not known yet' : showDistance(Date.parse(attentionAt) - nowMs);
    return instances.length > 1 ? `${name ?? instanceId}: ${age}` : age;
  });
  return toPlainText(ages.join(' · '));
}

function toProblem(tone: Line['tone'], label: string, name: string, detail: string): Line {
  return { tone, label, subjects: [renderSubject({ name, detail })], items: 1, path: '/runs', act: 'Open' };
}

function toLine(group: AttentionGroup, instance: Pick<InstanceAttention, 'instanceId' | 'name'> | null): Line {
  const { kind, items, subjects, texts, areNew } = group;
  const { tone, label, act = 'Open' } = ATTENTION_KINDS[kind];
  const firstSubjects = texts.map((text, index) => {
    const [name, detail] = splitText(kind, text);
    const address = addressOfSubject(kind, subjects[index] ?? '');
    return renderSubject({
      name,
      detail,
      address,
      isNew: areNew[index] === true && kind !== 'new',
      instanceName: instance && (instance.name ?? instance.instanceId),
    });
  });
  const others = items - texts.length;
  const more = others > 0 ? [html`<span class="quiet">and ${count(others, 'more', 'more')}</span>`] : [];
  const path = items === 1 ? addressOfSubject(kind, subjects[0] ?? '') : addressOfKind(kind, instance?.instanceId);
  return { tone, label, subjects: [...firstSubjects, ...more], items, path, act };
}

interface Subject {
  readonly name: string;
  readonly detail: string;
  readonly address?: string;
  readonly isNew?: boolean;
  readonly instanceName?: string | null;
}

function renderSubject({ name, detail, address, isNew = false, instanceName = null }: Subject): Html {
  const text = toPlainText(name);
  return html`${address === undefined ? text : html`<a href="${address}">${text}</a>`}${
    isNew && html` <span class="pill link">new</span>`
  } <span class="quiet">${toPlainText([detail, instanceName ?? ''].filter((part) => part !== '').join(' · '))}</span>`;
}

function renderLine({ tone, label, subjects, items, path, act }: Line): Html {
  const text = items > 1 ? `${act} ${showNumber(items)}` : act;
  return html`<li class="${tone}"><b>${label}</b><ul>${subjects.map((subject) => html`<li>${subject}</li>`)}</ul>
<a class="go" href="${path}" aria-label="${text}: ${label}">${text}</a></li>\n`;
}
