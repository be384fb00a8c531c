import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, onTestFinished } from 'vitest';

/** Creates an empty folder that is removed at the end of the test, or after all tests of a file. */
export function createTestFolder(atEnd: (remove: () => void) => void = onTestFinished): string {
  const folder = mkdtempSync(join(tmpdir(), 'losant-usage-test-'));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export const useTestFolder = (): string => createTestFolder(afterAll);
