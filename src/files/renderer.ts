/** What is rendered: columns and rows, and how a file comes from them. */

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

export type Part = string | Uint8Array;

/** Renders a file from its rows in chunks, with at most some thousands of rows in memory. */
export interface Renderer {
  begin(): Part;
  /** Returns the part that can be written once these rows are known. */
  add(rows: readonly Row[]): Part | Promise<Part>;
  end(): Part | Promise<Part>;
}
