import { type Body, orgBody } from './bodies.ts';
import { globFilter, parseOrgFilter } from './filters.ts';
import { followPage, orderList, spoilItem } from './list-faults.ts';
import { isRefusal, parseChoice, parsePaging, type Refusal } from './params.ts';
import type { Org } from './population.ts';
import type { World } from './world.ts';

const SORT_FIELDS = ['name', 'id', 'creationDate', 'lastUpdated'] as const;

/**
 * A page of the organization list; `perPage` beyond the largest page is cut, and
 * the body says so. With the faults of the configuration.
 */
export function answerOrgList(world: World, query: URLSearchParams): Body | Refusal {
  const paging = parsePaging(query, SORT_FIELDS);
  if (isRefusal(paging)) return paging;
  const { page, perPage, sortField, sortDirection, isDescending } = paging;
  const matching = matchingOrgs(world, query);
  if (isRefusal(matching)) return matching;
  const { list, pageSizeMax } = world.config;
  const sorted = sortOrgs(matching.orgs, sortField, isDescending);
  const size = Math.min(perPage, pageSizeMax);
  const first = list.ignorePage ? 0 : page * size;
  const listed = list.emptyPages?.includes(page) ? [] : orderList(sorted, list).slice(first, first + size);
  const items = listed.map((org) => spoilItem(orgBody(world, org), org, list));
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

function matchingOrgs(world: World, query: URLSearchParams): { orgs: readonly Org[]; echo: Body } | Refusal {
  const filterField = parseChoice(query, 'filterField', ['', 'name']);
  if (isRefusal(filterField)) return filterField;
  const glob = query.get('filter') ?? '';
  const text = query.get('query') ?? '';
  const { hide } = world.config.list;
  let orgs = world.population.living();
  if (hide !== undefined) orgs = orgs.filter(({ key }) => !hide.includes(key));
  let echo: Body = {};
  if (filterField.choice === 'name' && glob !== '') {
    const matches = globFilter(glob);
    orgs = orgs.filter((org) => matches(org.attributes.name));
    echo = { filterField: 'name', filter: glob };
  }
  if (text !== '') {
    const matches = parseOrgFilter(text);
    if (typeof matches !== 'function') return matches;
    orgs = orgs.filter((org) => matches(org.attributes));
  }
  return { orgs, echo };
}

/** The population is sorted by id already: the usual request costs no sort. Equal values come by id. */
function sortOrgs(
  orgs: readonly Org[],
  field: (typeof SORT_FIELDS)[number],
  descending: boolean,
): readonly Org[] {
  if (field === 'id') return descending ? [...orgs].reverse() : orgs;
  const sign = descending ? -1 : 1;
  const value = (org: Org) => org.attributes[field] ?? '';
  return [...orgs].sort((a, b) => {
    if (value(a) === value(b)) return a.key < b.key ? -1 : 1;
    return value(a) < value(b) ? -sign : sign;
  });
}
