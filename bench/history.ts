/** Builds a database as it looks after months, and measures how fast it grows. */
import { query } from './servers.ts';

/**
 * Gives every organization that was exported once a history of `days` days:
 * tracked, stored, final and read since the last checkpoint.
 */
export async function fillLedger(databaseUrl: string, days: number): Promise<void> {
  // The ledger refuses what the program has not written.
  await query(
    databaseUrl,
    `set losant_usage.program = 'bench';
     insert into losant_usage.coverage (usage_date, stream, org_id, standing, is_stored, is_reported, revision, verified_at,
       attempted_at, response_sha256, run_id, first_loaded_at, finalized_at)
     select c.usage_date - back, c.stream, c.org_id, 'final', true, true, 1, now(), now(), c.response_sha256, c.run_id,
       now(), now()
     from generate_series(1, ${days} - 1) as back cross join losant_usage.coverage c
     order by 1, 2, 3;
     update losant_usage.tracking set tracked_days = tracked_days
       + datemultirange(daterange(tracked_from - (${days} - 1), tracked_from))`,
  );
  await query(databaseUrl, 'vacuum analyze');
}

export interface TableSize {
  readonly name: string;
  readonly rows: number;
  /** The size in bytes, including indexes. */
  readonly bytes: number;
}

/** Returns the tables that grow with every organization and day, the ledger last. */
export async function readTableSizes(databaseUrl: string): Promise<TableSize[]> {
  const names = ['usage_days', 'payload_sources', 'coverage'];
  return await Promise.all(
    names.map(async (name) => {
      const [row] = await query<{ rows: string; bytes: string }>(
        databaseUrl,
        `select count(*) as rows, pg_total_relation_size('losant_usage.${name}') as bytes from losant_usage.${name}`,
      );
      return { name, rows: Number(row?.rows), bytes: Number(row?.bytes) };
    }),
  );
}
