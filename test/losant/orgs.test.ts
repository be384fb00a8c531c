import { describe, expect, it } from 'vitest';
import { createUsageRequest, getInstance, getOrg } from '../../src/losant/endpoints.ts';
import { parseJson } from '../../src/usage/body.ts';
import { parseOrganization } from '../../src/usage/organization.ts';
import { containing } from '../support/texts.ts';
import { clientFor, INSTANCE_ID as INSTANCE, sendJson, startServer, type TestServer } from './server.ts';

const signal = new AbortController().signal;
const orgId = (number: number) => `5d00000000000000000000${String(number).padStart(2, '0')}`;

const answer = (body: unknown) => startServer((_, response) => sendJson(response, body));

describe('getOrg', () => {
  const read = (server: TestServer) => getOrg(clientFor(server), orgId(1), signal);

  it('returns the organization and the whole body', async () => {
    const body = { id: orgId(1), name: 'Acme', isReadOnly: true };
    await using server = await answer(body);
    expect(await read(server)).toMatchObject({ organization: { name: 'Acme' }, resource: body });
    expect(server.received[0]?.path).toBe(`/instances/${INSTANCE}/orgs/${orgId(1)}`);
  });

  it.each([
    ['of another organization', { id: orgId(2), name: 'Other' }, orgId(2)],
    ['without a name', { id: orgId(1) }, 'name: '],
  ])('rejects a body %s', async (_, body, detail) => {
    await using server = await answer(body);
    const message = containing(detail);
    await expect(read(server)).rejects.toMatchObject({ kind: 'bad_body', message });
  });
});

describe('getInstance', () => {
  const read = (server: TestServer) => getInstance(clientFor(server), signal);

  it('returns the name, as a database can store it', async () => {
    await using server = await answer({ id: INSTANCE.toUpperCase(), name: 'Acme\0Cloud \uD800' });
    expect(await read(server)).toEqual({ name: 'Acme\uFFFDCloud \uFFFD' });
    expect(server.received[0]?.path).toBe(`/instances/${INSTANCE}`);
  });

  it.each([{ status: 'ok' }, { id: orgId(1), name: 'Other' }])('rejects a body of something else: %j', async (body) => {
    await using server = await answer(body);
    await expect(read(server)).rejects.toMatchObject({ kind: 'bad_body', action: 'instance.get' });
  });
});

const usage = {
  orgId: orgId(1),
  action: 'payloadCountsBreakdown',
  query: { resolution: '86400000', asBytes: 'true', includeNonBillable: 'true' },
  range: { from: '2025-11-25', to: '2025-11-26' },
  signal,
} as const;

describe('createUsageRequest', () => {
  it('requests whole UTC days, from the first to the last millisecond', async () => {
    await using server = await startServer((_, response) => sendJson(response, { counts: [] }));
    const response = await clientFor(server).get(createUsageRequest(usage));
    expect(response.body).toEqual({ counts: [] });
    const [{ path, query } = {}] = server.received;
    expect(path).toBe(`/instances/${INSTANCE}/orgs/${orgId(1)}/payloadCountsBreakdown`);
    expect(query).toMatchObject({ start: '1764028800000', end: '1764201599999', ...usage.query });
  });

  it('creates a request whose error names action, organization, days and the missing scope', async () => {
    await using server = await startServer((_, response) => sendJson(response, {}, { status: 403 }));
    const action = 'instanceOrg.payloadCountsBreakdown';
    await expect(clientFor(server).get(createUsageRequest(usage))).rejects.toMatchObject({
      kind: 'forbidden',
      action,
      message: `${action} (org ${orgId(1)}, days 2025-11-25..2025-11-26): responded with HTTP 403`,
      hint: containing(`add ${action}, or all.Instance.read`),
    });
  });

  it.each([
    { from: '2025-11-26', to: '2025-11-25' },
    { from: '2025-11-31', to: '2025-12-01' },
    { from: '1970-01-01', to: '1970-01-02' },
    { from: '', to: '' },
  ])('throws for the invalid range $from..$to', (range) => {
    expect(() => createUsageRequest({ ...usage, range })).toThrow('not a range');
  });
});

const NOW = Date.parse('2026-11-24T12:00:00.000Z');

const parseAttributes = (attributes: object) => parseOrganization({ id: orgId(1), name: 'Acme', ...attributes }, NOW);

function parseReadable(attributes: object) {
  const organization = parseAttributes(attributes);
  if ('problem' in organization) throw new Error(organization.problem);
  return organization;
}

it('an organization has all attributes, with times in UTC with milliseconds', () => {
  const tags = ['gold', 'old'].map((value) => ({ key: 'tier', value }));
  const ids = { referralId: 'C-1001', planId: 'plan', customerId: 'cus_1' };
  const currentPeriodStart = '2026-11-01T00:00:00.000Z';
  const body = {
    orgId: orgId(1).toUpperCase(),
    instanceId: 'not read',
    description: 'not stored',
    creationDate: '2025-03-01T10:00:00+02:00',
    limits: { payload: 1000, device: 0, someday: null },
    disabledAt: '2026-11-01T00:00:00.000Z',
    currentPeriodEnd: '2026-11-30T23:59:59.999Z',
  };
  expect(parseReadable({ ...body, tags, ...ids, currentPeriodStart })).toEqual({
    orgId: orgId(1),
    name: 'Acme',
    tags,
    ...ids,
    limits: { payload: 1000, device: 0 },
    currentPeriodStart,
    currentPeriodEnd: '2026-12-01T00:00:00.000Z',
    createdOn: '2025-03-01',
  });
});

it('an organization needs only an ID and a name', () => {
  const defaults = { orgId: orgId(1), name: 'Acme', tags: [], limits: {}, createdOn: null };
  const ids = { referralId: null, planId: null, customerId: null };
  const period = { currentPeriodStart: null, currentPeriodEnd: null };
  expect(parseReadable({ disabledAt: false, referralId: null })).toEqual({ ...defaults, ...ids, ...period });
});

it.each([
  ['9999-12-31T23:59:59.999Z', null],
  ['9999-12-31T23:59:59.000Z', '9999-12-31T23:59:59.000Z'],
  ['0000-01-01T00:00:00.000Z', null],
  ['0000-01-01T00:00:00.000+05:00', null],
  ['0001-01-01T00:00:00.000Z', '0001-01-01T00:00:00.000Z'],
  ['1969-12-31T23:59:59.999Z', '1970-01-01T00:00:00.000Z'],
  ['2026-12-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z'],
])('a period that ends %s ends before %s, and the organization is readable', (currentPeriodEnd, end) => {
  expect(parseReadable({ currentPeriodEnd }).currentPeriodEnd).toBe(end);
});

const YEAR_0 = '0000-06-01T00:00:00.000Z';

it.each<[what: string, attributes: object, parsed: object]>([
  ['other types as text', { name: 17, referralId: 5, planId: true }, { name: '17', referralId: '5', planId: 'true' }],
  ['no creation date in the year 0', { creationDate: YEAR_0 }, { createdOn: null }],
  ['no start of a period in the year 0', { currentPeriodStart: YEAR_0 }, { currentPeriodStart: null }],
  ['a creation date five minutes ahead', { creationDate: '2026-11-24T12:05:00.000Z' }, { createdOn: '2026-11-24' }],
  ['no creation date further ahead', { creationDate: '2026-11-24T12:05:00.001Z' }, { createdOn: null }],
  ['no creation date at the end of time', { creationDate: '9999-12-31T23:59:59.999Z' }, { createdOn: null }],
])('an organization has %s', (_, attributes, parsed) => {
  expect(parseReadable(attributes)).toMatchObject(parsed);
});

it.each<[string, { key: string; value: string }[]]>([
  ['{"key":"n","value":5}', [{ key: 'n', value: '5' }]],
  ['{"key":"n","value":1.50}', [{ key: 'n', value: '1.5' }]],
  ['{"key":"n","value":9007199254740993}', [{ key: 'n', value: '9007199254740993' }]],
  ['{"key":7,"value":"v"}', [{ key: '7', value: 'v' }]],
  ['{"key":"n"}', []],
  ['{"key":"n","value":{}}', []],
  ['{"key":"n","value":"a","value":"b"}', []],
  ['null', []],
])('the tag %s, not a pair of strings, is converted or ignored, without affecting other tags', (tag, expected) => {
  const tags = parseJson(`[{"key":"a","value":"1"},${tag},{"key":"b","value":"2"}]`);
  expect(parseReadable({ tags }).tags).toEqual([{ key: 'a', value: '1' }, ...expected, { key: 'b', value: '2' }]);
});

describe('an unreadable organization', () => {
  it.each([
    ['no name', { name: null }],
    ['a name that is a map', { name: {} }],
    ['tags that are not a list', { tags: 'none' }],
    ['an invalid creation date', { creationDate: 'yesterday' }],
    ['a customer that is a list', { customerId: [] }],
  ])('is reported by its ID: %s', (_, attributes) => {
    expect(parseAttributes(attributes)).toMatchObject({ orgId: orgId(1), problem: expect.any(String) as unknown });
  });

  const WITHOUT_ID = [null, undefined, 'text', 5, [], {}, { id: 'short', name: 'x' }, { id: 17, name: 'x' }];
  it.each(WITHOUT_ID)('has no ID: %j', (raw) => {
    expect(parseOrganization(raw, NOW)).toMatchObject({ orgId: null, problem: expect.any(String) as unknown });
  });
});
