/** What needs attention: the inbox of the home page, and the list of everything in it. */
import { html } from 'hono/html';
import { type Selectable, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import {
  ATTENTION_KINDS,
  type AttentionGroup,
  addressOfKind,
  addressOfSubject,
  type KindInfo,
  splitText,
} from '../queries/attention.ts';
import type { Health } from '../queries/health.ts';
import { count, joinParts, showDistance, showNumber } from '../terminal/words.ts';
import { type Html, renderPill } from './elements.ts';
import { filterByInstance, selectInstanceName } from './filters.ts';
import type { PageRequest } from './page.ts';
import { describeUnknown, nameInstance, wasRead } from './sources.ts';
import { createTablePage } from './table.ts';

/** What is shown of the database while it is not responding. */
const NOTHING_KNOWN = { instances: [], untriedInstances: [], unconfiguredInstances: [] };

/** Renders the items of each instance, after what only this process knows, which it shows without a database too. */
export function renderAttention(request: PageRequest, health: Health | null): Html | string {
  const { instances, untriedInstances, unconfiguredInstances } = health ?? NOTHING_KNOWN;
  const toLabel = (instanceId: string) => nameInstance(request.instanceIds, health, instanceId);
  const problems = request.status().instances.flatMap(({ instanceId, problem }) => {
    if (problem === null) return [];
    return [renderProblem('bad', 'Run failed', problem.message, joinParts(' · ', problem.hint, toLabel(instanceId)))];
  });
  const untried = untriedInstances.map((id) => renderProblem('bad', 'Never read', id, 'no run has tried to read it'));
  const unconfigured = unconfiguredInstances.map((id) => {
    const advice = `neither read nor shown; if it is no longer used: losant-usage retire --instance ${id}`;
    return renderProblem('warn', 'Instance not in the settings', id, advice);
  });
  const kinds = Object.keys(ATTENTION_KINDS);
  const groups = instances
    .flatMap(({ instanceId, attention }) => attention.groups.map((group) => ({ group, instanceId })))
    .toSorted((a, b) => kinds.indexOf(a.group.kind) - kinds.indexOf(b.group.kind))
    .map(({ group, instanceId }) => renderGroup(group, toLabel(instanceId), instanceId));
  const lines = [...problems, ...untried, ...groups, ...unconfigured];
  if (health === null && lines.length === 0) return '';
  const unknownInstances = instances.filter(({ attention }) => attention.attentionAt === null);
  const isKnown = instances.length > 0 && unknownInstances.length === 0;
  const calmLine = isKnown
    ? html`<li class="calm good">Nothing needs attention.</li>`
    : html`<li class="calm">${describeUnknown(unknownInstances)}.</li>`;
  const ages = instances.map(({ instanceId, attention: { attentionAt } }) => {
    const age = attentionAt === null ? 'not known yet' : showDistance(Date.parse(attentionAt) - request.nowMs);
    return joinParts(': ', toLabel(instanceId), age);
  });
  return html`<h2>Needs attention <small class="quiet">${ages.join(' · ')}</small></h2>
<ul class="inbox">${lines.length === 0 ? calmLine : lines}</ul>`;
}

function renderProblem(tone: KindInfo['tone'], label: string, subject: string, remark: string): Html {
  return renderLine({ tone, label }, [html`${subject} <span class="quiet">${remark}</span>`], '/runs', 'Open');
}

function renderGroup({ kind, items, subjects, texts, areNew }: AttentionGroup, label: string, id: string): Html {
  const { act = 'Open' } = ATTENTION_KINDS[kind];
  const instanceId = label === '' ? null : id;
  const firstSubjects = texts.map((text, index) => {
    const [name, detail] = splitText(kind, text);
    return html`<a href="${addressOfSubject(kind, subjects[index] ?? '', instanceId)}">${name}</a>${
      areNew[index] === true && kind !== 'new' && html` <span class="pill link">new</span>`
    } <span class="quiet">${joinParts(' · ', detail, label)}</span>`;
  });
  if (items === 1) {
    return renderLine(ATTENTION_KINDS[kind], firstSubjects, addressOfSubject(kind, subjects[0] ?? '', instanceId), act);
  }
  const others = items - texts.length;
  const more = others > 0 ? [html`<span class="quiet">and ${count(others, 'more', 'more')}</span>`] : [];
  const lines = [...firstSubjects, ...more];
  return renderLine(ATTENTION_KINDS[kind], lines, addressOfKind(kind, instanceId), `${act} ${showNumber(items)}`);
}

function renderLine({ tone, label }: Pick<KindInfo, 'tone' | 'label'>, subjects: Html[], path: string, act: string) {
  return html`<li class="${tone}"><b>${label}</b><ul>${subjects.map((subject) => html`<li>${subject}</li>`)}</ul>
<a class="go" href="${path}" aria-label="${act}: ${label}">${act}</a></li>\n`;
}

type ItemRow = Pick<Selectable<Schema['attention_items']>, 'instance_id' | 'kind' | 'subject' | 'text'>;

const ATTENTION = { path: '/attention', navPath: '/', subject: 'What needs attention' };

/** Everything that needs attention: exactly what Home counts. */
export const attentionPage = createTablePage<ItemRow>(ATTENTION, async (request) => ({
  title: 'Needs attention',
  sentence: 'Refreshed by each run that stores something, and at NOTIFY_AT; Home shows how long ago.',
  rows: sql`
    select a.instance_id, a.kind, a.subject, a.text, ${selectInstanceName(request.instanceIds)}, a.first_seen_on,
      a.last_seen_on, a.quantity
    from losant_usage.attention_items a join losant_usage.instances i on i.instance_id = a.instance_id
    where a.is_current and a.instance_id = any (${request.instanceIds}::text[])`,
  order: sql`r.kind, abs(r.quantity) desc nulls last, r.text, r.subject`,
  filters: {
    kind: {
      label: 'Kind',
      options: Object.fromEntries(Object.entries(ATTENTION_KINDS).map(([kind, { label }]) => [kind, label])),
    },
    ...(await filterByInstance(request)),
  },
  columns: [
    [
      'text',
      'Subject',
      ({ instance_id: id, kind, subject, text }) => {
        const address = addressOfSubject(kind, subject, request.instanceIds.length > 1 ? id : null);
        return html`<a href="${address}">${splitText(kind, text)[0]}</a>`;
      },
    ],
    ['kind', 'Kind', ({ kind }) => renderPill(ATTENTION_KINDS[kind].tone, ATTENTION_KINDS[kind].label)],
    ['subject', 'Detail', ({ kind, text }) => splitText(kind, text)[1]],
    ['first_seen_on', 'First seen'],
    'instance_name',
  ],
  isKnown: (instance) => wasRead(instance) && instance.attention.attentionAt !== null,
}));
