import { expect, inject, test } from 'vitest';
import { queryOnce } from '../support/databases.ts';
import { startProcess } from '../support/program.ts';

const HOUR_MS = 3_600_000;

test('Postgres and the processes that tests start share the clock of the tests, even if it is moved', async () => {
  const sql = 'select extract(epoch from clock_timestamp()) * 1000 as now';
  const [row] = await queryOnce(inject('postgresAdminUrl'), sql);
  expect(Math.abs(Number(row?.['now']) - Date.now())).toBeLessThan(HOUR_MS);
  const { stdout } = await startProcess(process.execPath, ['-p', 'Date.now()'], {}).ended;
  expect(Math.abs(Number(stdout) - Date.now())).toBeLessThan(HOUR_MS);
});
