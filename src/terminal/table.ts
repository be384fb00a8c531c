import { type HangingLine, type Line, type Piece, piecesOf, styled, widthOf } from './text.ts';
import { count } from './words.ts';

export interface Table {
  /** The titles; a table without them only has aligned columns. */
  readonly head?: readonly string[];
  readonly rows: readonly (readonly Line[])[];
  /** The columns of numbers, by their place. */
  readonly right?: readonly number[];
  readonly indent?: number;
  /** The number of rows shown to people; a line below counts the rest. */
  readonly most?: number;
}

const BETWEEN = '  ';

/** Columns as wide as their widest cell; what does not fit of the last one goes on below it. */
export function renderTable({ head, rows, right = [], indent = 2, most = rows.length }: Table): Line[] {
  const titles = head?.map((title): Line => styled('dim', title));
  const shown = rows.slice(0, most);
  const all = titles ? [titles, ...shown] : shown;
  const columns = Math.max(0, ...all.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...all.map((row) => cellWidth(row[column] ?? ''))),
  );
  const lines = all.map((row): Line => renderRow(row, { widths, right, indent }));
  const hidden = rows.length - shown.length;
  if (hidden > 0) lines.push(`${' '.repeat(indent)}and ${count(hidden, 'more', 'more')} (--json has all)`);
  return lines;
}

function renderRow(
  row: readonly Line[],
  { widths, right, indent }: { widths: readonly number[]; right: readonly number[]; indent: number },
): HangingLine {
  const pieces: Piece[] = [' '.repeat(indent)];
  const before = widths.slice(0, Math.max(0, row.length - 1));
  for (const [column, cell] of row.entries()) {
    const isLast = column === row.length - 1;
    const padding = ' '.repeat((widths[column] ?? 0) - cellWidth(cell));
    if (column > 0) pieces.push(BETWEEN);
    if (right.includes(column)) pieces.push(padding, ...piecesOf(cell));
    else pieces.push(...piecesOf(cell), ...(isLast ? [] : [padding]));
  }
  return { pieces, hang: before.reduce((sum, width) => sum + width + BETWEEN.length, indent) };
}

function cellWidth(cell: Line): number {
  return piecesOf(cell).reduce((sum, piece) => sum + widthOf(piece), 0);
}
