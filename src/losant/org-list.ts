import { z } from 'zod';
import { count } from '../terminal/words.ts';
import { describeProblems } from '../usage/body.ts';
import { type Organization, parseOrganization, type UnreadableOrg } from '../usage/organization.ts';
import type { LosantClient } from './client.ts';
import { unexpectedBody } from './failure.ts';

/** One or more pages of the list. */
export interface OrgPage {
  /** The number of organizations of the instance, by the newest of these pages. */
  readonly totalCount: number;
  readonly items: readonly (Organization | UnreadableOrg)[];
}

export interface OrgListResult {
  /** Why the list is not complete; null if it has as many different organizations as its `totalCount`. */
  readonly reason: string | null;
  readonly listedOrgs: number;
  /** Whether the pages belong to different states of the list, for example because one was deleted meanwhile. */
  readonly hasShifted: boolean;
}

interface ListOptions {
  readonly perPage?: number | undefined;
  readonly signal: AbortSignal;
}

/** Stops the reading of an endless list: longer than any list of this API. */
const PAGES_MAX = 100_000;
/** Pages that are requested at the same time and stored together. Chosen. */
const PAGES_AT_ONCE = 5;

/**
 * Yields all organizations of an instance, some pages at a time, sorted by ID, so that a rename cannot move one to a
 * page that was read before. A list whose pages shift meanwhile is read a second time, and its organizations are
 * yielded twice. Returns whether the list is complete. Throws a `LosantError`.
 */
export async function* listOrgPages(
  client: LosantClient,
  options: ListOptions,
): AsyncGenerator<OrgPage, OrgListResult, undefined> {
  const first = yield* readList(client, options);
  return first.hasShifted ? yield* readList(client, options) : first;
}

async function* readList(client: LosantClient, options: ListOptions) {
  let listedOrgs = 0;
  let unidentified = 0;
  let itemCount = 0;
  let pageSize = 0;
  let totalCount = 0;
  let lastId = '';
  let lastPageIds = '';
  let isSteady = true;
  let isSorted = true;
  // The first page is requested alone, because it has the total.
  for (let page = 0, count = 1; page < PAGES_MAX; ) {
    const requests = Array.from({ length: count }, (_, offset) => readPage(client, options, page + offset));
    const pages = await Promise.all(requests);
    const earlierItems = listedOrgs + unidentified;
    let isStuck = true;
    for (const [index, { totalCount: pageTotal, items }] of pages.entries()) {
      if (page + index === 0) pageSize = items.length;
      else if (pageTotal !== totalCount) isSteady = false;
      totalCount = pageTotal;
      for (const { orgId } of items) {
        if (orgId === null) unidentified += 1;
        else if (orgId <= lastId) isSorted = false;
        else {
          listedOrgs += 1;
          lastId = orgId;
        }
      }
      itemCount += items.length;
      const pageIds = items.map(({ orgId }) => orgId).join();
      if (pageIds !== lastPageIds) isStuck = false;
      lastPageIds = pageIds;
    }
    yield { totalCount, items: pages.flatMap(({ items }) => items) };
    page += count;
    const pagesLeft = pageSize === 0 ? 0 : Math.ceil(totalCount / pageSize) - page;
    // A list with more or fewer items than its total is read on as long as there are new ones.
    const hasNewItems = listedOrgs + unidentified > earlierItems;
    // One whose pages repeat has no others, however large its total is.
    if (isStuck || (pagesLeft <= 0 && (itemCount === totalCount || !hasNewItems))) break;
    count = Math.min(Math.max(pagesLeft, 1), PAGES_AT_ONCE);
  }
  const reasons: string[] = [];
  if (!isSteady) reasons.push('it kept changing while it was read');
  if (!isSorted) reasons.push('it is not sorted by ID, or lists an organization twice');
  if (unidentified > 0) reasons.push(`${count(unidentified, 'item has', 'items have')} no readable ID`);
  if (isSorted && listedOrgs + unidentified !== totalCount) {
    reasons.push(`it lists ${count(listedOrgs, 'organization')} but reports a total of ${totalCount}`);
  }
  const reason = reasons.length === 0 ? null : reasons.join('; ');
  return { reason, listedOrgs, hasShifted: !isSteady || !isSorted };
}

const pageBody = z.object({ items: z.array(z.unknown()), totalCount: z.int().nonnegative(), page: z.int().nullish() });

async function readPage(client: LosantClient, { perPage = 100, signal }: ListOptions, page: number) {
  const request = { action: 'instanceOrgs.get', ids: { page: String(page) }, signal };
  const response = await client.get({
    ...request,
    path: '/orgs',
    query: { page: String(page), perPage: String(perPage), sortField: 'id', sortDirection: 'asc' },
  });
  const { data, error } = pageBody.safeParse(response.body);
  if (error) throw unexpectedBody(request, response, describeProblems(error));
  const { items, totalCount, page: otherPage } = data;
  if (otherPage != null && otherPage !== page) throw unexpectedBody(request, response, `it is page ${otherPage}`);
  const respondedAtMs = response.dateMs ?? response.receivedAtMs;
  return { totalCount, items: items.map((item) => parseOrganization(item, respondedAtMs)) };
}
