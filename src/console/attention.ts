/** The section "Needs attention" of the home page. */
import { html } from 'hono/html';
import { ATTENTION_KINDS, type AttentionGroup, pathOfSubject } from '../queries/attention.ts';
import type { Health } from '../queries/health.ts';
import { count, showDistance } from '../terminal/words.ts';
import { type Html, toPlainText } from './page.ts';
import type { InstanceStatus } from './sources.ts';

/** Renders the items of each instance, after what only this process knows. */
export function renderAttention(health: Health, statuses: readonly InstanceStatus[], nowMs: number): Html {
  const problems = statuses.flatMap(({ problem }) =>
    problem === null ? [] : [renderLine('bad', '/runs', problem.message, problem.hint)],
  );
  const unconfigured = health.unconfiguredInstances.map((id) => {
    const text = `Instance ${id} is in the database but not in the settings, so it is neither read nor shown`;
    return renderLine('warn', '/runs', text, `if it is no longer used: losant-usage retire --instance ${id}`);
  });
  const lines = [
    ...problems,
    ...health.instances.flatMap(({ attention }) => attention.groups.map(renderGroup)),
    ...unconfigured,
  ];
  const ages = health.instances.map(({ instanceId, name, attention: { attentionAt } }) => {
    const age =
      attentionAt === null ? 'not known yet' : `as of ${showDistance(Date.parse(attentionAt) - nowMs)}`;
    return health.instances.length > 1 ? `${name ?? instanceId}: ${age}` : age;
  });
  const isKnown = health.instances.every(({ attention }) => attention.attentionAt !== null);
  return html`<h2>Needs attention</h2><p class="quiet">${toPlainText(ages.join(' · '))}</p>
<ul class="attention">${
    lines.length === 0 && isKnown ? html`<li class="on-good">Nothing needs attention.</li>` : lines
  }</ul>`;
}

function renderLine(tone: string, path: string, text: string, advice: string): Html {
  return html`<li class="on-${tone}"><a href="${path}">${toPlainText(text)}</a>; ${toPlainText(advice)}</li>\n`;
}

function renderGroup({ kind, items, subjects, texts }: AttentionGroup): Html {
  const { tone, path, label } = ATTENTION_KINDS[kind];
  const links = texts.map(
    (text, index) =>
      html`${index > 0 && ', '}<a href="${pathOfSubject(kind, subjects[index] ?? '')}">${toPlainText(text)}</a>`,
  );
  const others = items - texts.length;
  return html`<li class="on-${tone}"><a href="${path}">${label}</a>: ${links}${
    others > 0 && ` and ${count(others, 'more', 'more')}`
  }</li>\n`;
}
