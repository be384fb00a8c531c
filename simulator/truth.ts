import { type Amount, add, jsonAmount } from './amount.ts';
import { DAY_MS, dayOf, dayText, HOUR_MS } from './calendar.ts';
import { oldestDay } from './counters.ts';
import { type Answered, groupOf } from './edits.ts';
import { type Meter, orgMeter, type SourceAmount } from './meter.ts';
import type { Org } from './population.ts';
import type { World } from './world.ts';

/**
 * Returns the rows that an export of one organization must store, by usage day and stream. They come
 * from the same numbers that the API serves, but on another way: whole days, no window.
 */
export function truthOf(world: World, org: Org, fromDay: number, toDay: number): Record<string, unknown> {
  const meter = orgMeter(world, org);
  const last = Math.min(toDay, dayOf(world.clock.now()));
  const days = [];
  for (let day = fromDay; day <= last; day++) days.push(truthOfDay(world, org, meter, day));
  return { orgId: org.key, deleted: org.deleted, createdDay: dayText(dayOf(org.createdMs)), days };
}

const TOTALS = ['billable_count', 'all_count', 'all_bytes'] as const;

function truthOfDay(world: World, org: Org, meter: Meter, day: number): Record<string, unknown> {
  const { clock, config } = world;
  const devices = meter.devices(day);
  const notebooks = meter.notebooks(day);
  const sources = meter.payloads(day, 0, DAY_MS);
  const totals = {
    billable_count: sumOf(sources, (row) => (row.billable ? row.count : 0)),
    all_count: sumOf(sources, (row) => row.count),
    all_bytes: sumOf(sources, (row) => row.bytes),
  };
  const retained = day >= oldestDay(config, clock.now());
  const omits = (answer: Answered, values: readonly Amount[]) =>
    meter.isOmitted(day, answer) ||
    (!retained && config.retention !== 'zeros') ||
    (config.omitZeroDays && (!retained || values.every((value) => value === 0)));
  const omittedTotals = TOTALS.filter((variant) =>
    omits({ action: 'payloadCountsBreakdown', variant }, [totals[variant]]),
  );
  return {
    day: dayText(day),
    complete: (day + 1) * DAY_MS <= clock.now(),
    retained,
    device_counts: jsonFields(devices),
    notebook_minutes: jsonFields(notebooks),
    payload_totals: jsonFields(totals),
    payload_hours: hoursOfDay(world, org, meter, day),
    payload_sources: sources.map((row) => ({
      payload_type: row.type,
      source: row.source,
      count: jsonAmount(row.count),
    })),
    omitted: {
      device_counts: omits({ action: 'deviceCounts', variant: null }, Object.values(devices)),
      notebook_minutes: omits({ action: 'notebookMinuteCounts', variant: null }, Object.values(notebooks)),
      payload_totals: omittedTotals.length === 3,
      payload_sources:
        sources.length === 0 || meter.isOmitted(day, { action: 'payloadCounts', variant: null }) || !retained,
    },
    omitted_totals: omittedTotals,
    restated: {
      device_counts: world.edits.restated(org.key, day, groupOf('deviceCounts')),
      notebook_minutes: world.edits.restated(org.key, day, groupOf('notebookMinuteCounts')),
      payloads: world.edits.restated(org.key, day, groupOf('payloadCounts')),
    },
  };
}

/** Returns the hours of a day as answers by hour have them; those left out are 0 and listed. */
function hoursOfDay(world: World, org: Org, meter: Meter, day: number): Record<string, unknown> {
  const hours = Array.from({ length: 24 }, (_, hour) => {
    const rows = meter.payloads(day, hour * HOUR_MS, (hour + 1) * HOUR_MS);
    const edit = world.edits.hour(org.key, day, hour);
    const read = (pick: (row: SourceAmount) => Amount) =>
      edit?.omitted ? 0 : add(sumOf(rows, pick), edit?.by ?? 0);
    return {
      billable: read((row) => (row.billable ? row.count : 0)),
      count: read((row) => row.count),
      bytes: read((row) => row.bytes),
      isOmitted: edit?.omitted ?? false,
    };
  });
  return {
    billable_counts: hours.map(({ billable }) => jsonAmount(billable)),
    all_counts: hours.map(({ count }) => jsonAmount(count)),
    all_bytes: hours.map(({ bytes }) => jsonAmount(bytes)),
    omitted: hours.flatMap(({ isOmitted }, hour) => (isOmitted ? [hour] : [])),
  };
}

function sumOf(rows: readonly SourceAmount[], read: (row: SourceAmount) => Amount): Amount {
  return rows.reduce<Amount>((sum, row) => add(sum, read(row)), 0);
}

function jsonFields(values: Readonly<Record<string, Amount>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).map(([field, value]) => [field, jsonAmount(value)]));
}
