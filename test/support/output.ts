import type { Output } from '../../src/terminal/output.ts';

/** An output that discards everything, for commands that are called inside a test. */
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
