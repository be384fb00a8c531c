/** What people do: accept what is required, change settings, and try what is refused. */
import { isGap } from './checker.ts';
import type { Dice } from './dice.ts';
import { readLedger } from './ledger.ts';
import { type Kinds, step } from './platform-steps.ts';
import { nameOf, STREAMS } from './truth.ts';
import { changeSettings, ownOf, POLICIES, run, type World } from './world.ts';

/** Accepts a number, after which it is no gap; one that is only waiting is not accepted. */
async function waive(world: World, dice: Dice): Promise<string> {
  const { database } = world;
  const { cells, nowMs } = await readLedger(database.url);
  const all = [...cells.values()];
  const open = all.filter((cell) => isGap(cell, nowMs) || cell.standing === 'unavailable');
  const waiting = all.filter((cell) => cell.standing === 'waiting' && !isGap(cell, nowMs));
  const isForbidden = waiting.length > 0 && dice.chance(0.3);
  const from = isForbidden ? waiting : open;
  if (from.length === 0) return 'no: nothing is open';
  const cell = dice.pick(from);
  const args = ['--org', cell.orgId, '--stream', cell.stream, '--day', cell.day, '--reason', 'agreed'];
  const { code, stdout } = await run(world, ['waive', ...args]);
  const after = (await readLedger(database.url)).cells.get(nameOf(cell));
  const isRight = isForbidden
    ? code === 2 && after?.standing === 'waiting'
    : code === 0 && after?.standing === 'waived';
  if (!isRight)
    world.complaints.push(
      `${nameOf(cell)} was ${cell.standing}, waive ended with ${code}, and it is ${after?.standing}: ${stdout}`,
    );
  return nameOf(cell);
}

export const PEOPLE_STEPS = {
  waive: step(5, waive),
  change_streams: step(2, async (world, dice) => {
    const streams = dice.chance(0.5) ? STREAMS : STREAMS.filter(() => dice.chance(0.6));
    if (streams.length === 0) return 'no: none is left';
    changeSettings(world, { streams });
    return streams.join();
  }),
  change_organizations: step(2, async (world, dice) => {
    const living = (await ownOf(world)).map(({ orgId }) => orgId);
    const orgIds = dice.chance(0.5) ? null : living.filter((_, index) => index === 0 || dice.chance(0.7));
    changeSettings(world, { orgIds });
    return orgIds?.join() ?? 'all';
  }),
  change_checkpoints: step(2, async (world, dice) => {
    const policy = dice.pick(Object.keys(POLICIES) as (keyof typeof POLICIES)[]);
    changeSettings(world, { policy });
    return policy;
  }),
} as const satisfies Kinds;
