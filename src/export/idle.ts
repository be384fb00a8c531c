import { isAnythingDue } from '../ledger/due.ts';
import { readInstance } from '../ledger/instances.ts';
import { dayAt } from '../usage/day.ts';
import type { InstanceContext, Settled } from './context.ts';

/**
 * Whether a run by the same configuration as the one that left `settled` has
 * nothing to do: the organizations were listed today, and not since that run,
 * and nothing is due. A handful of look-ups, however many organizations there are.
 */
export async function isIdle(
  { db, instanceId, policy, now }: InstanceContext,
  { listedAt }: Settled,
): Promise<boolean> {
  const instance = await readInstance(db, instanceId);
  if (instance?.listedAt !== listedAt || instance.listProblem !== null) return false;
  const nowMs = now();
  return dayAt(Date.parse(listedAt)) === dayAt(nowMs) && !(await isAnythingDue(db, { nowMs, policy }));
}

/** What a complete run over everything leaves for the next of the same process. */
export async function readSettled(
  { db, instanceId }: InstanceContext,
  excluded: number,
): Promise<Settled | null> {
  const listedAt = (await readInstance(db, instanceId))?.listedAt ?? null;
  return listedAt === null ? null : { listedAt, excluded };
}
