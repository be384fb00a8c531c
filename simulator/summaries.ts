import { type Amount, add } from './amount.ts';
import { biasOf } from './bias.ts';
import type { Body } from './bodies.ts';
import { DAY_MS, dayOf, dayText, isoMs, monthlyPeriod } from './calendar.ts';
import type { CounterAction } from './edits.ts';
import { globFilter } from './filters.ts';
import { orgMeter } from './meter.ts';
import { isRefusal, parseChoice, parseInstant, parsePaging, type Refusal } from './params.ts';
import type { Org } from './population.ts';
import { createSourceSum } from './source-sum.ts';
import type { World } from './world.ts';

const BYTES_PER_MB = 1_000_000;
const SORT_FIELDS = ['currentPeriodStart', 'resourceId'] as const;
const ENDINGS = ['completed', 'canceled', 'errored', 'timeout'] as const;
const FILTER_FIELDS = ['', 'resourceType', 'resourceId', 'ownerId', 'ownerType'] as const;

/**
 * Answers a page of the instance's monthly figures, with one item for each organization that existed
 * in the month.
 */
export function answerSummaries(world: World, query: URLSearchParams): Body | Refusal {
  const nowMs = world.clock.now();
  const month = parseInstant(query, 'month', nowMs);
  if (isRefusal(month)) return month;
  const paging = parsePaging(query, SORT_FIELDS);
  if (isRefusal(paging)) return paging;
  const { page, perPage, sortField, sortDirection, isDescending } = paging;
  const filterField = parseChoice(query, 'filterField', FILTER_FIELDS);
  if (isRefusal(filterField)) return filterField;
  const period = monthlyPeriod(month.ms, 1);
  const glob = query.get('filter') ?? '';
  const { population } = world;
  const orgs = [...population.each(population.living())]
    .filter(({ createdMs }) => createdMs < period.endMs)
    .filter((org) => matches(org, filterField.choice, glob));
  const ordered = isDescending ? orgs.toReversed() : orgs;
  const size = Math.min(perPage, world.config.pageSizeMax);
  const items = ordered.slice(page * size, (page + 1) * size).map((org) => summaryOf(world, org, period));
  return {
    items,
    count: items.length,
    totalCount: ordered.length,
    perPage: size,
    page,
    sortField,
    sortDirection,
    ...(glob === '' ? {} : { filterField: filterField.choice, filter: glob }),
  };
}

function matches(org: Org, field: (typeof FILTER_FIELDS)[number], glob: string): boolean {
  if (field === '' || glob === '') return true;
  const value = { resourceType: 'organization', resourceId: org.key, ownerId: '', ownerType: '' }[field];
  return globFilter(glob)(value);
}

/** Returns one organization's figures of the month up to now; `period` is half-open. */
function summaryOf(world: World, org: Org, period: { startMs: number; endMs: number }): Body {
  const meter = orgMeter(world, org);
  const first = Math.max(dayOf(period.startMs), dayOf(org.createdMs));
  const last = Math.min(dayOf(period.endMs) - 1, dayOf(world.clock.now()));
  const sources = createSourceSum();
  let minutes: Amount = 0;
  let runs: Amount = 0;
  let devices: Amount = 0;
  for (let day = first; day <= last; day++) {
    const notebooks = meter.notebooks(day);
    minutes = add(minutes, notebooks.minutes);
    for (const key of ENDINGS) runs = add(runs, notebooks[key]);
    devices = meter.devices(day).total;
    sources.add(meter.payloads(day, 0, DAY_MS));
  }
  const when = dayText(dayOf(period.startMs)).slice(0, 7);
  const bias = (action: CounterAction) => biasOf(world, action, { when, orgKey: org.key });
  const rows = sources.rows();
  const sum = (billable: boolean, read: (row: (typeof rows)[number]) => Amount) =>
    Number(rows.filter((row) => row.billable === billable).reduce<Amount>((s, row) => add(s, read(row)), 0));
  const days = (period.endMs - period.startMs) / DAY_MS;
  return {
    resourceType: 'organization',
    resourceId: org.attributes.id,
    resourceName: org.attributes.name,
    resourceProration: Math.round(((dayOf(period.endMs) - first) / days) * 10_000) / 10_000,
    ...(org.attributes.limits === undefined ? {} : { limits: org.attributes.limits }),
    currentPeriodStart: isoMs(period.startMs),
    currentPeriodEnd: isoMs(period.endMs - 1),
    applicationCount: 1 + (org.profile.salt % 4),
    userCount: 3,
    deviceCount: Number(devices) + bias('deviceCounts'),
    notebookRunCount: Number(runs),
    notebookMinutesCount: Number(minutes) + bias('notebookMinuteCounts'),
    payloadBillableCount: sum(true, (row) => row.count) + bias('payloadCountsBreakdown'),
    payloadNonbillableCount: sum(false, (row) => row.count),
    payloadBillableSizeMb: sum(true, (row) => row.bytes) / BYTES_PER_MB,
    payloadNonbillableSizeMb: sum(false, (row) => row.bytes) / BYTES_PER_MB,
    payloadCountDetails: detailsOf(rows, (row) => Number(row.count), bias('payloadCounts')),
    payloadSizeDetails: detailsOf(rows, (row) => Number(row.bytes), 0),
  };
}

function detailsOf<R extends { readonly type: string; readonly source: string }>(
  rows: readonly R[],
  read: (row: R) => number,
  by: number,
): Record<string, Record<string, number>> {
  const details: Record<string, Record<string, number>> = {};
  for (const [index, row] of rows.entries()) {
    (details[row.type] ??= {})[row.source] = read(row) + (index === 0 ? by : 0);
  }
  return details;
}
