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
  [['run', '--date', to], 12, { from: to, to }],
  [['backfill', '--from', from, '--to', to], 24, { from, to }],
])('%j of days that Losant no longer keeps says so, with exit code 3', async (args, numbers, range) => {
  const message = `${numbers} numbers cannot be read: older than the 90 days for which Losant keeps the detail (backfill --past-horizon asks anyway), or of a deleted organization`;
  const ended = await exported.run([...args, '--json']);
  expect(ended.code).toBe(3);
  expect(jsonOf(ended)).toMatchObject({
    status: 'partial',
    cells: { planned: 0 },
    failures: [{ orgId: null, stream: null, ...range, code: 'unreadable', message }],
  });
  const shown = await exported.run(args);
  expect(shown.code).toBe(3);
  const days = range.from === range.to ? range.to : `${range.from}..${range.to}`;
  expect(shown.stdout).toContain(`  unreadable: ${message}, ${days}\n`);
});
