import { readFileSync } from 'node:fs';

export interface Instruction {
  /** In capitals, e.g. `COPY`. */
  readonly name: string;
  readonly text: string;
}

export interface Stage {
  /** Its name after `AS`; the last one has none. */
  readonly name: string | null;
  readonly base: string;
  readonly instructions: readonly Instruction[];
}

/** Returns the Dockerfile's stages in order, continued lines joined, comments left out. */
export function readStages(): Stage[] {
  const lines = readFileSync('Dockerfile', 'utf8')
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const instructions = lines.map((line): Instruction => {
    const [, name = '', text = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    return { name, text };
  });
  const args = new Map(
    instructions.filter(({ name }) => name === 'ARG').map(({ text }) => text.split('=') as [string, string]),
  );
  const starts = instructions.flatMap(({ name }, index) => (name === 'FROM' ? [index] : []));
  return starts.map((start, index) => {
    const [image = '', , name = null] = (instructions[start]?.text ?? '').split(' ');
    const base = image.replace(/^\$\{(\w+)\}$/, (_, arg: string) => args.get(arg) ?? '');
    return { name, base, instructions: instructions.slice(start + 1, starts[index + 1]) };
  });
}

/** Returns the sources of a COPY, and where they go; `from` names the stage they come from, null the checkout. */
export function readCopy(text: string): { from: string | null; sources: string[]; target: string } {
  const words = text.split(/\s+/);
  const from = words[0]?.startsWith('--from=') ? words.shift()?.slice('--from='.length) : null;
  const target = words.pop() ?? '';
  return { from: from ?? null, sources: words, target };
}

/** Returns the instruction of this name in the last stage. Throws unless there is exactly one. */
export function lastOf(name: string): string {
  const found = readStages()
    .at(-1)
    ?.instructions.filter((each) => each.name === name);
  if (found?.length !== 1) throw new Error(`${found?.length} ${name} in the last stage`);
  return found[0]?.text ?? '';
}
