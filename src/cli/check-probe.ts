import { describeError, ExportError } from '../errors.ts';
import type { LosantClient } from '../losant/client.ts';
import { listOrgPages } from '../losant/org-list.ts';
import { fetchUsage } from '../losant/usage.ts';
import { addDays, type DayRange, type UsageDay } from '../usage/day.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import type { Stream, WindowReading } from '../usage/streams/stream.ts';

/** An organization and how to ask about it, with the day to ask for. */
export interface OrgTarget {
  readonly client: LosantClient;
  readonly instanceId: string;
  readonly orgId: string;
  readonly day: UsageDay;
  readonly signal: AbortSignal;
}

/** The organization to ask about, or null for the whole instance. */
type Target = Omit<OrgTarget, 'orgId'> & { readonly orgId: string | null };

/** Something is wrong although no call failed. */
export class CheckError extends ExportError {
  constructor(message: string, hint: string) {
    super('invalid', message, { hint });
  }
}

/** The bound on each question, even if Losant asks to wait. */
const QUESTION_MS = 60_000;

/** Does work within a minute. Throws CheckError if that is too short. */
export async function within<T>(signal: AbortSignal, work: (bounded: AbortSignal) => Promise<T>): Promise<T> {
  const limit = AbortSignal.timeout(QUESTION_MS);
  try {
    return await work(AbortSignal.any([signal, limit]));
  } catch (error) {
    if (!limit.aborted || signal.aborted) throw error;
    const hint = 'it is slow, or asks to wait: try again later, or lower REQUESTS_PER_SECOND';
    throw new CheckError(`no answer within ${QUESTION_MS / 1_000} s`, hint);
  }
}

/** Reads a counter as a run does. */
export async function readWindow(
  { client, instanceId, orgId, signal }: Target,
  stream: Stream,
  window: DayRange,
): Promise<WindowReading['days']> {
  const bodies: unknown[] = [];
  for (const request of stream.requests) {
    bodies.push((await fetchUsage(client, { instanceId, orgId, window, signal, ...request })).body);
  }
  return stream.readBodies(bodies, window).days;
}

/** A question that the API's documentation leaves open, and this API's answer. */
export interface ProbeAnswer {
  readonly question: string;
  readonly answer: string;
  /** The setting, column or note of docs/losant-api.md that the answer concerns. */
  readonly touches: string;
}

/** Asks what the documentation leaves open about one organization. Throws only when interrupted. */
export async function probeOrg(target: OrgTarget): Promise<ProbeAnswer[]> {
  const answers: ProbeAnswer[] = [];
  for (const [question, { ask, touches }] of Object.entries(PROBES)) {
    const asked = within(target.signal, (signal) => ask({ ...target, signal }));
    // A refusal is an answer too.
    const answer = await asked.catch((error: unknown) => {
      target.signal.throwIfAborted();
      return describeError(error).message;
    });
    answers.push({ question, answer, touches });
  }
  return answers;
}

interface Probe {
  readonly ask: (target: OrgTarget) => Promise<string>;
  readonly touches: string;
}

const PROBES: Readonly<Record<string, Probe>> = {
  'zero days present?': {
    ask: async (target) => {
      const window = { from: addDays(target.day, -30), to: target.day };
      const days = await readWindow(target, streamNamed('notebook_minutes'), window);
      return `${days.size} of 31 days of notebook minutes are in the answer`;
    },
    touches: 'is_reported, and days_unreported of months: whether zeros are named or left out',
  },
  'a 100-day-old day': { ask: (target) => probeOldDay(target, 100), touches: 'HORIZON_DAYS' },
  'a 400-day-old day': { ask: (target) => probeOldDay(target, 400), touches: 'HORIZON_DAYS' },
  'payloads in two ways': {
    ask: async (target) => {
      const { payload_source_count: sum = 0 } = await readNumbers(target, 'payload_sources', target.day);
      const totals = await readNumbers(target, 'payload_totals', target.day);
      return Object.entries(totals)
        .filter(([column]) => column.endsWith('_count'))
        .map(([column, total]) => compare(`payload_source_count beside ${column}`, sum, total))
        .join('; ');
    },
    touches: 'which of payload_source_count and payload_all_count you bill; reconciliation; CONTROL_TOTALS',
  },
  'hours of a day': {
    ask: async (target) => {
      const totals = await readNumbers(target, 'payload_totals', target.day);
      const hours = await readNumbers(target, 'payload_hours', target.day);
      return Object.entries(hours)
        .map(([column, sum]) => compare(column, sum, totals[column.replace('hours_', 'payload_')] ?? 0))
        .join('; ');
    },
    touches: 'payload_hours: whether its hours add up to payload_totals',
  },
  'instance totals equal to sums?': { ask: probeTotals, touches: 'reconciliation, CONTROL_TOTALS' },
};

async function probeOldDay(target: OrgTarget, age: number): Promise<string> {
  const numbers = Object.entries(await readNumbers(target, 'payload_totals', addDays(target.day, -age)));
  return numbers.length === 0 ? 'no number' : numbers.map((each) => each.join(' ')).join(', ');
}

/** The most organizations added up. Each is asked twice, and a probe is a few questions, not an export. */
const ORGS_MAX = 25;

/** The age of a day that is final by the default policy. */
const FINAL_DAYS = 4;

async function probeTotals(target: OrgTarget): Promise<string> {
  const { client, instanceId, signal } = target;
  const first = await listOrgPages(client, { instanceId, perPage: ORGS_MAX, signal }).next();
  if (first.done === true) return 'there is no organization';
  const { items, totalCount } = first.value;
  if (totalCount > ORGS_MAX) {
    return `not asked of ${totalCount} organizations: see losant-usage reconcile after some days`;
  }
  const day = addDays(target.day, -FINAL_DAYS);
  const answers: string[] = [];
  for (const stream of ['device_counts', 'payload_totals']) {
    const total = await readNumbers({ ...target, orgId: null }, stream, day);
    const sums: Record<string, number> = {};
    for (const { orgId } of items) {
      for (const [column, value] of Object.entries(await readNumbers({ ...target, orgId }, stream, day))) {
        sums[column] = (sums[column] ?? 0) + value;
      }
    }
    answers.push(
      ...Object.entries(total).map(([column, value]) => compare(column, sums[column] ?? 0, value)),
    );
  }
  return `${day}, ${totalCount} organizations: ${answers.join('; ')}`;
}

/** Returns the numbers of a day by column, hours added up; none for a day that was left out. */
async function readNumbers(
  target: Target,
  stream: string,
  day: UsageDay,
): Promise<Readonly<Record<string, number>>> {
  const reading = (await readWindow(target, streamNamed(stream), { from: day, to: day })).get(day);
  if (reading?.kind !== 'named') return {};
  const numbers = Object.entries(reading.numbers).flatMap(([column, value]) => {
    if (typeof value === 'number') return [[column, value] as const];
    const isOfHours = (value: unknown): value is readonly number[] => Array.isArray(value);
    return isOfHours(value) ? [[column, value.reduce((a, b) => a + b, 0)] as const] : [];
  });
  return Object.fromEntries(numbers);
}

function compare(what: string, sum: number, total: number): string {
  return `${what} ${sum} ${sum === total ? 'equal' : `against ${total}, which differ by ${sum - total}`}`;
}
