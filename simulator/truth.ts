import { type Amount, add, sumUp, toJsonAmount } from './amount.ts';
import { DAY_MS, dayOf, dayText, HOUR_MS } from './calendar.ts';
import type { CounterVariant } from './edits.ts';
import { createOrgMeter, type Meter, type SourceAmount } from './meter.ts';
import type { Org } from './organizations.ts';
import { findOldestDay } from './params.ts';
import type { Body } from './rejection.ts';
import { DAY_ACTIONS, DAY_COUNTERS } from './usage.ts';
import type { World } from './world.ts';

/** Returns the rows that a run must store for one organization, by usage day and stream. */
export function describeTruth(world: World, org: Org, firstDay: number, lastDay: number): Body {
  const meter = createOrgMeter(world, org);
  const last = Math.min(lastDay, dayOf(world.now()));
  const days: Body[] = [];
  for (let day = firstDay; day <= last; day++) days.push(describeDay(world, meter, day));
  return { orgId: org.key, deleted: org.deleted, createdDay: dayText(dayOf(org.createdMs)), days };
}

function describeDay(world: World, meter: Meter, day: number): Body {
  const { settings } = world;
  const edits = meter.getEdits(day);
  const counts = DAY_ACTIONS.map((action) => ({ ...DAY_COUNTERS[action], action, fields: meter.count(action, day) }));
  const sources = meter.payloads(day, 0, DAY_MS);
  const totals = {
    billable_count: sumUp(sources, billableCount),
    all_count: sumUp(sources, (row) => row.count),
    all_bytes: sumUp(sources, (row) => row.bytes),
  };
  const isRetained = day >= findOldestDay(settings, world.now());
  const isOmitted = (target: CounterVariant, values: readonly Amount[]) => {
    const isZero = !isRetained || values.every((value) => value === 0);
    const isExpired = !isRetained && settings.retention !== 'zeros';
    return edits.isOmitted(target) || isExpired || (settings.omitZeroDays && isZero);
  };
  const omittedTotals = (['billable_count', 'all_count', 'all_bytes'] as const).filter((variant) =>
    isOmitted({ action: 'payloadCountsBreakdown', variant }, [totals[variant]]),
  );
  const omitsSources = edits.isOmitted({ action: 'payloadCounts', variant: null });
  return {
    day: dayText(day),
    complete: (day + 1) * DAY_MS <= world.now(),
    ...Object.fromEntries(counts.map(({ stream, fields }) => [stream, toJsonFields(fields)])),
    payload_totals: toJsonFields(totals),
    payload_hours: describeHours(meter, day),
    payload_sources: sources.map(({ type, source, count }) => {
      return { payload_type: type, source, count: toJsonAmount(count) };
    }),
    omitted: {
      ...Object.fromEntries(
        counts.map(({ stream, action, fields }) => {
          return [stream, isOmitted({ action, variant: null }, Object.values(fields))];
        }),
      ),
      payload_totals: omittedTotals.length === 3,
      payload_sources: sources.length === 0 || omitsSources || !isRetained,
    },
    omitted_totals: omittedTotals,
  };
}

/** Returns the hours of a day as in hourly responses. */
function describeHours(meter: Meter, day: number): Body {
  const { hourOffsets } = meter.getEdits(day);
  const read = (pick: (row: SourceAmount) => Amount) =>
    Array.from({ length: 24 }, (_, hour) => {
      const rows = meter.payloads(day, hour * HOUR_MS, (hour + 1) * HOUR_MS);
      return toJsonAmount(add(sumUp(rows, pick), hourOffsets.get(hour) ?? 0));
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

function toJsonFields(values: Readonly<Record<string, Amount>>): Body {
  return Object.fromEntries(Object.entries(values).map(([field, value]) => [field, toJsonAmount(value)]));
}
