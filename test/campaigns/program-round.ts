import { queryOnce } from '../support/databases.ts';
import { checkAlways, DAY_MS, dayAt } from './checker.ts';
import { checkReport, countFacts } from './database-checks.ts';
import { readLedgerRows } from './ledger-rows.ts';
import { drawFaults, drawListFaults } from './mischief.ts';
import { spawnWith, startWith } from './program.ts';
import { checkComplete } from './run-checks.ts';
import { count, POLICIES, settingsOf, type World } from './world.ts';

/**
 * A run of the program itself, in the real present and among faults: its exit code may
 * promise no more than is stored, also when nobody reads what it says.
 */
export async function playProgram(world: World): Promise<string[]> {
  const { platform, database, dice, book, policy } = world;
  const orgIds = (await book.orgs()).map(({ orgId }) => orgId);
  await platform.control('config', {
    faults: drawFaults(dice, orgIds),
    list: drawListFaults(dice, orgIds),
    clock: { offsetMs: 0 },
  });
  const startedAtMs = Date.now();
  await book.note(dayAt(startedAtMs - 12 * DAY_MS), dayAt(startedAtMs - DAY_MS));
  const factsBefore = await countFacts(database.url);
  const more = {
    ...settingsOf(platform, database, policy),
    ...{ REQUEST_TIMEOUT_MS: '600', REQUEST_ATTEMPTS: '2', LOG_LEVEL: 'silent' },
  };
  const { url: apiUrl, token, instanceId } = platform;
  const isRead = dice.chance(0.5);
  const settings = { apiUrl, token, instanceId, databaseUrl: database.url, more };
  const args = ['run', '--json'];
  const started = isRead ? startWith(args, settings) : spawnWith(args, settings, { closesStdout: true });
  const { code, stdout, stderr } = await started.ended;
  const ledger = await readLedgerRows(database.url);
  const wrong = checkAlways(ledger, book);
  count(world, `programs ${isRead ? '' : 'into a closed pipe '}that ended with ${code}`);
  const { readAtHours, horizonDays } = POLICIES[policy];
  if (code === 0)
    wrong.push(...checkComplete(ledger, { startedAtMs, range: null, readAtHours, horizonDays }));
  if (code !== 0 && code !== 1 && code !== 3) wrong.push(`exit code ${code}: ${stderr}`);
  if (code === 1 && /defect/.test(stderr)) wrong.push(stderr);
  const status = await newestStatus(database.url, startedAtMs);
  if (status !== null && (status === 'complete') !== (code === 0))
    wrong.push(`exit code ${code} for ${status}`);
  if (isRead && (code === 0 || code === 3)) {
    const report = JSON.parse(stdout) as Parameters<typeof checkReport>[0];
    wrong.push(...(await checkReport(report, database.url, factsBefore)));
    if ((report.status === 'complete') !== (code === 0)) wrong.push(`exit code ${code} for ${report.status}`);
  }
  return wrong;
}

/** How the run ended by its record; null if it left none. */
async function newestStatus(url: string, startedAtMs: number): Promise<string | null> {
  const [run] = await queryOnce(
    url,
    `select status from losant_usage.runs where started_at >= '${new Date(startedAtMs).toISOString()}'`,
  );
  return run ? String(run['status']) : null;
}
