/** Steps of Losant: numbers and organizations change, and requests fail. */
import { DELIVERY_KINDS, TRANSIENT_KINDS, VALUE_KINDS } from '../../../simulator/faults.ts';
import { type ListFaults, ODD_ITEMS } from '../../../simulator/list-faults.ts';
import type { Dice } from './dice.ts';
import { DAY_MS, dayAt, STREAMS } from './truth.ts';
import {
  endedDays,
  findUnnoticedOrgs,
  NO_PROBLEM,
  type Problem,
  pickOrg,
  readExistingOrgs,
  recordTruth,
  setProblem,
  type World,
} from './world.ts';

/** A kind of step. It draws everything from the dice of the step, whatever happened before. */
export interface Kind {
  /** Its frequency, relative to other kinds. */
  readonly weight: number;
  /** Plays a step and returns a description of it. */
  play(world: World, dice: Dice): Promise<string>;
}
export type Kinds = Readonly<Record<string, Kind>>;

export const step = (weight: number, play: Kind['play']): Kind => ({ weight, play });

/** Draws one of the last days that have ended, mostly a recent one, where steps are likely to interact. */
const pickDay = (world: World, dice: Dice) => endedDays(world, 25)[Math.floor(25 * dice.next() ** 2)] as string;

type Change = readonly [path: string, input: Readonly<Record<string, unknown>>];

/** Changes a day of some organizations in Losant, and records its new truth. */
function edit(weight: number, draw: (dice: Dice) => readonly Change[]): Kind {
  return step(weight, async (world, dice) => {
    const { platform, book, nowMs, omissions } = world;
    const [day, changes] = [pickDay(world, dice), draw(dice)];
    const orgIds = await Promise.all(
      Array.from({ length: Math.ceil(world.orgCount / 10) }, () => pickOrg(world, dice)),
    );
    for (const orgId of new Set(orgIds)) {
      for (const [path, input] of changes) {
        await platform.control(path, { orgId, day, ...input });
        if (path === 'omit') omissions.set(`${orgId} ${day}`, { orgId, day });
      }
      await book.record(nowMs, { from: day, to: day }, orgId);
    }
    return `${day} ${orgIds.join()} ${JSON.stringify(changes)}`;
  });
}

/** Lets Losant report again what steps have omitted. */
export async function reportEverything(world: World): Promise<string> {
  const { platform, book, nowMs, omissions } = world;
  for (const { orgId, day } of omissions.values()) {
    await platform.control('omit', { orgId, day, omit: false });
    await book.record(nowMs, { from: day, to: day }, orgId);
  }
  omissions.clear();
  return 'everything';
}

/** Sets a problem of the platform, which lasts until another step changes it. */
function problem(
  weight: number,
  draw: (dice: Dice, world: World) => Partial<Problem> | Promise<Partial<Problem>>,
): Kind {
  return step(weight, async (world, dice) => {
    const changes = await draw(dice, world);
    await setProblem(world, changes);
    return JSON.stringify(changes);
  });
}

/** Kinds that pause all requests for a second are rare, and bodies of any size would take too long. */
const PAUSES = ['rate_limit', 'rate_limit_seconds', 'rate_limit_date', 'unavailable_after'] as const;
const REPLIES = TRANSIENT_KINDS.filter((kind) => !PAUSES.some((pause) => pause === kind));
const DELIVERIES = DELIVERY_KINDS.filter((kind) => kind !== 'huge_body');

const pickSome = <T>(dice: Dice, from: readonly T[], most: number): T[] =>
  Array.from({ length: 1 + dice.below(most) }, () => dice.pick(from));

const ACTIONS = ['deviceCounts', 'notebookMinuteCounts', 'payloadCounts', 'payloadCountsBreakdown'];
const SCOPES = [
  'instance.get',
  'instance.historicalSummaries',
  'instanceOrgs.get',
  'instanceOrg.get',
  ...ACTIONS.flatMap((action) => [`instanceOrg.${action}`, `instance.${action}`]),
];

/** Draws a fault of the list, except those that make a wrong list look complete. */
async function pickListFault(dice: Dice, world: World): Promise<ListFaults> {
  const orgIds = (await readExistingOrgs(world)).map(({ orgId }) => orgId);
  const odd = { [dice.pick(orgIds)]: dice.pick(ODD_ITEMS) };
  return dice.pick<ListFaults>([
    { emptyPages: [dice.below(3)] },
    { ignorePage: true },
    { ignoreSort: true },
    { totalCount: dice.chance(0.5) ? 0 : orgIds.length + 1 + dice.below(3) },
    { items: { ...odd, [dice.pick(orgIds)]: dice.pick(ODD_ITEMS) }, ignoreSort: dice.chance(0.5) },
  ]);
}

/** Deletes an organization, unless another deletion is not noticed yet: several at once would not be confirmed. */
async function deleteOrg(world: World, dice: Dice): Promise<string> {
  const orgId = await pickOrg(world, dice);
  if ((await readExistingOrgs(world)).length < 3) return 'no: there are too few';
  if ((await findUnnoticedOrgs(world)).length > 0) return 'no: another deletion is not noticed yet';
  const { scopes } = world.problem;
  await setProblem(world, { scopes: null });
  await world.platform.send('DELETE', `/orgs/${orgId}`, {});
  await setProblem(world, { scopes });
  world.listedSince.delete(orgId);
  return orgId;
}

/** More days than an organization stays deleted. */
const DAYS_AWAY = 90;

export async function restoreOrg(world: World, orgId: string): Promise<void> {
  const { platform, book, nowMs } = world;
  await platform.control('orgs/restore', { orgId });
  await book.record(nowMs, { from: dayAt(nowMs - DAYS_AWAY * DAY_MS), to: dayAt(nowMs - DAY_MS) }, orgId);
  await recordTruth(world, dayAt(nowMs - DAY_MS));
}

const pickCounter = (dice: Dice, share: number) => (dice.chance(share) ? {} : { counter: dice.pick(STREAMS) });

export const PLATFORM_STEPS = {
  restate: edit(6, (dice) => [['restate', { ...pickCounter(dice, 0.3), times: 1 + dice.below(2) }]]),
  restate_sources: edit(2, () => [['restate', { sourcesOnly: true }]]),
  becomes_zero: edit(3, (dice) => [['empty', pickCounter(dice, 0.4)]]),
  becomes_number: edit(2, () => [['empty', { empty: false }]]),
  becomes_zero_or_omitted: edit(2, (dice) => [
    ['empty', {}],
    ['omit', { omit: false }],
    ['omit', { action: dice.pick(STREAMS), omit: dice.chance(0.5) }],
  ]),
  omit: edit(8, (dice) => [['omit', dice.chance(0.3) ? {} : { action: dice.pick(STREAMS) }]]),
  omit_totals: edit(2, (dice) => [['omit', { variant: dice.pick(['billable_count', 'all_count', 'all_bytes']) }]]),
  report_again: step(2, reportEverything),
  bad_replies: problem(2, (dice) => {
    const kinds = pickSome(dice, [...REPLIES, ...DELIVERIES], 5);
    const slowMs = dice.pick([50, 700]);
    return { faults: [{ kinds, rate: dice.next() * 0.3, maxPerRequest: 1 + dice.below(3), slowMs }] };
  }),
  rate_limits: problem(1, (dice, world) => {
    const kinds = pickSome(dice, PAUSES, 2);
    const rate = 0.05 / world.orgCount;
    return { faults: [{ kinds, rate, retryAfterSeconds: dice.below(2), maxPerRequest: 1 }] };
  }),
  bad_values: problem(2, (dice) => ({
    faults: [{ kinds: pickSome(dice, VALUE_KINDS, 6), rate: dice.next() * 0.35 }],
  })),
  bad_forever: problem(2, async (dice, world) => {
    const kinds = pickSome(dice, [...VALUE_KINDS, ...REPLIES, ...DELIVERIES], 3);
    const [orgIds, actions] = [[await pickOrg(world, dice)], [dice.pick(ACTIONS)]];
    const plan = { kinds, forever: true, orgIds, slowMs: 50 };
    return { faults: [dice.chance(0.6) ? { ...plan, actions } : plan] };
  }),
  final_replies: problem(1, (dice) => ({
    faults: [{ kinds: [dice.pick(['not_found', 'forbidden', 'too_large', 'odd_message'])], rate: dice.next() * 0.1 }],
  })),
  cached_responses: problem(2, (dice) => ({
    faults: [{ kinds: [dice.pick(['cached', 'cached_age'])], rate: 0.2 + dice.next() * 0.6 }],
  })),
  bad_list: problem(2, async (dice, world) => ({ list: await pickListFault(dice, world) })),
  scope_rejected: problem(2, (dice) => {
    const missingScope = dice.pick(SCOPES);
    return { scopes: SCOPES.filter((scope) => scope !== missingScope) };
  }),
  token_revoked: problem(1, () => ({ scopes: [] })),
  wrong_dates: problem(1, (dice) => ({ dateOffsetMs: (dice.below(480) - 240) * 1_000 })),
  problems_end: problem(7, () => NO_PROBLEM),
  org_created: step(2, async (world, dice) => {
    if ((await readExistingOrgs(world)).length > world.orgCount * 1.3) return 'no: there are enough';
    const creationDate = new Date(world.nowMs - dice.below(5) * DAY_MS).toISOString();
    await world.platform.control('orgs', { creationDate });
    await recordTruth(world);
    return creationDate;
  }),
  org_deleted: step(2, deleteOrg),
  org_restored: step(2, async (world, dice) => {
    const deletedOrgs = (await world.book.orgs()).filter(({ deleted }) => deleted);
    if (deletedOrgs.length === 0) return 'no: none is deleted';
    const { orgId } = dice.pick(deletedOrgs);
    await restoreOrg(world, orgId);
    return orgId;
  }),
} as const satisfies Kinds;
