import { describe, expect, it } from 'vitest';
import { getInstance, getOrg } from '../../src/losant/orgs.ts';
import { fetchUsage } from '../../src/losant/usage.ts';
import { clientFor, sendJson, startServer, type TestServer } from './server.ts';

const INSTANCE = '5c0000000000000000000001';
const signal = new AbortController().signal;
const orgId = (number: number) => `5d00000000000000000000${String(number).padStart(2, '0')}`;

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
  it('returns the name', async () => {
    await using server = await startServer((_, response) =>
      sendJson(response, { id: INSTANCE.toUpperCase(), name: 'Main' }),
    );
    expect(await getInstance(clientFor(server), { instanceId: INSTANCE, signal })).toEqual({ name: 'Main' });
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

const question = {
  instanceId: INSTANCE,
  orgId: orgId(1),
  action: 'payloadCountsBreakdown',
  query: { resolution: '86400000', asBytes: 'true', includeNonBillable: 'true' },
  window: { from: '2025-11-25', to: '2025-11-26' },
  signal,
} as const;

describe('fetchUsage', () => {
  it('asks for whole UTC days, from the first to the last millisecond', async () => {
    await using server = await startServer((_, response) => sendJson(response, { counts: [] }));
    const answer = await fetchUsage(clientFor(server), question);
    expect(answer.body).toEqual({ counts: [] });
    expect(server.received[0]?.path).toBe(
      '/instances/5c0000000000000000000001/orgs/5d0000000000000000000001/payloadCountsBreakdown',
    );
    expect(server.received[0]?.query).toEqual({
      start: '1764028800000',
      end: '1764201599999',
      resolution: '86400000',
      asBytes: 'true',
      includeNonBillable: 'true',
      _actions: 'false',
      _links: 'false',
      _embedded: 'false',
    });
  });

  it('names action, organization and days when it fails, and the scope that is missing', async () => {
    await using server = await startServer((_, response) => sendJson(response, {}, { status: 403 }));
    await expect(fetchUsage(clientFor(server), question)).rejects.toMatchObject({
      kind: 'forbidden',
      action: 'instanceOrg.payloadCountsBreakdown',
      message:
        'instanceOrg.payloadCountsBreakdown (org 5d0000000000000000000001, days 2025-11-25..2025-11-26): answered HTTP 403',
      hint: expect.stringContaining(
        'add instanceOrg.payloadCountsBreakdown to it, or all.Instance.read',
      ) as unknown,
    });
  });

  it.each([
    { from: '2025-11-26', to: '2025-11-25' },
    { from: '2025-11-31', to: '2025-12-01' },
    { from: '1970-01-01', to: '1970-01-02' },
    { from: '', to: '' },
  ])('sends nothing for $from..$to, which is no window', async (window) => {
    await using server = await startServer((_, response) => sendJson(response, {}));
    await expect(fetchUsage(clientFor(server), { ...question, window })).rejects.toThrow('not a window');
    expect(server.received).toHaveLength(0);
  });
});
