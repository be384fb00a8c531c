import type { Output } from '../../src/terminal/output.ts';

/** For commands that are called inside a test: what they print goes nowhere. */
export const SILENT: Output = {
  json: true,
  isTerminal: false,
  isShown: false,
  print: () => {},
  printJson: () => {},
  hasDocument: () => false,
  writePart: () => Promise.resolve(true),
  remark: () => {},
};
