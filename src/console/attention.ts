/** What needs attention: the inbox of the home page, and the list of everything in it. */
import { html } from 'hono/html';
import { sql } from 'kysely';
import type { AttentionKind } from '../database/schema.ts';
import {
  ATTENTION_KINDS,
  type AttentionGroup,
  addressOfKind,
  addressOfSubject,
  type KindInfo,
  labelInstances,
  splitText,
} from '../queries/attention.ts';
import type { Health } from '../queries/health.ts';
import { count, showDistance, showNumber } from '../terminal/words.ts';
import { type Html, renderPill, showName } from './elements.ts';
import { filterByInstance } from './filters.ts';
import { type InstanceStatus, selectInstanceName } from './sources.ts';
import { createTablePage } from './table.ts';

/** Renders the items of each instance, after what only this process knows. */
export function renderAttention(health: Health, statuses: readonly InstanceStatus[], nowMs: number): Html {
  const { instances, untriedInstances, unconfiguredInstances } = health;
  const labels = labelInstances(instances);
  const problems = statuses.flatMap(({ instanceId, problem }) => {
    if (problem === null) return [];
    const remarks = [problem.hint, ...(statuses.length > 1 ? [labels.get(instanceId) ?? instanceId] : [])];
    return [renderProblem('bad', 'Run failed', problem.message, remarks.join(' · '))];
  });
  const untried = untriedInstances.map((id) => renderProblem('bad', 'Never read', id, 'no run has tried to read it'));
  const unconfigured = unconfiguredInstances.map((id) => {
    const advice = `neither read nor shown; if it is no longer used: losant-usage retire --instance ${id}`;
    return renderProblem('warn', 'Instance not in the settings', id, advice);
  });
  const kinds = Object.keys(ATTENTION_KINDS);
  const groups = instances
    .flatMap((instance) => instance.attention.groups.map((group) => ({ group, instance })))
    .toSorted((a, b) => kinds.indexOf(a.group.kind) - kinds.indexOf(b.group.kind))
    .map(({ group, instance: { instanceId } }) =>
      renderGroup(group, instances.length > 1 ? { instanceId, label: labels.get(instanceId) ?? '' } : null),
    );
  const lines = [...problems, ...untried, ...groups, ...unconfigured];
  const isKnown = instances.length > 0 && instances.every(({ attention }) => attention.attentionAt !== null);
  const calmLine = isKnown
    ? html`<li class="calm good">Nothing needs attention.</li>`
    : html`<li class="calm">Not known yet: nothing has been read.</li>`;
  return html`<h2>Needs attention <small class="quiet">${describeAge(health, nowMs)}</small></h2>
<ul class="inbox">${lines.length === 0 ? calmLine : lines}</ul>`;
}

function describeAge({ instances }: Health, nowMs: number): string {
  const labels = labelInstances(instances);
  const ages = instances.map(({ instanceId, attention: { attentionAt } }) => {
    const age = attentionAt === null ? 'not known yet' : showDistance(Date.parse(attentionAt) - nowMs);
    return instances.length > 1 ? `${labels.get(instanceId)}: ${age}` : age;
  });
  return ages.join(' · ');
}

function renderProblem(tone: KindInfo['tone'], label: string, subject: string, detail: string): Html {
  return renderLine({ tone, label }, [html`${subject} <span class="quiet">${detail}</span>`], '/runs', 'Open');
}

/** Renders the items of a kind, with the instance if there are several. */
function renderGroup(
  group: AttentionGroup,
  instance: { readonly instanceId: string; readonly label: string } | null,
): Html {
  const { kind, items, subjects, texts, areNew } = group;
  const { act = 'Open' } = ATTENTION_KINDS[kind];
  const firstSubjects = texts.map((text, index) => {
    const [name, detail] = splitText(kind, text);
    const remarks = [detail, instance?.label ?? ''];
    return html`<a href="${addressOfSubject(kind, subjects[index] ?? '', instance?.instanceId)}">${showName(name)}</a>${
      areNew[index] === true && kind !== 'new' && html` <span class="pill link">new</span>`
    } <span class="quiet">${remarks.filter((remark) => remark !== '').join(' · ')}</span>`;
  });
  const others = items - texts.length;
  const more = others > 0 ? [html`<span class="quiet">and ${count(others, 'more', 'more')}</span>`] : [];
  const path =
    items === 1
      ? addressOfSubject(kind, subjects[0] ?? '', instance?.instanceId)
      : addressOfKind(kind, instance?.instanceId);
  const text = items > 1 ? `${act} ${showNumber(items)}` : act;
  return renderLine(ATTENTION_KINDS[kind], [...firstSubjects, ...more], path, text);
}

/** Renders who or what it is about, each in a line of its own, and a link with what somebody does there. */
function renderLine(
  { tone, label }: Pick<KindInfo, 'tone' | 'label'>,
  subjects: Html[],
  path: string,
  act: string,
): Html {
  return html`<li class="${tone}"><b>${label}</b><ul>${subjects.map((subject) => html`<li>${subject}</li>`)}</ul>
<a class="go" href="${path}" aria-label="${act}: ${label}">${act}</a></li>\n`;
}

type ItemRow = {
  readonly instance_id: string;
  readonly kind: AttentionKind;
  readonly subject: string;
  readonly text: string;
};

/** Everything that needs attention: exactly what Home counts. */
export const attentionPage = createTablePage<ItemRow>({ path: '/attention', navPath: '/' }, ({ instanceIds }) => ({
  title: 'Needs attention',
  sentence: 'As of the last refresh: by a run that stored something, or at NOTIFY_AT. Home shows its age.',
  rows: sql`
    select a.instance_id, a.kind, a.subject, a.text, ${selectInstanceName(instanceIds)}, a.first_seen_on,
      a.last_seen_on, abs(a.quantity) as rank
    from losant_usage.attention_items a join losant_usage.instances i on i.instance_id = a.instance_id
    where a.is_current and a.instance_id = any (${instanceIds}::text[])`,
  order: sql`r.kind, r.rank desc nulls last, r.text, r.subject`,
  filters: {
    kind: {
      label: 'Kind',
      options: Object.fromEntries(Object.entries(ATTENTION_KINDS).map(([kind, { label }]) => [kind, label])),
    },
    ...filterByInstance(instanceIds),
  },
  columns: {
    text: [
      'Subject',
      ({ instance_id: id, kind, subject, text }) => {
        const address = addressOfSubject(kind, subject, instanceIds.length > 1 ? id : null);
        return html`<a href="${address}">${showName(splitText(kind, text)[0])}</a>`;
      },
    ],
    kind: ['Kind', ({ kind }) => renderPill(ATTENTION_KINDS[kind].tone, ATTENTION_KINDS[kind].label)],
    subject: ['What is known', ({ kind, text }) => splitText(kind, text)[1]],
    first_seen_on: 'First seen',
    instance_name: 'Instance',
  },
}));
