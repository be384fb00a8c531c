import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { useCheckBench } from './check-bench.ts';

const bench = useCheckBench();

it('shows payloads that do not add up, and does not fail for it', async () => {
  const orgId = (await bench.platform.orgWith('large')).slice('/orgs/'.length);
  await using proxy = await startProxy((path, body) => {
    return path.endsWith('/payloadCounts') ? { ...body, event: { 'application.rest': 7 } } : body;
  });
  const { code, document } = await bench.check({ LOSANT_API_URL: proxy.url, LOSANT_ORG_IDS: orgId });
  const last = document.checks.at(-1);
  expect(last).toMatchObject({
    name: 'reconcile',
    ok: true,
    hint: 'decide which of them you bill; both are stored, in payload_sources and payload_totals',
  });
  const [, sum, all, billable] =
    /add up to (\d+), all payloads are (\d+), billable ones (\d+)$/.exec(last?.message ?? '') ?? [];
  expect(Number(sum)).not.toBe(Number(all));
  expect(Number(billable)).toBeLessThanOrEqual(Number(all));
  expect(document.ok).toBe(true);
  expect(code).toBe(0);
});

it('shows payloads that one of two answers leaves out', async () => {
  const orgId = (await bench.platform.orgWith('large')).slice('/orgs/'.length);
  await bench.platform.control('omit', { orgId, day: daysAgo(1), action: 'payload_totals' });
  const { code, document } = await bench.check({ LOSANT_ORG_IDS: orgId });
  const totals = document.checks.find(({ name }) => name === 'instanceOrg.payloadCountsBreakdown');
  expect(totals).toMatchObject({ ok: true, message: `${daysAgo(1)}: no numbers for the day` });
  expect(document.checks.at(-1)).toMatchObject({
    name: 'reconcile',
    message: expect.stringMatching(/all payloads are 0, billable ones 0$/) as string,
  });
  expect(code).toBe(0);
});

it('answers with --probe what the documentation leaves open', async () => {
  await bench.platform.control('config', { echoWindow: false });
  const { code, document } = await bench.check({}, '--probe');
  const answers = Object.fromEntries(
    (document.probe ?? []).map(({ question, answer }) => [question, answer]),
  );
  expect(answers).toMatchObject({
    'end inclusive?': 'yes: a range that ends at the midnight after a day has two buckets',
    'echo of start and end?': expect.stringMatching(/^none \(asked /) as string,
    'a 100-day-old day': 'no bucket',
    'a 400-day-old day': 'no bucket',
    'longest range': '31 days: 31 buckets; 93 days: 93 buckets; 180 days: 93 buckets; 366 days: 93 buckets',
    'perPage 1000': '3 organizations on the first page, of 3',
    'missing scope or unknown instance':
      'instance.deviceCounts with this token: HTTP 200; an instance that does not exist: HTTP 404',
  });
  const totals = answers['instance totals equal to sums?'] ?? '';
  expect(totals).toMatch(
    /^\d{4}-\d\d-\d\d, 3 organizations: devices_created \d+ equal; .*payload_all_bytes \d+ equal$/,
  );
  expect(answers['payloads in two ways']).toMatch(/: equal to all payloads$/);
  expect(answers['zero days present?']).toMatch(/^(yes|unknown, there are none): 31 buckets/);
  expect(answers['hours of a day?']).toMatch(
    /^24 buckets for the 24 hours of \d{4}-\d\d-\d\d, .*; all payloads by hour \d+ equal$/,
  );
  expect(Object.keys(answers)).toHaveLength(13);
  expect(document.probe?.every(({ touches }) => touches !== '')).toBe(true);
  expect(code).toBe(0);
});

/** The platform behind a server that changes bodies. */
async function startProxy(
  change: (path: string, body: object) => object,
): Promise<AsyncDisposable & { url: string }> {
  const forward = async (url: string, authorization: string) => {
    const answer = await fetch(`${bench.platform.url}${url}`, { headers: { authorization } });
    return JSON.stringify(change(url.split('?')[0] ?? '', (await answer.json()) as object));
  };
  const server = createServer((request, response) => {
    forward(request.url ?? '/', request.headers.authorization ?? '').then(
      (body) => response.end(body),
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
