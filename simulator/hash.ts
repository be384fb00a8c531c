/** Deterministic noise: the same seed gives the same numbers in every process. */

/** Returns a 32-bit unsigned integer for two integers (the finalizer of murmur3). */
export function mix(a: number, b: number): number {
  let h = Math.imul(a ^ Math.imul(b + 0x9e3779b9, 0x85ebca6b), 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Returns a 32-bit unsigned integer for a text (FNV-1a, then mixed). */
export function hashText(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mix(h, text.length);
}

/** Returns a fraction in [0, 1) for two integers. */
export function fraction(a: number, b: number): number {
  return mix(a, b) / 2 ** 32;
}

/** Returns `length` lower-case hex digits for a text. */
export function toHex(text: string, length: number): string {
  let hex = '';
  for (let i = 0; hex.length < length; i++) hex += hashText(`${i}/${text}`).toString(16).padStart(8, '0');
  return hex.slice(0, length);
}
