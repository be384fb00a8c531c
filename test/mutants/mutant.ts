/** A defect in one place of the program that a test must find. */
export interface Mutant {
  readonly name: string;
  /** What holds without the defect; it stays true when the line moves. */
  readonly promise: string;
  readonly file: string;
  /** A text that occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** The test file that must fail. */
  readonly test: string;
  /** Part of the names of the tests to run; all tests of the file if unset. */
  readonly only?: string;
}
