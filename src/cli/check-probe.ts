import { LosantError } from '../errors.ts';
import { listOrgPages, type OrgPage } from '../losant/org-list.ts';
import { getInstance } from '../losant/orgs.ts';
import { askUsage } from '../losant/usage.ts';
import { addDays, DAY_MS, type DayRange, dayStartMs, HOUR_MS, type UsageDay } from '../usage/day.ts';
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

const PROBES: Readonly<Record<string, Probe>> = {
  'end inclusive?': {
    ask: async (target) => {
      const { start } = daysTo(addDays(target.day, -1));
      const { length } = bucketsOf(await ask(target, 'deviceCounts', { start, end: start + DAY_MS }));
      if (length === 0) return 'unknown: no bucket came';
      const what = 'a range that ends at the midnight after a day has';
      return length > 1 ? `yes: ${what} two buckets` : `no: ${what} one bucket`;
    },
    touches: 'nothing: the last millisecond of the last day is sent',
  },
  'echo of start and end?': {
    ask: async (target) => {
      const range = daysTo(target.day);
      const { start, end } = bodyOf(await ask(target, 'deviceCounts', range));
      const asked = `asked ${new Date(range.start).toISOString()} to ${new Date(range.end).toISOString()}`;
      if (start === undefined && end === undefined) return `none (${asked})`;
      return `${String(start)} to ${String(end)} (${asked})`;
    },
    touches: 'which answers go to quarantine: those that cover another range than was asked for',
  },
  'zero days present?': {
    ask: async (target) => {
      const buckets = bucketsOf(await ask(target, 'notebookMinuteCounts', daysTo(target.day, 31)));
      const zeros = buckets.filter((bucket) => numbersOf(bucket).every((value) => value === 0)).length;
      const isLeftOut = buckets.length < 31;
      const verdict = zeros > 0 ? 'yes' : isLeftOut ? 'no, they are left out' : 'unknown, there are none';
      return `${verdict}: ${buckets.length} buckets for 31 days of notebook minutes, ${zeros} of them all zero`;
    },
    touches: 'reported, and days_unreported of months: whether zeros are said or left out',
  },
  'a 100-day-old day': { ask: (target) => probeOldDay(target, 100), touches: 'HORIZON_DAYS' },
  'a 400-day-old day': {
    ask: (target) => probeOldDay(target, 400),
    touches: 'HORIZON_DAYS, backfill --past-horizon',
  },
  'longest range': { ask: probeLongestRange, touches: 'nothing: at most 31 days are asked for at once' },
  'perPage 1000': {
    ask: async (target) => {
      const page = await firstPage(target, 1000);
      if (!page) return 'no page';
      const { items, rejected, totalCount } = page;
      return `${items.length + rejected.length} organizations on the first page, of ${totalCount}`;
    },
    touches: 'nothing: a page may be shorter than asked for',
  },
  'missing scope or unknown instance': {
    ask: probeRefusal,
    touches: 'exit code 5, and whether the control totals can be read',
  },
  'payloads in two ways': {
    ask: probeSums,
    touches: 'which of payload_source_count and payload_all_count you bill; org_day of reconciliation',
  },
  'hours of a day?': {
    ask: probeHours,
    touches: 'payload_hours: whether zero hours are left out, and whether its hours add up to payload_totals',
  },
  'instance totals equal to sums?': {
    ask: probeTotals,
    touches: 'instance_day of reconciliation, LosantUsageTotalsDiffer',
  },
  'response headers': {
    ask: async ({ client, instanceId, signal }) => {
      const { answer } = await getInstance(client, { instanceId, signal });
      const shown = Object.entries(answer.headers).filter(([name]) => name !== 'set-cookie');
      return shown.map(([name, value]) => `${name}: ${String(value)}`).join('; ');
    },
    touches: 'REQUESTS_PER_SECOND',
  },
};

/** `probeInstance` asks about one organization. A refusal is an answer; throws only when interrupted. */
export async function probeInstance(target: OrgTarget): Promise<ProbeAnswer[]> {
  const answers: ProbeAnswer[] = [];
  for (const [question, { ask, touches }] of Object.entries(PROBES)) {
    answers.push({ question, answer: await answerOf(target, () => ask(target)), touches });
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

async function probeOldDay(target: OrgTarget, age: number): Promise<string> {
  const range = daysTo(addDays(target.day, -age));
  const buckets = bucketsOf(await ask(target, 'payloadCountsBreakdown', range, DAILY));
  if (buckets.length === 0) return 'no bucket';
  return `${buckets.length} bucket with ${buckets.map((bucket) => numbersOf(bucket).join(', ')).join('; ')}`;
}

/** `probeLongestRange` tries ranges of different length, only a few because each is a request. */
async function probeLongestRange(target: OrgTarget): Promise<string> {
  const answers: string[] = [];
  for (const days of [31, 93, 180, 366]) {
    const range = daysTo(target.day, days);
    const answer = await answerOf(target, async () => {
      return `${bucketsOf(await ask(target, 'payloadCountsBreakdown', range, DAILY)).length} buckets`;
    });
    answers.push(`${days} days: ${answer}`);
  }
  return answers.join('; ');
}

/** `probeRefusal` asks for what a token seldom may read, the instance, and for what it never may, another one. */
async function probeRefusal(target: OrgTarget): Promise<string> {
  const { client, day, signal } = target;
  const ofInstance = await statusOf(target, () =>
    ask({ ...target, orgId: null }, 'deviceCounts', daysTo(day)),
  );
  const ofOther = await statusOf(target, () => getInstance(client, { instanceId: '0'.repeat(24), signal }));
  return `instance.deviceCounts with this token: ${ofInstance}; an instance that does not exist: ${ofOther}`;
}

async function statusOf(target: OrgTarget, work: () => Promise<unknown>): Promise<string> {
  return await answerOf(target, async () => {
    try {
      await work();
      return 'HTTP 200';
    } catch (error) {
      if (error instanceof LosantError && error.status !== null) return `HTTP ${error.status}`;
      throw error;
    }
  });
}

async function probeSums(target: OrgTarget): Promise<string> {
  const range = daysTo(target.day);
  const sources = Object.entries(bodyOf(await ask(target, 'payloadCounts', range)));
  const sum = add(sources.flatMap(([type, map]) => (type.startsWith('_') ? [] : numbersOf(map))));
  const billable = sumOf(await ask(target, 'payloadCountsBreakdown', range, DAILY));
  const all = sumOf(await ask(target, 'payloadCountsBreakdown', range, { ...DAILY, ...ALL }));
  const equal = sum === all ? 'all payloads' : sum === billable ? 'billable payloads' : 'neither';
  return `by source ${sum}, breakdown ${billable}, breakdown with includeNonBillable ${all}: equal to ${equal}`;
}

async function probeHours(target: OrgTarget): Promise<string> {
  const range = daysTo(target.day);
  const buckets = bucketsOf(await ask(target, 'payloadCountsBreakdown', range, { ...HOURLY, ...ALL }));
  const numbers = buckets.flatMap(numbersOf);
  const total = sumOf(await ask(target, 'payloadCountsBreakdown', range, { ...DAILY, ...ALL }));
  const zeros = numbers.filter((value) => value === 0).length;
  const verdict =
    zeros > 0 ? 'zero hours are said' : buckets.length < 24 ? 'zero hours are left out' : 'no hour is zero';
  return `${buckets.length} buckets for the 24 hours of ${target.day}, ${zeros} of them zero: ${verdict}; ${compare('all payloads by hour', add(numbers), total)}`;
}

const DAILY = { resolution: String(DAY_MS) };
const HOURLY = { resolution: String(HOUR_MS) };
const ALL = { includeNonBillable: 'true' };

async function ask(
  { client, instanceId, orgId, signal }: Omit<OrgTarget, 'orgId'> & { readonly orgId: string | null },
  action: UsageAction,
  { start: startMs, end: endMs }: { readonly start: number; readonly end: number },
  query: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  return (await askUsage(client, { instanceId, orgId, action, query, startMs, endMs, signal })).body;
}

/** `daysTo` returns the range of the given number of days up to `day`. */
function daysTo(day: UsageDay, days = 1): { start: number; end: number } {
  return { start: dayStartMs(addDays(day, 1 - days)), end: dayStartMs(day) + DAY_MS - 1 };
}

async function firstPage(
  { client, instanceId, signal }: OrgTarget,
  perPage: number,
): Promise<OrgPage | undefined> {
  const { done, value } = await listOrgPages(client, { instanceId, perPage, signal }).next();
  return done === true ? undefined : value;
}

function bodyOf(body: unknown): Record<string, unknown> {
  return typeof body === 'object' && body !== null ? { ...body } : {};
}

function bucketsOf(body: unknown): unknown[] {
  const { counts } = bodyOf(body);
  return Array.isArray(counts) ? counts : [];
}

function numbersOf(bucket: unknown): number[] {
  return Object.values(bodyOf(bucket)).filter((value) => typeof value === 'number');
}

function sumOf(body: unknown): number {
  return add(bucketsOf(body).flatMap(numbersOf));
}

function add(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

/** The most organizations compared. Each is asked twice, and a probe is a few questions, not an export. */
const ORGS_MAX = 25;

/** The age of a day that is final by the default policy. */
const FINAL_DAYS = 4;

const PROBED = ['device_counts', 'payload_totals'];

async function probeTotals(target: OrgTarget): Promise<string> {
  const page = await firstPage(target, ORGS_MAX);
  const totalCount = page?.totalCount ?? 0;
  if (totalCount > ORGS_MAX) {
    return `not asked of ${totalCount} organizations, only of up to ${ORGS_MAX}: losant-usage reconcile shows it once some days are exported`;
  }
  const day = addDays(target.day, -FINAL_DAYS);
  const window = { from: day, to: day };
  const sums = new Map<string, number>();
  for (const { orgId } of page?.items ?? []) {
    for (const [metric, value] of await readSums(target, orgId, window)) {
      sums.set(metric, (sums.get(metric) ?? 0) + value);
    }
  }
  const totals = await readSums(target, null, window);
  const answers = [...totals].map(([metric, total]) => compare(metric, sums.get(metric) ?? 0, total));
  return `${day}, ${totalCount} organizations: ${answers.join('; ')}`;
}

/** `readSums` returns the sum of each flow over the window, and the last value of each level. */
async function readSums(
  target: OrgTarget,
  orgId: string | null,
  window: DayRange,
): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const stream of PROBED.map(streamNamed)) {
    const days = await readWindow({ ...target, orgId }, stream, window);
    for (const [, reading] of [...days].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      if (reading.kind === 'quarantined') throw new Error(`${stream.name}: ${reading.message}`);
      const values = reading.facts[0]?.values ?? [];
      for (const [index, metric] of stream.metrics.entries()) {
        const before = metric === 'devices_total' ? 0 : (sums.get(metric) ?? 0);
        sums.set(metric, before + (values[index] ?? 0));
      }
    }
  }
  return sums;
}

function compare(what: string, sum: number, total: number): string {
  return `${what} ${sum} ${sum === total ? 'equal' : `against ${total}, which differ by ${sum - total}`}`;
}
