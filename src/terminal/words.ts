/** Numbers, days, instants in UTC, and lists of words as text, the same in every command and page. */
import { DAY_MS, HOUR_MS, type UsageDay } from '../usage/day.ts';

/** Returns the number with thousands separators: `1,234`. */
export function showNumber(value: number | bigint): string {
  return value.toLocaleString('en-US');
}

/** Returns an integer of any length with thousands separators; `-` for null. */
export function showQuantity(digits: string | null): string {
  return digits === null ? '-' : showNumber(BigInt(digits));
}

/** Returns a difference with its sign: `+1,234`, `-5`, `0`. */
export function showDifference(difference: number): string {
  return `${difference > 0 ? '+' : ''}${showNumber(difference)}`;
}

/** Returns a count with its noun: `1 cell`, `1,234 cells`. */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${showNumber(number)} ${number === 1 ? noun : plural}`;
}

/** Returns a single day, or the first and the last with `..` between them. */
export function showDays({ from, to }: { from: string; to: string }): string {
  return from === to ? from : `${from}..${to}`;
}

/** Returns a code in words: `in doubt` for `in_doubt`. */
export function showCode(code: string): string {
  return code.replaceAll('_', ' ');
}

export function capitalize(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}

const MINUTE_MS = 60_000;

/** Returns `0.4 s`, `12 s`, `4 min 35 s`, `1 h 54 min` or `3 d 2 h`. */
export function showDuration(ms: number): string {
  const seconds = ms / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const units = [
    { size: Math.floor(ms / DAY_MS), name: 'd' },
    { size: Math.floor(ms / HOUR_MS) % 24, name: 'h' },
    { size: Math.floor(ms / MINUTE_MS) % 60, name: 'min' },
    { size: Math.floor(seconds) % 60, name: 's' },
  ];
  const first = units.findIndex(({ size }) => size > 0);
  const visibleUnits = units.slice(first, first + 2).filter(({ size }) => size > 0);
  return visibleUnits.map(({ size, name }) => `${size} ${name}`).join(' ');
}

/** Returns a function that shows a day in English, as the options say. September is cut off as SQL does: `Sep`. */
export function formatDays(options: Intl.DateTimeFormatOptions): (day: UsageDay) => string {
  const format = new Intl.DateTimeFormat('en-GB', { ...options, timeZone: 'UTC' });
  return (day) => format.format(Date.parse(day)).replace(/\bSept\b/, 'Sep');
}

/** Returns an ISO instant as `2026-11-25 00:57 UTC`. */
export function showInstant(instant: string): string {
  return `${instant.slice(0, 10)} ${instant.slice(11, 16)} UTC`;
}

/** Returns `00:57 UTC (in 2 h)`, with the date if it is not today. */
export function showWhen(instant: string, nowMs: number): string {
  const isToday = instant.slice(0, 10) === new Date(nowMs).toISOString().slice(0, 10);
  const text = isToday ? `${instant.slice(11, 16)} UTC` : showInstant(instant);
  return `${text} (${showDistance(Date.parse(instant) - nowMs)})`;
}

/** Returns `in 2 h`, `3 min ago`, `61 d 2 h ago`, `just now` or `in a moment`. */
export function showDistance(ms: number): string {
  const size = Math.abs(ms);
  if (size < MINUTE_MS) return ms > 0 ? 'in a moment' : 'just now';
  const text = size < HOUR_MS ? `${Math.floor(size / MINUTE_MS)} min` : showDuration(size);
  return ms < 0 ? `${text} ago` : `in ${text}`;
}

/** Returns the name of an organization, or its ID if there is no name to read. */
export function showName(name: string, id: string): string {
  return name.trim() === '' ? id : name;
}

/** So few that a secret in the wrong place stays mostly hidden. */
const MAX_QUOTED_CHARACTERS = 40;

/** Returns the text on one line in double quotes, shortened if it is long: what is wrong with a path is its end. */
export function quote(text: string): string {
  if (text.length <= MAX_QUOTED_CHARACTERS) return JSON.stringify(text);
  const isPath = text.includes('/') && !text.includes('://');
  const part = isPath ? `…${text.slice(-MAX_QUOTED_CHARACTERS)}` : `${text.slice(0, MAX_QUOTED_CHARACTERS)}…`;
  return `${JSON.stringify(part)} (${text.length} characters)`;
}

/** Joins the parts that are not empty. */
export function joinParts(separator: string, ...parts: readonly (string | false | null | undefined)[]): string {
  return parts.filter(Boolean).join(separator);
}

/** Returns `a, b or c`. */
export function joinWithOr(choices: readonly string[]): string {
  return choices.length < 2 ? choices.join('') : `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
}

/** Returns the candidate that the name most likely misspells, with at most `maxTypos`; null if there is none. */
export function findNearestName<T extends string>(
  name: string,
  candidates: readonly T[],
  maxTypos = name.length / 3,
): T | null {
  const [best] = candidates
    .map((candidate) => ({ candidate, typos: countTypos(name, candidate) }))
    .sort((a, b) => a.typos - b.typos);
  return best !== undefined && best.typos <= maxTypos ? best.candidate : null;
}

/** Returns the optimal string alignment distance of two texts. */
function countTypos(a: string, b: string): number {
  let previous: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 0; i < a.length; i += 1) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j += 1) {
      const replaced = (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1);
      const isSwapped = i > 0 && a[i] === b[j - 1] && a[i - 1] === b[j];
      const swapped = isSwapped ? (previous[j - 1] ?? 0) + 1 : replaced;
      next.push(Math.min(replaced, swapped, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    previous = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
