/** What needs attention now, from the view `attention`: in one order and the same words everywhere. */
import { type Kysely, type Selectable, sql } from 'kysely';
import type { AttentionKind, Schema } from '../database/schema.ts';
import { count, joinParts, showName } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';

export const ATTENTION_KINDS: Readonly<Record<AttentionKind, { label: string; tone: 'bad' | 'warn' }>> = {
  never_read: { label: 'Never read', tone: 'bad' },
  not_read: { label: 'Yesterday not read', tone: 'bad' },
  list_incomplete: { label: 'Organizations may be missing', tone: 'bad' },
  missing: { label: 'Data missing', tone: 'bad' },
  in_doubt: { label: 'Data in doubt', tone: 'bad' },
  difference: { label: 'Sums differ', tone: 'bad' },
  limit_exceeded: { label: 'Limit exceeded', tone: 'bad' },
  limit_at_risk: { label: 'About to exceed a limit', tone: 'warn' },
  month_ready: { label: 'Month ready to close', tone: 'warn' },
  month_blocked: { label: 'Month blocked', tone: 'bad' },
  month_needs_adjustment: { label: 'Month needs an adjustment', tone: 'bad' },
};

/** The comments on the columns of the view define the fields. */
export interface AttentionItem extends Pick<Selectable<Schema['attention']>, 'kind' | 'subject' | 'count' | 'remedy'> {
  readonly sinceDay: UsageDay | null;
  readonly orgId: string | null;
  readonly orgName: string | null;
  readonly detail: string | null;
}

export interface AttentionGroup {
  readonly kind: AttentionKind;
  /** The number of items, of which a group has the first. */
  readonly total: number;
  readonly items: readonly AttentionItem[];
}

/** The items of a kind that are listed; the others are counted. */
const MAX_ITEMS = 10;

/** Returns what needs attention by kind, the most important first, and within a kind the largest. */
export async function readAttention(db: Kysely<Schema>): Promise<readonly AttentionGroup[]> {
  const { rows } = await sql<AttentionItem & { readonly total: number }>`
    select r.kind, r.subject, r.since_day as "sinceDay", r.org_id as "orgId", r.org_name as "orgName", r.count,
      r.detail, r.remedy, r.total
    from (
      select a.*, count(*) over (partition by a.kind) as total,
        row_number() over (partition by a.kind order by a.count desc nulls last, a.org_name, a.subject) as position
      from losant_usage.attention a
    ) as r
    where r.position <= ${MAX_ITEMS} order by r.kind, r.position`.execute(db);
  return [...Map.groupBy(rows, ({ kind }) => kind)].map(([kind, items]) => ({
    kind,
    total: items[0]?.total ?? 0,
    items: items.map(({ total: _, ...item }) => item),
  }));
}

/** Returns the subject of an item; null of one that is about the instance. */
export function nameItem({ subject, orgId, orgName }: AttentionItem): string | null {
  if (orgId !== null) return showName(orgName ?? '', orgId);
  return subject === 'instance' ? null : subject;
}

/** Returns what is known about the subject of an item; empty if nothing is. */
export function describeItem({ kind, count: quantity, detail, sinceDay: day }: AttentionItem): string {
  const amount = quantity ?? 0;
  switch (kind) {
    case 'never_read':
      return joinParts(', ', detail ?? 'no run has read anything yet', day !== null && `first tried on ${day}`);
    case 'not_read':
      return joinParts(': ', day, detail);
    case 'missing':
      return `${count(amount, 'cell')} missing (${detail}), oldest missing day ${day}`;
    case 'in_doubt':
      return `${count(amount, 'cell')} in doubt (${detail}), oldest day in doubt ${day}`;
    case 'difference':
      return `${count(amount, 'day differs', 'days differ')} ${detail}, the first on ${day}`;
    case 'month_blocked':
    case 'month_needs_adjustment':
      return joinParts(': ', quantity !== null && count(quantity, 'organization'), detail);
    default:
      return detail ?? '';
  }
}

/** Returns an item as one line: `Acme: 3 cells missing (payload_totals), oldest missing day 2026-11-02`. */
export function formatItem(item: AttentionItem): string {
  return joinParts(': ', nameItem(item), describeItem(item));
}

/** Returns the address of the page about the items of a kind. */
export function addressOfKind(kind: AttentionKind): string {
  if (kind.startsWith('month_')) return '/billing';
  if (kind.startsWith('limit_')) return '/organizations';
  if (kind === 'difference') return '/reconciliation?outcome=difference';
  return kind === 'missing' || kind === 'in_doubt' ? `/gaps?standing=${kind}` : '/';
}
