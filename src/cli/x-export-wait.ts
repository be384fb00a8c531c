import { setTimeout as sleep } from 'node:timers/promises';
import { HeldError } from '../errors.ts';
import type { CommandContext } from './command.ts';

/** How often a held lease or folder is tried again while waiting. */
const WAIT_STEP_MS = 1_000;

/** Tries again while another process holds what `open` needs, until `giveUpAtMs`. */
export async function waitWhileHeld<T>(
  { hostNow, signal, output }: CommandContext,
  giveUpAtMs: number,
  open: () => Promise<T>,
): Promise<T> {
  let hasSaid = false;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      const mayWait = error instanceof HeldError && error.kind !== 'lease_lost' && hostNow() < giveUpAtMs;
      if (!mayWait) throw error;
      if (!hasSaid) output.remark(`${error.message}; waiting`);
      hasSaid = true;
      await sleep(Math.min(WAIT_STEP_MS, giveUpAtMs - hostNow()), undefined, { signal });
    }
  }
}
