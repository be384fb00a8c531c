/** Refreshes what needs attention, and claims and finishes the digests that say so. */
import { type Kysely, sql } from 'kysely';
import type { AttentionKind, Schema } from '../database/schema.ts';
import { retryTransaction } from '../database/sqlstate.ts';
import type { UsageDay } from '../usage/day.ts';
import { inTransaction, type LedgerWriter } from './lease.ts';

/** What refreshes did not see for longer begins anew; days without a refresh do not count. */
const KEPT_DAYS = 3;

/**
 * Replaces what needs attention with what does now. At the first refresh of an instance nothing is new; one that was
 * never read has its first once it is read. It reads before it locks the ledger, because it reads for seconds.
 */
export async function refreshAttention(ledger: Pick<LedgerWriter, 'db' | 'instanceId' | 'lease'>, day: UsageDay) {
  const { db, instanceId } = ledger;
  const { items, statements } = await readItems(db, instanceId);
  await inTransaction(ledger, async (trx) => {
    const { rows } = await sql<{ isFirst: boolean }>`
      select attention_at is null or exists (
        select from losant_usage.attention_items a
        where a.instance_id = i.instance_id and a.kind = 'never_read' and a.is_current
      ) as "isFirst"
      from losant_usage.instances i where instance_id = ${instanceId}`.execute(trx);
    const namedOn = rows[0]?.isFirst === true ? sql`${day}::date - 1` : sql`null`;
    await sql`delete from losant_usage.attention_items
      where instance_id = ${instanceId} and not is_current
        and last_seen_on < ${day}::date - ${KEPT_DAYS}::integer`.execute(trx);
    await sql`update losant_usage.attention_items set is_current = false
      where instance_id = ${instanceId} and is_current`.execute(trx);
    // What was read of a month is from before a statement that was created since; the next refresh adds what is left.
    await sql`
      insert into losant_usage.attention_items as i
        (instance_id, kind, subject, text, quantity, first_seen_on, last_seen_on, named_on)
      select instance_id, kind, subject, text, quantity, ${day}::date, ${day}::date, ${namedOn}
      from json_populate_recordset(null::losant_usage.attention_items, ${items}::json) as n
      where not exists (
        select from losant_usage.statements s where s.instance_id = ${instanceId} and s.number > ${statements}
          and to_char(s.month::timestamp, 'YYYY-MM') = n.subject)
      on conflict (instance_id, kind, subject) do update
      set text = excluded.text, quantity = excluded.quantity, last_seen_on = excluded.last_seen_on,
        is_current = true`.execute(trx);
    await sql`update losant_usage.instances set attention_at = clock_timestamp()
      where instance_id = ${instanceId}`.execute(trx);
  });
}

/**
 * Returns what needs attention, as JSON, and the number of statements. Postgres plans the views of months and of
 * activity for longer than it reads them, so they are read only where they can have a row: where a month has ended, and
 * where an organization is new, was deleted, or has days to compare with.
 */
async function readItems(db: Kysely<Schema>, instanceId: string) {
  const { rows: instances } = await sql<{ hasActivity: boolean; hasPastMonth: boolean }>`
    select coalesce(
        bool_or(o.created_on >= y.today - 7 or o.deleted_on >= y.today - 7 or t.first_day < y.today - 3), false
      ) as "hasActivity",
      coalesce(bool_or(t.first_day < losant_usage_internal.month_of(y.today)), false) as "hasPastMonth"
    from (select losant_usage_internal.today() as today) as y
    cross join losant_usage.organizations o
    left join losant_usage.tracks t on t.org_id = o.org_id
    where o.instance_id = ${instanceId}`.execute(db);
  const views = [sql`losant_usage_internal.attention`];
  if (instances[0]?.hasActivity) views.push(sql`losant_usage_internal.activity_to_watch`);
  if (instances[0]?.hasPastMonth) views.push(sql`losant_usage_internal.months_to_bill`);
  const all = views.map((view) => sql`select * from ${view} where instance_id = ${instanceId}`);
  const { rows } = await sql<{ items: string; statements: number }>`
    select coalesce(json_agg(a), '[]')::text as items, (
      select count(*)::integer from losant_usage.statements where instance_id = ${instanceId}
    ) as statements
    from (${sql.join(all, sql` union all `)}) as a`.execute(db);
  return rows[0] ?? { items: '[]', statements: 0 };
}

/** Forgets what needs attention of a retired instance, which nothing refreshes. Its months still need somebody. */
export async function forgetAttention(db: Kysely<Schema>, instanceId: string): Promise<void> {
  const deletion = sql`delete from losant_usage.attention_items
    where instance_id = ${instanceId} and kind not in ('month_ready', 'month_blocked', 'month_needs_adjustment')`;
  await retryTransaction(() => deletion.execute(db));
}

/** A process that sends the digest of a day, and the instances whose digests it may claim. */
export interface DigestClaim {
  readonly db: Kysely<Schema>;
  readonly claimId: string;
  readonly day: UsageDay;
  readonly instanceIds: readonly string[];
}

/** Longer than the time between two attempts. A process that dies keeps others waiting for as long. */
const CLAIM_MS = 180_000;

/** Claims the digests that no other process has, or renews the claims. Returns their instances. */
export async function claimDigests({ db, claimId, day, instanceIds }: DigestClaim): Promise<readonly string[]> {
  const claim = sql<{ instance_id: string }>`
    insert into losant_usage.digests as d (instance_id, day, claim_id, expires_at)
    select instance_id, ${day}, ${claimId}::uuid, clock_timestamp() + ${CLAIM_MS} * interval '1 ms'
    from losant_usage.instances where instance_id = any (${instanceIds}::text[]) order by instance_id
    on conflict (instance_id, day) do update set claim_id = excluded.claim_id, expires_at = excluded.expires_at
    where d.outcome is null and (d.claim_id = excluded.claim_id or d.expires_at <= clock_timestamp())
    returning instance_id`;
  const { rows } = await retryTransaction(() => claim.execute(db));
  return rows.map(({ instance_id: id }) => id).toSorted();
}

/** Returns whether a digest of the day is unfinished: another process has claimed it. */
export async function hasUnfinishedDigest({ db, day, instanceIds }: DigestClaim): Promise<boolean> {
  const { rows } = await sql`
    select from losant_usage.digests
    where day = ${day} and instance_id = any (${instanceIds}::text[]) and outcome is null limit 1`.execute(db);
  return rows.length > 0;
}

export interface DigestResult {
  /** Null if there will be another attempt. */
  readonly outcome: 'sent' | 'nothing_new' | 'rejected' | 'failed' | null;
  readonly error: string | null;
  /** The new items that the message named; none unless it was sent. */
  readonly newItems: readonly NewItems[];
}

export interface NewItems {
  readonly instanceId: string;
  readonly kind: AttentionKind;
  readonly subjects: readonly string[];
}

/** Records the result of an attempt. What was sent is not new in later digests. */
export async function recordDigests(
  { db, claimId, day, instanceIds }: DigestClaim,
  { outcome, error, newItems }: DigestResult,
): Promise<void> {
  for (const { instanceId, kind, subjects } of newItems) {
    const update = sql`update losant_usage.attention_items set named_on = ${day}
      where instance_id = ${instanceId} and kind = ${kind} and subject = any (${subjects}::text[])
        and named_on is null`;
    await retryTransaction(() => update.execute(db));
  }
  const update = sql`update losant_usage.digests set outcome = ${outcome}, error = ${error},
      finished_at = case when ${outcome}::text is not null then clock_timestamp() end
    where claim_id = ${claimId}::uuid and day = ${day} and instance_id = any (${instanceIds}::text[])`;
  await retryTransaction(() => update.execute(db));
}
