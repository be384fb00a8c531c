import type { DatabaseHandle } from '../../database/connect/open.ts';
import { readGaps } from '../../database/read/gaps.ts';

/** When the first of an instance's gaps is tried again; null if none has to wait. */
export async function readNextTry(db: DatabaseHandle['db'], instanceId: string): Promise<string | null> {
  const gaps = (await readGaps(db)).filter((gap) => gap.instanceId === instanceId);
  const tries = gaps.map(({ nextAttemptAt }) => nextAttemptAt).filter((instant) => instant !== null);
  return tries.toSorted()[0] ?? null;
}
