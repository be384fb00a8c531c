/** A bug in one place of the program that a test must find. */
export interface Mutant {
  /** What is true of the program without the bug. */
  readonly guarantee: string;
  readonly file: string;
  /** A text that occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** The test file that must fail. */
  readonly test: string;
  /** Part of the names of the tests to run; all tests of the file if unset. */
  readonly only?: string;
}

/** Returns mutants of one file that one test file must find: by guarantee, the text to find and its replacement. */
export function plant(
  target: Pick<Mutant, 'file' | 'test' | 'only'>,
  bugs: Readonly<Record<string, readonly [find: string, replace: string]>>,
): Mutant[] {
  return Object.entries(bugs).map(([guarantee, [find, replace]]) => ({
    ...target,
    guarantee,
    find,
    replace,
  }));
}
