import { LosantError } from '../errors.ts';
import { listOrgPages } from '../losant/org-list.ts';
import { getInstance } from '../losant/orgs.ts';
import { askUsage } from '../losant/usage.ts';
import { addDays, DAY_MS, dayStartMs, HOUR_MS, type UsageDay } from '../usage/day.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import type { UsageAction } from '../usage/streams/stream.ts';
import { type OrgTarget, readWindow } from './check-instance.ts';

/** A question that the API's documentation leaves open, and this API's answer. */
export interface ProbeAnswer {
  readonly question: string;
  readonly answer: string;
  /** The setting, column or note of docs/losant-api.md that the answer concerns. */
  readonly touches: string;
}

interface Probe {
  readonly ask: (target: OrgTarget) => Promise<string>;
  readonly touches: string;
}

const DAILY = { resolution: String(DAY_MS) };
const HOURLY = { resolution: String(HOUR_MS) };
const ALL = { includeNonBillable: 'true' };

const PROBES: Readonly<Record<string, Probe>> = {
  'end inclusive?': {
    ask: async (target) => {
      const { start } = daysTo(addDays(target.day, -1));
      const { length } = bucketsOf(await ask(target, 'deviceCounts', { start, end: start + DAY_MS }));
      return `a range that ends at the midnight after a day has ${length} buckets: ${length > 1 ? 'yes' : 'no'}`;
    },
    touches: 'nothing: the last millisecond of the last day is sent',
  },
  'echo of start and end?': {
    ask: async (target) => {
      const range = daysTo(target.day);
      const { start, end } = mapOf(await ask(target, 'deviceCounts', range));
      const asked = `asked ${new Date(range.start).toISOString()} to ${new Date(range.end).toISOString()}`;
      return start === undefined && end === undefined
        ? `none (${asked})`
        : `${String(start)} to ${String(end)} (${asked})`;
    },
    touches: 'which answers go to quarantine: those that cover another range than was asked for',
  },
  'zero days present?': {
    ask: async (target) => {
      const buckets = bucketsOf(await ask(target, 'notebookMinuteCounts', daysTo(target.day, 31)));
      const zeros = buckets.filter((bucket) => sumOf(bucket) === 0).length;
      return `${buckets.length} buckets for 31 days of notebook minutes, ${zeros} of them all zero`;
    },
    touches: 'is_reported, and days_unreported of months: whether zeros are said or left out',
  },
  'a 100-day-old day': { ask: (target) => probeOldDay(target, 100), touches: 'HORIZON_DAYS' },
  'a 400-day-old day': { ask: (target) => probeOldDay(target, 400), touches: 'HORIZON_DAYS' },
  'longest range': {
    ask: async (target) => {
      const answers: string[] = [];
      // Only a few lengths, because each is a request.
      for (const days of [31, 93, 180, 366]) {
        const answer = await answerOf(target, async () => {
          const buckets = bucketsOf(
            await ask(target, 'payloadCountsBreakdown', daysTo(target.day, days), DAILY),
          );
          return `${buckets.length} buckets`;
        });
        answers.push(`${days} days: ${answer}`);
      }
      return answers.join('; ');
    },
    touches: 'nothing: at most 31 days are asked for at once',
  },
  'perPage 1000': {
    ask: async (target) => {
      const { items, rejected, totalCount } = await firstPage(target, 1000);
      return `${items.length + rejected.length} organizations on the first page, of ${totalCount}`;
    },
    touches: 'nothing: a page may be shorter than asked for',
  },
  'missing scope or unknown instance': {
    ask: async (target) => {
      const { client, day, signal } = target;
      const ofInstance = await statusOf(() => ask({ ...target, orgId: null }, 'deviceCounts', daysTo(day)));
      const ofOther = await statusOf(() => getInstance(client, { instanceId: '0'.repeat(24), signal }));
      return `instance.deviceCounts with this token: ${ofInstance}; an instance that does not exist: ${ofOther}`;
    },
    touches: 'exit code 5, and whether the control totals can be read',
  },
  'payloads in two ways': {
    ask: async (target) => {
      const range = daysTo(target.day);
      const sources = Object.entries(mapOf(await ask(target, 'payloadCounts', range)));
      const sum = add(sources.map(([type, map]) => (type.startsWith('_') ? 0 : sumOf(map))));
      const billable = add(bucketsOf(await ask(target, 'payloadCountsBreakdown', range, DAILY)).map(sumOf));
      const all = await sumAll(target, DAILY);
      const equal = sum === all ? 'all payloads' : sum === billable ? 'billable payloads' : 'neither';
      return `by source ${sum}, breakdown ${billable}, breakdown with includeNonBillable ${all}: equal to ${equal}`;
    },
    touches: 'which of payload_source_count and payload_all_count you bill; reconciliation; CONTROL_TOTALS',
  },
  'hours of a day?': {
    ask: async (target) => {
      const query = { ...HOURLY, ...ALL };
      const buckets = bucketsOf(await ask(target, 'payloadCountsBreakdown', daysTo(target.day), query));
      const sum = add(buckets.map(sumOf));
      const compared = compare('all payloads by hour', sum, await sumAll(target, DAILY));
      return `${buckets.length} buckets for the 24 hours of ${target.day}; ${compared}`;
    },
    touches: 'payload_hours: whether zero hours are left out, and whether its hours add up to payload_totals',
  },
  'instance totals equal to sums?': { ask: probeTotals, touches: 'reconciliation, CONTROL_TOTALS' },
};

/** Asks about one organization. A refusal is an answer; throws only when interrupted. */
export async function probeInstance(target: OrgTarget): Promise<ProbeAnswer[]> {
  const answers: ProbeAnswer[] = [];
  for (const [question, probe] of Object.entries(PROBES)) {
    answers.push({
      question,
      answer: await answerOf(target, () => probe.ask(target)),
      touches: probe.touches,
    });
  }
  return answers;
}

async function answerOf({ signal }: OrgTarget, probe: () => Promise<string>): Promise<string> {
  try {
    return await probe();
  } catch (error) {
    signal.throwIfAborted();
    return error instanceof Error ? error.message : String(error);
  }
}

async function statusOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'HTTP 200';
  } catch (error) {
    if (error instanceof LosantError && error.status !== null) return `HTTP ${error.status}`;
    throw error;
  }
}

async function probeOldDay(target: OrgTarget, age: number): Promise<string> {
  const range = daysTo(addDays(target.day, -age));
  const buckets = bucketsOf(await ask(target, 'payloadCountsBreakdown', range, DAILY));
  return buckets.length === 0 ? 'no bucket' : `${buckets.length} bucket with ${add(buckets.map(sumOf))}`;
}

async function sumAll(target: OrgTarget, query: Readonly<Record<string, string>>): Promise<number> {
  const body = await ask(target, 'payloadCountsBreakdown', daysTo(target.day), { ...query, ...ALL });
  return add(bucketsOf(body).map(sumOf));
}

/** The most organizations added up. Each is asked twice, and a probe is a few questions, not an export. */
const ORGS_MAX = 25;

/** The age of a day that is final by the default policy. */
const FINAL_DAYS = 4;

async function probeTotals(target: OrgTarget): Promise<string> {
  const { items, totalCount } = await firstPage(target, ORGS_MAX);
  if (totalCount > ORGS_MAX)
    return `not asked of ${totalCount} organizations: see losant-usage reconcile after some days`;
  const day = addDays(target.day, -FINAL_DAYS);
  const answers: string[] = [];
  for (const stream of ['device_counts', 'payload_totals'].map(streamNamed)) {
    const read = async (orgId: string | null) => {
      const reading = (await readWindow({ ...target, orgId }, stream, { from: day, to: day })).get(day);
      return reading?.kind === 'named' ? reading.numbers : {};
    };
    const total = await read(null);
    const ours: Record<string, number> = {};
    for (const { orgId } of items) {
      for (const [column, value] of Object.entries(await read(orgId))) {
        ours[column] = (ours[column] ?? 0) + Number(value);
      }
    }
    answers.push(
      ...Object.entries(total).map(([column, value]) => compare(column, ours[column] ?? 0, Number(value))),
    );
  }
  return `${day}, ${totalCount} organizations: ${answers.join('; ')}`;
}

async function ask(
  { client, instanceId, orgId, signal }: Omit<OrgTarget, 'orgId'> & { readonly orgId: string | null },
  action: UsageAction,
  { start: startMs, end: endMs }: { readonly start: number; readonly end: number },
  query: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  return (await askUsage(client, { instanceId, orgId, action, query, startMs, endMs, signal })).body;
}

/** Returns the range of the given number of days up to `day`. */
function daysTo(day: UsageDay, days = 1): { start: number; end: number } {
  return { start: dayStartMs(addDays(day, 1 - days)), end: dayStartMs(day) + DAY_MS - 1 };
}

async function firstPage({ client, instanceId, signal }: OrgTarget, perPage: number) {
  const { done, value } = await listOrgPages(client, { instanceId, perPage, signal }).next();
  return done === true ? { items: [], rejected: [], totalCount: 0 } : value;
}

function mapOf(body: unknown): Record<string, unknown> {
  return typeof body === 'object' && body !== null ? { ...body } : {};
}

function bucketsOf(body: unknown): unknown[] {
  const { counts } = mapOf(body);
  return Array.isArray(counts) ? counts : [];
}

/** Returns the sum of the numbers of a bucket or map. */
function sumOf(map: unknown): number {
  return add(Object.values(mapOf(map)).filter((value) => typeof value === 'number'));
}

function add(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

function compare(what: string, sum: number, total: number): string {
  return `${what} ${sum} ${sum === total ? 'equal' : `against ${total}, which differ by ${sum - total}`}`;
}
