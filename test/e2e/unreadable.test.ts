import { beforeAll, expect, it } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { useExport } from './export.ts';

const exported = useExport({ orgs: 3 });
beforeAll(async () => {
  await exported.run(['run']);
});

const [from, to] = [daysAgo(121), daysAgo(120)];

it.each([
  [['run', '--date', to], to],
  [['backfill', '--from', from, '--to', to], from],
])('%j of days that Losant no longer keeps says so, with exit code 3', async (args, first) => {
  const ended = await exported.run([...args, '--json']);
  expect(ended.code).toBe(3);
  expect(jsonOf(ended)).toMatchObject({
    status: 'partial',
    cells: { planned: 0 },
    failures: [{ orgId: null, stream: null, from: first, to: daysAgo(91), code: 'past_horizon' }],
  });
  const shown = await exported.run(args);
  expect(shown.code).toBe(3);
  expect(shown.stdout).toContain('past_horizon: Losant keeps the detail of 90 days');
});
