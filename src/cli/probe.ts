import { z } from 'zod';
import { AppError } from '../errors.ts';
import { extractSlice } from '../loading/extract.ts';
import type { LosantClient } from '../losant/client.ts';
import { createUsageRequest } from '../losant/endpoints.ts';
import { listOrgPages } from '../losant/org-list.ts';
import { count, showNumber } from '../terminal/words.ts';
import { compareText } from '../usage/cell.ts';
import { addDays, type DayRange, dayStartMs, type UsageDay } from '../usage/day.ts';
import { sumHours } from '../usage/numbers.ts';
import { WHOLE_INSTANCE } from '../usage/plan.ts';
import { getStream } from '../usage/streams/catalog.ts';
import type { UsageRequest } from '../usage/streams/stream.ts';

/** An organization or the whole instance, a day, and the client to read it with. */
export interface Target {
  readonly client: LosantClient;
  readonly orgId: string;
  readonly day: UsageDay;
  readonly now: () => number;
  readonly signal: AbortSignal;
}

/** Tests what the API documentation leaves open, and what each result affects. A rejection is a result too. */
export async function probeOrg(
  target: Target,
  horizonDays: number,
  check: (name: string, work: (signal: AbortSignal) => Promise<{ readonly message: string }>) => Promise<unknown>,
): Promise<void> {
  const probe = async (name: string, effects: string, work: (target: Target) => Promise<string>) => {
    await check(name, async (signal) => {
      const result = await work({ ...target, signal }).catch((error: unknown) => {
        signal.throwIfAborted();
        if (error instanceof AppError) return error.message;
        throw error;
      });
      return { message: `${result} (affects ${effects})` };
    });
  };
  await probe('response_headers', 'nothing: a run obeys Retry-After, and slows down after HTTP 429', listHeaders);
  await probe('end_of_range', 'nothing: a run ends each range a millisecond before the next day', probeEnd);
  // If Losant retains only a part of the oldest day that a run reads, its numbers are smaller than those of the next.
  for (const age of new Set([horizonDays - 1, horizonDays, 100, 400])) {
    await probe(`day_${age}_days_ago`, 'HORIZON_DAYS', async (target) => {
      const oldDay = { ...target, day: addDays(target.day, 1 - age) };
      return showNumbers(await readNumbers(oldDay, 'payload_totals'));
    });
  }
  for (const [name, stream, days, effects] of RANGES) {
    await probe(name, effects, async (target) => await probeRange(target, stream, days));
  }
  await probe('page_of_1000', 'nothing: a run requests pages of 100', async ({ client, signal }) => {
    const page = await listOrgPages(client, { perPage: 1_000, signal }).next();
    if (page.done === true) return 'the instance has no organizations';
    return `${showNumber(page.value.items.length)} of ${count(page.value.totalCount, 'organization')}`;
  });
  await probe('payloads_in_two_ways', 'which count you bill, reconciliation and CONTROL_TOTALS', async (target) => {
    const sources = await readNumbers(target, 'payload_sources');
    return showNumbers({ ...sources, ...(await readNumbers(target, 'payload_totals')) });
  });
  await probe('instance_totals', 'reconciliation and CONTROL_TOTALS', probeTotals);
}

/** Lists the names alone: a value may be secret. */
async function listHeaders(target: Target): Promise<string> {
  const { headers } = await target.client.get(createRangeRequest(target, { from: target.day, to: target.day }));
  return [...headers.keys()].sort(compareText).join(', ');
}

/** Tests whether a range that ends at the first moment of a day includes that day. */
async function probeEnd(target: Target): Promise<string> {
  const { day } = target;
  const request = createRangeRequest(target, { from: addDays(day, -1), to: day });
  const query = { ...request.query, end: String(dayStartMs(day)) };
  const { data } = rangeBody.safeParse((await target.client.get({ ...request, query })).body);
  if (data === undefined) return 'the body has no counts';
  return data.counts.length > 1 ? 'end is inclusive' : 'end is exclusive, or zeros are omitted';
}

const createRangeRequest = (target: Target, range: DayRange, stream = 'notebook_minutes') =>
  createUsageRequest({ ...target, range, ...(getStream(stream).requests[0] as UsageRequest) });

const rangeBody = z.object({
  start: z.unknown().optional(),
  end: z.unknown().optional(),
  counts: z.array(z.record(z.string(), z.unknown())),
});

const RANGES = [
  ['device_counts_of_31_days', 'device_counts', 31, 'which days of device_counts stay missing'],
  ['range_of_31_days', 'notebook_minutes', 31, 'how soon zeros are final, and whether a backfill can be trusted'],
  ['range_of_365_days', 'notebook_minutes', 365, 'nothing: a run requests at most 31 days at once'],
] as const;

/**
 * Describes which days a body has, how many of them have no usage, whether it repeats the requested range, and whether
 * it lacks a day at either end that a request for that day has.
 */
async function probeRange(target: Target, stream: string, days: number): Promise<string> {
  const range = { from: addDays(target.day, 1 - days), to: target.day };
  const { body } = await target.client.get(createRangeRequest(target, range, stream));
  const { data } = rangeBody.safeParse(body);
  if (data === undefined) return 'the body has no counts';
  const { start, end, counts } = data;
  const zeros = counts.filter(({ date: _, ...numbers }) => Object.values(numbers).every((value) => value === 0));
  const repetition = start === undefined || end === undefined ? 'not repeated' : 'repeated';
  const reportedDays = new Set(counts.map(({ date }) => String(date).slice(0, 10)));
  let cut = '';
  for (const day of Object.values(range)) {
    const isCut = !reportedDays.has(day) && Object.keys(await readNumbers({ ...target, day }, stream)).length > 0;
    if (isCut) cut += `; it lacks ${day}, which a request for that day returns`;
  }
  return `${counts.length} of ${days} days, ${zeros.length} of them zeros; start and end ${repetition}${cut}`;
}

/** The most organizations added up: each takes two requests, and a probe makes only a few. */
const ORGS_MAX = 25;

/** The age of a day that is final by the default policy. */
const FINAL_DAY_AGE = 4;

async function probeTotals(target: Target): Promise<string> {
  const { client, signal } = target;
  // A list whose pages shift is read twice.
  const orgIds = new Set<string>();
  for await (const { items, totalCount } of listOrgPages(client, { perPage: ORGS_MAX, signal })) {
    if (totalCount > ORGS_MAX) {
      const orgs = count(totalCount, 'organization');
      return `skipped, because there are ${orgs}; after a few days of runs, see losant-usage reconcile`;
    }
    for (const { orgId } of items) if (orgId !== null) orgIds.add(orgId);
  }
  if (orgIds.size === 0) return 'the instance has no organizations';
  const finalDay = { ...target, day: addDays(target.day, -FINAL_DAY_AGE) };
  const comparisons: string[] = [];
  for (const stream of ['device_counts', 'payload_totals']) {
    const sums: Record<string, number> = {};
    for (const orgId of orgIds) {
      for (const [column, value] of Object.entries(await readNumbers({ ...finalDay, orgId }, stream))) {
        sums[column] = (sums[column] ?? 0) + value;
      }
    }
    const totals = await readNumbers({ ...finalDay, orgId: WHOLE_INSTANCE }, stream);
    for (const column of getStream(stream).columns) {
      comparisons.push(`${column}: organizations ${sums[column] ?? 'none'}, instance ${totals[column] ?? 'none'}`);
    }
  }
  return `${finalDay.day}, ${count(orgIds.size, 'organization')}: ${comparisons.join('; ')}`;
}

/** Reads the numbers of a day by column, as a run does, and hours as their sum; none for an omitted day. */
export async function readNumbers(
  { day, ...target }: Target,
  stream: string,
): Promise<Readonly<Record<string, number>>> {
  const slice = { orgId: target.orgId, stream, range: { from: day, to: day }, days: [day] };
  const [result] = await extractSlice(slice, target, target.signal);
  if (result?.error) throw result.error;
  const verdict = result?.responses[0]?.verdict;
  if (verdict?.kind === 'quarantined') {
    throw new AppError('bad_body', verdict.detail, {
      hint:
        'a run would quarantine this response; ' +
        'check that LOSANT_API_URL reaches the API itself, or ask Losant support',
    });
  }
  const all = verdict?.kind === 'reported' ? Object.entries(verdict.numbers) : [];
  const sums = all.map(([column, value]) => [column, Array.isArray(value) ? sumHours(value) : value] as const);
  return Object.fromEntries(sums.filter((each): each is [string, number] => typeof each[1] === 'number'));
}

export function showNumbers(numbers: Readonly<Record<string, number>>): string {
  const fields = Object.entries(numbers).map((each) => each.join(' '));
  return fields.length === 0 ? 'no numbers' : fields.join(', ');
}
