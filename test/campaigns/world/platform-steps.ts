/** What becomes of Losant: numbers, organizations, and what goes wrong there. */
import { DELIVERY_KINDS, REPLY_KINDS, VALUE_KINDS } from '../../../simulator/faults.ts';
import { type ListFaults, ODD_ITEMS } from '../../../simulator/list-faults.ts';
import { DAY_MS, dayAt, HOUR_MS } from './checker.ts';
import type { Dice } from './dice.ts';
import type { Kind } from './step.ts';
import { STREAMS } from './truth.ts';
import {
  daysOf,
  livingOf,
  NO_TROUBLE,
  noteAll,
  setTrouble,
  someOrg,
  unnoticedOf,
  type World,
} from './world.ts';

/** One of the last days that are over, mostly a recent one: that is where things meet. */
const someDay = (world: World, dice: Dice) => daysOf(world, 25)[Math.floor(25 * dice.next() ** 2)] as string;

/** One of the last days of the organization that was never read: what is left out of it has no number to keep. */
function someUnreadDay(world: World, dice: Dice, orgId: string): string {
  const cells = world.ledger.cells.filter((cell) => cell.orgId === orgId && cell.standing !== null);
  const read = new Set(cells.map(({ day }) => day));
  const unread = daysOf(world, 25).filter((day) => !read.has(day));
  return unread.length === 0 ? someDay(world, dice) : dice.pick(unread);
}

/** Changes one day of one organization in Losant, of which nothing was read yet if `isUnread`, and writes down what is true of it from now on. */
async function edit(
  world: World,
  dice: Dice,
  { path, isUnread = false }: { path: string; isUnread?: boolean },
  more: Readonly<Record<string, unknown>>,
): Promise<string> {
  const { platform, book, nowMs } = world;
  const orgId = await someOrg(world, dice);
  const where = { orgId, day: isUnread ? someUnreadDay(world, dice, orgId) : someDay(world, dice) };
  await platform.control(path, { ...where, ...more });
  await book.note(nowMs, { from: where.day, to: where.day }, where.orgId);
  return `${where.day} ${where.orgId} ${JSON.stringify(more)}`;
}

/** Leaves nothing out any more. */
export async function nameAgain(world: World): Promise<void> {
  const { platform, book, nowMs } = world;
  for (const { orgId } of await livingOf(world)) {
    for (const day of daysOf(world, 45)) {
      const version = book.now(orgId, day);
      const isOmitted =
        version && (Object.values(version.omitted).includes(true) || version.omitted_totals.length > 0);
      if (!isOmitted) continue;
      await platform.control('omit', { orgId, day, omit: false });
      await book.note(nowMs, { from: day, to: day }, orgId);
    }
  }
}

/** Those that make all requests pause for a second come seldom, and bodies beyond every bound cost too much. */
const PAUSES = ['rate_limit', 'rate_limit_seconds', 'rate_limit_date', 'unavailable_after'] as const;
const REPLIES = REPLY_KINDS.filter((kind) => !PAUSES.some((pause) => pause === kind));
const DELIVERIES = DELIVERY_KINDS.filter((kind) => kind !== 'huge_body');

const some = <T>(dice: Dice, from: readonly T[], most: number): T[] =>
  Array.from({ length: 1 + dice.below(most) }, () => dice.pick(from));

const ACTIONS = ['deviceCounts', 'notebookMinuteCounts', 'payloadCounts', 'payloadCountsBreakdown'];
const SCOPES = [
  ...['instance.get', 'instance.historicalSummaries', 'instanceOrgs.get', 'instanceOrg.get'],
  ...ACTIONS.flatMap((action) => [`instanceOrg.${action}`, `instance.${action}`]),
];

/** Another way in which the list is wrong; one that is wrong and complete by its own account is not among them. */
function someListFault(dice: Dice, orgIds: readonly string[]): ListFaults {
  const odd = { [dice.pick(orgIds)]: dice.pick(ODD_ITEMS) };
  return dice.pick<ListFaults>([
    { emptyPages: [dice.below(3)] },
    { ignorePage: true },
    { ignoreSort: true },
    { totalCount: dice.chance(0.5) ? 0 : orgIds.length + 1 + dice.below(3) },
    { items: odd },
    { items: { ...odd, [dice.pick(orgIds)]: dice.pick(ODD_ITEMS) }, ignoreSort: dice.chance(0.5) },
  ]);
}

export const PLATFORM_STEPS = {
  restate: {
    weight: 6,
    play: (world, dice) =>
      edit(
        world,
        dice,
        { path: 'restate' },
        {
          ...(dice.chance(0.3) ? {} : { counter: dice.pick(STREAMS) }),
          times: 1 + dice.below(2),
        },
      ),
  },
  restate_sources: {
    weight: 2,
    play: (world, dice) => edit(world, dice, { path: 'restate' }, { sourcesOnly: true }),
  },
  becomes_zero: {
    weight: 3,
    play: (world, dice) =>
      edit(world, dice, { path: 'empty' }, dice.chance(0.4) ? {} : { counter: dice.pick(STREAMS) }),
  },
  becomes_number: {
    weight: 2,
    play: (world, dice) => edit(world, dice, { path: 'empty' }, { empty: false }),
  },
  leave_out: {
    weight: 8,
    play: (world, dice) =>
      edit(
        world,
        dice,
        { path: 'omit', isUnread: dice.chance(0.5) },
        dice.chance(0.3) ? {} : { action: dice.pick(STREAMS) },
      ),
  },
  leave_out_variant: {
    weight: 2,
    play: (world, dice) =>
      edit(
        world,
        dice,
        { path: 'omit' },
        { variant: dice.pick(['billable_count', 'all_count', 'all_bytes']) },
      ),
  },
  name_again: {
    weight: 2,
    play: async (world) => {
      await nameAgain(world);
      return 'everything';
    },
  },
  bad_replies: {
    weight: 2,
    play: async (world, dice) => {
      const kinds = some(dice, [...REPLIES, ...DELIVERIES], 5);
      const plan = {
        kinds,
        rate: dice.next() * 0.3,
        maxPerRequest: 1 + dice.below(3),
        slowMs: dice.pick([50, 700]),
      };
      await setTrouble(world, { faults: [plan] });
      return kinds.join();
    },
  },
  rate_limits: {
    weight: 1,
    play: async (world, dice) => {
      const kinds = some(dice, PAUSES, 2);
      await setTrouble(world, {
        faults: [{ kinds, rate: 0.01, retryAfterSeconds: dice.below(2), maxPerRequest: 1 }],
      });
      return kinds.join();
    },
  },
  bad_values: {
    weight: 2,
    play: async (world, dice) => {
      const kinds = some(dice, VALUE_KINDS, 6);
      await setTrouble(world, { faults: [{ kinds, rate: dice.next() * 0.35 }] });
      return kinds.join();
    },
  },
  bad_forever: {
    weight: 2,
    play: async (world, dice) => {
      const kinds = some(dice, [...VALUE_KINDS, ...REPLIES, ...DELIVERIES], 3);
      const [orgId, action] = [await someOrg(world, dice), dice.pick(ACTIONS)];
      await setTrouble(world, {
        faults: [
          {
            kinds,
            forever: true,
            orgIds: [orgId],
            slowMs: 50,
            ...(dice.chance(0.6) ? { actions: [action] } : {}),
          },
        ],
      });
      return `${orgId} ${kinds.join()}`;
    },
  },
  stale_answers: {
    weight: 2,
    play: async (world, dice) => {
      await setTrouble(world, {
        faults: [{ kinds: dice.pick([['cached'], ['cached_age']]), rate: 0.2 + dice.next() * 0.6 }],
      });
      return 'from now on';
    },
  },
  bad_list: {
    weight: 2,
    play: async (world, dice) => {
      const list = someListFault(
        dice,
        (await livingOf(world)).map(({ orgId }) => orgId),
      );
      await setTrouble(world, { list });
      return JSON.stringify(list);
    },
  },
  scope_refused: {
    weight: 2,
    play: async (world, dice) => {
      const lacks = dice.pick(SCOPES);
      await setTrouble(world, { scopes: SCOPES.filter((scope) => scope !== lacks) });
      return lacks;
    },
  },
  token_revoked: {
    weight: 1,
    play: async (world) => {
      await setTrouble(world, { scopes: [] });
      return 'revoked';
    },
  },
  wrong_dates: {
    weight: 1,
    play: async (world, dice) => {
      const dateOffsetMs = (dice.below(480) - 240) * 1_000;
      await setTrouble(world, { dateOffsetMs });
      return `${dateOffsetMs} ms`;
    },
  },
  trouble_ends: {
    weight: 7,
    play: async (world) => {
      await setTrouble(world, NO_TROUBLE);
      return 'all of it';
    },
  },
  org_comes: {
    weight: 2,
    play: async (world, dice) => {
      if ((await livingOf(world)).length > 6) return 'no: there are enough';
      const creationDate = new Date(world.nowMs - dice.below(5) * DAY_MS).toISOString();
      await world.platform.control('orgs', { creationDate });
      await noteAll(world);
      return creationDate;
    },
  },
  org_goes: {
    weight: 2,
    play: async (world, dice) => {
      const orgId = await someOrg(world, dice);
      if ((await livingOf(world)).length < 3) return 'no: there are too few';
      // Of several at once none is believed to be deleted.
      if ((await unnoticedOf(world)).length > 0) return 'no: another one is not noticed yet';
      const { scopes } = world.trouble;
      await setTrouble(world, { scopes: null });
      await world.platform.send('DELETE', `/orgs/${orgId}`, {});
      await setTrouble(world, { scopes });
      world.listedSince.delete(orgId);
      world.everDeleted.add(orgId);
      return orgId;
    },
  },
  org_returns: {
    weight: 2,
    play: async (world, dice) => {
      const gone = (await world.book.orgs()).filter(({ deleted }) => deleted);
      if (gone.length === 0) return 'no: none is gone';
      const { orgId } = dice.pick(gone);
      await world.platform.control('orgs/restore', { orgId });
      await noteAll(world);
      return orgId;
    },
  },
  org_moves_creation: {
    weight: 1,
    play: async (world, dice) => {
      const orgId = await someOrg(world, dice);
      const creationDate = new Date(world.nowMs - dice.below(30 * 24) * HOUR_MS).toISOString();
      await world.platform.control('attributes', { orgId, attributes: { creationDate } });
      return `${orgId} ${dayAt(Date.parse(creationDate))}`;
    },
  },
  org_renamed: {
    weight: 1,
    play: async (world, dice) => {
      const orgId = await someOrg(world, dice);
      await world.platform.control('attributes', {
        orgId,
        attributes: { name: `Renamed ${dice.below(1_000)}` },
      });
      return orgId;
    },
  },
} as const satisfies Readonly<Record<string, Kind>>;
