import { describe, expect, it } from 'vitest';
import { listOrgPages, type OrgPage } from '../../src/losant/org-list.ts';
import { getInstance, getOrg } from '../../src/losant/orgs.ts';
import { clientFor, type Received, sendJson, startServer, type TestServer } from './server.ts';

const INSTANCE = '5c0000000000000000000001';
const signal = new AbortController().signal;
const orgId = (number: number) => `5d00000000000000000000${String(number).padStart(2, '0')}`;

async function pagesOf(server: TestServer, perPage: number): Promise<OrgPage[]> {
  const pages: OrgPage[] = [];
  for await (const page of listOrgPages(clientFor(server), { instanceId: INSTANCE, perPage, signal })) {
    pages.push(page);
  }
  return pages;
}

/** Serves `count` organizations as Losant does; `cap` is the most it puts on a page. */
function serveOrgs(count: number, { cap = 1000, envelope = {} }: { cap?: number; envelope?: object } = {}) {
  const orgs = Array.from({ length: count }, (_, i) => ({ id: orgId(i), name: `Org ${i}` }));
  return startServer((request, response) => {
    const page = Number(request.query['page']);
    const perPage = Math.min(cap, Number(request.query['perPage']));
    const items = orgs.slice(page * perPage, (page + 1) * perPage);
    sendJson(response, { items, count: items.length, totalCount: count, perPage, page, ...envelope });
  });
}

const asked = (request: Received) => [request.path, request.query['page'], request.query['perPage']];

describe('listOrgPages', () => {
  it('reads all pages sorted by id', async () => {
    await using server = await serveOrgs(5);
    const pages = await pagesOf(server, 2);
    expect(pages.map((page) => [page.totalCount, page.items.map((org) => org.name)])).toEqual([
      [5, ['Org 0', 'Org 1']],
      [5, ['Org 2', 'Org 3']],
      [5, ['Org 4']],
    ]);
    const path = `/instances/${INSTANCE}/orgs`;
    expect(server.received.map(asked)).toEqual([
      [path, '0', '2'],
      [path, '1', '2'],
      [path, '2', '2'],
    ]);
    expect(server.received[0]?.query).toMatchObject({ sortField: 'id', sortDirection: 'asc' });
  });

  it('asks for the next four pages at once, and yields them in order whichever comes first', async () => {
    const waiting: (() => void)[] = [];
    await using server = await startServer(({ query }, response) => {
      const page = Number(query['page']);
      const items = [{ id: orgId(page), name: `Org ${page}` }];
      const answer = () => sendJson(response, { items, totalCount: 5, page });
      if (page === 0) return answer();
      waiting.unshift(answer);
      if (waiting.length === 4) for (const late of waiting) late();
    });
    const pages = await pagesOf(server, 1);
    expect(pages.map(({ items }) => items[0]?.name)).toEqual(['Org 0', 'Org 1', 'Org 2', 'Org 3', 'Org 4']);
  });

  it.each([
    ['says so', {}],
    ['does not say so', { perPage: undefined }],
    ['claims what was asked for', { perPage: 100 }],
  ])('loses nobody when the API caps perPage and %s', async (_, envelope) => {
    await using server = await serveOrgs(7, { cap: 3, envelope });
    const pages = await pagesOf(server, 100);
    expect(pages.flatMap((page) => page.items.map((org) => org.name))).toEqual([
      'Org 0',
      'Org 1',
      'Org 2',
      'Org 3',
      'Org 4',
      'Org 5',
      'Org 6',
    ]);
  });

  it('keeps the page when one organization cannot be read', async () => {
    const broken = { id: orgId(2).toUpperCase(), name: 'Broken', tags: 'none' };
    await using server = await startServer((_, response) =>
      sendJson(response, { items: [{ id: orgId(1), name: 'Fine' }, broken, 'nonsense'], totalCount: 3 }),
    );
    const [page] = await pagesOf(server, 100);
    expect(page?.items.map((org) => org.name)).toEqual(['Fine']);
    expect(page?.rejected).toMatchObject([
      {
        orgId: '5d0000000000000000000002',
        problem: expect.stringMatching(/^tags: /) as unknown,
      },
      { orgId: null, problem: expect.stringMatching(/^body: /) as unknown },
    ]);
  });

  it.each([
    ['no totalCount', { items: [] }, 'totalCount'],
    ['no items', { totalCount: 0 }, 'items'],
    ['another page', { items: [], totalCount: 0, page: 4 }, 'page 4'],
    ['an array', [], 'body'],
  ])('refuses a list with %s and does not ask again', async (_, body, named) => {
    await using server = await startServer((__, response) => sendJson(response, body));
    await expect(pagesOf(server, 2)).rejects.toMatchObject({
      kind: 'bad_body',
      action: 'instanceOrgs.get',
      message: expect.stringContaining(named) as unknown,
      body: JSON.stringify(body),
    });
    expect(server.received).toHaveLength(1);
  });
});

describe('getOrg', () => {
  const read = (server: TestServer, id = orgId(1)) =>
    getOrg(clientFor(server), { instanceId: INSTANCE, orgId: id, signal }).then(
      ({ organization }) => organization,
    );

  it('reads every attribute, times as UTC with milliseconds', async () => {
    await using server = await startServer((_, response) =>
      sendJson(response, {
        _type: 'instanceOrg',
        id: orgId(1).toUpperCase(),
        orgId: orgId(1).toUpperCase(),
        instanceId: INSTANCE.toUpperCase(),
        name: 'Acme',
        description: 'not kept',
        creationDate: '2025-03-01T10:00:00+02:00',
        tags: [
          { key: 'tier', value: 'gold' },
          { key: 'tier', value: 'old' },
        ],
        referralId: 'C-1001',
        planId: 'plan',
        customerId: 'cus_1',
        limits: { payload: 1000, device: 0, someday: null },
        isReadOnly: true,
        disabledAt: '2026-11-01T00:00:00.000Z',
        currentPeriodStart: '2026-11-01T00:00:00.000Z',
        currentPeriodEnd: '2026-11-30T23:59:59.999Z',
      }),
    );
    expect(await read(server)).toEqual({
      orgId: '5d0000000000000000000001',
      instanceId: '5c0000000000000000000001',
      name: 'Acme',
      tags: [
        { key: 'tier', value: 'gold' },
        { key: 'tier', value: 'old' },
      ],
      referralId: 'C-1001',
      planId: 'plan',
      customerId: 'cus_1',
      limits: { payload: 1000, device: 0 },
      currentPeriodStart: '2026-11-01T00:00:00.000Z',
      currentPeriodEnd: '2026-12-01T00:00:00.000Z',
      createdOn: '2025-03-01',
    });
    expect(server.received[0]?.path).toBe(`/instances/${INSTANCE}/orgs/${orgId(1)}`);
  });

  it('needs no more than an id and a name', async () => {
    await using server = await startServer((_, response) =>
      sendJson(response, { id: orgId(1), name: 'Bare', disabledAt: false, referralId: null }),
    );
    expect(await read(server)).toEqual({
      orgId: '5d0000000000000000000001',
      instanceId: null,
      name: 'Bare',
      tags: [],
      referralId: null,
      planId: null,
      customerId: null,
      limits: {},
      currentPeriodStart: null,
      currentPeriodEnd: null,
      createdOn: null,
    });
  });

  it.each([
    ['of another organization', { id: orgId(2), name: 'Other' }, orgId(2)],
    ['without an id', { name: 'Nobody' }, 'orgId: missing'],
    ['without a name', { id: orgId(1) }, 'name: '],
    ['with a time that is none', { id: orgId(1), name: 'x', creationDate: 'yesterday' }, 'creationDate: '],
  ])('refuses a body %s', async (_, body, named) => {
    await using server = await startServer((__, response) => sendJson(response, body));
    await expect(read(server)).rejects.toMatchObject({
      kind: 'bad_body',
      message: expect.stringContaining(named) as unknown,
    });
  });
});

describe('getInstance', () => {
  it('returns the name and the API clock', async () => {
    await using server = await startServer((_, response) =>
      sendJson(
        response,
        { id: INSTANCE.toUpperCase(), name: 'Main' },
        { headers: { date: 'Tue, 24 Nov 2026 12:00:00 GMT' } },
      ),
    );
    const now = () => Date.UTC(2026, 10, 24, 12);
    const instance = await getInstance(clientFor(server, { now }), { instanceId: INSTANCE, signal });
    expect(instance).toMatchObject({
      name: 'Main',
      answer: { dateMs: Date.UTC(2026, 10, 24, 12) },
    });
    expect(server.received[0]?.path).toBe(`/instances/${INSTANCE}`);
  });

  it.each([
    ['of something else', { status: 'ok' }],
    ['of another instance', { id: orgId(1), name: 'Other' }],
  ])('refuses the body %s', async (_, body) => {
    await using server = await startServer((__, response) => sendJson(response, body));
    await expect(getInstance(clientFor(server), { instanceId: INSTANCE, signal })).rejects.toMatchObject({
      kind: 'bad_body',
      action: 'instance.get',
    });
  });
});
