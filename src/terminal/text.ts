/**
 * Lines for people. Parts of a line may come from anywhere (names, tags, messages of a server), so no
 * text in it is ever trusted: colours are styles beside the text, and every control character in the
 * text itself is escaped.
 */
import { styleText } from 'node:util';
import { count } from './words.ts';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** A piece of a line with a style, which is used only where colours are shown. */
export interface Span {
  readonly text: string;
  readonly style: Style;
}

export type Piece = string | Span;

export type Line = Piece | readonly Piece[];

/**
 * The characters that must not reach a terminal: C0, DEL and C1 controls, the separators that break
 * lines, and the marks that change the direction of text or hide in it.
 */
const UNSAFE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Returns the text on one line, unsafe characters as escapes, e.g. `\x1b`. */
export function escapeControls(text: string): string {
  return text.replaceAll(UNSAFE, (character) => SHORT[character] ?? escapeCode(character.charCodeAt(0)));
}

/** Returns lines of text with the same characters escaped, except line breaks. */
export function escapeLines(text: string): string {
  return text
    .split(/\r?\n/)
    .map((each) => escapeControls(each))
    .join('\n');
}

/** Escapes the same characters in JSON, whose meaning stays. */
export function escapeJson(json: string): string {
  return json.replaceAll(UNSAFE, (character) => unicodeEscape(character.charCodeAt(0)));
}

function escapeCode(code: number): string {
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : unicodeEscape(code);
}

function unicodeEscape(code: number): string {
  return `\\u${code.toString(16).padStart(4, '0')}`;
}

export function styled(style: Style, text: string): Span {
  return { style, text };
}

/** Builds a line from a template: `` line`Instance ${styled('bold', id)}` ``. */
export function line(texts: TemplateStringsArray, ...values: readonly (Line | number)[]): readonly Piece[] {
  return texts.flatMap((text, index) => {
    const value = values[index];
    return value === undefined ? [text] : [text, ...piecesOf(typeof value === 'number' ? `${value}` : value)];
  });
}

export function renderLine(content: Line, { color }: { color: boolean }): string {
  return piecesOf(content)
    .map((piece) => {
      if (typeof piece === 'string') return escapeControls(piece);
      const text = escapeControls(piece.text);
      return color && text !== '' ? styleText(piece.style, text, { validateStream: false }) : text;
    })
    .join('');
}

function piecesOf(content: Line): readonly Piece[] {
  return typeof content === 'string' || 'text' in content ? [content] : content;
}

export interface Table {
  /** The titles; a table without them only has aligned columns. */
  readonly head?: readonly string[];
  readonly rows: readonly (readonly Line[])[];
  /** The columns of numbers, by their place. */
  readonly right?: readonly number[];
  readonly indent?: number;
  /** The most rows that are shown to people; a line below counts the rest. */
  readonly most?: number;
  /** The number of all rows, where not all are given. */
  readonly of?: number;
}

/** Returns columns as wide as their widest cell. */
export function renderTable({ head, rows, right = [], indent = 2, most, of = rows.length }: Table): Line[] {
  const titles = head === undefined ? [] : [head.map((title): Line => styled('dim', title))];
  const shown = rows.slice(0, most);
  const all = [...titles, ...shown];
  const columns = Math.max(0, ...all.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...all.map((row) => cellWidth(row[column] ?? ''))),
  );
  const lines = all.map(
    (row): Line =>
      row.flatMap((cell, column) => {
        const padding = ' '.repeat((widths[column] ?? 0) - cellWidth(cell));
        const gap = column === 0 ? ' '.repeat(indent) : '  ';
        if (right.includes(column)) return [gap, padding, ...piecesOf(cell)];
        return column < row.length - 1 ? [gap, ...piecesOf(cell), padding] : [gap, ...piecesOf(cell)];
      }),
  );
  const hidden = of - shown.length;
  if (hidden > 0) lines.push(`${' '.repeat(indent)}and ${count(hidden, 'more', 'more')} (--json has all)`);
  return lines;
}

function cellWidth(cell: Line): number {
  return renderLine(cell, { color: false }).length;
}
