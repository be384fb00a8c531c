import { expect, it } from 'vitest';
import { useInstallation } from '../e2e/installation.ts';
import { runProgram } from '../support/program.ts';

const installation = useInstallation({ orgs: 0 });

it('is complete, with nothing that needs attention, and no month to bill', async () => {
  expect(await installation.run(['run'])).toMatchObject({ code: 0 });
  const status = await runProgram(['status'], { DATABASE_URL: installation.store.url });
  expect(status.code).toBe(0);
  expect(status.stdout).toContain('\n  needs attention: nothing\n  no runs on record\n');
  const { code, stdout } = await runProgram(['close'], { DATABASE_URL: installation.store.url });
  expect([code, stdout]).toEqual([0, 'No month has anything to bill yet.\n']);
});
