import { beforeAll, expect, it } from 'vitest';
import { days, startPlatform, usePlatform } from './platform.ts';

const WINDOW = days('2026-11-10');

const platform = usePlatform();
let large: string;

beforeAll(async () => {
  large = await platform.orgWith('large');
});

it('the token allows only what its scopes name', async () => {
  const status = async (scopes: string[], path: string) => {
    await platform.control('tokens', { token: 'narrow', scopes });
    return (await platform.get(path, { authorization: 'Bearer narrow' })).status;
  };
  const devices = `${large}/deviceCounts?${WINDOW}`;
  const wide = ['instanceOrg.deviceCounts', 'instanceOrg.*', 'all.Instance.read', 'all.User.bounded'];
  for (const scope of wide) expect(await status([scope], devices)).toBe(200);
  for (const scope of ['instanceOrg.payloadCounts', 'instance.deviceCounts'])
    expect(await status([scope], devices)).toBe(403);
  expect(await status(['instance.deviceCounts'], `/deviceCounts?${WINDOW}`)).toBe(200);
  expect(await status(['instanceOrgs.get'], '/orgs')).toBe(200);
  expect(await status(['instanceOrg.get'], '/orgs')).toBe(403);
  expect((await platform.raw(`/instances/${platform.instanceId}`)).status).toBe(401);
  await platform.control('tokens', { token: 'narrow', scopes: ['all.Instance.read'] });
  const url = `${platform.url}/instances/${platform.instanceId}${large}`;
  const deleted = await fetch(url, { method: 'DELETE', headers: { authorization: 'Bearer narrow' } });
  expect(deleted.status).toBe(403);
});

it('an unknown path gets 404 for an unknown organization or instance, 400 for an invalid ID, otherwise 405', async () => {
  const auth = { authorization: `Bearer ${platform.token}` };
  const unknown = '0123456789abcdef01234567';
  const org = await platform.get(`/orgs/${unknown}/deviceCounts`);
  expect(org).toMatchObject({ status: 404, body: { message: 'Organization was not found' } });
  const instance = await platform.raw(`/instances/${unknown}`, auth);
  expect(instance).toMatchObject({ status: 404, body: { message: 'Instance was not found' } });
  expect((await platform.get('/orgs/none')).status).toBe(400);
  const counter = await platform.get(`/orgs/${unknown}/tokenCounts`);
  expect(counter).toMatchObject({ status: 405, body: { type: 'MethodNotAllowed' } });
  expect((await platform.send('PUT', `/orgs/${unknown}`, {})).status).toBe(405);
  expect((await platform.raw('/elsewhere', auth)).status).toBe(405);
});

it.each([
  ['deviceCounts?start=1793491200'],
  ['deviceCounts?start=1793491200000&end=1793404800000'],
  ['deviceCounts?start=1793491200000&start=1793491200000'],
  [`payloadCountsBreakdown?${WINDOW}&resolution=360000`],
  [`payloadCountsBreakdown?${WINDOW}&includeNonBillable=1`],
])('an invalid query gets 400: %s', async (path) => {
  expect(await platform.get(`${large}/${path}`)).toMatchObject({
    status: 400,
    body: { type: 'Validation', validationErrors: [{ message: expect.any(String) as string }] },
  });
});

it('sums over the instance fit into a double on every day', async () => {
  await using platform = await startPlatform();
  const query = `${days('2026-10-20', '2026-11-23')}&asBytes=true&includeNonBillable=true`;
  const values = (await platform.counts(`/payloadCountsBreakdown?${query}`)).map((day) => day['value'] ?? 0);
  expect(values.filter((value) => value > 2 ** 52).length).toBeGreaterThanOrEqual(7);
  expect(values.filter((value) => !Number.isSafeInteger(value))).toEqual([]);
});
