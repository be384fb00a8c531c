/**
 * Exact sums. One organization's bytes of one day reach 2^53 − 1, so a sum over days or over the
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

/** Returns a value that `JSON.stringify` writes as this integer, digit for digit. */
export function jsonAmount(amount: Amount): unknown {
  return typeof amount === 'number' ? amount : rawNumber(String(amount));
}

/** Returns a value that `JSON.stringify` writes as these digits, even if no number can represent them. */
export function rawNumber(digits: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(digits);
}
