declare global {
  interface JSON {
    /** Returns a value that is written as this text. Node has it; TypeScript's library does not declare it yet. */
    rawJSON(text: string): object;
  }
}

/** An exact sum. The bytes of one organization and day can reach 2^53 − 1, so a sum can exceed a double. */
export type Amount = number | bigint;

/** Adds exactly. Returns a number if the sum is a safe integer, otherwise a bigint. */
export function add(a: Amount, b: Amount): Amount {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (Number.isSafeInteger(sum)) return sum;
  }
  return BigInt(a) + BigInt(b);
}

export function sumUp<R>(rows: readonly R[], read: (row: R) => Amount): Amount {
  return rows.reduce<Amount>((sum, row) => add(sum, read(row)), 0);
}

/** Returns a value that `JSON.stringify` writes with all digits. */
export function toJsonAmount(amount: Amount): number | object {
  return typeof amount === 'number' ? amount : JSON.rawJSON(String(amount));
}
