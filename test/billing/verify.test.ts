/** close, statement and verify, as they are run, and what a pack that was tampered with is told. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { INSTANCE } from '../database/ledger.ts';
import { type Ended, jsonOf, runProgram } from '../support/program.ts';
import { useBooks } from './books.ts';
import { Copy } from './copies.ts';

const books = useBooks();

const run = async (...args: readonly string[]): Promise<Ended> =>
  await runProgram(args, { DATABASE_URL: books.ledger.url });
const runOffline = async (...args: readonly string[]): Promise<Ended> => await runProgram(args, {});

test('a month is shown, refused while a number is missing, closed, written out and verified', async () => {
  const orgId = await books.orgOf({ from: '2026-03-10', to: '2026-03-12' });
  const other = await books.orgOf({ from: '2026-03-10', to: '2026-03-12' }, { without: ['2026-03-12'] });
  const refused = await run('close', '--period', '2026-03');
  expect(refused.code).toBe(3);
  expect(refused.stdout).toContain(
    `2026-03 of instance ${INSTANCE} cannot be closed: 1 organization is not billable.\n`,
  );
  expect(refused.stdout).toMatch(
    new RegExp(
      `${other} +Acme +2026-03-01..2026-03-31 +1 day missing \\(device_counts\\) +losant-usage backfill `,
    ),
  );

  const shown = await run('close', '--period', '2026-03', '--incomplete', 'late', '--dry-run');
  expect(shown.code).toBe(0);
  expect(shown.stdout).toMatch(/^Would have closed 2026-03 of instance \w+: 6 lines. Nothing was kept.\n/);
  expect(shown.stdout).toMatch(/devices_created +2 +20 +devices\n/);

  const closed = await run('close', '--period', '2026-03', '--incomplete', 'late', '--json');
  expect(closed.code).toBe(0);
  expect(jsonOf(closed)).toMatchObject({
    period: '2026-03',
    instances: [
      {
        instanceId: INSTANCE,
        outcome: 'closed',
        kind: 'closing',
        orgs: 2,
        lines: 6,
        blockers: [{ orgId: other, cause: 'missing', days: 1, firstDay: '2026-03-12' }],
      },
    ],
  });
  const again = await run('close', '--period', '2026-03');
  expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('is closed already, since')]);

  const out = join(books.folder, 'march');
  expect(await run('statement', '--period', '2026-03', '--out', out)).toMatchObject({ code: 0, stderr: '' });
  const verified = await run('verify', out);
  expect(verified).toMatchObject({ code: 0, stderr: '' });
  expect(verified.stdout).toContain(`${out} holds: hashes, sums and completeness of 1 statement.\n`);
  expect(verified.stdout).toContain('as its record of changes says was known then.');
  expect((await runOffline('verify', out)).stdout).toContain(
    'Not compared with a database: DATABASE_URL is not set.',
  );

  // One number more in the days and in the sum: the pack agrees with itself, not with the database.
  const pack = await Copy.of(out);
  await pack.forge('days.csv', (text) =>
    text.replace(
      `${orgId},2026-03-01,2026-03-10,1,1,true,final,4,`,
      `${orgId},2026-03-01,2026-03-10,1,1,true,final,5,`,
    ),
  );
  const wrongSum = await runOffline('verify', pack.out);
  expect(wrongSum.code).toBe(3);
  expect(wrongSum.stdout).toContain(
    `lines.csv: organization ${orgId}: devices_created from 2026-03-01: total is 12, its days come to 13\n`,
  );
  await pack.forge('lines.csv', (text) =>
    text.replace('devices_created,devices,flow,12,12,', 'devices_created,devices,flow,13,13,'),
  );
  await pack.edit('manifest.json', (text) => text.replace('"quantity": "20"', '"quantity": "21"'));
  expect((await runOffline('verify', pack.out)).code).toBe(0);
  const forged = await run('verify', pack.out, '--json');
  expect(forged.code).toBe(3);
  expect(jsonOf<{ problems: object[] }>(forged).problems).toEqual([
    {
      file: 'manifest.json',
      problem: expect.stringMatching(/^its SHA-256 is \w{64}, the database has \w{64}$/) as string,
    },
    {
      file: 'lines.csv',
      problem: `row 1 is not that of the database: ${orgId}, 2026-03-01, devices_created: quantity is 13, not 12`,
    },
    {
      file: 'days.csv',
      problem: `organization ${orgId}, 2026-03-10: devices_created is 5; by the record of the database 4 was known then`,
    },
  ]);
  await pack.forge('coverage.csv', (text) => text.replace(/\r\n[^\r]+\r\n$/, '\r\n'));
  expect((await runOffline('verify', pack.out)).stdout).toContain(
    `days.csv: organization ${other}: 2026-03-12: streams_expected is 1, by coverage.csv 0\n`,
  );
});

test.each([
  [['close', '--period', '2026-13'], 2, '--period 2026-13: A month is written YYYY-MM'],
  [['close', '--period', '2049-12'], 2, '2049-12 is not over'],
  [['close', '--period', '2026-03', '--incomplete', ' '], 2, '--incomplete is empty'],
  [
    ['close', '--period', '2026-03', '--instance', 'f'.repeat(24)],
    2,
    `The database has nothing of instance ${'f'.repeat(24)}`,
  ],
  [['close', '--period', '2024-07', '--adjust'], 2, 'is not closed, so there is nothing to adjust'],
  [['statement', '--period', '2024-07', '--out', '/tmp/none'], 2, '2024-07 is not closed'],
  [['verify', '/dev/null'], 2, '/dev/null cannot be read as a folder (ENOTDIR)'],
])('losant-usage %j is refused with exit code %i', async (args, code, message) => {
  const ended = await run(...args);
  expect([ended.code, ended.stderr]).toEqual([code, expect.stringContaining(message)]);
});

test('a folder without a manifest is no pack, and a manifest that is none is named', async () => {
  const src = await runOffline('verify', 'src/usage');
  expect([src.code, src.stderr]).toEqual([2, expect.stringContaining('src/usage has no manifest.json')]);
  const out = join(books.folder, 'none');
  await books.orgOf({ from: '2026-08-10', to: '2026-08-10' });
  await books.closeMonth('2026-08');
  expect(await run('statement', '--period', '2026-08', '--out', out)).toMatchObject({ code: 0 });
  await writeFile(join(out, 'manifest.json'), '{"format": 2}');
  const ended = await runOffline('verify', out);
  expect([ended.code, ended.stdout]).toEqual([3, expect.stringContaining('manifest.json: format: ')]);
  expect((await readdir(out)).length).toBe(8);
});
