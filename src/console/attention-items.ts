import { html } from 'hono/html';
import { sql } from 'kysely';
import type { AttentionKind } from '../database/schema.ts';
import { ATTENTION_KINDS, addressOfSubject, splitText } from '../queries/attention.ts';
import { renderPill, toPlainText } from './page.ts';
import { createTablePage, optionsOf } from './table.ts';

type ItemRow = { readonly kind: AttentionKind; readonly subject: string; readonly text: string };

/** Everything that needs a person: exactly what Home counts. */
export const attentionPage = createTablePage<ItemRow>('/attention', '/', ({ instanceIds }) => ({
  title: 'Needs attention',
  sentence: 'As of the last run that stored something.',
  rows: sql`
    select i.instance_id, i.kind, i.subject, i.text, case when cardinality(${instanceIds}::text[]) > 1 then coalesce(n.name, n.instance_id) end as instance_name,
      i.first_seen_on, i.last_seen_on, abs(i.quantity) as rank
    from losant_usage.attention_items i join losant_usage.instances n on n.instance_id = i.instance_id
    where i.is_current and i.instance_id = any (${instanceIds}::text[])`,
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
