import type { RunKind } from '../database/schema.ts';
import type { Ask } from '../usage/plan.ts';
import type { OptionValues } from './options.ts';
import type { exportOptions } from './x-export-options.ts';

/** What `run` and `backfill` ask for: their options, and what those two add. */
export interface ExportRequest extends OptionValues<typeof exportOptions> {
  readonly kind: Exclude<RunKind, 'scheduled'>;
  /** Undefined: everything that is due. */
  readonly ask?: Ask;
  /** Requests per second instead of the configured rate. */
  readonly rate?: number | null;
}
