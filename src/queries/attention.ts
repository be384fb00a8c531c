/** What needs attention, as of the last refresh: in one order and the same words in console, `status` and digest. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { AttentionKind, Instant, Schema } from '../database/schema.ts';
import { cutOff } from '../terminal/text.ts';
import { count } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';

export interface KindInfo {
  readonly label: string;
  readonly tone: 'bad' | 'warn';
  /** What somebody does there; by default `Open`. */
  readonly act?: string;
}

export const ATTENTION_KINDS: Readonly<Record<AttentionKind, KindInfo>> = {
  never_read: { label: 'Never read', tone: 'bad' },
  not_read: { label: 'Yesterday not read', tone: 'bad' },
  list_incomplete: { label: 'Organizations may be missing', tone: 'bad' },
  missing: { label: 'Data missing', tone: 'bad' },
  in_doubt: { label: 'Data in doubt', tone: 'bad' },
  sums_differ: { label: 'Settled sums differ', tone: 'bad' },
  limit_exceeded: { label: 'Limit exceeded', tone: 'bad' },
  limit_at_risk: { label: 'About to exceed a limit', tone: 'warn' },
  large_change: { label: 'Large change this month', tone: 'warn' },
  silent: { label: 'Silent for three days', tone: 'warn' },
  new: { label: 'New organization', tone: 'warn' },
  deleted: { label: 'Deleted organization', tone: 'warn' },
  month_ready: { label: 'Month ready to close', tone: 'warn', act: 'Close' },
  month_blocked: { label: 'Month blocked', tone: 'bad', act: 'Review' },
  month_needs_adjustment: { label: 'Month needs an adjustment', tone: 'bad', act: 'Adjust' },
};

/** The kinds whose text is the error of an instance, which may end in parentheses. */
const ABOUT_INSTANCES: readonly AttentionKind[] = ['never_read', 'not_read', 'list_incomplete'];

/** The items of a kind, the largest first. */
export interface AttentionGroup {
  readonly kind: AttentionKind;
  /** Whether a digest names them: new ones, and again some of those that are ongoing. Always null without a day. */
  readonly phase: 'new' | 'reminder' | null;
  readonly items: number;
  /** Of the first items; with a day, of all. */
  readonly subjects: readonly string[];
  /** Of the first items. */
  readonly texts: readonly string[];
  /** Whether each of the first items was not there the day before. Nothing that was there at first is new. */
  readonly areNew: readonly boolean[];
}

export interface InstanceAttention {
  readonly instanceId: string;
  readonly name: string | null;
  /** Its name, or whatever else tells it from the others. */
  readonly label: string;
  /** When it was last refreshed; null if never, so that nothing is known yet. */
  readonly attentionAt: Instant | null;
  /** Whether no refresh followed for longer than a day, as while runs store nothing and no worker runs. */
  readonly isOutdated: boolean;
  readonly hasRunInProgress: boolean;
  readonly groups: readonly AttentionGroup[];
}

/** The names in a line; the others are counted. */
const MAX_NAMES = 3;

/** Returns what needs attention of each instance; with a day, as its digest names it. */
export async function readAttention(
  db: Kysely<Schema>,
  { instanceIds, day = null }: { instanceIds: readonly string[]; day?: UsageDay | null },
): Promise<readonly InstanceAttention[]> {
  const { rows: instances } = await sql<Omit<InstanceAttention, 'groups'>>`
    select k.instance_id as "instanceId", i.name, i.attention_at as "attentionAt",
      coalesce(i.attention_at < clock_timestamp() - interval '25 hours', false) as "isOutdated",
      coalesce(nullif(${labelInstance(instanceIds)}, ''), k.instance_id) as label, exists (
        select from losant_usage.leases l where l.instance_id = i.instance_id and l.expires_at > clock_timestamp()
      ) as "hasRunInProgress"
    from unnest(${instanceIds}::text[]) as k (instance_id)
    left join losant_usage.instances i on i.instance_id = k.instance_id
    order by k.instance_id`.execute(db);
  const { rows: groups } = await sql<AttentionGroup & { readonly instanceId: string }>`
    select a.instance_id as "instanceId", a.kind, p.phase, count(*) as items,
      (array_agg(a.subject order by ${RANK}))[:case when ${day}::date is null then ${MAX_NAMES} else count(*) end]
        as subjects,
      (array_agg(a.text order by ${RANK}))[:${MAX_NAMES}] as texts,
      (array_agg(a.first_seen_on = a.last_seen_on and coalesce(a.named_on, a.first_seen_on) >= a.first_seen_on
        order by ${RANK}))[:${MAX_NAMES}] as "areNew"
    from losant_usage.attention_items a
    cross join lateral (
      select case when ${day}::date is null then null when coalesce(a.named_on, ${day}::date) = ${day}::date then 'new'
        when ${day}::date - a.first_seen_on in (3, 7, 14) then 'reminder' end as phase
    ) as p
    where a.is_current and a.instance_id = any (${instanceIds}::text[])
    group by a.instance_id, a.kind, p.phase order by a.instance_id, a.kind, p.phase`.execute(db);
  return instances.map((instance) => ({
    ...instance,
    groups: groups
      .filter(({ instanceId }) => instanceId === instance.instanceId)
      .map(({ instanceId: _, ...group }) => group),
  }));
}

const RANK = sql`abs(a.quantity) desc nulls last, a.text, a.subject`;

/** Returns the name of the instance `i`, with its ID if another has the same name; the ID if it has none. */
export function labelInstance(instanceIds: readonly string[]): RawBuilder<string> {
  return sql<string>`concat_ws(' ', i.name, case when i.name is null or exists (
    select from losant_usage.instances n where n.name = i.name and n.instance_id <> i.instance_id
      and n.instance_id = any (${instanceIds}::text[])) then i.instance_id end)`;
}

/** Returns the first names, and how many more there are. Long names are cut off at `maxLength`, but not the count. */
export function listNames(texts: readonly string[], items: number, maxLength = Number.POSITIVE_INFINITY): string {
  const names = texts.slice(0, MAX_NAMES);
  const others = items - names.length;
  const suffix = others > 0 ? ` and ${count(others, 'more', 'more')}` : '';
  return `${cutOff(names.join(', '), maxLength - suffix.length)}${suffix}`;
}

/** Returns the address of the page that lists the items of a kind, of one instance or of all. */
export function addressOfKind(kind: string, instanceId: string | null = null): string {
  return `/attention?kind=${kind}${toInstanceParam(instanceId)}`;
}

/** Returns the address of the page about a subject, of one instance or of all. */
export function addressOfSubject(kind: AttentionKind, subject: string, instanceId: string | null = null): string {
  if (kind.startsWith('month_')) return `/billing/${subject}`;
  if (kind === 'sums_differ') return `/reconciliation?outcome=differs&metric=${subject}${toInstanceParam(instanceId)}`;
  if (kind === 'missing' || kind === 'in_doubt') return `/gaps?standing=${kind}&q=${subject}`;
  if (ABOUT_INSTANCES.includes(kind)) return '/runs';
  return `/organizations/${subject.split(' ')[0]}`;
}

function toInstanceParam(instanceId: string | null): string {
  return instanceId === null ? '' : `&instance=${encodeURIComponent(instanceId)}`;
}

/** Splits the text of an item into the name of its subject and what is known about it. A name may have parentheses. */
export function splitText(kind: AttentionKind, text: string): readonly [name: string, detail: string] {
  const at = kind.startsWith('month_') ? text.indexOf(' (') : text.lastIndexOf(' (');
  if (at < 0 || !text.endsWith(')') || ABOUT_INSTANCES.includes(kind)) return [text, ''];
  return [text.slice(0, at), text.slice(at + 2, -1)];
}
