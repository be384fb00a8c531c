import type { DatabaseHandle } from '../database/connect/open.ts';
import { readGaps } from '../database/read/gaps.ts';

/** When the first of an instance's gaps that has to wait is tried again; null if none has. */
export async function readNextTry(
  db: DatabaseHandle['db'],
  instanceId: string,
  nowMs: number,
): Promise<string | null> {
  const gaps = (await readGaps(db)).filter((gap) => gap.instanceId === instanceId);
  const tries = gaps.map(({ nextAttemptAt }) => nextAttemptAt).filter((instant) => instant !== null);
  return tries.filter((instant) => Date.parse(instant) > nowMs).toSorted()[0] ?? null;
}
