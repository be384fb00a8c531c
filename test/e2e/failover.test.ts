import { expect, test } from 'vitest';
import { createTimedInstallation, runCompletely } from './installation.ts';
import { readStored, readTruth } from './usage.ts';

test('what a failover has lost is loaded again at the next wake-up', async () => {
  const installation = await createTimedInstallation('2026-11-24T10:30:00Z');
  const { platform, database, moveTo } = installation;
  await runCompletely(installation);
  await database.makeStandby();
  await moveTo('2026-11-25T10:30:00Z');
  await platform.control('orgs', { creationDate: '2026-11-24T08:00:00Z' });
  await runCompletely(installation);
  const truth = await readTruth(platform, '2026-11-23', '2026-11-24');
  expect(await readStored(installation)).toEqual(truth);
  await database.failOver();
  expect(await readStored(installation)).toEqual(await readTruth(platform, '2026-11-23', '2026-11-23'));
  await moveTo('2026-11-25T10:45:00Z');
  await runCompletely(installation);
  expect(await readStored(installation)).toEqual(truth);
});
