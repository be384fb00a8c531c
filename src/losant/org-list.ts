import { z } from 'zod';
import { describeProblems } from '../usage/body.ts';
import type { Organization } from '../usage/organization.ts';
import { unusableAnswer } from './attempt.ts';
import type { LosantClient } from './client.ts';
import { type OrganizationReading, readOrganization } from './organization.ts';
import { instancePath } from './orgs.ts';

export interface OrgPage {
  /** The number of organizations of the instance according to this page. */
  readonly totalCount: number;
  readonly items: readonly Organization[];
  /** The organizations on this page that could not be read; they exist nevertheless. */
  readonly rejected: readonly Extract<OrganizationReading, { ok: false }>[];
  /** The id of each item in lower case, in the order of the page; null for an item without a readable id. */
  readonly ids: readonly (string | null)[];
}

/** The result of reading a list, by its own account. */
export interface OrgListVerdict {
  /** True if as many different organizations came as `totalCount` says, and no page contradicted another. */
  readonly isComplete: boolean;
  /** The reason why it is not complete; null if it is. */
  readonly reason: string | null;
  /** The number of different ids that came. */
  readonly listed: number;
  /** The number of organizations that the instance has according to the last page. */
  readonly totalCount: number;
  /** Whether the pages do not belong to one state of the list, as after a deletion meanwhile. */
  readonly hasShifted: boolean;
}

export interface ListOptions {
  readonly instanceId: string;
  readonly perPage?: number | undefined;
  readonly signal: AbortSignal;
}

const PER_PAGE = 100;

/** The pages requested ahead, so that the latencies of a list of thousands of organizations do not add up. */
const PAGES_AHEAD = 4;

/** The bound for a list without an end, longer than any list of this API. */
const PAGES_MAX = 100_000;

/**
 * Lists all organizations of an instance page by page, sorted by id, so that a rename cannot move one to a page
 * already read. A list whose pages shift meanwhile is read once more, from its beginning to its end: its
 * organizations then come twice. Returns whether the list is complete. Throws a `LosantError`.
 */
export async function* listOrgPages(
  client: LosantClient,
  options: ListOptions,
): AsyncGenerator<OrgPage, OrgListVerdict, undefined> {
  const first = yield* readList(client, options, { endsWithShift: true });
  return first.hasShifted ? yield* readList(client, options, { endsWithShift: false }) : first;
}

async function* readList(
  client: LosantClient,
  options: ListOptions,
  { endsWithShift }: { readonly endsWithShift: boolean },
): AsyncGenerator<OrgPage, OrgListVerdict, undefined> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const ahead: Promise<OrgPage>[] = [];
  const count = new OrgCount();
  try {
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const listed = await (ahead.shift() ?? readPage(client, { ...options, signal }, page));
      const left = count.take(listed, page);
      const isOver = left === 0 || (endsWithShift && count.hasShifted);
      while (!isOver && ahead.length < Math.min(PAGES_AHEAD, left)) {
        ahead.push(inBackground(readPage(client, { ...options, signal }, page + 1 + ahead.length)));
      }
      yield listed;
      if (isOver) break;
    }
    // What was requested ahead belongs to this reading, not to the next one.
    await Promise.allSettled(ahead);
    return count.verdict();
  } finally {
    stop.abort();
  }
}

/** Keeps a failure that nobody waits for yet from counting as unhandled. */
function inBackground<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Counts the organizations of a list. As it is sorted by id, those with an id after all before are different ones. */
class OrgCount {
  #listed = 0;
  #unidentified = 0;
  #lastId = '';
  /** The number of items that came, different or not. */
  #received = 0;
  #pageSize = 0;
  #totalCount = 0;
  #isTotalSteady = true;
  #isSorted = true;

  get hasShifted(): boolean {
    return !this.#isTotalSteady || !this.#isSorted;
  }

  /** Counts a page. Returns the number of pages that should follow. */
  take({ totalCount, ids }: OrgPage, page: number): number {
    if (page === 0) this.#pageSize = ids.length;
    else if (totalCount !== this.#totalCount) this.#isTotalSteady = false;
    this.#totalCount = totalCount;
    this.#received += ids.length;
    const before = this.#listed + this.#unidentified;
    for (const id of ids) this.#count(id);
    const isNew = this.#listed + this.#unidentified > before;
    const planned = this.#pageSize === 0 ? 0 : Math.ceil(totalCount / this.#pageSize) - page - 1;
    // A list that has more or fewer on its pages than it says is read as long as it has something new.
    return Math.max(planned, isNew && this.#received !== totalCount ? 1 : 0);
  }

  #count(id: string | null): void {
    if (id === null) this.#unidentified += 1;
    else if (id <= this.#lastId) this.#isSorted = false;
    else {
      this.#listed += 1;
      this.#lastId = id;
    }
  }

  verdict(): OrgListVerdict {
    const [listed, unidentified, totalCount] = [this.#listed, this.#unidentified, this.#totalCount];
    const reasons: string[] = [];
    if (!this.#isTotalSteady) reasons.push('it kept changing while it was read');
    if (!this.#isSorted) reasons.push('it is not sorted by id, or names an organization twice');
    if (unidentified > 0) reasons.push(`${unidentified} of its items have no readable id`);
    if (this.#isSorted && listed + unidentified !== totalCount) {
      reasons.push(`it lists ${listed} organizations and has ${totalCount} by its own account`);
    }
    const reason = reasons.length === 0 ? null : reasons.join('; ');
    return { isComplete: reason === null, reason, listed, totalCount, hasShifted: this.hasShifted };
  }
}

const pageBody = z.object({
  items: z.array(z.unknown()),
  totalCount: z.int().nonnegative(),
  page: z.int().nullish(),
});

async function readPage(
  client: LosantClient,
  { instanceId, perPage = PER_PAGE, signal }: ListOptions,
  page: number,
): Promise<OrgPage> {
  const asked = { action: 'instanceOrgs.get', ids: { instance: instanceId, page: String(page) } };
  const answer = await client.get({
    ...asked,
    path: `${instancePath(instanceId)}/orgs`,
    query: { page: String(page), perPage: String(perPage), sortField: 'id', sortDirection: 'asc' },
    signal,
  });
  const parsed = pageBody.safeParse(answer.body);
  if (!parsed.success) throw unusableAnswer(asked, answer, describeProblems(parsed.error));
  const { items, totalCount, page: echoed } = parsed.data;
  if (echoed != null && echoed !== page) throw unusableAnswer(asked, answer, `answered with page ${echoed}`);
  const readings = items.map((item) => readOrganization(item, answer.dateMs ?? answer.receivedAtMs));
  return {
    totalCount,
    items: readings.filter((reading) => reading.ok).map((reading) => reading.organization),
    rejected: readings.filter((reading) => !reading.ok),
    ids: readings.map((reading) => (reading.ok ? reading.organization.orgId : reading.orgId)),
  };
}
