/** The arithmetic of the checks of a proof pack, on whole numbers of any size, and the numbers billed before. */
import type { Manifest } from './pack.ts';
import { METRICS, type PackRow } from './pack-files.ts';

/** The totals of an organization by the preceding statements of a month; empty before the closing. */
export interface Billed {
  readonly lines: Map<string, string | null>;
  readonly sources: Map<string, string | null>;
}

export function keyOfLine(line: PackRow): string {
  return `${line['period_start']} ${line['metric']}`;
}

export function keyOfSource({ period_start, payload_type, source }: PackRow): string {
  return JSON.stringify([period_start, payload_type, source]);
}

/** Takes a problem of a file. */
export type Report = (file: string, problem: string) => void;

/** The numbers of a metric over the days of a period. */
export interface Sum {
  sum: bigint;
  last: bigint;
  max: bigint;
  days: bigint;
}

/** `addNumber` adds the number of a day, which comes after those added before. */
export function addNumber(sums: Map<string, Sum>, metric: string, text: string | null): void {
  if (text === null) return;
  const number = BigInt(text);
  const known = sums.get(metric) ?? { sum: 0n, last: number, max: number, days: 0n };
  known.sum += number;
  // Days come in order, so the last one read is the newest.
  known.last = number;
  if (number > known.max) known.max = number;
  known.days += 1n;
  sums.set(metric, known);
}

/** `parseNumbers` returns the numbers of a revision as text; null if it has something else. */
export function parseNumbers(text: string | null): string[] | null {
  if (text === null) return [];
  return /^\{("\w+": \d+(, |(?=\})))*\}$/.test(text) ? (text.match(/(?<=: )\d+/g) ?? []) : null;
}

/** `averageOf` returns the average rounded to hundredths as Postgres does. */
export function averageOf({ sum, days }: Sum): string {
  const hundredths = (sum * 200n + days) / (days * 2n);
  return `${hundredths / 100n}.${`${hundredths % 100n}`.padStart(2, '0')}`;
}

/** `difference` returns what an adjustment bills: a number that was not stored before is billed as a whole. */
export function difference(now: string | null, before: string | null): string | null {
  if (now === null) return before === null ? null : `${-BigInt(before)}`;
  return before === null ? now : `${BigInt(now) - BigInt(before)}`;
}

export function show(text: string | null | undefined): string {
  return text ?? 'not stored';
}

/** The total of a statement for one metric. */
export type StatementTotal = Manifest['totals'][number];

/** The sums of a statement over all organizations. */
export class Totals {
  readonly #metrics = new Map<string, { orgs: number; quantity: bigint | null }>();

  /** Adds the quantities of an organization, each with its metric; null where none is stored. */
  add(quantities: readonly (readonly [metric: string, quantity: string | null])[]): void {
    for (const [metric, each] of Map.groupBy(quantities, ([name]) => name)) {
      const known = this.#metrics.get(metric) ?? { orgs: 0, quantity: null };
      known.orgs += 1;
      for (const [, quantity] of each)
        if (quantity !== null) known.quantity = (known.quantity ?? 0n) + BigInt(quantity);
      this.#metrics.set(metric, known);
    }
  }

  /** Returns the totals in the order of the metrics. */
  list(): StatementTotal[] {
    return [...METRICS].flatMap(([metric, { unit, kind }]) => {
      const sum = this.#metrics.get(metric);
      if (sum === undefined) return [];
      return [
        { metric, unit, kind, orgs: sum.orgs, quantity: sum.quantity === null ? null : `${sum.quantity}` },
      ];
    });
  }
}
