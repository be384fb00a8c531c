import * as check from './checker.ts';
import { checkReport, countFacts } from './database-checks.ts';
import type { World } from './fault-world.ts';
import { readLedgerRows } from './ledger-rows.ts';
import { drawFaults } from './mischief.ts';
import { startProgram } from './program.ts';

const DAY_MS = 86_400_000;

/** A run of the program itself, in the real present and among faults: its exit code may promise no more than is held. */
export async function playProgram(world: World): Promise<string[]> {
  const { platform, database, dice, book, policy, campaign } = world;
  const orgIds = (await book.orgs()).map(({ orgId }) => orgId);
  await platform.control('config', { faults: drawFaults(dice, orgIds), clock: { offsetMs: 0 } });
  const startedAtMs = Date.now();
  const lastDay = check.dayAt(startedAtMs - DAY_MS);
  await book.note(check.dayAt(startedAtMs - 12 * DAY_MS), lastDay);
  const factsBefore = await countFacts(database.url);
  const { url: apiUrl, token, instanceId } = platform;
  const more = {
    ...{ REQUEST_TIMEOUT_MS: '400', REQUEST_ATTEMPTS: '2', READ_AT_HOURS: policy.readAtHours.join(',') },
    ...{ FINAL_AT_HOURS: '48', HORIZON_DAYS: String(policy.horizonDays), LOG_LEVEL: 'silent' },
  };
  const settings = { apiUrl, token, instanceId, databaseUrl: database.url, more };
  const { code, stdout, stderr } = await startProgram(['run', '--json'], settings).ended;
  const ledger = await readLedgerRows(database.url, lastDay);
  const wrong = check.checkAlways(ledger, book);
  const count = `programs that ended with ${code}`;
  campaign.counts[count] = (campaign.counts[count] ?? 0) + 1;
  if (code === 0) wrong.push(...check.checkComplete(ledger, { startedAtMs, range: null, ...policy }));
  if (code === 0 || code === 3) {
    const report = JSON.parse(stdout) as Parameters<typeof checkReport>[0];
    wrong.push(...(await checkReport(report, database.url, factsBefore)));
    if ((report.status === 'complete') !== (code === 0)) wrong.push(`exit code ${code} for ${report.status}`);
  } else if (code !== 1) {
    wrong.push(`exit code ${code}: ${stderr}`);
  }
  return wrong;
}
