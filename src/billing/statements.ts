/** Months and their statements as the database has them. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { Month } from '../usage/day.ts';

export type BilledInstance = Awaited<ReturnType<typeof readBilledInstances>>[number];

export async function readBilledInstances(db: Kysely<Schema>) {
  return await db
    .selectFrom('instances')
    .select(['instance_id as instanceId', 'name'])
    .orderBy('instance_id')
    .execute();
}

/** Returns the name of an instance's month in messages. */
export function formatMonthName({ instanceId, name }: BilledInstance, month: Month): string {
  return `${month} of instance ${name === null ? instanceId : `${name} (${instanceId})`}`;
}

/** A closing or an adjustment of a month, numbered by instance; hashes of manifests in hex. */
export type Statement = Awaited<ReturnType<typeof readStatements>>[number];

/** Returns the statements of a month by instance, in the order in which they were made. */
export async function readStatements(
  db: Kysely<Schema>,
  { month, instanceIds }: { readonly month: Month; readonly instanceIds: readonly string[] },
) {
  return await db
    .selectFrom('statements')
    .select((eb) => [
      'statement_id as statementId',
      'instance_id as instanceId',
      'number',
      eb.ref('kind').$castTo<'closing' | 'adjustment'>().as('kind'),
      'reason',
      'orgs',
      'closed_at as closedAt',
      'closed_by as closedBy',
      // Only the transaction that closes it sees one without.
      sql<string>`encode(manifest_sha256, 'hex')`.as('manifestSha256'),
    ])
    .where('month', '=', `${month}-01`)
    .where('instance_id', 'in', [...instanceIds])
    .orderBy('instance_id')
    .orderBy('number')
    .execute();
}

/**
 * A row of `month_blockers`. `orgId` is null if the cause concerns the whole instance, `days` if it is not about
 * days.
 */
export type Blocker = Awaited<ReturnType<typeof readBlockers>>[number];

/** Returns what keeps a month of an instance from being closed or adjusted. */
export async function readBlockers(
  db: Kysely<Schema>,
  { month, instanceId }: { readonly month: Month; readonly instanceId: string },
) {
  return await db
    .selectFrom('month_blockers')
    .select(['instance_id as instanceId', 'org_id as orgId', 'org_name as orgName', 'cause', 'days'])
    .select(['first_day as firstDay', 'last_day as lastDay', 'streams', 'detail', 'remedy'])
    .where('month', '=', `${month}-01`)
    .where('instance_id', '=', instanceId)
    .orderBy('org_name')
    .orderBy('org_id')
    .orderBy('cause')
    .execute();
}

/** Causes whose name does not say it to people who do not know the codes of the view. */
const CAUSES: Readonly<Record<string, string>> = {
  list_incomplete: 'organizations may be missing',
  not_fully_tracked: 'not every day is tracked',
  not_final: 'not final yet',
  contradicted: 'does not reconcile',
};

/** Returns the cause in words, e.g. `3 days missing (payload_totals)`. */
export function describeBlocker({ cause, days, streams }: Blocker): string {
  const text = describeCause(cause);
  const counted = days === null ? text : `${days} ${days === 1 ? 'day' : 'days'} ${text}`;
  return streams === null ? counted : `${counted} (${streams.join(', ')})`;
}

export function describeCause(cause: string): string {
  return CAUSES[cause] ?? cause.replaceAll('_', ' ');
}

/** A month of an instance since its first day. */
export type MonthState = Awaited<ReturnType<typeof readMonthStates>>[number];

/**
 * Returns the months of instances, newest first. Adds up every closed month, which takes seconds for each at
 * 10,000 organizations.
 */
export async function readMonthStates(db: Kysely<Schema>, instanceIds: readonly string[]) {
  return await db
    .selectFrom('months')
    .select((eb) => [
      'instance_id as instanceId',
      sql<Month>`to_char(month, 'YYYY-MM')`.as('month'),
      'is_over as isOver',
      eb
        .ref('state')
        .$castTo<'in_progress' | 'ready' | 'blocked' | 'closed' | 'needs_adjustment'>()
        .as('state'),
      'causes',
      'orgs_blocked as orgsBlocked',
      'orgs_to_adjust as orgsToAdjust',
      'lines_to_adjust as linesToAdjust',
      'closed_at as closedAt',
      'statements',
    ])
    .where('instance_id', 'in', [...instanceIds])
    .orderBy('instance_id')
    .orderBy('month', 'desc')
    .execute();
}
