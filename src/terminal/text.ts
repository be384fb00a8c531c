/**
 * Lines for people. They contain untrusted text, such as names, tags and messages of a server, so every control
 * character is escaped on the way to a terminal.
 */
import { readFileSync } from 'node:fs';
import { SourceMap, type SourceMapPayload, type SourceOrigin } from 'node:module';
import { showNumber } from './words.ts';

/** Controls, line separators, and marks that are invisible or change the direction of text: unsafe on a terminal. */
const UNSAFE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Returns the text on one line, unsafe characters as escapes, e.g. `\x1b`. */
export function escapeControls(text: string): string {
  return text.replaceAll(UNSAFE, (character) => SHORT[character] ?? toUnicodeEscape(character).replace('\\u00', '\\x'));
}

/** Returns lines of text with the same characters escaped, except line breaks. */
export function escapeLines(text: string): string {
  return text.split(/\r?\n/).map(escapeControls).join('\n');
}

/** Escapes the same characters in JSON without changing its meaning. */
export function escapeJson(json: string): string {
  return json.replaceAll(UNSAFE, toUnicodeEscape);
}

/** Returns the text as a word for a shell; with unsafe characters, for one that knows `$'…'`, as bash does. */
export function quoteForShell(text: string): string {
  if (/^[\w./:@%+=-]+$/.test(text)) return text;
  if (escapeJson(text) === text) return `'${text.replaceAll("'", `'\\''`)}'`;
  return `$'${escapeJson(text.replaceAll(/[\\']/g, '\\$&'))}'`;
}

function toUnicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

export function cutOff(text: string, maxLength: number): string {
  return text.length > maxLength ? `${text.slice(0, maxLength - 1).toWellFormed()}…` : text;
}

/** The rows of a long table that people see; `--json` has all. */
export const MAX_TABLE_ROWS = 100;

export interface Table {
  readonly head?: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** The indexes of right-aligned columns. */
  readonly right?: readonly number[];
  readonly indent?: number;
  /** The most rows to show; a line below counts the rest. */
  readonly most?: number;
  /** The number of rows, if `rows` has only the first ones. */
  readonly total?: number;
}

/** Returns no lines if there are no rows. */
export function formatTable(table: Table): string[] {
  const { head, rows, right = [], indent = 2, most, total = rows.length } = table;
  if (rows.length === 0) return [];
  const visibleRows = rows.slice(0, most);
  const all = [...(head === undefined ? [] : [head]), ...visibleRows].map((row) => row.map(escapeControls));
  const columns = Math.max(...all.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...all.map((row) => row[column]?.length ?? 0)),
  );
  const lines = all.map((row) => {
    const cells = row.map((cell, column) => {
      const width = widths[column] ?? 0;
      if (right.includes(column)) return cell.padStart(width);
      return column < row.length - 1 ? cell.padEnd(width) : cell;
    });
    return ' '.repeat(indent) + cells.join('  ');
  });
  const hiddenRows = total - visibleRows.length;
  if (hiddenRows > 0) {
    lines.push(`${' '.repeat(indent)}… and ${showNumber(hiddenRows)} more (use --json for all)`);
  }
  return lines;
}

/** The lines before the frames may repeat the error's properties. A position in a bundle becomes that in its source. */
export function getStackFrames({ stack = '' }: Error): string[] {
  const frames = stack.split('\n').filter((each) => /^ {4}at /.test(each));
  return frames.map((frame) => frame.replace(/file:\S+\/dist\/[^/]+\.js:\d+:\d+/, findSource));
}

function findSource(position: string): string {
  const [, url = '', line, column] = /^(.*):(\d+):(\d+)$/.exec(position) ?? [];
  try {
    const map = new SourceMap(JSON.parse(readFileSync(new URL(`${url}.map`), 'utf8')) as SourceMapPayload);
    const { fileName, lineNumber, columnNumber } = map.findOrigin(Number(line), Number(column)) as SourceOrigin;
    return `${fileName.replace(/^(\.\.\/)+/, '')}:${lineNumber}:${columnNumber}`;
  } catch {
    return position;
  }
}
