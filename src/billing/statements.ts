import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { NamedInstance } from '../ledger/instances.ts';
import type { Month } from '../usage/day.ts';
import type { StatementDocument } from './manifest.ts';

export function formatMonthName({ instanceId, name }: NamedInstance, month: Month): string {
  return `${month} of instance ${name === null ? instanceId : `${name} (${instanceId})`}`;
}

/** A closing or an adjustment of a month; `manifestSha256` is in hex. */
export type Statement = Awaited<ReturnType<typeof readStatements>>[number];

export async function readStatements(
  db: Kysely<Schema>,
  { month, instanceIds }: { month: Month; instanceIds: readonly string[] },
) {
  return await db
    .selectFrom('statements')
    .select(['statement_id as statementId', 'instance_id as instanceId', 'number'])
    .select((eb) => eb.ref('kind').$castTo<'closing' | 'adjustment'>().as('kind'))
    .select(['reason', 'orgs', 'closed_at as closedAt', 'closed_by as closedBy'])
    // Not null: only the closing transaction sees a statement without a manifest.
    .select(sql<string>`encode(manifest_sha256, 'hex')`.as('manifestSha256'))
    .where('month', '=', `${month}-01`)
    .where('instance_id', 'in', [...instanceIds])
    .orderBy('instance_id')
    .orderBy('number')
    .execute();
}

/** Whether a statement is the same in its manifest and in the database. */
export async function matchesRow(
  db: Kysely<Schema>,
  { id, number, kind, reason, orgs, closedAt, closedBy, rules, reconciliation, previousSha256 }: StatementDocument,
): Promise<boolean> {
  const { rows } = await sql`
    select from losant_usage.statements s
    where s.statement_id = ${id}::uuid and s.number = ${number} and s.kind = ${kind}
      and s.reason is not distinct from ${reason} and s.orgs = ${orgs} and s.closed_at = ${closedAt}::timestamptz
      and s.closed_by = ${closedBy} and s.rules = ${JSON.stringify(rules)}::text::jsonb
      and s.reconciliation = ${JSON.stringify(reconciliation)}::text::jsonb
      and encode(s.previous_sha256, 'hex') is not distinct from ${previousSha256}`.execute(db);
  return rows.length > 0;
}

/** A row of `month_blockers`. `orgId` is null if the cause concerns the whole instance. */
export type Blocker = Awaited<ReturnType<typeof readBlockers>>[number];

export async function readBlockers(db: Kysely<Schema>, { month, instanceId }: { month: Month; instanceId: string }) {
  return await db
    .selectFrom('month_blockers')
    .select(['instance_id as instanceId', 'org_id as orgId', 'org_name as orgName', 'cause', 'days'])
    .select(['first_day as firstDay', 'last_day as lastDay', 'streams', 'detail', 'remedy', 'state', 'summary'])
    .where('month', '=', `${month}-01`)
    .where('instance_id', '=', instanceId)
    .orderBy('org_name')
    .orderBy('org_id')
    .orderBy('cause')
    .execute();
}

export type MonthState = Awaited<ReturnType<typeof readMonthStates>>[number];

/** Returns the months of instances, newest first. At 10,000 organizations, each closed month takes seconds. */
export async function readMonthStates(db: Kysely<Schema>, instanceIds: readonly string[]) {
  return await db
    .selectFrom('months')
    .select(['instance_id as instanceId', sql<Month>`to_char(month, 'YYYY-MM')`.as('month'), 'is_over as isOver'])
    .select(['state', 'causes', 'orgs_blocked as orgsBlocked', 'orgs_to_adjust as orgsToAdjust'])
    .select(['lines_to_adjust as linesToAdjust', 'lines_unsettled as linesUnsettled', 'closed_at as closedAt'])
    .select(['closed_by as closedBy', 'statements'])
    .where('instance_id', 'in', [...instanceIds])
    .orderBy('instance_id')
    .orderBy('month', 'desc')
    .execute();
}

/** Adds integers in text; null counts only if both are. */
export function addQuantities(one: string | null, other: string | null): string | null {
  if (one === null || other === null) return one ?? other;
  return `${BigInt(one) + BigInt(other)}`;
}

/** A number of a day that explains an adjustment; quantities are text. */
export type AdjustmentDay = Awaited<ReturnType<typeof readAdjustmentDays>>['days'][number];

/** The days that are shown with an adjustment; the view has all. */
const FIRST_DAYS = 20;

/** Returns the days of an adjustment with the largest differences, and how many there are. */
export async function readAdjustmentDays(
  db: Kysely<Schema>,
  adjustment: { readonly month: Month; readonly instanceId: string; readonly statementId: string | null },
) {
  const { month, instanceId, statementId } = adjustment;
  const rows = await db
    .selectFrom('adjustment_days')
    .select(['org_id as orgId', 'org_name as orgName', 'metric', 'usage_date as day', 'cause', 'revision'])
    .select(['run_id as runId', 'changed_at as changedAt', 'waiver_reason as waiverReason'])
    .select(sql<string | null>`billed_quantity::text`.as('billedQuantity'))
    .select(sql<string | null>`quantity::text`.as('quantity'))
    .select(sql<number>`count(*) over ()::integer`.as('dayCount'))
    .where('month', '=', `${month}-01`)
    .where('instance_id', '=', instanceId)
    .where(sql<boolean>`statement_id is not distinct from ${statementId}::uuid`)
    .orderBy(sql`abs(difference) desc nulls last, org_name, org_id, metric, usage_date`)
    .limit(FIRST_DAYS)
    .execute();
  return { days: rows.map(({ dayCount, ...day }) => day), dayCount: rows[0]?.dayCount ?? 0 };
}

/** Returns the lines of the remedies; those of a cause that have the same sentences step by step. */
export function mergeRemedies(blockers: readonly Pick<Blocker, 'cause' | 'remedy'>[]): string[] {
  const remedies = blockers.map(({ cause, remedy }) => ({ cause, lines: remedy.split('\n') }));
  const groups = Map.groupBy(remedies, ({ cause, lines }) =>
    [cause, ...lines.map((line) => (line.startsWith('losant-usage ') ? '' : line))].join('\n'),
  );
  return [...groups.values()].flatMap((group) => {
    const steps = group[0]?.lines.map((_, step) => group.map(({ lines }) => lines[step] ?? '')) ?? [];
    return steps.flatMap((lines) => mergeCommands([...new Set(lines)]));
  });
}

/** A command that takes several organizations, in the form in which a remedy has it. */
const FOR_ORGS = /^(?<start>losant-usage (?:run|backfill|waive) .*?--org )(?<orgId>[0-9a-f]{24})(?<end>.*)$/;
/** So few that a line can be pasted. */
const MAX_COMMAND_ORGS = 100;

/** Commands that differ only in the organization become one. */
function mergeCommands(commands: readonly string[]): string[] {
  const groups = Map.groupBy(commands, (each) => each.replace(FOR_ORGS, '$<start>ORGS$<end>'));
  return [...groups].flatMap(([command, members]) => {
    const orgIds = members.flatMap((each) => FOR_ORGS.exec(each)?.groups?.['orgId'] ?? []);
    if (orgIds.length < 2) return members;
    return Array.from({ length: Math.ceil(orgIds.length / MAX_COMMAND_ORGS) }, (_, index) => {
      const chunk = orgIds.slice(index * MAX_COMMAND_ORGS, (index + 1) * MAX_COMMAND_ORGS);
      return command.replace('ORGS', chunk.join(','));
    });
  });
}
