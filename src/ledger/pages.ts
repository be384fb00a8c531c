import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { type BeginOptions, beginWriting } from './lease.ts';

/** The organizations that one transaction concerns. */
const ORGS_PER_PAGE = 500;

/** The organizations `o` of an instance that match. */
interface Matching {
  readonly instanceId: string;
  readonly matches: RawBuilder<unknown>;
}

/** Calls `work` in a transaction for each page of organizations, in the order of ids. */
export async function eachPage(
  db: Kysely<Schema>,
  write: BeginOptions,
  { instanceId, matches }: Matching,
  work: (trx: Kysely<Schema>, orgIds: readonly string[]) => Promise<void>,
): Promise<void> {
  for (let afterOrgId = ''; ; ) {
    const { rows } = await sql<{ org_id: string }>`
      select o.org_id from losant_usage.organizations o
      where o.instance_id = ${instanceId} and o.org_id > ${afterOrgId} and ${matches}
      order by o.org_id limit ${ORGS_PER_PAGE}`.execute(db);
    const orgIds = rows.map(({ org_id }) => org_id);
    const last = orgIds.at(-1);
    if (last === undefined) return;
    afterOrgId = last;
    await db.transaction().execute(async (trx) => {
      await beginWriting(trx, write);
      await work(trx, orgIds);
    });
  }
}
