import pino from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase } from '../../src/database/open.ts';
import type { RunOptions } from '../../src/export/context.ts';
import { openInstance } from '../../src/export/context.ts';
import { runInstance } from '../../src/export/run.ts';
import { previewRun } from '../../src/export/preview.ts';
import { createTestDatabase, queryOnce } from '../support/databases.ts';
import { startPlatform } from '../simulator/platform.ts';

test('runs', async () => {
  const platform = await startPlatform({ now: Date.now });
  const database = await createTestDatabase();
  const handle = await createDatabase({ url: database.url } as never);
  const policy = { readAtHours: [0, 6, 24, 48, 72, 168, 720], finalAtHours: 72, horizonDays: 90 };
  const context = openInstance(
    {
      config: { policy, request: { timeoutMs: 5000, attempts: 3 }, controlTotals: 'block' },
      logger: pino({ level: 'warn' }),
      hostNow: Date.now,
      random: Math.random,
      host: 'h',
      version: '1',
    } as never,
    {
      instanceId: platform.instanceId,
      apiUrl: platform.url,
      domain: null,
      readToken: () => platform.token,
      orgs: { kind: 'all' },
      streams: ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals'],
      requestConcurrency: 8,
      requestsPerSecond: 1000,
    } as never,
    { handle, now: Date.now, gates: new Map() },
  );
  const base = { runId: crypto.randomUUID(), orgIds: null, streams: null, range: null, force: false, signal: new AbortController().signal };
  console.log(await previewRun(context, { ...base, kind: 'manual' }));
  const t0 = Date.now();
  const first = await runInstance(context, { ...base, kind: 'manual', onProgress: (p) => console.log(p) });
  console.log(JSON.stringify(first.report, null, 1).slice(0, 3000), first.refusal, Date.now() - t0);
  const from = new Date(Date.now() - 20 * 86400000).toISOString().slice(0, 10);
  const to = new Date(Date.now() - 86400000).toISOString().slice(0, 10);
  const backfill = { ...base, kind: 'backfill', range: { from, to } } as const;
  console.log(await previewRun(context, backfill));
  const second = await runInstance(context, { ...backfill, runId: crypto.randomUUID() });
  console.log(JSON.stringify(second.report, null, 1).slice(0, 3000));
  const third = await runInstance(context, { ...base, kind: 'scheduled', runId: crypto.randomUUID() });
  console.log(JSON.stringify(third.report, null, 1).slice(0, 3000));
  const q = async (s: string) => console.table(await queryOnce(database.url, s));
  await q('select kind, status, counts::text, failures::text, error from losant_usage.runs');
  await q('select stream, standing, reason, count(*) from losant_usage.cells group by 1,2,3 order by 1,2,3');
  await q('select outcome, reason, compared_with, count(*) from losant_usage.reconciliation group by 1,2,3');
  await q('select list_problem, totals_problem, listed_at, all_from from losant_usage.instances');
  await handle.close();
  await database.drop();
  await platform[Symbol.asyncDispose]();
});
