import { LosantError } from '../errors.ts';
import { getInstance, listOrgPages, type OrgPage } from '../losant/orgs.ts';
import { listSummaryPages, type MonthlySummary } from '../losant/summaries.ts';
import { askUsage, fetchUsage } from '../losant/usage.ts';
import { addDays, DAY_MS, type DayRange, dayStartMs, HOUR_MS, type UsageDay } from '../usage/day.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import type { UsageAction } from '../usage/streams/stream.ts';
import type { OrgTarget } from './check-instance.ts';

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
    ask: probeEnd,
    touches: 'nothing: the last millisecond of the last day is sent',
  },
  'echo of start and end?': {
    ask: probeEcho,
    touches: 'which answers go to quarantine: those that cover another range than was asked for',
  },
  'zero days present?': {
    ask: probeZeroDays,
    touches: 'reported, and days_unreported of months: whether zeros are said or left out',
  },
  'a 100-day-old day': { ask: (target) => probeOldDay(target, 100), touches: 'HORIZON_DAYS' },
  'a 400-day-old day': {
    ask: (target) => probeOldDay(target, 400),
    touches: 'HORIZON_DAYS, backfill --past-horizon',
  },
  'longest range': { ask: probeLongestRange, touches: 'nothing: at most 31 days are asked for at once' },
  'perPage 1000': { ask: probePageSize, touches: 'nothing: a page may be shorter than asked for' },
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
  'summaries equal to months?': {
    ask: probeSummaries,
    touches: 'org_month of reconciliation; summary_scale of metrics, the bytes of a Mb',
  },
  'response headers': { ask: probeHeaders, touches: 'REQUESTS_PER_SECOND' },
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

async function probeEnd(target: OrgTarget): Promise<string> {
  const start = dayStartMs(addDays(target.day, -1));
  const buckets = bucketsOf(await ask(target, 'deviceCounts', { start, end: start + DAY_MS }));
  if (buckets.length === 0) return 'unknown: no bucket came';
  return buckets.length > 1
    ? 'yes: a range that ends at the midnight after a day has two buckets'
    : 'no: a range that ends at the midnight after a day has one bucket';
}

async function probeEcho(target: OrgTarget): Promise<string> {
  const start = dayStartMs(target.day);
  const end = start + DAY_MS - 1;
  const body = bodyOf(await ask(target, 'deviceCounts', { start, end }));
  const asked = `asked ${new Date(start).toISOString()} to ${new Date(end).toISOString()}`;
  if (body['start'] === undefined && body['end'] === undefined) return `none (${asked})`;
  return `${String(body['start'])} to ${String(body['end'])} (${asked})`;
}

async function probeZeroDays(target: OrgTarget): Promise<string> {
  const days = 31;
  const buckets = bucketsOf(await ask(target, 'notebookMinuteCounts', lastDays(target, days)));
  const zeros = buckets.filter((bucket) => numbersOf(bucket).every((value) => value === 0)).length;
  const verdict =
    zeros > 0 ? 'yes' : buckets.length < days ? 'no, they are left out' : 'unknown, there are none';
  return `${verdict}: ${buckets.length} buckets for ${days} days of notebook minutes, ${zeros} of them all zero`;
}

async function probeOldDay(target: OrgTarget, age: number): Promise<string> {
  const start = dayStartMs(addDays(target.day, -age));
  const buckets = bucketsOf(
    await ask(target, 'payloadCountsBreakdown', { start, end: start + DAY_MS - 1 }, DAILY),
  );
  if (buckets.length === 0) return 'no bucket';
  return `${buckets.length} bucket with ${buckets.map((bucket) => numbersOf(bucket).join(', ')).join('; ')}`;
}

/** `probeLongestRange` tries ranges of different length, only a few because each is a request. */
async function probeLongestRange(target: OrgTarget): Promise<string> {
  const answers: string[] = [];
  for (const days of [31, 93, 180, 366]) {
    const answer = await answerOf(target, async () => {
      const buckets = bucketsOf(await ask(target, 'payloadCountsBreakdown', lastDays(target, days), DAILY));
      return `${buckets.length} buckets`;
    });
    answers.push(`${days} days: ${answer}`);
  }
  return answers.join('; ');
}

async function probePageSize({ client, instanceId, signal }: OrgTarget): Promise<string> {
  const pages = listOrgPages(client, { instanceId, perPage: 1000, signal });
  const { value } = (await pages.next()) as IteratorResult<OrgPage, undefined>;
  if (!value) return 'no page';
  return `${value.items.length + value.rejected.length} organizations on the first page, of ${value.totalCount}`;
}

/**
 * `probeRefusal` asks for the complete instance and for one that does not exist: a token seldom has the
 * scopes of the first and never those of the second.
 */
async function probeRefusal(target: OrgTarget): Promise<string> {
  const { client, instanceId, day, signal } = target;
  const startMs = dayStartMs(day);
  const range = { startMs, endMs: startMs + DAY_MS - 1 };
  const ofInstance = await statusOf(target, () =>
    askUsage(client, { instanceId, orgId: null, action: 'deviceCounts', query: {}, ...range, signal }),
  );
  const ofOther = await statusOf(target, () => getInstance(client, { instanceId: '0'.repeat(24), signal }));
  return `instance.deviceCounts with this token: ${ofInstance}; an instance that does not exist: ${ofOther}`;
}

async function statusOf({ signal }: OrgTarget, work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'HTTP 200';
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof LosantError && error.status !== null) return `HTTP ${error.status}`;
    return error instanceof Error ? error.message : String(error);
  }
}

async function probeSums(target: OrgTarget): Promise<string> {
  const start = dayStartMs(target.day);
  const range = { start, end: start + DAY_MS - 1 };
  const sources = bodyOf(await ask(target, 'payloadCounts', range));
  const types = Object.entries(sources).filter(([type]) => !type.startsWith('_'));
  const sum = types.flatMap(([, map]) => numbersOf(map)).reduce((a, b) => a + b, 0);
  const billable = sumOf(await ask(target, 'payloadCountsBreakdown', range, DAILY));
  const all = sumOf(
    await ask(target, 'payloadCountsBreakdown', range, { ...DAILY, includeNonBillable: 'true' }),
  );
  const equal = sum === all ? 'all payloads' : sum === billable ? 'billable payloads' : 'neither';
  return `by source ${sum}, breakdown ${billable}, breakdown with includeNonBillable ${all}: equal to ${equal}`;
}

async function probeHours(target: OrgTarget): Promise<string> {
  const start = dayStartMs(target.day);
  const range = { start, end: start + DAY_MS - 1 };
  const all = { includeNonBillable: 'true' };
  const buckets = bucketsOf(await ask(target, 'payloadCountsBreakdown', range, { ...HOURLY, ...all }));
  const numbers = buckets.flatMap(numbersOf);
  const sum = numbers.reduce((a, b) => a + b, 0);
  const total = sumOf(await ask(target, 'payloadCountsBreakdown', range, { ...DAILY, ...all }));
  const zeros = numbers.filter((value) => value === 0).length;
  const verdict =
    zeros > 0 ? 'zero hours are said' : buckets.length < 24 ? 'zero hours are left out' : 'no hour is zero';
  return `${buckets.length} buckets for the 24 hours of ${target.day}, ${zeros} of them zero: ${verdict}; ${compare('all payloads by hour', sum, total)}`;
}

async function probeHeaders({ client, instanceId, signal }: OrgTarget): Promise<string> {
  const { answer } = await getInstance(client, { instanceId, signal });
  const shown = [...answer.headers].filter(([name]) => name !== 'set-cookie');
  return shown.map(([name, value]) => `${name}: ${value}`).join('; ');
}

const DAILY = { resolution: String(DAY_MS) };
const HOURLY = { resolution: String(HOUR_MS) };

async function ask(
  { client, instanceId, orgId, signal }: OrgTarget,
  action: UsageAction,
  { start, end }: { readonly start: number; readonly end: number },
  query: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  const range = { startMs: start, endMs: end };
  return (await askUsage(client, { instanceId, orgId, action, query, ...range, signal })).body;
}

/** `lastDays` returns the range of the given number of days up to the target's. */
function lastDays({ day }: OrgTarget, days: number): { start: number; end: number } {
  return { start: dayStartMs(addDays(day, 1 - days)), end: dayStartMs(day) + DAY_MS - 1 };
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
  return bucketsOf(body)
    .flatMap(numbersOf)
    .reduce((a, b) => a + b, 0);
}

/** The most organizations compared. Each is asked twice, and a probe is a few questions, not an export. */
const ORGS_MAX = 25;

/** The age of a day that is final by the default policy. */
const FINAL_DAYS = 4;

const PROBED = ['device_counts', 'payload_totals'];

async function probeTotals(target: OrgTarget): Promise<string> {
  const { client, instanceId, signal } = target;
  const pages = listOrgPages(client, { instanceId, perPage: ORGS_MAX, signal });
  const { value: page } = (await pages.next()) as IteratorResult<OrgPage, undefined>;
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

/** `probeSummaries` compares one organization's last complete month: its days added up, and its summary. */
async function probeSummaries(target: OrgTarget): Promise<string> {
  const { client, instanceId, orgId, signal } = target;
  const monthEnd = addDays(`${addDays(target.day, -FINAL_DAYS).slice(0, 7)}-01`, -1);
  const month = `${monthEnd.slice(0, 7)}-01`;
  const summary = await findSummary(target, listSummaryPages(client, { instanceId, month, orgId, signal }));
  if (summary === null) return `${month.slice(0, 7)}: no summary of organization ${orgId}`;
  const sums = await readSums(target, orgId, { from: month, to: monthEnd });
  const { figures } = summary;
  const figure = (name: string) => figures[name] ?? Number.NaN;
  const megabytes = figure('payloadBillableSizeMb') + figure('payloadNonbillableSizeMb');
  const counts = [
    compare('devices', sums.get('devices_total') ?? 0, figure('deviceCount')),
    compare('billable payloads', sums.get('payload_billable_count') ?? 0, figure('payloadBillableCount')),
    describeMegabyte(sums.get('payload_all_bytes') ?? 0, megabytes),
  ];
  const proration = summary.proration === null ? '' : `, prorated ${summary.proration}`;
  return `${month.slice(0, 7)}, organization ${orgId}${proration}: ${counts.join('; ')}`;
}

async function findSummary(
  { orgId }: OrgTarget,
  pages: ReturnType<typeof listSummaryPages>,
): Promise<MonthlySummary | null> {
  for await (const { items } of pages) {
    const found = items.find(({ resourceId }) => resourceId === orgId);
    if (found) return found;
  }
  return null;
}

/** `readSums` returns the sum of each flow over the window, and the last value of each level. */
async function readSums(
  { client, instanceId, signal }: OrgTarget,
  orgId: string | null,
  window: DayRange,
): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const stream of PROBED.map(streamNamed)) {
    const bodies: unknown[] = [];
    for (const request of stream.requests) {
      bodies.push((await fetchUsage(client, { instanceId, orgId, window, signal, ...request })).body);
    }
    const { days } = stream.readBodies(bodies, window);
    for (const [, reading] of [...days].toSorted(byDay)) {
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

function byDay([a]: readonly [UsageDay, unknown], [b]: readonly [UsageDay, unknown]): number {
  return a < b ? -1 : 1;
}

function compare(what: string, sum: number, total: number): string {
  if (Number.isNaN(total)) return `${what} ${sum}, not in the answer`;
  return `${what} ${sum} ${sum === total ? 'equal' : `against ${total}, which differ by ${sum - total}`}`;
}

/** `describeMegabyte` describes which megabyte it is: 1,000,000 bytes or 2^20. */
function describeMegabyte(bytes: number, megabytes: number): string {
  if (Number.isNaN(megabytes)) return `bytes ${bytes}, not in the answer`;
  const sizes = [
    { name: '1,000,000 bytes', size: 1_000_000 },
    { name: '2^20 bytes', size: 2 ** 20 },
  ];
  const fits = sizes.find(({ size }) => Math.abs(bytes / size - megabytes) < 1);
  return `${bytes} bytes are ${megabytes} Mb ${fits ? `of ${fits.name}` : 'of neither 1,000,000 nor 2^20 bytes'}`;
}
