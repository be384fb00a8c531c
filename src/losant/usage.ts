import { z } from 'zod';
import { describeProblems, hexId, storable } from '../usage/body.ts';
import { type DayRange, dayEndMs, dayStartMs, parseDay, type UsageDay } from '../usage/day.ts';
import type { UsageRequest } from '../usage/streams/stream.ts';
import { type Answer, unusableAnswer } from './attempt.ts';
import type { LosantClient } from './client.ts';

/** A usage counter of an organization, or of the whole instance. */
export interface UsageCounter extends UsageRequest {
  readonly instanceId: string;
  /** The organization; null for the counter of the whole instance. */
  readonly orgId: string | null;
  /** The time before which no cache may have made the answer. */
  readonly notBeforeMs?: number | undefined;
  /** The number of attempts instead of the client's. */
  readonly attempts?: number | undefined;
  readonly signal: AbortSignal;
}

/**
 * `fetchUsage` returns the counter over a window of days. The end is sent as the last millisecond of the last
 * day: the API documents every range that way, and no other day's bucket fits whether the API includes the
 * end or not. Throws a `LosantError`.
 */
export async function fetchUsage(
  client: LosantClient,
  { window, ...counter }: UsageCounter & { readonly window: DayRange },
): Promise<Answer> {
  assertWindow(window);
  const range = { startMs: dayStartMs(window.from), endMs: dayEndMs(window.to) - 1 };
  const days = window.from === window.to ? window.from : `${window.from}..${window.to}`;
  return askUsage(client, { ...counter, ...range, notBeforeMs: dayEndMs(window.to) }, { days });
}

/** `askUsage` returns the counter over any range of time, sent as given. Throws a `LosantError`. */
export async function askUsage(
  client: LosantClient,
  counter: UsageCounter & { readonly startMs: number; readonly endMs: number },
  ids: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const { instanceId, orgId, action, query, startMs, endMs, notBeforeMs, attempts, signal } = counter;
  const instance = `instances/${encodeURIComponent(instanceId)}`;
  return client.get({
    action: `${orgId === null ? 'instance' : 'instanceOrg'}.${action}`,
    path: `${instance}${orgId === null ? '' : `/orgs/${encodeURIComponent(orgId)}`}/${action}`,
    query: { ...query, start: String(startMs), end: String(endMs) },
    ids: { ...(orgId === null ? { instance: instanceId } : { org: orgId }), ...ids },
    notBeforeMs,
    attempts,
    signal,
  });
}

/** `assertWindow` refuses a start of 0 or below, which this API takes as relative to now. */
function assertWindow({ from, to }: DayRange): void {
  const isWindow = parseDay(from) !== null && parseDay(to) !== null && from <= to && dayStartMs(from) > 0;
  if (!isWindow) throw new Error(`not a window of usage days: ${from}..${to}`);
}

/** Losant's own figures for one organization and month. */
export interface MonthlySummary {
  /** The type in Losant's words: `organization`, `application` or `whitelabel`. */
  readonly resourceType: string;
  /** Lower-case hex. */
  readonly resourceId: string;
  readonly resourceName: string | null;
  /** The part of the month during which the resource existed, from 0 to 1; null if Losant does not say. */
  readonly proration: number | null;
  /** Every other number by its name. */
  readonly figures: Readonly<Record<string, number>>;
  /** The names of figures that are compared and are no number, such as text. */
  readonly unusable: readonly string[];
}

export interface SummaryPage {
  readonly answer: Answer;
  readonly items: readonly MonthlySummary[];
}

export interface SummaryQuestion {
  readonly instanceId: string;
  /** The first day of the month. */
  readonly month: UsageDay;
  /** The only organization to return, if set. */
  readonly orgId?: string | undefined;
  readonly attempts?: number | undefined;
  readonly signal: AbortSignal;
}

const SUMMARIES_ACTION = 'instance.historicalSummaries';
const PER_PAGE = 1000;

/** The 15th at noon: however the API rounds it, it falls in no other month. */
const MIDDLE_OF_MONTH_MS = 14.5 * 24 * 3_600_000;

/** The figures that are compared. */
const COMPARED = [
  'deviceCount',
  'notebookMinutesCount',
  'payloadBillableCount',
  'payloadNonbillableCount',
  'payloadBillableSizeMb',
  'payloadNonbillableSizeMb',
];

const summaryBody = z.looseObject({
  resourceType: z.string(),
  resourceId: hexId,
  resourceName: z.string().nullish(),
  resourceProration: z.number().nullish(),
});

const pageBody = z.object({ items: z.array(z.unknown()), totalCount: z.int().nonnegative() });

/**
 * `listSummaryPages` returns the figures of a month for all organizations, page by page. Throws a
 * `LosantError`, of kind `bad_body` also at the end if the number of different organizations is not the
 * list's own count.
 */
export async function* listSummaryPages(
  client: LosantClient,
  question: SummaryQuestion,
): AsyncGenerator<SummaryPage, void, undefined> {
  const seen = new Set<string>();
  for (let page = 0; ; page += 1) {
    const answer = await askPage(client, question, page);
    const parsed = pageBody.safeParse(answer.body);
    if (!parsed.success) throw unusableAnswer(asked(question), answer, describeProblems(parsed.error));
    const items = parsed.data.items.map((item) => readSummary(item, question, answer));
    const before = seen.size;
    for (const { resourceType, resourceId } of items) seen.add(`${resourceType} ${resourceId}`);
    yield { answer, items };
    const { totalCount } = parsed.data;
    if (seen.size >= totalCount) return;
    if (seen.size === before) {
      throw unusableAnswer(asked(question), answer, `it has ${seen.size} different items of ${totalCount}`);
    }
  }
}

async function askPage(client: LosantClient, question: SummaryQuestion, page: number): Promise<Answer> {
  const { instanceId, month, orgId, attempts, signal } = question;
  return await client.get({
    ...asked(question),
    path: `instances/${encodeURIComponent(instanceId)}/historicalSummaries`,
    query: {
      month: String(dayStartMs(month) + MIDDLE_OF_MONTH_MS),
      ...{ page: String(page), perPage: String(PER_PAGE), sortField: 'resourceId', sortDirection: 'asc' },
      ...(orgId === undefined ? {} : { filterField: 'resourceId', filter: orgId }),
    },
    attempts,
    signal,
  });
}

function readSummary(item: unknown, question: SummaryQuestion, answer: Answer): MonthlySummary {
  const parsed = summaryBody.safeParse(item);
  if (!parsed.success)
    throw unusableAnswer(asked(question), answer, `items: ${describeProblems(parsed.error)}`);
  const { resourceType, resourceId, resourceName, resourceProration, ...rest } = parsed.data;
  return {
    resourceType: storable(resourceType),
    resourceId,
    resourceName: resourceName == null ? null : storable(resourceName),
    proration: resourceProration ?? null,
    figures: Object.fromEntries(
      Object.entries(rest)
        .filter((entry): entry is [string, number] => Number.isFinite(entry[1]))
        .map(([name, figure]) => [storable(name), figure]),
    ),
    unusable: COMPARED.filter((name) => rest[name] != null && !Number.isFinite(rest[name])),
  };
}

function asked({ instanceId, month }: SummaryQuestion) {
  return { action: SUMMARIES_ACTION, ids: { instance: instanceId, month: month.slice(0, 7) } };
}
