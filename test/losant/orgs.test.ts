import { describe, expect, it } from 'vitest';
import { getInstance, getOrg } from '../../src/losant/orgs.ts';
import { fetchUsage } from '../../src/losant/usage.ts';
import { clientFor, sendJson, startServer, type TestServer } from './server.ts';

const INSTANCE = '5c0000000000000000000001';
const signal = new AbortController().signal;
const orgId = (number: number) => `5d00000000000000000000${String(number).padStart(2, '0')}`;

describe('getOrg', () => {
  const read = (server: TestServer) =>
    getOrg(clientFor(server), { instanceId: INSTANCE, orgId: orgId(1), signal });

  it('returns the organization, and what was answered', async () => {
    const answer = { id: orgId(1), name: 'Acme', isReadOnly: true };
    await using server = await startServer((_, response) => sendJson(response, answer));
    expect(await read(server)).toMatchObject({ organization: { name: 'Acme' }, resource: answer });
    expect(server.received[0]?.path).toBe(`/instances/${INSTANCE}/orgs/${orgId(1)}`);
  });

  it.each([
    ['of another organization', { id: orgId(2), name: 'Other' }, orgId(2)],
    ['without a name', { id: orgId(1) }, 'name: '],
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
