import { deviceCounts } from './device-counts.ts';
import { notebookMinutes } from './notebook-minutes.ts';
import { payloadHours } from './payload-hours.ts';
import { payloadSources } from './payload-sources.ts';
import { payloadTotals } from './payload-totals.ts';
import type { Stream } from './stream.ts';

/** All streams, in the order in which people see them. */
export const streams: readonly Stream[] = [
  deviceCounts,
  notebookMinutes,
  payloadTotals,
  payloadSources,
  payloadHours,
];

export const streamNames: readonly string[] = streams.map((stream) => stream.name);

/** The streams that are exported where the setting STREAMS does not say which. */
export const usualStreamNames: readonly string[] = streamNames.filter((name) => name !== payloadHours.name);

/**
 * `streamNamed` returns the stream called `name`. Only for names checked at the border: an unknown one is
 * a defect.
 */
export function streamNamed(name: string): Stream {
  const stream = streams.find((candidate) => candidate.name === name);
  if (!stream) throw new Error(`no stream is called ${name}`);
  return stream;
}
