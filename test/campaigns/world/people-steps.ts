/** Steps of people: they waive cells, also some that cannot be waived, and change settings. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isGap } from './checker.ts';
import type { Dice } from './dice.ts';
import { readLedger } from './ledger.ts';
import { type Kinds, step } from './platform-steps.ts';
import { cellName, DAY_MS, STREAMS } from './truth.ts';
import {
  changeSettings,
  finishCommand,
  LEASE_EXPIRED_MS,
  POLICIES,
  passTime,
  readPlatformOrgs,
  runCommand,
  startCommand,
  type World,
} from './world.ts';

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

/** Waives gaps while a run reads them, which may then find no gap. */
async function waiveDuringRun(world: World, dice: Dice): Promise<string> {
  await passTime(world, LEASE_EXPIRED_MS);
  const { cells, nowMs } = await readLedger(world.database.url);
  const gaps = [...cells.values()].filter((cell) => isGap(cell, nowMs));
  if (gaps.length === 0) return 'no: there is no gap';
  await world.platform.control('config', { latencyMs: 40 });
  const running = startCommand(world, ['run']);
  const waive = async () => {
    const { orgId, stream, day } = dice.pick(gaps);
    await sleep(dice.below(150));
    const args = ['waive', '--org', orgId, '--stream', stream, '--day', day, '--reason', 'agreed meanwhile'];
    const { code, stdout } = await runCommand(world, args);
    if (code !== 0 && code !== 2) world.violations.push(`waive ended with ${code}: ${stdout}`);
    return code;
  };
  const codes = [await waive(), ...(await Promise.all([waive(), waive()]))];
  const { code } = await finishCommand(world, running);
  await world.platform.control('config', { latencyMs: 0 });
  return `${codes.join()}, the run ${code}`;
}

/** Deselects streams or organizations, and lets more days pass than can be read afterward. */
async function leaveForLong(world: World, dice: Dice): Promise<string> {
  await passTime(world, LEASE_EXPIRED_MS);
  const orgIds = (await readPlatformOrgs(world)).map(({ orgId }) => orgId);
  const left = dice.chance(0.5) ? dice.pick(STREAMS) : dice.pick(orgIds);
  const streams = STREAMS.filter((stream) => stream !== left);
  changeSettings(world, { policy: 'short', streams, orgIds: orgIds.filter((orgId) => orgId !== left) });
  const { code } = await runCommand(world, ['run']);
  const days = POLICIES.short.horizonDays + 1 + dice.below(4);
  await passTime(world, days * DAY_MS);
  return `${left}: ${code}, for ${days} d`;
}

export const PEOPLE_STEPS = {
  waive: step(5, waive),
  waive_during_run: step(4, waiveDuringRun),
  leave_for_long: step(1, leaveForLong),
  return: step(3, async (world) => {
    changeSettings(world, { streams: STREAMS, orgIds: null });
    return `${(await runCommand(world, ['run'])).code}`;
  }),
  change_streams: step(2, async (world, dice) => {
    const streams = dice.chance(0.5) ? STREAMS : STREAMS.filter(() => dice.chance(0.6));
    if (streams.length === 0) return 'no: none is left';
    changeSettings(world, { streams });
    return streams.join();
  }),
  change_organizations: step(2, async (world, dice) => {
    const existingOrgs = (await readPlatformOrgs(world)).map(({ orgId }) => orgId);
    const orgIds = dice.chance(0.5) ? null : existingOrgs.filter((_, index) => index === 0 || dice.chance(0.7));
    changeSettings(world, { orgIds });
    return orgIds?.join() ?? 'all';
  }),
  change_checkpoints: step(2, async (world, dice) => {
    const policy = dice.pick(Object.keys(POLICIES) as (keyof typeof POLICIES)[]);
    changeSettings(world, { policy });
    return policy;
  }),
} as const satisfies Kinds;
