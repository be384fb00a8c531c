/** The bills of a month by organization, which a clerk looks at before it is closed. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';
import type { Month, PeriodSource } from '../usage/period.ts';
import { type StatementTotal, Totals } from './pack-sums.ts';

/** The bill of an organization for a period. Days are those of the stream that has most of them. */
export interface OrganizationBill {
  readonly orgId: string;
  readonly orgName: string;
  readonly referralId: string | null;
  readonly customerId: string | null;
  readonly from: UsageDay;
  readonly to: UsageDay;
  /** Quantities by metric, as text, because they may exceed a JavaScript number; null if none is stored. */
  readonly quantities: Readonly<Record<string, string | null>>;
  readonly daysExpected: number;
  readonly daysFinal: number;
  /** Days that a person accepted. */
  readonly daysAccepted: number;
  readonly daysNotFinal: number;
  readonly daysUnavailable: number;
  readonly daysInDoubt: number;
  readonly daysMissing: number;
  /** Days with zeros that Losant did not name. */
  readonly daysUnreported: number;
  /** Days with numbers that were typed in. */
  readonly daysByHand: number;
  readonly isBillable: boolean;
  /** How the month compares with the control total: `equal`, `differs`, `pending`, or `not_compared`. */
  readonly control: string;
  /** Our number minus Losant's, as text, by the metrics that differ. */
  readonly differences: Readonly<Record<string, string>>;
}

/** A month of an instance that is billed. */
interface StatementScope {
  readonly instanceId: string;
  readonly month: Month;
  readonly source: PeriodSource;
}

/** `readBills` returns the bills of lines, given as a table of a query, by name. */
export async function readBills(
  trx: Kysely<Schema>,
  lines: RawBuilder<unknown>,
  { instanceId, month, source }: StatementScope,
): Promise<OrganizationBill[]> {
  const { rows } = await sql<Omit<OrganizationBill, 'control' | 'differences'>>`
    select l.org_id as "orgId", l.org_name as "orgName", l.referral_id as "referralId", l.customer_id as "customerId",
      l.period_start as "from", l.period_end as "to", jsonb_object_agg(l.metric, l.quantity::text) as quantities,
      max(l.days_expected) as "daysExpected", min(l.days_final) as "daysFinal", max(l.days_accepted) as "daysAccepted",
      max(l.days_not_final) as "daysNotFinal", max(l.days_unavailable) as "daysUnavailable",
      max(l.days_in_doubt) as "daysInDoubt", max(l.days_missing) as "daysMissing",
      max(l.days_unreported) as "daysUnreported", max(l.days_by_hand) as "daysByHand",
      bool_and(l.is_billable) as "isBillable"
    from ${lines} as l
    group by l.org_id, l.org_name, l.referral_id, l.customer_id, l.period_start, l.period_end
    order by lower(l.org_name), l.org_id, l.period_start`.execute(trx);
  // Summaries are of calendar months.
  const none: ReadonlyMap<string, Control> = new Map();
  const controls = source === 'calendar' ? await readControls(trx, { instanceId, month }) : none;
  return rows.map((row) => ({ ...row, ...(controls.get(row.orgId) ?? NOT_COMPARED) }));
}

type Control = Pick<OrganizationBill, 'control' | 'differences'>;

const NOT_COMPARED: Control = { control: 'not_compared', differences: {} };

async function readControls(
  trx: Kysely<Schema>,
  { instanceId, month }: { readonly instanceId: string; readonly month: Month },
): Promise<Map<string, Control>> {
  const { rows } = await sql<Control & { orgId: string }>`
    select r.org_id as "orgId",
      case when bool_or(r.outcome = 'differs') then 'differs' when bool_or(r.outcome = 'pending') then 'pending'
        when bool_or(r.outcome = 'equal') then 'equal' else 'not_compared' end as control,
      coalesce(jsonb_object_agg(r.metric, r.difference::text) filter (where r.outcome = 'differs'), '{}') as differences
    from losant_usage.reconciliation r
    where r.scope = 'org_month' and r.instance_id = ${instanceId} and r.month = ${`${month}-01`}::date
    group by r.org_id`.execute(trx);
  return new Map(rows.map(({ orgId, control, differences }) => [orgId, { control, differences }]));
}

/** `sumBills` returns the sums of bills over all organizations, in the order of the metrics. */
export function sumBills(bills: readonly OrganizationBill[]): StatementTotal[] {
  const totals = new Totals();
  for (const each of Map.groupBy(bills, ({ orgId }) => orgId).values())
    totals.add(each.flatMap(({ quantities }) => Object.entries(quantities)));
  return totals.list();
}
