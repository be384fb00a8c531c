import { type Insertable, type Kysely, sql } from 'kysely';
import type { ControlTotalReads, Instant, Json, Schema } from '../database/schema.ts';
import { type BeginOptions, beginWriting } from '../ledger/transaction.ts';
import type { UsageDay } from '../usage/day.ts';

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
            earlier: withEarlier('instance_totals', 'quantity'),
            verified_at: eb.ref('excluded.verified_at'),
            run_id: eb.ref('excluded.run_id'),
            response_sha256: eb.ref('excluded.response_sha256'),
          }))
          .whereRef('instance_totals.verified_at', '<=', 'excluded.verified_at'),
      )
      .execute();
  });
}

export interface StoredSummary {
  readonly resourceType: string;
  readonly resourceId: string;
  readonly resourceName: string | null;
  readonly proration: number | null;
  readonly figures: Readonly<Record<string, number>>;
}

/** Stores monthly summaries in one transaction. Figures that Losant has changed are kept in `earlier`. */
export async function recordSummaries(
  db: Kysely<Schema>,
  answer: TotalsAnswer & { readonly month: UsageDay; readonly summaries: readonly StoredSummary[] },
  begin: BeginOptions,
): Promise<void> {
  // A list that shifted while its pages were read may name a resource twice.
  const byResource = new Map(
    answer.summaries.map((each) => [`${each.resourceType} ${each.resourceId}`, each]),
  );
  if (byResource.size === 0) return;
  const rows = [...byResource]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { resourceType, resourceId, resourceName, proration, figures }]) => ({
      month: answer.month,
      resource_type: resourceType,
      resource_id: resourceId,
      resource_name: resourceName,
      proration,
      figures: sql<Json>`${JSON.stringify(figures)}::text::jsonb`,
      ...proofOf(answer, begin),
    }));
  await db.transaction().execute(async (trx) => {
    await beginWriting(trx, begin);
    await trx
      .insertInto('monthly_summaries')
      .values(rows)
      .onConflict((conflict) =>
        conflict
          .columns(['instance_id', 'month', 'resource_type', 'resource_id'])
          .doUpdateSet((eb) => ({
            resource_name: eb.ref('excluded.resource_name'),
            proration: eb.ref('excluded.proration'),
            figures: eb.ref('excluded.figures'),
            earlier: withEarlier('monthly_summaries', 'figures'),
            verified_at: eb.ref('excluded.verified_at'),
            run_id: eb.ref('excluded.run_id'),
            response_sha256: eb.ref('excluded.response_sha256'),
          }))
          .whereRef('monthly_summaries.verified_at', '<=', 'excluded.verified_at'),
      )
      .execute();
  });
}

/** `withEarlier` returns the new `earlier`: with the stored value appended if Losant now names another one. */
function withEarlier(table: 'instance_totals' | 'monthly_summaries', column: 'quantity' | 'figures') {
  const [stored, now] = [sql.ref(`${table}.${column}`), sql.ref(`excluded.${column}`)];
  const [earlier, verifiedAt] = [sql.ref(`${table}.earlier`), sql.ref(`${table}.verified_at`)];
  return sql<Json>`case when ${stored} <> ${now} then ${earlier} || jsonb_build_object(
    ${sql.lit(column)}, ${stored}, 'verified_at', to_jsonb(${verifiedAt})) else ${earlier} end`;
}

function proofOf({ instanceId, verifiedAt, sha256 }: TotalsAnswer, { runId }: BeginOptions) {
  return {
    instance_id: instanceId,
    verified_at: verifiedAt,
    run_id: runId,
    response_sha256: Buffer.from(sha256, 'hex'),
  };
}

interface Question {
  readonly instanceId: string;
  readonly question: string;
}

/** `recordTotalsRead` records that a question was answered completely. */
export async function recordTotalsRead(
  db: Kysely<Schema>,
  { instanceId, question, verifiedAt }: Question & { readonly verifiedAt: Instant },
): Promise<void> {
  await recordQuestion(
    db,
    { instanceId, question },
    {
      ...{ verified_at: verifiedAt, attempts: 0, attempted_at: verifiedAt },
      ...{ next_read_at: null, reason: null, message: null },
    },
  );
}

/** The number of failures in a row of a question, and the reason of the last; null if it was answered. */
export interface TotalsFailures {
  readonly attempts: number;
  readonly reason: string | null;
}

export async function readTotalsFailures(
  db: Kysely<Schema>,
  { instanceId, question }: Question,
): Promise<TotalsFailures> {
  const known = await db
    .selectFrom('control_total_reads')
    .select(['attempts', 'reason'])
    .where('instance_id', '=', instanceId)
    .where('question', '=', question)
    .executeTakeFirst();
  return known ?? { attempts: 0, reason: null };
}

export interface TotalsFailure extends Question {
  readonly attempts: number;
  readonly attemptedAt: Instant;
  readonly nextReadAt: Instant;
  readonly reason: string;
  readonly message: string;
}

/** `recordTotalsFailure` records that a question was not answered, and when it is asked again. */
export async function recordTotalsFailure(db: Kysely<Schema>, failure: TotalsFailure): Promise<void> {
  const { instanceId, question, attempts, attemptedAt, nextReadAt, reason, message } = failure;
  await recordQuestion(
    db,
    { instanceId, question },
    {
      ...{ attempts, attempted_at: attemptedAt, next_read_at: nextReadAt, reason, message },
    },
  );
}

async function recordQuestion(
  db: Kysely<Schema>,
  { instanceId, question }: Question,
  facts: Omit<Insertable<ControlTotalReads>, 'instance_id' | 'question'>,
): Promise<void> {
  await db
    .insertInto('control_total_reads')
    .values({ instance_id: instanceId, question, ...facts })
    .onConflict((conflict) => conflict.columns(['instance_id', 'question']).doUpdateSet(facts))
    .execute();
}
