/** What becomes of Losant: numbers, organizations, and what goes wrong there. */
import { DELIVERY_KINDS, TRANSIENT_KINDS, VALUE_KINDS } from '../../../simulator/faults.ts';
import { type ListFaults, ODD_ITEMS } from '../../../simulator/list-faults.ts';
import type { Dice } from './dice.ts';
import { DAY_MS, dayAt, HOUR_MS, STREAMS } from './truth.ts';
import {
  daysOf,
  livingOf,
  NO_TROUBLE,
  noteAll,
  ownOf,
  type Problem,
  run,
  setTrouble,
  someOrg,
  unnoticedOf,
  type World,
} from './world.ts';

/** A kind of step. What a step of it does is drawn from the step's own dice, whatever comes before it. */
export interface Kind {
  /** How often it comes, relative to the others. */
  readonly weight: number;
  /** Plays a step and describes what was done. */
  play(world: World, dice: Dice): Promise<string>;
}
export type Kinds = Readonly<Record<string, Kind>>;

export const step = (weight: number, play: Kind['play']): Kind => ({ weight, play });

/** One of the last days that are over, mostly a recent one: that is where things meet. */
const someDay = (world: World, dice: Dice) => daysOf(world, 25)[Math.floor(25 * dice.next() ** 2)] as string;

type Input = Readonly<Record<string, unknown>>;

/** A change of one day of one organization in Losant, and what is true of it from then on is written down. */
function edit(weight: number, path: string, draw: (dice: Dice) => Input): Kind {
  return step(weight, async (world, dice) => {
    const { platform, book, nowMs } = world;
    const [orgId, day, more] = [await someOrg(world, dice), someDay(world, dice), draw(dice)];
    await platform.control(path, { orgId, day, ...more });
    await book.note(nowMs, { from: day, to: day }, orgId);
    return `${day} ${orgId} ${JSON.stringify(more)}`;
  });
}

/** The number of days that edits reach back, in the longest of worlds. */
const EDITED_DAYS = 80;

/** Leaves nothing out any more. */
export async function confirm(world: World): Promise<void> {
  const { platform, book, nowMs } = world;
  for (const { orgId } of await ownOf(world)) {
    for (const day of daysOf(world, EDITED_DAYS)) {
      const isLeftOut = STREAMS.some((stream) => book.now({ orgId, stream, day })?.omitted.length);
      if (!isLeftOut) continue;
      await platform.control('omit', { orgId, day, omit: false });
      await book.note(nowMs, { from: day, to: day }, orgId);
    }
  }
}

/** Something that goes wrong at the platform from now on. */
function problem(
  weight: number,
  draw: (dice: Dice, world: World) => Partial<Problem> | Promise<Partial<Problem>>,
): Kind {
  return step(weight, async (world, dice) => {
    const changes = await draw(dice, world);
    await setTrouble(world, changes);
    return JSON.stringify(changes);
  });
}

/** Those that make all requests pause for a second come seldom, and bodies beyond every bound cost too much. */
const PAUSES = ['rate_limit', 'rate_limit_seconds', 'rate_limit_date', 'unavailable_after'] as const;
const REPLIES = TRANSIENT_KINDS.filter((kind) => !PAUSES.some((pause) => pause === kind));
const DELIVERIES = DELIVERY_KINDS.filter((kind) => kind !== 'huge_body');

const some = <T>(dice: Dice, from: readonly T[], most: number): T[] =>
  Array.from({ length: 1 + dice.below(most) }, () => dice.pick(from));

const ACTIONS = ['deviceCounts', 'notebookMinuteCounts', 'payloadCounts', 'payloadCountsBreakdown'];
const SCOPES = [
  'instance.get',
  'instance.historicalSummaries',
  'instanceOrgs.get',
  'instanceOrg.get',
  ...ACTIONS.flatMap((action) => [`instanceOrg.${action}`, `instance.${action}`]),
];

/** Another way in which the list is wrong; one that is wrong and complete by its own account is not among them. */
async function someListFault(dice: Dice, world: World): Promise<ListFaults> {
  const orgIds = (await ownOf(world)).map(({ orgId }) => orgId);
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

/** Deletes an organization, unless another one is gone and not noticed yet: of several none is believed to be gone. */
async function deleteOrg(world: World, orgId: string): Promise<boolean> {
  if ((await ownOf(world)).length < 3 || (await unnoticedOf(world)).length > 0) return false;
  const { scopes } = world.problem;
  await setTrouble(world, { scopes: null });
  await world.platform.send('DELETE', `/orgs/${orgId}`, {});
  await setTrouble(world, { scopes });
  world.listedSince.delete(orgId);
  return true;
}

/** Has organizations of the other instance exported, by a process of its own. */
export async function runOther(world: World): Promise<string> {
  const { other } = world;
  return `${(await run(world, ['run'], { platform: other })).code}`;
}

const counter = (dice: Dice, share: number): Input =>
  dice.chance(share) ? {} : { counter: dice.pick(STREAMS) };

export const PLATFORM_STEPS = {
  restate: edit(6, 'restate', (dice) => ({ ...counter(dice, 0.3), times: 1 + dice.below(2) })),
  restate_sources: edit(2, 'restate', () => ({ sourcesOnly: true })),
  becomes_zero: edit(3, 'empty', (dice) => counter(dice, 0.4)),
  becomes_number: edit(2, 'empty', () => ({ empty: false })),
  leave_out: edit(8, 'omit', (dice) => (dice.chance(0.3) ? {} : { action: dice.pick(STREAMS) })),
  leave_out_variant: edit(2, 'omit', (dice) => ({
    variant: dice.pick(['billable_count', 'all_count', 'all_bytes']),
  })),
  name_again: step(2, (world) => confirm(world).then(() => 'everything')),
  bad_replies: problem(2, (dice) => {
    const kinds = some(dice, [...REPLIES, ...DELIVERIES], 5);
    const slowMs = dice.pick([50, 700]);
    return { faults: [{ kinds, rate: dice.next() * 0.3, maxPerRequest: 1 + dice.below(3), slowMs }] };
  }),
  rate_limits: problem(1, (dice) => {
    const kinds = some(dice, PAUSES, 2);
    return { faults: [{ kinds, rate: 0.01, retryAfterSeconds: dice.below(2), maxPerRequest: 1 }] };
  }),
  bad_values: problem(2, (dice) => ({
    faults: [{ kinds: some(dice, VALUE_KINDS, 6), rate: dice.next() * 0.35 }],
  })),
  bad_forever: problem(2, async (dice, world) => {
    const kinds = some(dice, [...VALUE_KINDS, ...REPLIES, ...DELIVERIES], 3);
    const [orgIds, actions] = [[await someOrg(world, dice)], [dice.pick(ACTIONS)]];
    const plan = { kinds, forever: true, orgIds, slowMs: 50 };
    return { faults: [dice.chance(0.6) ? { ...plan, actions } : plan] };
  }),
  stale_answers: problem(2, (dice) => {
    const kinds = dice.pick([['cached'], ['cached_age']] as const);
    return { faults: [{ kinds: [...kinds], rate: 0.2 + dice.next() * 0.6 }] };
  }),
  bad_list: problem(2, async (dice, world) => ({ list: await someListFault(dice, world) })),
  scope_refused: problem(2, (dice) => {
    const lacks = dice.pick(SCOPES);
    return { scopes: SCOPES.filter((scope) => scope !== lacks) };
  }),
  token_revoked: problem(1, () => ({ scopes: [] })),
  wrong_dates: problem(1, (dice) => ({ dateOffsetMs: (dice.below(480) - 240) * 1_000 })),
  trouble_ends: problem(7, () => NO_TROUBLE),
  org_comes: step(2, async (world, dice) => {
    if ((await livingOf(world)).length > 6) return 'no: there are enough';
    const creationDate = new Date(world.nowMs - dice.below(5) * DAY_MS).toISOString();
    await world.platform.control('orgs', { creationDate });
    await noteAll(world);
    return creationDate;
  }),
  org_goes: step(2, async (world, dice) => {
    const orgId = await someOrg(world, dice);
    return (await deleteOrg(world, orgId))
      ? orgId
      : 'no: there are too few, or another one is not noticed yet';
  }),
  org_returns: step(2, async (world, dice) => {
    const gone = (await world.book.orgs()).filter(({ deleted }) => deleted);
    if (gone.length === 0) return 'no: none is gone';
    const { orgId } = dice.pick(gone);
    await world.platform.control('orgs/restore', { orgId });
    await noteAll(world);
    return orgId;
  }),
  org_moves: step(1, async (world, dice) => {
    const org = dice.pick(await ownOf(world));
    const creationDate = new Date(Date.parse(org.createdDay)).toISOString();
    if (!(await deleteOrg(world, org.orgId)))
      return 'no: there are too few, or another one is not noticed yet';
    await world.other.control('orgs', { id: org.orgId, creationDate });
    await noteAll(world);
    return `${org.orgId}: ${await runOther(world)}`;
  }),
  other_runs: step(2, runOther),
  org_moves_creation: step(1, async (world, dice) => {
    const orgId = await someOrg(world, dice);
    const creationDate = new Date(world.nowMs - dice.below(30 * 24) * HOUR_MS).toISOString();
    await world.platform.control('attributes', { orgId, attributes: { creationDate } });
    return `${orgId} ${dayAt(Date.parse(creationDate))}`;
  }),
} as const satisfies Kinds;
