import { sql } from 'kysely';
import type { HostColumns } from './hosts.ts';

/**
 * The lease `l` under which the row `i` of `instances` is exported now, in SQL: its own, or the oldest of its
 * shards; null if there is none. Judged by the database's clock.
 */
export const leaseInForce = ({ lease: host }: Pick<HostColumns, 'lease'>) => sql`lateral (
  select lease_run_id, lease_host, lease_since from (
    select i.lease_run_id, ${host} as lease_host, i.lease_since, i.lease_until
    union all
    select lease_run_id, ${host}, lease_since, lease_until
    from losant_usage.shard_leases s where s.instance_id = i.instance_id
  ) as leases
  where lease_until > clock_timestamp() order by lease_since limit 1) as l`;
