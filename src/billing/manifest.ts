import { z } from 'zod';
import type { CsvColumn } from '../files/csv.ts';
import { PERIOD_SOURCES } from '../usage/period.ts';

/** The file that names every other file of a proof pack with its hash. */
export const MANIFEST_NAME = 'manifest.json';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);

/** What a proof pack says of itself. Its own SHA-256 stands in `statements.manifest_sha256`. */
export const manifestSchema = z.strictObject({
  format: z.literal(1),
  statement: z.strictObject({
    id: z.uuid(),
    instanceId: z.string().regex(/^[0-9a-f]{24}$/),
    month: z.string(),
    number: z.int().min(1),
    kind: z.enum(['closing', 'adjustment']),
    periods: z.enum(PERIOD_SOURCES),
    reason: z.string().nullable(),
    /** In microseconds, UTC. */
    closedAt: z.string(),
  }),
  /** Sums over the organizations, as text, by metric. */
  totals: z.array(z.strictObject({ metric: z.string(), unit: z.string(), quantity: z.string().nullable() })),
  files: z.array(
    z.strictObject({
      name: z.string().regex(/^[a-z]+\.csv$/),
      columns: z.array(z.string()),
      rows: count,
      bytes: count,
      sha256,
    }),
  ),
});

export type Manifest = z.infer<typeof manifestSchema>;

export function renderManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** The metrics that days.csv has: its last columns. */
export function metricsOf({ files }: Manifest): string[] {
  const columns = files.find(({ name }) => name === 'days.csv')?.columns ?? [];
  return columns.slice(columns.indexOf('is_final') + 1);
}

/** Text from outside; all else is written by the database. */
const TEXT_COLUMNS = [
  'org_name',
  'referral_id',
  'plan_id',
  'customer_id',
  'reason',
  'waived_by',
  'error_message',
];

export function csvColumns(names: readonly string[]): CsvColumn[] {
  return names.map((name) => ({ name, isText: TEXT_COLUMNS.includes(name) }));
}
