/** Steps of people: they waive cells, also some that cannot be waived, and change settings. */
import { isGap } from './checker.ts';
import type { Dice } from './dice.ts';
import { readLedger } from './ledger.ts';
import { type Kinds, step } from './platform-steps.ts';
import { cellName, STREAMS } from './truth.ts';
import { changeSettings, POLICIES, readPlatformOrgs, runCommand, type World } from './world.ts';

/** Waives a cell, which is no gap afterward. A cell that is merely waiting must be rejected. */
async function waive(world: World, dice: Dice): Promise<string> {
  const { database } = world;
  const { cells, nowMs } = await readLedger(database.url);
  const allCells = [...cells.values()];
  const waivable = allCells.filter((cell) => isGap(cell, nowMs) || cell.standing === 'unavailable');
  const waiting = allCells.filter((cell) => cell.standing === 'waiting' && !isGap(cell, nowMs));
  const mustBeRejected = waiting.length > 0 && dice.chance(0.3);
  const candidates = mustBeRejected ? waiting : waivable;
  if (candidates.length === 0) return 'no: there is nothing to waive';
  const cell = dice.pick(candidates);
  const args = ['--org', cell.orgId, '--stream', cell.stream, '--day', cell.day, '--reason', 'agreed'];
  const { code, stdout } = await runCommand(world, ['waive', ...args]);
  const cellAfter = (await readLedger(database.url)).cells.get(cellName(cell));
  const isCorrect = mustBeRejected
    ? code === 2 && cellAfter?.standing === 'waiting'
    : code === 0 && cellAfter?.standing === 'waived';
  if (!isCorrect)
    world.violations.push(
      `${cellName(cell)} was ${cell.standing}, waive ended with ${code}, and it is ${cellAfter?.standing}: ${stdout}`,
    );
  return cellName(cell);
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
    const existingOrgs = (await readPlatformOrgs(world)).map(({ orgId }) => orgId);
    const orgIds = dice.chance(0.5)
      ? null
      : existingOrgs.filter((_, index) => index === 0 || dice.chance(0.7));
    changeSettings(world, { orgIds });
    return orgIds?.join() ?? 'all';
  }),
  change_checkpoints: step(2, async (world, dice) => {
    const policy = dice.pick(Object.keys(POLICIES) as (keyof typeof POLICIES)[]);
    changeSettings(world, { policy });
    return policy;
  }),
} as const satisfies Kinds;
