/**
 * Sums that stay exact: one organization's bytes of one day reach 2^53 − 1, so
 * those of several days, or of the instance, are beyond a JavaScript number.
 */
export type Amount = number | bigint;

/** The exact sum: a number while it is a safe integer, else a bigint. */
export function add(a: Amount, b: Amount): Amount {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (Number.isSafeInteger(sum)) return sum;
  }
  return BigInt(a) + BigInt(b);
}

/** What `JSON.stringify` writes as that integer, digit for digit. */
export function jsonAmount(amount: Amount): unknown {
  return typeof amount === 'number' ? amount : rawNumber(String(amount));
}

/** What `JSON.stringify` writes as these digits, whether or not a number could hold them. */
export function rawNumber(digits: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(digits);
}
