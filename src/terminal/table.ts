import { type HangingLine, type Line, type Piece, piecesOf, styled, widthOf } from './text.ts';

export interface Table {
  /** Titles; a table without them has aligned columns only. */
  readonly head?: readonly string[];
  readonly rows: readonly (readonly Line[])[];
  /** Columns of numbers, by their place. */
  readonly right?: readonly number[];
  readonly indent?: number;
}

const BETWEEN = '  ';

/** Columns as wide as their widest cell; what does not fit of the last one goes on below it. */
export function renderTable({ head, rows, right = [], indent = 2 }: Table): Line[] {
  const titles = head?.map((title): Line => styled('dim', title));
  const all = titles ? [titles, ...rows] : rows;
  const columns = Math.max(0, ...all.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...all.map((row) => cellWidth(row[column] ?? ''))),
  );
  return all.map((row) => renderRow(row, { widths, right, indent }));
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
