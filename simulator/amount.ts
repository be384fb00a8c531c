declare global {
  interface JSON {
    /** Returns a value that is written as this text. Part of Node; not yet declared by TypeScript's library. */
    rawJSON(text: string): object;
  }
}

/**
 * An exact sum. One organization's bytes of one day reach 2^53 − 1, so a sum over days or over the
 * instance can exceed a JavaScript number.
 */
export type Amount = number | bigint;

/** Returns the exact sum: a number while it is a safe integer, else a bigint. */
export function add(a: Amount, b: Amount): Amount {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (Number.isSafeInteger(sum)) return sum;
  }
  return BigInt(a) + BigInt(b);
}

export function sumOf<R>(rows: readonly R[], read: (row: R) => Amount): Amount {
  return rows.reduce<Amount>((sum, row) => add(sum, read(row)), 0);
}

/** Returns a value that `JSON.stringify` writes as this integer, digit for digit. */
export function jsonAmount(amount: Amount): number | object {
  return typeof amount === 'number' ? amount : JSON.rawJSON(String(amount));
}
