/** What people do: change numbers by hand, accept what is missing, change settings, invoice months. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DAY_MS, dayAt, HOUR_MS, nameOf } from './checker.ts';
import type { Dice } from './dice.ts';
import { changeByHand, NUMBER_EDITS, REFUSED_EDITS } from './hand-edits.ts';
import { readLedgerRows } from './ledger-rows.ts';
import type { Kind } from './step.ts';
import { STREAMS } from './truth.ts';
import { changeSettings, livingOf, POLICIES, passTime, run, type World } from './world.ts';

/** Accepts a number that is missing, in doubt or unavailable, after which it is no gap. */
async function waive(world: World, dice: Dice, isAsZero: boolean): Promise<string> {
  const { database } = world;
  const { cells } = await readLedgerRows(database.url);
  const open = cells.filter(({ isTracked, standing, stream }) => {
    const isOpen = !['final', 'stored', 'accepted'].includes(standing ?? '');
    return isTracked && isOpen && !(isAsZero && stream === 'device_counts');
  });
  if (open.length === 0) return 'no: nothing is open';
  const cell = dice.pick(open);
  const args = ['--org', cell.orgId, '--stream', cell.stream, '--day', cell.day, '--reason', 'agreed'];
  const { code, stdout } = await run(world, ['waive', ...args, ...(isAsZero ? ['--as-zero'] : [])], null);
  const after = (await readLedgerRows(database.url)).cells.find((each) => nameOf(each) === nameOf(cell));
  const isZero = after?.rows.every((row) =>
    Object.values(row).every((value) => typeof value !== 'number' || value === 0),
  );
  if (code !== 0 || after?.standing !== 'accepted' || (isAsZero && !(after.isStored && isZero)))
    world.complaints.push(`${nameOf(cell)} was waived, exit ${code}, and is ${after?.standing}: ${stdout}`);
  return nameOf(cell);
}

async function editByHand(world: World, dice: Dice, isAllowed: boolean): Promise<string> {
  const edits = isAllowed ? NUMBER_EDITS : REFUSED_EDITS;
  const what = dice.pick(Object.keys(edits));
  const { refused, rows } = await changeByHand(world.database.url, edits[what]?.(dice) ?? '');
  if (!isAllowed && refused === null && rows !== 0) world.complaints.push(`${what} was not refused`);
  return `${what}: ${refused ?? `${rows} rows`}`;
}

const monthOf = (day: string) => day.slice(0, 7);
const lastMonth = ({ nowMs }: World) => monthOf(dayAt(Date.parse(`${monthOf(dayAt(nowMs))}-01`) - DAY_MS));

async function close(world: World, ...more: readonly string[]): Promise<string> {
  const month = lastMonth(world);
  const { code, stdout } = await run(world, ['close', '--period', month, ...more], null);
  const open = world.ledger.cells.filter(
    ({ isTracked, day, standing }) =>
      isTracked && monthOf(day) === month && !['final', 'accepted'].includes(standing ?? ''),
  );
  const isClosed = code === 0 && stdout.includes('"closed"');
  if (isClosed && more.length === 0 && open.length > 0)
    world.complaints.push(`${month} was closed though ${open.slice(0, 3).map(nameOf).join(', ')} are open`);
  if (![0, 2, 3].includes(code ?? -1)) world.complaints.push(`close ended with ${code}: ${stdout}`);
  return `${month} ${more.join(' ')}: ${code}`;
}

export const PEOPLE_STEPS = {
  edit_by_hand: { weight: 5, play: (world, dice) => editByHand(world, dice, true) },
  refused_by_hand: { weight: 2, play: (world, dice) => editByHand(world, dice, false) },
  waive: { weight: 3, play: (world, dice) => waive(world, dice, false) },
  waive_as_zero: { weight: 2, play: (world, dice) => waive(world, dice, true) },
  change_streams: {
    weight: 2,
    play: async (world, dice) => {
      const streams = dice.chance(0.5) ? STREAMS : STREAMS.filter(() => dice.chance(0.6));
      if (streams.length === 0) return 'no: none is left';
      await changeSettings(world, { streams });
      return streams.join();
    },
  },
  change_organizations: {
    weight: 2,
    play: async (world, dice) => {
      const living = (await livingOf(world)).map(({ orgId }) => orgId);
      const orgIds = dice.chance(0.5) ? null : living.filter((_, index) => index === 0 || dice.chance(0.7));
      await changeSettings(world, { orgIds });
      return orgIds?.join() ?? 'all';
    },
  },
  change_checkpoints: {
    weight: 2,
    play: async (world, dice) => {
      const policy = dice.pick(Object.keys(POLICIES) as (keyof typeof POLICIES)[]);
      await changeSettings(world, { policy });
      return policy;
    },
  },
  month_ends: {
    weight: 2,
    play: async (world, dice) => {
      const next = new Date(world.nowMs);
      const toMs =
        Date.UTC(next.getUTCFullYear(), next.getUTCMonth() + 1, 1) + (1 + dice.below(100)) * HOUR_MS;
      // Not far ahead: a month that has just begun goes on.
      if (toMs - world.nowMs > 16 * DAY_MS) return 'no: it is far';
      await passTime(world, toMs - world.nowMs);
      return dayAt(toMs);
    },
  },
  backfill_month: {
    weight: 2,
    play: async (world) => {
      const month = lastMonth(world);
      const range = {
        from: `${month}-01`,
        to: dayAt(Date.parse(`${monthOf(dayAt(world.nowMs))}-01`) - DAY_MS),
      };
      const args = ['backfill', '--from', range.from, '--to', range.to, '--force'];
      return `${month}: ${(await run(world, args, { orgIds: null, streams: world.settings.streams, range })).code}`;
    },
  },
  close: { weight: 3, play: (world) => close(world) },
  close_incomplete: { weight: 2, play: (world) => close(world, '--incomplete', 'agreed') },
  adjust: { weight: 3, play: (world) => close(world, '--adjust') },
  verify: {
    weight: 2,
    play: async (world) => {
      const month = lastMonth(world);
      const folder = await mkdtemp(join(tmpdir(), 'losant-usage-world-'));
      try {
        const { code } = await run(
          world,
          ['statement', '--period', month, '--out', join(folder, 'packs')],
          null,
        );
        if (code !== 0) return `${month} is not closed: ${code}`;
        const verified = await run(world, ['verify', join(folder, 'packs')], null);
        if (verified.code !== 0)
          world.complaints.push(`the pack of ${month} does not hold: ${verified.stdout}`);
        return `${month}: ${verified.code}`;
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  },
} as const satisfies Readonly<Record<string, Kind>>;
