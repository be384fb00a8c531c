import { orderKeys, spoilItem } from './list-faults.ts';
import type { Org } from './organizations.ts';
import { type ListQuery, parseListQuery } from './params.ts';
import type { Body } from './rejection.ts';
import type { World } from './world.ts';

/**
 * Creates a page of the organization list, with the configured faults. `perPage` in the body is the one that applies.
 * Throws a rejection for an invalid query.
 */
export function createOrgListBody(
  world: World,
  parameters: URLSearchParams,
  describe: (org: Org) => Body,
): Body & { items: (Body | null)[] } {
  const query = parseListQuery(parameters);
  const { page, sortField, sortDirection } = query;
  const { list, pageSizeMax } = world.settings;
  const keys = world.organizations.existingKeys().filter((key) => !list.hide?.includes(key));
  const sorted = sortKeys(world, keys, query);
  const size = Math.min(query.perPage, pageSizeMax);
  const first = list.ignorePage ? 0 : page * size;
  const pageKeys = list.emptyPages?.includes(page) ? [] : orderKeys(sorted, list).slice(first, first + size);
  const orgs = [...world.organizations.each(pageKeys)];
  const items = orgs.map((org) => spoilItem(describe(org), org.key, list));
  deleteAfter(world, page);
  return {
    items,
    count: items.length,
    totalCount: list.totalCount ?? sorted.length,
    perPage: size,
    page,
    sortField,
    sortDirection,
    instanceId: world.instanceId,
  };
}

/** Sorts keys, which come sorted by ID. Equal values stay in the order of IDs. */
function sortKeys({ organizations }: World, keys: readonly string[], query: ListQuery): readonly string[] {
  const { sortField, sortDirection } = query;
  const isDescending = sortDirection.toLowerCase() === 'desc';
  if (sortField === 'id') return isDescending ? keys.toReversed() : keys;
  const sign = isDescending ? -1 : 1;
  const values = [...organizations.each(keys)].map(({ key, attributes }) => {
    const value = attributes[sortField];
    return { key, value: typeof value === 'string' ? value : '' };
  });
  values.sort((a, b) => {
    if (a.value === b.value) return a.key < b.key ? -1 : 1;
    return a.value < b.value ? -sign : sign;
  });
  return values.map(({ key }) => key);
}

/** Deletes the organization whose deletion is configured for this page. */
function deleteAfter(world: World, page: number): void {
  const { deleteAfter, ...rest } = world.settings.list;
  if (deleteAfter?.page !== page) return;
  world.settings = { ...world.settings, list: rest };
  const org = world.organizations.find(deleteAfter.orgId);
  if (org !== undefined) world.organizations.change(org, { deleted: true });
  world.version++;
}
