import { readFileSync } from 'node:fs';

export interface Instruction {
  /** In capitals, e.g. `COPY`. */
  readonly name: string;
  readonly text: string;
}

/** Returns the Dockerfile's instructions in order, without comments and with continued lines joined. */
export function readInstructions(): Instruction[] {
  const text = readFileSync('Dockerfile', 'utf8')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '');
  return [...text.matchAll(/^([A-Z]+)\s+(.*)$/gm)].map(([, name = '', rest = '']) => ({ name, text: rest }));
}

/** Returns the sources of a COPY; `from` is the stage that they come from, or null for the checkout. */
export function readCopy(text: string): { from: string | null; sources: string[] } {
  const words = text.split(/\s+/).slice(0, -1);
  const from = words[0]?.startsWith('--from=') ? words.shift()?.slice('--from='.length) : null;
  return { from: from ?? null, sources: words };
}

/** Returns the text of the last instruction with this name. Throws if there is none. */
export function getLast(name: string): string {
  const instruction = readInstructions().findLast((each) => each.name === name);
  if (instruction === undefined) throw new Error(`no ${name} in the Dockerfile`);
  return instruction.text;
}
