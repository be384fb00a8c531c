import { html } from 'hono/html';
import { sql } from 'kysely';
import type { AttentionKind } from '../database/schema.ts';
import { ATTENTION_KINDS, addressOfSubject, splitText } from '../queries/attention.ts';
import { optionsOf } from './filters.ts';
import { renderPill, toPlainText } from './page.ts';
import { selectInstanceName } from './sources.ts';
import { createTablePage } from './table.ts';

type ItemRow = { readonly kind: AttentionKind; readonly subject: string; readonly text: string };

/** Everything that needs a person: exactly what Home counts. */
export const attentionPage = createTablePage<ItemRow>({ path: '/attention', navPath: '/' }, ({ instanceIds }) => ({
  title: 'Needs attention',
  sentence: 'As of the last run that stored something.',
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
    ...(instanceIds.length > 1 && {
      instance: {
        label: 'Instance',
        options: optionsOf(instanceIds),
        where: (id: string) => sql`r.instance_id = ${id}`,
      },
    }),
  },
  columns: {
    text: [
      'Subject',
      ({ kind, subject, text }) =>
        html`<a href="${addressOfSubject(kind, subject)}">${toPlainText(splitText(kind, text)[0])}</a>`,
    ],
    kind: ['Kind', ({ kind }) => renderPill(ATTENTION_KINDS[kind].tone, ATTENTION_KINDS[kind].label)],
    subject: ['What is known', ({ kind, text }) => toPlainText(splitText(kind, text)[1])],
    first_seen_on: 'First seen',
    instance_name: 'Instance',
  },
}));
