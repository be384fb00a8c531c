import { type Amount, add, jsonAmount, sumOf } from './amount.ts';
import { DAY_MS, dayOf, dayText, HOUR_MS } from './calendar.ts';
import type { Answered } from './edits.ts';
import { type Meter, orgMeter, type SourceAmount } from './meter.ts';
import type { Org } from './organizations.ts';
import { oldestDay } from './params.ts';
import type { Body } from './refusal.ts';
import type { World } from './world.ts';

/** Returns the rows that an export of one organization must store, by usage day and stream. */
export function truthOf(world: World, org: Org, fromDay: number, toDay: number): Body {
  const meter = orgMeter(world, org);
  const last = Math.min(toDay, dayOf(world.now()));
  const days: Body[] = [];
  for (let day = fromDay; day <= last; day++) days.push(truthOfDay(world, meter, day));
  return { orgId: org.key, deleted: org.deleted, createdDay: dayText(dayOf(org.createdMs)), days };
}

function truthOfDay(world: World, meter: Meter, day: number): Body {
  const { settings } = world;
  const edits = meter.editsOf(day);
  const devices = meter.devices(day);
  const notebooks = meter.notebooks(day);
  const sources = meter.payloads(day, 0, DAY_MS);
  const totals = {
    billable_count: sumOf(sources, billableCount),
    all_count: sumOf(sources, (row) => row.count),
    all_bytes: sumOf(sources, (row) => row.bytes),
  };
  const retained = day >= oldestDay(settings, world.now());
  const omits = (answer: Answered, values: readonly Amount[]) => {
    const isZero = !retained || values.every((value) => value === 0);
    const isGone = !retained && settings.retention !== 'zeros';
    return edits.isOmitted(answer) || isGone || (settings.omitZeroDays && isZero);
  };
  const omittedTotals = (['billable_count', 'all_count', 'all_bytes'] as const).filter((variant) =>
    omits({ action: 'payloadCountsBreakdown', variant }, [totals[variant]]),
  );
  const omitsSources = edits.isOmitted({ action: 'payloadCounts', variant: null });
  return {
    day: dayText(day),
    complete: (day + 1) * DAY_MS <= world.now(),
    device_counts: jsonFields(devices),
    notebook_minutes: jsonFields(notebooks),
    payload_totals: jsonFields(totals),
    payload_hours: hoursOfDay(meter, day),
    payload_sources: sources.map(({ type, source, count }) => {
      return { payload_type: type, source, count: jsonAmount(count) };
    }),
    omitted: {
      device_counts: omits({ action: 'deviceCounts', variant: null }, Object.values(devices)),
      notebook_minutes: omits({ action: 'notebookMinuteCounts', variant: null }, Object.values(notebooks)),
      payload_totals: omittedTotals.length === 3,
      payload_sources: sources.length === 0 || omitsSources || !retained,
    },
    omitted_totals: omittedTotals,
  };
}

/** Returns the hours of a day as answers by hour have them. */
function hoursOfDay(meter: Meter, day: number): Body {
  const { hours } = meter.editsOf(day);
  const read = (pick: (row: SourceAmount) => Amount) =>
    Array.from({ length: 24 }, (_, hour) => {
      const rows = meter.payloads(day, hour * HOUR_MS, (hour + 1) * HOUR_MS);
      return jsonAmount(add(sumOf(rows, pick), hours.get(hour) ?? 0));
    });
  return {
    billable_counts: read(billableCount),
    all_counts: read((row) => row.count),
    all_bytes: read((row) => row.bytes),
  };
}

function billableCount(row: SourceAmount): Amount {
  return row.billable ? row.count : 0;
}

function jsonFields(values: Readonly<Record<string, Amount>>): Body {
  return Object.fromEntries(Object.entries(values).map(([field, value]) => [field, jsonAmount(value)]));
}
