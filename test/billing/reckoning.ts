/** Computes the expected statements without the program, from the numbers that were stored. */
import { daysOfMonth } from '../../src/usage/day.ts';

/** The metrics, by stream; `devices_total` is the only level. */
export const METRICS: Readonly<Record<string, readonly string[]>> = {
  device_counts: ['devices_created', 'devices_deleted', 'devices_total'],
  payload_totals: ['payload_billable_count', 'payload_all_count', 'payload_all_bytes'],
  payload_sources: ['payload_source_count'],
};

export interface ReckonedCell {
  readonly orgId: string;
  readonly day: string;
  readonly stream: string;
  /** By metric; null if none are stored. */
  numbers: Record<string, number> | null;
  isSettled: boolean;
}

/** A line as both sides have it: organization, metric, quantity, total, customer. */
export type ReckonedLine = readonly [string, string, string | null, string | null, string | null];

interface BilledLine {
  readonly quantity: bigint;
  /** The total, and of a level also its maximum and sum. */
  readonly totals: string;
  readonly customer: string | null;
}

export class Reckoning {
  readonly cells = new Map<string, ReckonedCell>();
  /** By organization: its instance, and its customers with their first days, oldest first. */
  readonly instances = new Map<string, string>();
  readonly customers = new Map<string, (readonly [string, string])[]>();
  readonly #billed = new Map<string, BilledLine>();

  add(cell: ReckonedCell): void {
    this.cells.set(`${cell.orgId} ${cell.day} ${cell.stream}`, cell);
  }

  /** Returns the lines of a statement that is created now, and bills them. */
  bill(instanceId: string, month: string, isAdjustment: boolean): ReckonedLine[] {
    const lines: ReckonedLine[] = [];
    const cells = [...this.cells.values()].filter(
      ({ orgId, day }) => this.instances.get(orgId) === instanceId && day.startsWith(month),
    );
    for (const streamCells of Map.groupBy(cells, ({ orgId, stream }) => `${orgId} ${stream}`).values()) {
      const inOrder = streamCells.toSorted((a, b) => (a.day < b.day ? -1 : 1));
      for (const metric of METRICS[inOrder[0]?.stream ?? ''] ?? [])
        lines.push(...this.#billMetric(inOrder, metric, isAdjustment));
    }
    return lines.toSorted(byKey);
  }

  /** Returns a line or none, from the cells of a month, organization and stream. */
  #billMetric(cells: readonly ReckonedCell[], metric: string, isAdjustment: boolean): ReckonedLine[] {
    const { orgId, day } = cells[0] as ReckonedCell;
    const month = day.slice(0, 7);
    const isSettled = cells.every((cell) => cell.isSettled);
    const values = cells.flatMap(({ numbers, isSettled: counts }) =>
      counts && numbers !== null ? [BigInt(numbers[metric] as number)] : [],
    );
    const isLevel = metric === 'devices_total';
    const sum = values.reduce((all, each) => all + each, 0n);
    const total = isLevel || values.length === 0 ? (values.at(-1) ?? null) : sum;
    const totals = `${total}${isLevel ? ` of ${values.toSorted((a, b) => (a < b ? -1 : 1)).at(-1)}, ${sum}` : ''}`;
    const key = `${orgId} ${month} ${metric}`;
    const billed = this.#billed.get(key);
    const isWithheld = !isSettled || total === null;
    if (isWithheld && (isAdjustment || billed !== undefined)) return [];
    if (billed?.totals === totals) return [];
    const customer = billed?.customer ?? this.#customerOf(orgId, daysOfMonth(month).to);
    this.#billed.set(key, { quantity: total ?? 0n, totals, customer });
    if (total === null) return [[orgId, metric, null, null, customer]];
    return [[orgId, metric, `${total - (billed?.quantity ?? 0n)}`, `${total}`, customer]];
  }

  #customerOf(orgId: string, day: string): string | null {
    const customers = this.customers.get(orgId) ?? [];
    return customers.findLast(([from]) => from <= day)?.[1] ?? customers[0]?.[1] ?? null;
  }

  /** Returns what was billed over all statements, by organization, month and metric. */
  list(): string[] {
    return [...this.#billed].map(([key, { quantity }]) => `${key} ${quantity}`).toSorted();
  }

  /** Returns what was billed to each customer over all its organizations and statements, twice. */
  listCustomers(): string[] {
    const byCustomer = new Map<string, bigint>();
    for (const [key, { quantity, customer }] of this.#billed) {
      const [, month, metric] = key.split(' ');
      const customerKey = `${customer} ${month} ${metric}`;
      byCustomer.set(customerKey, (byCustomer.get(customerKey) ?? 0n) + quantity);
    }
    return [...byCustomer].map(([key, quantity]) => `${key} ${quantity} ${quantity}`).toSorted();
  }
}

export function byKey(a: readonly (string | null)[], b: readonly (string | null)[]): number {
  const [left, right] = [`${a[0]} ${a[1]}`, `${b[0]} ${b[1]}`];
  return left < right ? -1 : left > right ? 1 : 0;
}
