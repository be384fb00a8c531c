import fc from 'fast-check';
import { collect } from 'streaming-iterables';
import { describe, expect, it } from 'vitest';
import { listOrgPages, type OrgListResult, type OrgPage } from '../../src/losant/org-list.ts';
import { containing } from '../support/texts.ts';
import { clientFor, INSTANCE_ID, sendJson, startServer } from './server.ts';

const orgId = (number: number) => `5d${number.toString(16).padStart(22, '0')}`;
const orgsOf = (count: number): Item[] => Array.from({ length: count }, (_, i) => orgOf(i));
const orgOf = (number: number): Item => ({ id: orgId(number), name: `Org ${number}` });

const { signal } = new AbortController();
const COMMON_QUERY = { _actions: 'false', _links: 'false', _embedded: 'false' };

type Item = { id: string; name: string; [key: string]: unknown };

interface World {
  /** Sorted by ID as by the API; tests change them while the list is read. */
  items: unknown[];
}

interface ServerOptions {
  /** Changes the world before the response to the request with this number, counted from 1. */
  readonly before?: (world: World, number: number) => void;
  /** Changes a response. */
  readonly edit?: (body: { readonly items: readonly unknown[] }, page: number) => object;
}

interface ListRead extends OrgListResult {
  readonly ids: readonly (string | null)[];
  readonly unreadable: readonly (string | null)[];
  readonly requests: number;
}

/** Reads the complete list of a server. */
async function readList(items: unknown[], perPage: number, options: ServerOptions = {}): Promise<ListRead> {
  const world = { items };
  await using server = await startServer(({ query }, response, number) => {
    options.before?.(world, number);
    const page = Number(query['page']);
    const size = Number(query['perPage']);
    const items = world.items.slice(page * size, (page + 1) * size);
    const body = { items, totalCount: world.items.length };
    sendJson(response, options.edit?.(body, page) ?? body);
  });
  const orgs: OrgPage['items'][number][] = [];
  const pages = listOrgPages(clientFor(server), { perPage, signal });
  let page = await pages.next();
  for (; !page.done; page = await pages.next()) orgs.push(...page.value.items);
  const [unreadable, readable] = [orgs.filter((org) => 'problem' in org), orgs.filter((org) => !('problem' in org))];
  const idsOf = (each: OrgPage['items']) => each.map(({ orgId: id }) => id);
  return { ...page.value, ids: idsOf(readable), unreadable: idsOf(unreadable), requests: server.received.length };
}

const UNSORTED = 'it is not sorted by ID, or lists an organization twice';
const idsTo = (count: number) => Array.from({ length: count }, (_, i) => orgId(i));

describe('a list that does not change is complete', () => {
  it.each([0, 1, 10, 30, 31])('with %i organizations in pages of 10', async (count) => {
    const read = await readList(orgsOf(count), 10);
    const requests = Math.max(1, Math.ceil(count / 10));
    expect(read).toMatchObject({ reason: null, listedOrgs: count, ids: idsTo(count), requests });
  });

  it('if the API returns smaller pages than requested, and does not report it', async () => {
    const cap = 3;
    await using server = await startServer(({ query }, response) => {
      const first = Number(query['page']) * cap;
      sendJson(response, { items: orgsOf(7).slice(first, first + cap), totalCount: 7, perPage: 100 });
    });
    const pages = await collect(listOrgPages(clientFor(server), { signal }));
    expect(pages.flatMap(({ items }) => items.map((org) => org.orgId))).toEqual(idsTo(7));
    const received = server.received.toSorted((a, b) => Number(a.query['page']) - Number(b.query['page']));
    const common = { perPage: '100', sortField: 'id', sortDirection: 'asc', ...COMMON_QUERY };
    expect(received.map(({ query }) => query)).toEqual(['0', '1', '2'].map((page) => ({ page, ...common })));
    expect(new Set(received.map(({ path }) => path))).toEqual(new Set([`/instances/${INSTANCE_ID}/orgs`]));
  });
});

it.each([
  ['no totalCount', { items: [] }, 'totalCount'],
  ['no items', { totalCount: 0 }, 'items'],
  ['another page', { items: [], totalCount: 0, page: 4 }, 'page 4'],
  ['an array', [], 'body'],
])('a response with %s in place of the requested page is rejected and not requested again', async (_, body, detail) => {
  await using server = await startServer((__, response) => sendJson(response, body));
  const list = collect(listOrgPages(clientFor(server), { signal }));
  const rejection = { kind: 'bad_body', action: 'instanceOrgs.get', body: JSON.stringify(body) };
  const message = containing(detail);
  await expect(list).rejects.toMatchObject({ ...rejection, message });
  expect(server.received).toHaveLength(1);
});

const describeCounts = (listedOrgs: number, total: number) =>
  `it lists ${listedOrgs} organizations but reports a total of ${total}`;

describe('a list that contradicts itself is not complete', () => {
  it.each<[string, NonNullable<ServerOptions['edit']>, string, number]>([
    ['with an empty page', (body, page) => (page === 1 ? { ...body, items: [] } : body), describeCounts(20, 30), 20],
    ['with an empty first page', (body) => ({ ...body, items: [] }), describeCounts(0, 30), 0],
    ['when the requested page number is ignored', (body) => ({ ...body, items: orgsOf(10) }), UNSORTED, 10],
    ['when it reports a total of 0', (body) => ({ ...body, totalCount: 0 }), describeCounts(30, 0), 30],
    ['when it reports a much larger total', (body) => ({ ...body, totalCount: 3e3 }), describeCounts(30, 3e3), 30],
    ['when all pages of many are the first', () => ({ items: orgsOf(10), totalCount: 3e3 }), UNSORTED, 10],
  ])('%s', async (_, edit, reason, listedOrgs) => {
    const read = await readList(orgsOf(30), 10, { edit });
    expect(read).toMatchObject({ reason, listedOrgs });
    expect(new Set(read.ids).size).toBe(listedOrgs);
    expect(read.requests).toBeLessThanOrEqual(12);
  });

  it('when it lists an organization twice', async () => {
    const read = await readList([orgOf(0), orgOf(1), orgOf(1), orgOf(2)], 10);
    expect(read).toMatchObject({ reason: UNSORTED, listedOrgs: 3 });
    expect(new Set(read.ids)).toEqual(new Set(idsTo(3)));
  });
});

describe('a list that shifts while it is read', () => {
  it('reads the list once more, in its new state', async () => {
    const before = (world: World, number: number) => {
      if (number === 60) world.items = world.items.filter((_, index) => index !== 3);
    };
    const read = await readList(orgsOf(200), 2, { before });
    expect(read).toMatchObject({ reason: null, listedOrgs: 199 });
    expect(new Set(read.ids)).toEqual(new Set(idsTo(200)));
    expect(read.requests).toBe(200);
  });

  it('is not complete if it keeps shifting, and is not read forever', async () => {
    const before = (world: World) => {
      world.items = world.items.slice(1);
    };
    const { reason } = await readList(orgsOf(200), 2, { before });
    expect(reason).toContain('it kept changing while it was read');
  });

  it('has every organization that existed throughout, if it counts as complete', async () => {
    /** The request at which an organization is deleted, or a new one (-1) created. */
    const event = fc.tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: -1, max: 24 }));
    const play = async (count: number, perPage: number, events: readonly [number, number][]) => {
      const lastingIds = new Set(idsTo(count));
      let next = count;
      const before = (world: World, number: number) => {
        // One change at a time: two that cancel each other out would leave no trace in the total.
        const [, changed] = events.find(([at]) => at === number) ?? [];
        if (changed === -1) {
          world.items = [...world.items, orgOf(next)];
          next += 1;
        } else if (changed !== undefined) {
          world.items = world.items.filter((item) => (item as Item).id !== orgId(changed));
          lastingIds.delete(orgId(changed));
        }
      };
      const read = await readList(orgsOf(count), perPage, { before });
      const absentIds = [...lastingIds].filter((id) => !read.ids.includes(id));
      if (read.reason === null) expect(absentIds).toEqual([]);
      // A single change must not make the list incomplete.
      if (events.length <= 1) expect(read.reason).toBeNull();
    };
    const [counts, sizes] = [fc.integer({ min: 0, max: 24 }), fc.integer({ min: 1, max: 6 })];
    const property = fc.asyncProperty(counts, sizes, fc.array(event, { maxLength: 3 }), play);
    await fc.assert(property, { numRuns: 40 });
  });
});

it.each([
  ['with sorted pages', [orgOf(5), orgOf(6), orgOf(1), orgOf(2), orgOf(9), orgOf(10)], 2],
  ['with repeated organizations', [orgOf(5), orgOf(1), orgOf(3), orgOf(1), orgOf(2), orgOf(5)], 2],
])('an unsorted list %s is not complete, but every organization on it is listed', async (_, items, perPage) => {
  const read = await readList(items, perPage);
  expect(read).toMatchObject({ reason: UNSORTED });
  expect(new Set(read.ids)).toEqual(new Set(items.map(({ id }) => id)));
});

it('unreadable items are reported by ID or counted, and those without an ID make the list incomplete', async () => {
  const withoutId = [null, { name: 'without an id' }, { id: 17, name: 'with a number for an id' }];
  const read = await readList([orgOf(0), ...withoutId, { id: orgId(1), name: null }, orgOf(2)], 10);
  expect(read).toMatchObject({
    reason: '3 items have no readable ID',
    listedOrgs: 3,
    ids: [orgId(0), orgId(2)],
    unreadable: [null, null, null, orgId(1)],
  });
});
