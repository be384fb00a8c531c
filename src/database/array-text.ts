/** An array as Postgres reads one from text; null for one that has other elements than text, numbers, booleans and null. */
export function arrayText(values: readonly unknown[]): string | null {
  const parts: string[] = [];
  for (const value of values) {
    if (value === null) parts.push('NULL');
    else if (typeof value === 'string') parts.push(`"${NEEDS_ESCAPE.test(value) ? escape(value) : value}"`);
    else if (typeof value === 'number' || typeof value === 'boolean') parts.push(String(value));
    else return null;
  }
  return `{${parts.join(',')}}`;
}

const NEEDS_ESCAPE = /["\\]/;

function escape(text: string): string {
  return text.replaceAll(/["\\]/g, String.raw`\$&`);
}
