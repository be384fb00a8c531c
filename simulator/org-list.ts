import { orderList, spoilItem } from './list-faults.ts';
import type { Org } from './organizations.ts';
import { type ListQuery, readListQuery } from './params.ts';
import type { Body } from './refusal.ts';
import type { World } from './world.ts';

/**
 * Answers a page of the organization list, with the configured faults. A `perPage` beyond the largest
 * page is cut, and the body says so. Throws a refusal for a query that is not allowed.
 */
export function answerOrgList(
  world: World,
  parameters: URLSearchParams,
  describe: (org: Org) => Body,
): Body & { items: (Body | null)[] } {
  const query = readListQuery(parameters);
  const { page, sortField, sortDirection } = query;
  const { list, pageSizeMax } = world.settings;
  const keys = world.organizations.living().filter((key) => !list.hide?.includes(key));
  const sorted = sortKeys(world, keys, query);
  const size = Math.min(query.perPage, pageSizeMax);
  const first = list.ignorePage ? 0 : page * size;
  const listed = list.emptyPages?.includes(page) ? [] : orderList(sorted, list).slice(first, first + size);
  const orgs = [...world.organizations.each(listed)];
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

/** Sorts the keys, which are sorted by id already; equal values stay in the order of ids. */
function sortKeys({ organizations }: World, keys: readonly string[], query: ListQuery): readonly string[] {
  const { sortField, sortDirection } = query;
  const isDescending = sortDirection.toLowerCase() === 'desc';
  if (sortField === 'id') return isDescending ? keys.toReversed() : keys;
  const sign = isDescending ? -1 : 1;
  const valued = [...organizations.each(keys)].map(({ key, attributes }) => {
    const value = attributes[sortField];
    return { key, value: typeof value === 'string' ? value : '' };
  });
  valued.sort((a, b) => {
    if (a.value === b.value) return a.key < b.key ? -1 : 1;
    return a.value < b.value ? -sign : sign;
  });
  return valued.map(({ key }) => key);
}

/** Deletes the organization that is to be deleted after this page. */
function deleteAfter(world: World, page: number): void {
  const { deleteAfter, ...rest } = world.settings.list;
  if (deleteAfter?.page !== page) return;
  world.settings = { ...world.settings, list: rest };
  const org = world.organizations.find(deleteAfter.orgId);
  if (org !== undefined) world.organizations.change(org, { deleted: true });
  world.version++;
}
