/** How the command explain shows a change. */
import { expect, it } from 'vitest';
import { orgIdsOf, useInstallation } from '../e2e/installation.ts';
import { daysAgo } from '../support/days.ts';

const installation = useInstallation({ orgs: 1, hostile: false });

// Guarantee (Changes): The command explain shows where a number comes from and how it changed.
it('explain shows the old and the new number of a change as it shows numbers', async () => {
  const day = daysAgo(1);
  const [orgId = ''] = await orgIdsOf(installation.platform);
  await installation.run(['run']);
  await installation.platform.control('restate', { orgId, day, counter: 'payloadCounts' });
  await installation.run(['run', '--day', day]);
  const [row] = await installation.store.query(
    `select concat_ws(' → ', to_char(old_quantity, 'FM999,999,999,999,999'),
       to_char(new_quantity, 'FM999,999,999,999,999')) as change
     from losant_usage.restatements where metric = 'payload_all_bytes'`,
  );
  const change = String(row?.['change']);
  expect(change).toMatch(/^\d{1,3}(,\d{3})+ → \d{1,3}(,\d{3})+$/);
  const { stdout } = await installation.run(['explain', '--org', orgId, '--day', day, '--stream', 'payload_totals']);
  expect(stdout).toContain(`UTC: payload_all_bytes: ${change}\n`);
});
