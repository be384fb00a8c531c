/** So few that a secret in the wrong place stays mostly hidden. */
const MAX_QUOTED_CHARACTERS = 40;

/** Returns the text on one line in double quotes, shortened if it is long: what is wrong with a path is its end. */
export function quote(text: string): string {
  if (text.length <= MAX_QUOTED_CHARACTERS) return JSON.stringify(text);
  const isPath = text.includes('/') && !text.includes('://');
  const part = isPath ? `…${text.slice(-MAX_QUOTED_CHARACTERS)}` : `${text.slice(0, MAX_QUOTED_CHARACTERS)}…`;
  return `${JSON.stringify(part)} (${text.length} characters)`;
}

/** Returns `a, b or c`. */
export function joinWithOr(choices: readonly string[]): string {
  return choices.length < 2 ? choices.join('') : `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
}

/** Returns the candidate that the name most likely misspells, with at most `maxTypos`; null if there is none. */
export function findNearestName<T extends string>(
  name: string,
  candidates: readonly T[],
  maxTypos = name.length / 3,
): T | null {
  const [best] = candidates
    .map((candidate) => ({ candidate, typos: countTypos(name, candidate) }))
    .sort((a, b) => a.typos - b.typos);
  return best !== undefined && best.typos <= maxTypos ? best.candidate : null;
}

/** Returns the optimal string alignment distance of two texts. */
function countTypos(a: string, b: string): number {
  let previous: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 0; i < a.length; i += 1) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j += 1) {
      const replaced = (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1);
      const isSwapped = i > 0 && a[i] === b[j - 1] && a[i - 1] === b[j];
      const swapped = isSwapped ? (previous[j - 1] ?? 0) + 1 : replaced;
      next.push(Math.min(replaced, swapped, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    previous = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
