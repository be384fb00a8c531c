/** A month in the embedded database: the same numbers, statement and proof pack. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createInstallation } from '../e2e/installation.ts';
import { readStored, readTruth } from '../e2e/usage.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf } from '../support/program.ts';

interface Closed {
  readonly instances: readonly { readonly outcome: string; readonly blockersHash: string | null }[];
}

// Guarantee (Numbers): A usage day is a UTC day under any time zone of the host, the database session or the reader.
test('a month is stored far from UTC, closed and verified with the embedded database', async () => {
  const exported = await createInstallation({ orgs: 1 }, 'embedded');
  const folder = await mkdtemp(join(tmpdir(), 'embedded-'));
  const usual = process.env['TZ'];
  onTestFinished(async () => {
    process.env['TZ'] = usual;
    await exported.close();
    await rm(folder, { recursive: true });
  });
  const now = new Date();
  const lastDay = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 0)).toISOString().slice(0, 10);
  process.env['TZ'] = 'America/St_Johns';
  expect((await exported.run(['backfill', '--from', lastDay, '--to', lastDay])).code).toBe(0);
  const { store, platform } = exported;
  expect(await readStored(store)).toEqual(await readTruth(platform, lastDay, daysAgo(1)));
  const close = async (...args: readonly string[]) => {
    const ended = await exported.run(['close', '--month', lastDay.slice(0, 7), '--json', ...args]);
    return jsonOf<Closed>(ended).instances[0];
  };
  // Only the last day of the month is loaded, so it is blocked on every day of the year.
  const refused = await close();
  expect(refused?.outcome).toBe('refused');
  const closed = await close('--reason', 'tried', '--accept-blockers', refused?.blockersHash ?? '');
  expect(closed?.outcome).toBe('closed');
  const out = join(folder, 'pack');
  expect((await exported.run(['statement', '--month', lastDay.slice(0, 7), '--out', out])).code).toBe(0);
  const verified = await exported.run(['verify', out]);
  expect([verified.code, verified.stdout]).toEqual([0, expect.stringContaining('Identical, byte for byte')]);
});
