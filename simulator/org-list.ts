import type { OrgAttributes } from './attributes.ts';
import { type Body, orgBody } from './bodies.ts';
import { globFilter, parseOrgFilter } from './filters.ts';
import { followPage, orderList, spoilItem } from './list-faults.ts';
import { isRefusal, parseChoice, parsePaging, type Refusal } from './params.ts';
import type { World } from './world.ts';

const SORT_FIELDS = ['name', 'id', 'creationDate', 'lastUpdated'] as const;

/**
 * Answers a page of the organization list, with the configured faults. A `perPage` beyond the largest
 * page is cut, and the body says so.
 */
export function answerOrgList(world: World, query: URLSearchParams): Body | Refusal {
  const paging = parsePaging(query, SORT_FIELDS);
  if (isRefusal(paging)) return paging;
  const { page, perPage, sortField, sortDirection, isDescending } = paging;
  const matching = matchingOrgs(world, query);
  if (isRefusal(matching)) return matching;
  const { list, pageSizeMax } = world.config;
  const sorted = sortKeys(world, matching.keys, { field: sortField, isDescending });
  const size = Math.min(perPage, pageSizeMax);
  const first = list.ignorePage ? 0 : page * size;
  const listed = list.emptyPages?.includes(page) ? [] : orderList(sorted, list).slice(first, first + size);
  const orgs = [...world.population.each(listed)];
  const items = orgs.map((org) => spoilItem(orgBody(world, org), org, list));
  followPage(world, page);
  return {
    items,
    count: items.length,
    totalCount: list.totalCount ?? sorted.length,
    perPage: size,
    page,
    sortField,
    sortDirection,
    instanceId: world.instanceId,
    ...matching.echo,
  };
}

function matchingOrgs(
  world: World,
  query: URLSearchParams,
): { keys: readonly string[]; echo: Body } | Refusal {
  const filterField = parseChoice(query, 'filterField', ['', 'name']);
  if (isRefusal(filterField)) return filterField;
  const glob = query.get('filter') ?? '';
  const text = query.get('query') ?? '';
  const { hide } = world.config.list;
  let keys = world.population.living();
  if (hide !== undefined) keys = keys.filter((key) => !hide.includes(key));
  let echo: Body = {};
  if (filterField.choice === 'name' && glob !== '') {
    const matches = globFilter(glob);
    keys = filterKeys(world, keys, ({ name }) => matches(name));
    echo = { filterField: 'name', filter: glob };
  }
  if (text !== '') {
    const matches = parseOrgFilter(text);
    if (typeof matches !== 'function') return matches;
    keys = filterKeys(world, keys, matches);
  }
  return { keys, echo };
}

function filterKeys(
  { population }: World,
  keys: readonly string[],
  matches: (attributes: OrgAttributes) => boolean,
): string[] {
  const matching: string[] = [];
  for (const { key, attributes } of population.each(keys)) if (matches(attributes)) matching.push(key);
  return matching;
}

/**
 * Sorts the keys. The population is sorted by id already, so the usual request costs no sort. Equal
 * values are in the order of ids.
 */
function sortKeys(
  { population }: World,
  keys: readonly string[],
  { field, isDescending }: { field: (typeof SORT_FIELDS)[number]; isDescending: boolean },
): readonly string[] {
  if (field === 'id') return isDescending ? keys.toReversed() : keys;
  const sign = isDescending ? -1 : 1;
  const valued = [...population.each(keys)].map(({ key, attributes }) => ({
    key,
    value: attributes[field] ?? '',
  }));
  valued.sort((a, b) => {
    if (a.value === b.value) return a.key < b.key ? -1 : 1;
    return a.value < b.value ? -sign : sign;
  });
  return valued.map(({ key }) => key);
}
