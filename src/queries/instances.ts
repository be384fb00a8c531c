import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { readHostColumns } from '../ledger/hosts.ts';
import { leaseInForce } from '../ledger/lease-holder.ts';
import { countQuarantined, countRestatedFinal } from './counts.ts';

/** An instance that is collected, and what stands beside its numbers. */
export interface InstanceStatus {
  readonly instanceId: string;
  readonly apiUrl: string;
  /** When its organizations were last listed completely. */
  readonly listedAt: Instant | null;
  /** The process that exports it now; null if none does. Its host is null for who may not see it. */
  readonly lease: { readonly runId: string; readonly host: string | null; readonly since: Instant } | null;
  /** Answers in quarantine that no good answer has replaced. */
  readonly quarantined: number;
  /** Final numbers that Losant restated in the last 30 days, and since ever. */
  readonly restatedFinal30Days: number;
  readonly restatedFinal: number;
}

/** Every instance, by id. */
export async function readInstances(db: Kysely<Schema>): Promise<InstanceStatus[]> {
  const hosts = await readHostColumns(db);
  const { rows } = await sql<InstanceStatus>`
    select i.instance_id as "instanceId", i.api_url as "apiUrl", i.listed_at as "listedAt",
      case when l.lease_run_id is not null then json_build_object(
        'runId', l.lease_run_id, 'host', l.lease_host,
        'since', to_char(l.lease_since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) end as lease,
      ${countQuarantined(sql`i.instance_id`)} as quarantined,
      ${countRestatedFinal(sql`i.instance_id`, { at: sql`now()`, days: 30 })} as "restatedFinal30Days",
      ${countRestatedFinal(sql`i.instance_id`, { at: sql`now()`, days: null })} as "restatedFinal"
    from losant_usage.instances i left join ${leaseInForce(hosts)} on true order by i.instance_id`.execute(
    db,
  );
  return rows;
}

/** The instances' names by id, or their ids where no name is known; by id. */
export async function readInstanceNames(db: Kysely<Schema>): Promise<ReadonlyMap<string, string>> {
  const instances = await db
    .selectFrom('instances')
    .select(['instance_id', 'name'])
    .orderBy('instance_id')
    .execute();
  return new Map(instances.map(({ instance_id, name }) => [instance_id, name ?? instance_id]));
}
