import { setTimeout as sleep } from 'node:timers/promises';
import type { Place } from '../e2e/usage.ts';
import { asProgram } from '../support/by-hand.ts';
import type { Spawned } from '../support/program.ts';

/** How long processes are really frozen: `npm run test:freeze`. 0: only until their leases were made to lapse. */
export const FREEZE_MS = Number(process.env['FREEZE_SECONDS'] ?? 0) * 1_000;

/** Of a process that runs, none waits for as long as that. */
const STUCK = `select from pg_stat_activity where datname = current_database()
  and state = 'idle in transaction' and state_change < clock_timestamp() - interval '400 ms'`;

/** Stops a process where it is, but not in a transaction: Postgres would end that after a minute. */
export async function freeze({ kill }: Spawned, { query }: Pick<Place, 'query'>): Promise<void> {
  for (;;) {
    kill('SIGSTOP');
    await sleep(500);
    if ((await query(STUCK)).length === 0) return;
    kill('SIGCONT');
    await sleep(30);
  }
}

/** For programs to start, and to load something, on a machine that is busy otherwise. */
export const PATIENTLY = { timeout: 40_000 };

/** What a minute of silence does, unless the test is about to wait for it. */
export async function letLapse({ query }: Pick<Place, 'query'>, runIds: readonly unknown[]): Promise<void> {
  if (FREEZE_MS > 0) return;
  const ids = `array['${runIds.join("','")}']::uuid[]`;
  await query(asProgram(`update losant_usage.leases set until = now() where run_id = any (${ids})`));
}

/** Returns what was written more than once: changes on record, and cells whose numbers were stored again. */
export async function readDoubled({ query }: Pick<Place, 'query'>): Promise<Record<string, unknown>[]> {
  return await query(`
    select 'revision' as what, stream, org_id from losant_usage.revisions
    union all
    select 'coverage', stream, org_id from losant_usage.coverage where revision <> 1`);
}
