import { expect, it, onTestFinished } from 'vitest';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';
import { useInstallation } from './installation.ts';
import { readStored, readTruth } from './usage.ts';

const installation = useInstallation({ orgs: 5 });

// Guarantee (Numbers): A usage day is a UTC day under any time zone of the host, the database session or the reader.
it('west of UTC, as in Auckland, where all other tests run, the database equals the platform', async () => {
  const usual = process.env['TZ'];
  onTestFinished(() => void (process.env['TZ'] = usual));
  process.env['TZ'] = 'America/St_Johns';
  // Minutes to UTC.
  expect(new Date('2026-01-01T00:00:00Z').getTimezoneOffset()).toBe(210);
  const [from, to] = [daysAgo(4), daysAgo(1)];
  const ended = await installation.run(['backfill', '--from', from, '--to', to, '--json']);
  expect(jsonOf(ended)).toMatchObject({ status: 'complete', from, to, orgs: 5, failures: [] });
  expect(ended.code).toBe(0);
  expect(await readStored(installation.store)).toEqual(await readTruth(installation.platform, from, to));
});
