/** A defect in one place of the program that a test must find. */
export interface Mutant {
  /** What is true of the program without the defect. */
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
  defects: Readonly<Record<string, readonly [find: string, replace: string]>>,
): Mutant[] {
  return Object.entries(defects).map(([guarantee, [find, replace]]) => ({
    ...target,
    guarantee,
    find,
    replace,
  }));
}
