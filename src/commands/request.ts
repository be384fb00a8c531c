import { addDays, dayAt, type UsageDay } from '../usage/day.ts';
import { SettingsError } from '../errors.ts';
import type { InstanceConfig } from '../settings/instance.ts';
import type { RunKind } from '../database/schema.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import type { Ask } from '../usage/plan.ts';

/** What `run` and `backfill` ask for. */
export interface ExportRequest {
  readonly kind: Exclude<RunKind, 'scheduled'>;
  readonly ask?: Ask | undefined;
  readonly orgIds: readonly string[] | null;
  readonly streams: readonly string[] | null;
  readonly dryRun: boolean;
  /** How long to wait for a process that has the lease or the embedded folder, in seconds. */
  readonly waitSeconds: number;
  readonly rate?: number | undefined;
}

/** The streams meant on the command line, or all that the instance is configured for. */
export function chooseStreams(
  { instanceId, streams }: InstanceConfig,
  wanted: readonly string[] | null,
): readonly string[] {
  if (wanted === null) return streams;
  const missing = wanted.filter((stream) => !streams.includes(stream));
  if (missing.length === 0) return streams.filter((stream) => wanted.includes(stream));
  throw new SettingsError(`--stream ${missing.join(', ')}: not exported from instance ${instanceId}`, {
    hint: `exported are ${streams.join(', ')}; there are ${streamNames.join(', ')} (setting STREAMS)`,
  });
}

/** A day as it is asked for on the command line: only a day that is over can be. */
export function requirePastDay(option: string, day: UsageDay, nowMs: number): void {
  if (day < dayAt(nowMs)) return;
  throw new SettingsError(`${option} ${day}: that day is not over in UTC`, {
    hint: `the newest day that can be read is ${addDays(dayAt(nowMs), -1)}`,
  });
}
