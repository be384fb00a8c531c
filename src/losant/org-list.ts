import { z } from 'zod';
import { describeProblems } from '../usage/body.ts';
import type { Organization, UnreadableOrg } from '../usage/organization.ts';
import { unexpectedBody } from './attempt.ts';
import type { LosantClient } from './client.ts';
import { readOrganization } from './organization.ts';
import { instancePath } from './orgs.ts';

/** One or more pages of the list. */
export interface OrgPage {
  /** The number of organizations of the instance according to the newest of these. */
  readonly totalCount: number;
  readonly items: readonly (Organization | UnreadableOrg)[];
}

/** The result of reading a list, by its own account. */
export interface OrgListVerdict {
  /** Null if as many different organizations came as `totalCount` says; else the reason why it is not complete. */
  readonly reason: string | null;
  /** The number of different ids that came. */
  readonly listed: number;
  /** Whether the pages do not belong to one state of the list, as after a deletion meanwhile. */
  readonly hasShifted: boolean;
}

export interface ListOptions {
  readonly instanceId: string;
  readonly perPage?: number | undefined;
  readonly signal: AbortSignal;
}

/** The bound for a list without an end, longer than any list of this API. */
const PAGES_MAX = 100_000;
/** The number of pages asked for at once, and stored together. */
const PAGES_AT_ONCE = 5;

/**
 * Lists all organizations of an instance, some pages at a time, sorted by id, so that a rename cannot move one to a
 * page already read. A list whose pages shift meanwhile is read once more: its organizations then come twice. Returns
 * whether the list is complete. Throws a `LosantError`.
 */
export async function* listOrgPages(
  client: LosantClient,
  options: ListOptions,
): AsyncGenerator<OrgPage, OrgListVerdict, undefined> {
  const first = yield* readList(client, options);
  return first.hasShifted ? yield* readList(client, options) : first;
}

async function* readList(
  client: LosantClient,
  options: ListOptions,
): AsyncGenerator<OrgPage, OrgListVerdict, undefined> {
  let listed = 0;
  let unidentified = 0;
  let received = 0;
  let pageSize = 0;
  let totalCount = 0;
  let lastId = '';
  let isSteady = true;
  let isSorted = true;
  // The first page, which says how many there are, is asked for alone.
  for (let page = 0, count = 1; page < PAGES_MAX; ) {
    const requests = Array.from({ length: count }, (_, offset) => readPage(client, options, page + offset));
    const pages = await Promise.all(requests);
    const before = listed + unidentified;
    for (const [place, read] of pages.entries()) {
      if (page + place === 0) pageSize = read.items.length;
      else if (read.totalCount !== totalCount) isSteady = false;
      ({ totalCount } = read);
      for (const { orgId } of read.items) {
        if (orgId === null) unidentified += 1;
        else if (orgId <= lastId) isSorted = false;
        else {
          listed += 1;
          lastId = orgId;
        }
      }
      received += read.items.length;
    }
    yield { totalCount, items: pages.flatMap(({ items }) => items) };
    page += count;
    const pagesLeft = pageSize === 0 ? 0 : Math.ceil(totalCount / pageSize) - page;
    // A list that has more or fewer on its pages than it says is read as long as it has something new.
    const isNew = listed + unidentified > before;
    if (pagesLeft <= 0 && (received === totalCount || !isNew)) break;
    count = Math.min(Math.max(pagesLeft, 1), PAGES_AT_ONCE);
  }
  const reasons: string[] = [];
  if (!isSteady) reasons.push('it kept changing while it was read');
  if (!isSorted) reasons.push('it is not sorted by ID, or lists an organization twice');
  if (unidentified > 0) reasons.push(`${unidentified} of its items have no readable id`);
  if (isSorted && listed + unidentified !== totalCount) {
    reasons.push(`it lists ${listed} organizations but reports a total of ${totalCount}`);
  }
  const reason = reasons.length === 0 ? null : reasons.join('; ');
  return { reason, listed, hasShifted: !isSteady || !isSorted };
}

const pageBody = z.object({
  items: z.array(z.unknown()),
  totalCount: z.int().nonnegative(),
  page: z.int().nullish(),
});

async function readPage(
  client: LosantClient,
  { instanceId, perPage = 100, signal }: ListOptions,
  page: number,
): Promise<OrgPage> {
  const request = { action: 'instanceOrgs.get', ids: { instance: instanceId, page: String(page) }, signal };
  const answer = await client.get({
    ...request,
    path: `${instancePath(instanceId)}/orgs`,
    query: { page: String(page), perPage: String(perPage), sortField: 'id', sortDirection: 'asc' },
  });
  const { data, error } = pageBody.safeParse(answer.body);
  if (error) throw unexpectedBody(request, answer, describeProblems(error));
  const { items, totalCount, page: echoed } = data;
  if (echoed != null && echoed !== page)
    throw unexpectedBody(request, answer, `responded with page ${echoed}`);
  const answeredAtMs = answer.dateMs ?? answer.receivedAtMs;
  return { totalCount, items: items.map((item) => readOrganization(item, answeredAtMs)) };
}
