import type { FaultKind } from './faults.ts';

/** A fault that was served: what was done to which cell. */
export interface ServedFault {
  readonly at: string;
  readonly kind: FaultKind;
  readonly action: string;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly orgId: string | null;
  readonly nth: number;
  /** Of a value fault: the UTC day it hit, and the field. */
  readonly day: string | null;
  readonly field: string | null;
}

/** How often each request was asked, and the last faults served. */
export interface FaultLedger {
  /** How often the request was asked before, and its faults in a row; counts this one. */
  ask(identity: string): { nth: number; inRow: number };
  /** Whether the question just asked met a fault. */
  settle(identity: string, faulty: boolean): void;
  record(fault: ServedFault): void;
  served(): readonly ServedFault[];
  reset(): void;
}

/** Bounds of memory: the oldest are forgotten. */
const MAX_SERVED = 20_000;
const MAX_REQUESTS = 300_000;

export function createFaultLedger(): FaultLedger {
  const asked = new Map<string, { nth: number; inRow: number }>();
  let served: ServedFault[] = [];
  return {
    ask(identity) {
      const held = asked.get(identity) ?? { nth: 0, inRow: 0 };
      asked.delete(identity);
      asked.set(identity, { ...held, nth: held.nth + 1 });
      const oldest = asked.size > MAX_REQUESTS ? asked.keys().next().value : undefined;
      if (oldest !== undefined) asked.delete(oldest);
      return held;
    },
    settle(identity, faulty) {
      const held = asked.get(identity);
      if (held !== undefined) held.inRow = faulty ? held.inRow + 1 : 0;
    },
    record(fault) {
      served.push(fault);
      if (served.length > 2 * MAX_SERVED) served = served.slice(-MAX_SERVED);
    },
    served: () => served.slice(-MAX_SERVED),
    reset() {
      asked.clear();
      served = [];
    },
  };
}
