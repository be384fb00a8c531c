/** Numbers, days, durations and instants as text, the same in every command and page; every instant is in UTC. */
import { DAY_MS, HOUR_MS } from '../usage/day.ts';

/** Returns the number with thousands separators: `1,234`. */
export function showNumber(value: number | bigint): string {
  return value.toLocaleString('en-US');
}

/** Returns an integer of any length with thousands separators; `-` for null. */
export function showQuantity(digits: string | null): string {
  return digits === null ? '-' : showNumber(BigInt(digits));
}

/** Returns a count with its noun: `1 cell`, `1,234 cells`. */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${showNumber(number)} ${number === 1 ? noun : plural}`;
}

/** Returns a single day, or the first and the last with `..` between them. */
export function showDays({ from, to }: { from: string; to: string }): string {
  return from === to ? from : `${from}..${to}`;
}

export function capitalize(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

/** Returns `0.4 s`, `12 s`, `4 min 35 s`, `1 h 54 min` or `3 d 2 h`. */
export function showDuration(ms: number): string {
  if (ms < 10 * SECOND_MS) return `${(ms / SECOND_MS).toFixed(1)} s`;
  if (ms < MINUTE_MS) return `${Math.floor(ms / SECOND_MS)} s`;
  if (ms < HOUR_MS) return formatUnits(ms, [MINUTE_MS, 'min'], [SECOND_MS, 's']);
  if (ms < DAY_MS) return formatUnits(ms, [HOUR_MS, 'h'], [MINUTE_MS, 'min']);
  return formatUnits(ms, [DAY_MS, 'd'], [HOUR_MS, 'h']);
}

type Unit = readonly [ms: number, name: string];

function formatUnits(ms: number, [large, largeName]: Unit, [small, smallName]: Unit): string {
  const largeUnits = Math.floor(ms / large);
  const smallUnits = Math.floor((ms % large) / small);
  return smallUnits === 0 ? `${largeUnits} ${largeName}` : `${largeUnits} ${largeName} ${smallUnits} ${smallName}`;
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
