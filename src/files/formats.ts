/** The formats. The library of each is loaded when its file is written. */
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

/** The form in which a column's values are written; `decimal` may have a fraction. */
export type ColumnKind = 'integer' | 'decimal' | 'boolean' | 'day' | 'instant' | 'json' | 'text';

export interface Column {
  readonly name: string;
  readonly kind: ColumnKind;
}

/**
 * A row's values in the order of its columns, as text, so that none is rounded on the way: numbers in
 * decimal digits, `true` and `false`, days as `YYYY-MM-DD`, instants as `YYYY-MM-DDTHH:MM:SS.uuuuuuZ`,
 * JSON without white space between its parts. A missing value is null.
 */
export type Row = readonly (string | null)[];

/** A part of a file. */
export type Part = string | Uint8Array;

/** Renders a file from its rows in chunks, with at most some thousands of rows in memory. */
export interface Renderer {
  /** Returns the beginning of the file. */
  begin(): Part;
  /** Returns the part that can be written once these rows are known. */
  add(rows: readonly Row[]): Part | Promise<Part>;
  end(): Part | Promise<Part>;
}
