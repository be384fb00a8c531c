import { deviceCounts } from './device-counts.ts';
import { notebookMinutes } from './notebook-minutes.ts';
import { payloadHours } from './payload-hours.ts';
import { payloadSources } from './payload-sources.ts';
import { payloadTotals } from './payload-totals.ts';
import type { Stream } from './stream.ts';

/** All streams in the order in which they are read. */
export const streams: readonly Stream[] = [deviceCounts, notebookMinutes, payloadSources, payloadTotals, payloadHours];

export const streamNames: readonly string[] = streams.map((stream) => stream.name);

/** The default of the setting STREAMS. */
export const defaultStreamNames: readonly string[] = streamNames.filter((name) => name !== payloadHours.name);

/** Returns a stream. Names are validated where they enter the program, so an unknown one is a bug. */
export function getStream(name: string): Stream {
  const stream = streams.find((each) => each.name === name);
  if (!stream) throw new Error(`no stream is called ${name}`);
  return stream;
}
