import type { UsageProfile } from './profile.ts';

/** The smallest limits of any plan. */
const SMALLEST = { device: 100, payload: 100_000, notebookMinutesPerMonth: 1_000 };
/** The growth in advance of which a limit is set, in years; some organizations outgrow theirs. */
const YEARS_OF_GROWTH = 1.5;
const DAYS_OF_MONTH = 30;

/** Returns the limits of a plan that suits the size: the next of 1, 2 or 5 times a power of ten. */
export function limitsFor({ devices, payloadsPerDay, notebookRunsPerDay, growth }: UsageProfile) {
  const later = Math.max(1, 1 + growth * YEARS_OF_GROWTH);
  return {
    device: Math.max(SMALLEST.device, roomFor(devices * later)),
    payload: Math.max(SMALLEST.payload, roomFor(payloadsPerDay * DAYS_OF_MONTH * later)),
    notebookMinutesPerMonth: Math.max(
      SMALLEST.notebookMinutesPerMonth,
      roomFor(notebookRunsPerDay * DAYS_OF_MONTH * later),
    ),
  };
}

function roomFor(usage: number): number {
  const step = 10 ** Math.floor(Math.log10(Math.max(1, usage)));
  return ([1, 2, 5].find((times) => times * step >= usage) ?? 10) * step;
}
