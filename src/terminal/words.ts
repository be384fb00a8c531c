/** Numbers and days in words, the same in every command. */

/** With thousands separators: `1,234`. */
export function showNumber(value: number): string {
  return value.toLocaleString('en-US');
}

/** `1 number`, `1,234 numbers`. */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${showNumber(number)} ${number === 1 ? noun : plural}`;
}

/** A day, or the first and last of several. */
export function showDays({ from, to }: { from: string; to: string }): string {
  return from === to ? from : `${from}..${to}`;
}

/** With its first letter as at the beginning of a sentence. */
export function capitalize(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}
