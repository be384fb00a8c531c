import { InexactNumber, REPEATED_KEY } from '../exact-json.ts';

/**
 * Why a value of a body cannot be billed; null if it can. A billed number is an
 * integer, not negative, at most 2^53 − 1, and written so that no digit is lost.
 */
export function findNumberProblem(value: unknown): string | null {
  if (typeof value === 'number') return findRangeProblem(value);
  if (value === undefined) return 'is missing';
  if (value instanceof InexactNumber) return `is ${value.text}, which cannot be stored without rounding`;
  if (value === REPEATED_KEY) return 'is there twice';
  return `is no number but ${describeKind(value)}`;
}

function findRangeProblem(value: number): string | null {
  if (!Number.isInteger(value)) return `is no whole number (${value})`;
  if (value < 0) return `is negative (${value})`;
  if (!Number.isSafeInteger(value)) return `is above 2^53 − 1 (${value})`;
  return null;
}

function describeKind(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  return typeof value === 'string' ? 'text' : `a ${typeof value}`;
}
