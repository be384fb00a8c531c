/** An instance without organizations. */
import { expect, it } from 'vitest';
import { useInstallation } from '../e2e/installation.ts';
import { runProgram } from '../support/program.ts';

const installation = useInstallation({ orgs: 0 });

it('is complete, and status says that what needs attention is not known yet', async () => {
  expect(await installation.run(['run'])).toMatchObject({ code: 0 });
  const { code, stdout } = await runProgram(['status'], { DATABASE_URL: installation.store.url });
  expect(code).toBe(0);
  expect(stdout).toContain('\n  needs attention: not known yet\n  no runs on record\n');
});

it('has no month to bill, and close says so', async () => {
  expect(await installation.run(['run'])).toMatchObject({ code: 0 });
  const { code, stdout } = await runProgram(['close'], { DATABASE_URL: installation.store.url });
  expect([code, stdout]).toEqual([0, 'No month has anything to bill yet.\n']);
});
