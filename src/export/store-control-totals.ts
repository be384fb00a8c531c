/** Control totals in the database: what is due, what was read, and what came of each question. */
import { type Insertable, type Kysely, sql } from 'kysely';
import type { ControlTotalReads, Instant, Json, Schema } from '../database/schema.ts';
import { type BeginOptions, beginWriting } from '../ledger/lease.ts';
import type { UsageDay } from '../usage/day.ts';
import { horizonStart, lastCompleteDay, type Policy } from '../usage/policy.ts';

/** The control totals to be read now. */
export interface TotalsDue {
  /** Streams with the days of the whole instance that are due, newest first. */
  readonly totals: readonly { readonly stream: string; readonly days: readonly UsageDay[] }[];
}

export interface TotalsDueOptions {
  /** The streams whose totals are read; empty to read none. */
  readonly streams: readonly string[];
  /** Days whose numbers were read again, by stream: their totals are read again too. */
  readonly again: ReadonlyMap<string, ReadonlySet<UsageDay>>;
  /** Whether to return only what is to be read again, and not what is due. */
  readonly onlyAgain: boolean;
  /** Whether questions that failed are due before their retry time, because a person asked for a run. */
  readonly retriesFailed: boolean;
  readonly policy: Policy;
  readonly nowMs: number;
}

/**
 * `readTotalsDue` returns the control totals that are due. Days of the instance's totals are due at the
 * checkpoints of usage days. Only days inside the horizon are due, and only those for which some organization
 * is tracked; a question that failed is due again after its retry time. Totals that were read are asked
 * again with the numbers of their day.
 */
export async function readTotalsDue(
  db: Kysely<Schema>,
  instanceId: string,
  { streams, again, onlyAgain, retriesFailed, policy, nowMs }: TotalsDueOptions,
): Promise<TotalsDue> {
  const now = new Date(nowMs).toISOString();
  const [horizon, yesterday] = [horizonStart(nowMs, policy), lastCompleteDay(nowMs)];
  const { readAtHours } = policy;
  const pairs = [...again].flatMap(([stream, days]) => [...days].map((day) => ({ stream, day })));
  const { rows } = await sql<{ stream: string; days: UsageDay[] }>`
    with again as materialized (
      select stream, day from unnest(${pairs.map(({ stream }) => stream)}::text[],
        ${pairs.map(({ day }) => day)}::date[]) as a (stream, day)
    ), first as (
      select min(k.tracked_from) as from_day from losant_usage.tracking k
      join losant_usage.organizations o on o.org_id = k.org_id where o.instance_id = ${instanceId}
    ), due as (
      select m.stream as question, day, losant_usage.next_checkpoint(
        day, min(t.verified_at), ${readAtHours}::integer[]) as due_at,
        min(t.verified_at) is not null and (m.stream, day) in (select a.stream, a.day from again a) as is_again
      from first
      cross join lateral losant_usage.days_between(greatest(first.from_day, ${horizon}::date), ${yesterday}::date) as day
      join losant_usage.metrics m on m.stream = any (${streams}::text[])
      left join losant_usage.instance_totals t
        on t.instance_id = ${instanceId} and t.usage_date = day and t.metric = m.metric
      group by m.stream, day
    )
    select d.question as stream, array_agg(d.day order by d.day desc) as days
    from due d left join losant_usage.control_total_reads w on w.instance_id = ${instanceId} and w.question = d.question
    where d.is_again or (not ${onlyAgain}::boolean and d.due_at <= ${now}::timestamptz
      and (${retriesFailed}::boolean or w.next_read_at is null or w.next_read_at <= ${now}::timestamptz))
    group by d.question order by d.question`.execute(db);
  return { totals: rows };
}

/** The totals of a day by metric; null if Losant left the day out. */
export interface DayTotals {
  readonly day: UsageDay;
  readonly totals: Readonly<Record<string, number | null>>;
}

interface TotalsAnswer {
  readonly instanceId: string;
  /** The time at which they were asked for. */
  readonly verifiedAt: Instant;
  /** The SHA-256 over the bodies of the answer, in hex. */
  readonly sha256: string;
}

/**
 * Stores the instance's totals of some days in one transaction. A number that Losant has changed is
 * kept in `earlier`. A day that is left out now keeps its number, and an older answer changes nothing.
 */
export async function recordTotals(
  db: Kysely<Schema>,
  answer: TotalsAnswer & { readonly days: readonly DayTotals[] },
  begin: BeginOptions,
): Promise<void> {
  const rows = answer.days.flatMap(({ day, totals }) =>
    Object.entries(totals).map(([metric, quantity]) => {
      return { usage_date: day, metric, quantity, ...proofOf(answer, begin) };
    }),
  );
  if (rows.length === 0) return;
  await db.transaction().execute(async (trx) => {
    await beginWriting(trx, begin);
    await trx
      .insertInto('instance_totals')
      .values(
        rows.toSorted((a, b) => (`${a.usage_date} ${a.metric}` < `${b.usage_date} ${b.metric}` ? -1 : 1)),
      )
      .onConflict((conflict) =>
        conflict
          .columns(['instance_id', 'usage_date', 'metric'])
          .doUpdateSet((eb) => ({
            quantity: eb.fn.coalesce('excluded.quantity', 'instance_totals.quantity'),
            earlier: withEarlier(),
            verified_at: eb.ref('excluded.verified_at'),
            run_id: eb.ref('excluded.run_id'),
            response_sha256: eb.ref('excluded.response_sha256'),
          }))
          .whereRef('instance_totals.verified_at', '<=', 'excluded.verified_at'),
      )
      .execute();
  });
}

/** `withEarlier` returns the new `earlier`: with the stored total appended if Losant now names another one. */
function withEarlier() {
  const [stored, now] = [sql.ref('instance_totals.quantity'), sql.ref('excluded.quantity')];
  const [earlier, verifiedAt] = [sql.ref('instance_totals.earlier'), sql.ref('instance_totals.verified_at')];
  return sql<Json>`case when ${stored} <> ${now} then ${earlier} || jsonb_build_object(
    'quantity', ${stored}, 'verified_at', to_jsonb(${verifiedAt})) else ${earlier} end`;
}

function proofOf({ instanceId, verifiedAt, sha256 }: TotalsAnswer, { runId }: BeginOptions) {
  return {
    instance_id: instanceId,
    verified_at: verifiedAt,
    run_id: runId,
    response_sha256: Buffer.from(sha256, 'hex'),
  };
}

/** `recordQuestion` records that a question was answered completely, or why not, and when it is asked again. */
export async function recordQuestion(
  db: Kysely<Schema>,
  { instance_id, question, ...facts }: Insertable<ControlTotalReads>,
): Promise<void> {
  await db
    .insertInto('control_total_reads')
    .values({ instance_id, question, ...facts })
    .onConflict((conflict) => conflict.columns(['instance_id', 'question']).doUpdateSet(facts))
    .execute();
}

/** `readFailures` returns the number of failures in a row of a question, and the reason of the last. */
export async function readFailures(
  db: Kysely<Schema>,
  instanceId: string,
  question: string,
): Promise<{ readonly attempts: number; readonly reason: string | null }> {
  const known = await db
    .selectFrom('control_total_reads')
    .select(['attempts', 'reason'])
    .where('instance_id', '=', instanceId)
    .where('question', '=', question)
    .executeTakeFirst();
  return known ?? { attempts: 0, reason: null };
}
