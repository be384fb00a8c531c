import type { Column, Renderer } from './column.ts';

/** The library of each is loaded when its file is written. */
const FORMATS = {
  csv: async (columns: readonly Column[]) => (await import('./csv.ts')).createCsv(columns),
  ndjson: async (columns: readonly Column[]) => (await import('./ndjson.ts')).createNdjson(columns),
  parquet: async (columns: readonly Column[]) => (await import('./parquet.ts')).createParquet(columns),
} satisfies Readonly<Record<string, (columns: readonly Column[]) => Promise<Renderer>>>;

export type FormatName = keyof typeof FORMATS;

export const formatNames: readonly FormatName[] = ['csv', 'ndjson', 'parquet'];

export async function createRenderer(format: FormatName, columns: readonly Column[]): Promise<Renderer> {
  return await FORMATS[format](columns);
}
