import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { addressOf } from './elements.ts';
import { matchesText, toSearchText } from './filters.ts';
import type { ConsolePage } from './page.ts';

export interface FoundOrganization {
  readonly orgId: string;
  readonly name: string;
}

const MAX_MATCHES = 10;

/**
 * Returns the organizations whose name or IDs contain the text, at most ten. One whose name or an ID is the text, or
 * several if they share it, as the organizations of a customer do, are returned without the others.
 */
export async function findOrganizations(
  db: Kysely<Schema>,
  { instanceIds, text }: { readonly instanceIds: readonly string[]; readonly text: string },
): Promise<readonly FoundOrganization[]> {
  const { rows } = await sql<FoundOrganization & { readonly isExact: boolean }>`
    select o.org_id as "orgId", o.name, e.is_exact as "isExact"
    from losant_usage.organizations o
    cross join lateral (
      select coalesce(lower(${text}) in (o.org_id, lower(o.name), lower(o.referral_id), lower(o.customer_id)), false)
        as is_exact
    ) as e
    where o.instance_id = any (${instanceIds}::text[]) and ${matchesText(text)}
    order by e.is_exact desc, o.deleted_on is not null, o.name, o.org_id limit ${MAX_MATCHES}`.execute(db);
  const exactMatches = rows.filter(({ isExact }) => isExact);
  return exactMatches.length > 0 ? exactMatches : rows;
}

/** Opens the organization that the text finds, or the list of all that match it. */
export const findPage: ConsolePage = {
  path: '/find',
  navPath: '/organizations',
  show: async ({ read, instanceIds, query }) => {
    const text = toSearchText(query['q'] ?? '');
    const [match, ...others] = text === '' ? [] : await read((db) => findOrganizations(db, { instanceIds, text }));
    const address =
      match !== undefined && others.length === 0
        ? `/organizations/${match.orgId}`
        : addressOf('/organizations', { q: text });
    return new Response(null, { status: 303, headers: { location: address } });
  },
};
