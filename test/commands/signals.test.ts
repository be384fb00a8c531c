import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Export, openExport } from '../e2e/export.ts';
import { jsonOf, type Refusal } from '../support/program.ts';
import { until } from '../support/wait.ts';

let exported: Export;
beforeAll(async () => {
  exported = await openExport({ orgs: 30, latencyMs: 50 });
  await exported.run(['migrate']);
});
afterAll(() => exported.close());

const leases = () => exported.place.query('select from losant_usage.leases where until > clock_timestamp()');

describe('a run that is asked to end', () => {
  it.each([
    ['SIGINT', 130, 'interrupted'],
    ['SIGTERM', 143, 'terminated'],
    ['SIGHUP', 143, 'terminated'],
  ] as const)('by %s gives its lease back and ends with %i', async (signal, code, kind) => {
    const running = exported.spawn(['run', '--json'], { REQUEST_CONCURRENCY: '1' });
    await until('it holds the lease', async () => (await leases()).length === 1);
    running.kill(signal);
    const ended = await running.ended;
    expect(ended).toMatchObject({ code, signal: null });
    expect(jsonOf<Refusal>(ended).error).toEqual({
      code: kind,
      message: `Interrupted by ${signal}`,
      hint: 'what was loaded stays; the next run goes on from there',
    });
    expect(await leases()).toEqual([]);
  });
});
