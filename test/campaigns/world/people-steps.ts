/** What people do: accept what is missing, change settings, invoice months, and try what is refused. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isGap } from './checker.ts';
import type { Dice } from './dice.ts';
import { readLedger } from './ledger.ts';
import { type Kinds, step } from './platform-steps.ts';
import { DAY_MS, dayAt, HOUR_MS, nameOf, STREAMS } from './truth.ts';
import { changeSettings, LEASE_OVER_MS, ownOf, POLICIES, passTime, run, type World } from './world.ts';

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
    : code === 0 && after?.standing === 'accepted';
  if (!isRight)
    world.complaints.push(
      `${nameOf(cell)} was ${cell.standing}, waive ended with ${code}, and it is ${after?.standing}: ${stdout}`,
    );
  return nameOf(cell);
}

const monthOf = (day: string) => day.slice(0, 7);
const lastMonth = ({ nowMs }: World) => monthOf(dayAt(Date.parse(`${monthOf(dayAt(nowMs))}-01`) - DAY_MS));

/** Closes the last month, if asked for with the blockers that were shown. */
async function close(world: World, { isAdjusted = false, isIncomplete = false }): Promise<string> {
  const month = lastMonth(world);
  const args = ['close', '--period', month, ...(isAdjusted ? ['--adjust'] : [])];
  let { code, stdout } = await run(world, args);
  const open = [...world.ledger.cells.values()].filter(
    ({ day, standing, instanceId }) =>
      instanceId === world.platform.instanceId &&
      monthOf(day) === month &&
      !['final', 'accepted'].includes(standing),
  );
  if (code === 0 && stdout.includes('"closed"') && open.length > 0)
    world.complaints.push(`${month} was closed though ${open.slice(0, 3).map(nameOf).join(', ')} are open`);
  const hash = /"blockersHash":"([0-9a-f]+)"/.exec(stdout)?.[1];
  if (isIncomplete && hash !== undefined) {
    const wrong = await run(world, [...args, '--incomplete', 'agreed', '--blockers', `${hash.slice(1)}0`]);
    if (wrong.code === 0) world.complaints.push(`${month} was closed with blockers that nobody was shown`);
    ({ code, stdout } = await run(world, [...args, '--incomplete', 'agreed', '--blockers', hash]));
  }
  if (![0, 2, 3].includes(code ?? -1)) world.complaints.push(`close ended with ${code}: ${stdout}`);
  return `${args.join(' ')}${isIncomplete ? ' --incomplete' : ''}: ${code}`;
}

/** A pack that was written holds. */
async function verify(world: World): Promise<string> {
  const month = lastMonth(world);
  const folder = await mkdtemp(join(tmpdir(), 'losant-usage-world-'));
  try {
    const out = join(folder, 'packs');
    const { code } = await run(world, ['statement', '--period', month, '--out', out]);
    if (code !== 0) return `${month} is not closed: ${code}`;
    const verified = await run(world, ['verify', out]);
    if (verified.code !== 0) world.complaints.push(`the pack of ${month} does not hold: ${verified.stdout}`);
    return `${month}: ${verified.code}`;
  } finally {
    await rm(folder, { recursive: true });
  }
}

export const PEOPLE_STEPS = {
  waive: step(5, waive),
  change_streams: step(2, async (world, dice) => {
    const streams = dice.chance(0.5) ? STREAMS : STREAMS.filter(() => dice.chance(0.6));
    if (streams.length === 0) return 'no: none is left';
    await changeSettings(world, { streams });
    return streams.join();
  }),
  change_organizations: step(2, async (world, dice) => {
    const living = (await ownOf(world)).map(({ orgId }) => orgId);
    const orgIds = dice.chance(0.5) ? null : living.filter((_, index) => index === 0 || dice.chance(0.7));
    await changeSettings(world, { orgIds });
    return orgIds?.join() ?? 'all';
  }),
  change_checkpoints: step(2, async (world, dice) => {
    const policy = dice.pick(Object.keys(POLICIES) as (keyof typeof POLICIES)[]);
    await changeSettings(world, { policy });
    return policy;
  }),
  month_ends: step(2, async (world, dice) => {
    const next = new Date(world.nowMs);
    const toMs = Date.UTC(next.getUTCFullYear(), next.getUTCMonth() + 1, 1) + (1 + dice.below(100)) * HOUR_MS;
    // Not far ahead: a month that has just begun goes on.
    if (toMs - world.nowMs > 16 * DAY_MS) return 'no: it is far';
    await passTime(world, toMs - world.nowMs);
    return dayAt(toMs);
  }),
  backfill_month: step(2, async (world) => {
    await passTime(world, LEASE_OVER_MS);
    const month = lastMonth(world);
    const to = dayAt(Date.parse(`${monthOf(dayAt(world.nowMs))}-01`) - DAY_MS);
    const range = { from: `${month}-01`, to };
    const args = ['backfill', '--from', range.from, '--to', range.to, '--force'];
    return `${month}: ${(await run(world, args)).code}`;
  }),
  close: step(3, (world) => close(world, {})),
  close_incomplete: step(2, (world) => close(world, { isIncomplete: true })),
  adjust: step(3, (world) => close(world, { isAdjusted: true })),
  verify: step(2, verify),
} as const satisfies Kinds;
