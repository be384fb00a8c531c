import { add } from './amount.ts';
import type { SourceAmount } from './meter.ts';

/** SourceSum adds up payloads by type and source, exactly. */
export interface SourceSum {
  add(rows: readonly SourceAmount[]): void;
  rows(): SourceAmount[];
}

export function createSourceSum(): SourceSum {
  const sums = new Map<string, SourceAmount>();
  return {
    add(rows) {
      for (const row of rows) {
        const key = `${row.type}\t${row.source}`;
        const held = sums.get(key);
        const sum = held && { ...held, count: add(held.count, row.count), bytes: add(held.bytes, row.bytes) };
        sums.set(key, sum ?? row);
      }
    },
    rows: () => [...sums.values()],
  };
}
