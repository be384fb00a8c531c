/** What goes wrong in a world, drawn from its seed. Speaks to the platform over HTTP only. */
import { DELIVERY_KINDS, type FaultPlan, REPLY_KINDS, VALUE_KINDS } from '../../simulator/faults.ts';
import { type ListFaults, ODD_ITEMS } from '../../simulator/list-faults.ts';
import type { Platform } from '../simulator/platform.ts';
import type { Dice } from './seeds.ts';
import { STREAMS, type TruthBook } from './truth.ts';

/** Kinds that pause all requests for a second at least: rare, as a run would be mostly pauses. */
const PAUSES = ['rate_limit', 'rate_limit_seconds', 'rate_limit_date', 'unavailable_after'] as const;
const USUAL = [...REPLY_KINDS, ...DELIVERY_KINDS].filter(
  (kind) => kind !== 'huge_body' && !PAUSES.some((pause) => pause === kind),
);
/** Beyond what the program takes; a shorter one would be a valid answer. */
const HUGE_BYTES = 34 * 2 ** 20;

/** Some plans for the next run: of connections, of values, of pauses, now and then of endless trouble for one organization. */
export function drawFaults(dice: Dice, orgIds: readonly string[]): FaultPlan[] {
  const some = <T>(from: readonly T[], most: number): T[] =>
    Array.from({ length: 1 + dice.below(most) }, () => dice.pick(from));
  // Far from the longest that the program waits, so that a busy machine makes no difference.
  const slowMs = dice.pick([50, 1_500]);
  const plans: FaultPlan[] = [
    { kinds: some(PAUSES, 2), rate: 0.004 + dice.next() * 0.02, retryAfterSeconds: dice.below(2) },
    { kinds: ['huge_body'], rate: 0.002, hugeBytes: HUGE_BYTES, maxPerRequest: 1 },
  ];
  if (dice.chance(0.85)) {
    const maxPerRequest = 1 + dice.below(4);
    plans.push({ kinds: some(USUAL, 6), rate: dice.next() * 0.3, maxPerRequest, slowMs });
  }
  if (dice.chance(0.85)) plans.push({ kinds: some(VALUE_KINDS, 8), rate: dice.next() * 0.35 });
  if (dice.chance(0.2)) {
    const kinds = some([...VALUE_KINDS, ...USUAL], 3);
    plans.push({ kinds, rate: 0.7, forever: true, orgIds: [dice.pick(orgIds)], slowMs });
  }
  return plans;
}

/** Wrongs of the organization list for the next run; null for none. A list that is wrong and complete by its own account is not among them. */
export function drawListFaults(dice: Dice, orgIds: readonly string[]): ListFaults | null {
  if (dice.chance(0.75)) return null;
  const odd = { [dice.pick(orgIds)]: dice.pick(ODD_ITEMS) };
  return dice.pick<ListFaults>([
    { emptyPages: [dice.below(3)] },
    { ignorePage: true },
    { ignoreSort: true },
    { totalCount: dice.chance(0.5) ? 0 : orgIds.length + 1 + dice.below(3) },
    { deleteAfter: { page: dice.below(2), orgId: dice.pick(orgIds) } },
    { items: odd },
    { items: { ...odd, [dice.pick(orgIds)]: dice.pick(ODD_ITEMS) }, ignoreSort: dice.chance(0.5) },
  ]);
}

/** Restates some days and leaves some out, and writes down each version there was. */
export async function rewritePast(
  dice: Dice,
  platform: Platform,
  { book, days, orgIds }: { book: TruthBook; days: readonly string[]; orgIds: readonly string[] },
): Promise<void> {
  for (let count = dice.below(6); count > 0; count -= 1) {
    const where = { orgId: dice.pick(orgIds), day: dice.pick(days) };
    const counter = dice.chance(0.3) ? {} : { counter: dice.pick(STREAMS) };
    await platform.control('restate', { ...where, ...counter, times: 1 + dice.below(2) });
    await book.note(where.day, where.day, where.orgId);
  }
  for (let count = dice.below(4); count > 0; count -= 1) {
    const where = { orgId: dice.pick(orgIds), day: dice.pick(days), omit: dice.chance(0.7) };
    await platform.control('omit', dice.chance(0.3) ? where : { ...where, action: dice.pick(STREAMS) });
  }
}

/** Nothing is left out any more but zeros. */
export async function stopOmitting(
  platform: Platform,
  { book, days, orgIds }: { book: TruthBook; days: readonly string[]; orgIds: readonly string[] },
): Promise<void> {
  for (const orgId of orgIds) {
    for (const day of days) {
      const isOmitted = Object.values(book.versions(orgId, day).at(-1)?.omitted ?? {}).includes(true);
      if (isOmitted) await platform.control('omit', { orgId, day, omit: false });
    }
  }
}

/** A clock of the program's host that moves in the middle of a run, and perhaps back. */
export interface JumpingClock {
  /** ms that it is off the true time. */
  offMs(): number;
  /** To be told of each request that was sent. */
  onRequest(): void;
  readonly hasJumped: boolean;
}

const MINUTE_MS = 60_000;
/** Below what is noticed, about as much as is, and days. */
const JUMPS_MS = [5_000, 45_000, 6 * MINUTE_MS, 7 * 60 * MINUTE_MS, 4 * 24 * 60 * MINUTE_MS];

/** One that jumps in the run to come, or one that does not. */
export function drawClock(dice: Dice): JumpingClock {
  const jumps = dice.chance(0.2);
  const at = jumps ? dice.below(40) : Number.POSITIVE_INFINITY;
  const back = dice.chance(0.3) ? at + 1 + dice.below(20) : Number.POSITIVE_INFINITY;
  const byMs = dice.pick(JUMPS_MS) * (dice.chance(0.5) ? 1 : -1);
  let requests = 0;
  return {
    offMs: () => (requests > at && requests <= back ? byMs : 0),
    onRequest: () => {
      requests += 1;
    },
    get hasJumped() {
      return requests > at;
    },
  };
}

/** The platform's own clock jumps instead, its Date header with it; null if it does not. */
export function drawPlatformJump(dice: Dice): { afterRequests: number; byMs: number } | null {
  if (dice.chance(0.9)) return null;
  return { afterRequests: dice.below(40), byMs: dice.pick(JUMPS_MS) * (dice.chance(0.5) ? 1 : -1) };
}
