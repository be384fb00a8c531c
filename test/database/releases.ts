/** What a release froze: `test/fixtures/releases` has a dump of each version, and the checksums of its files. */
import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';

export const RELEASES = 'test/fixtures/releases';

/** Returns the files that may not change once they are released. */
export function releasedFiles(): string[] {
  return [...globSync('migrations/[0-9]*.sql'), ...globSync('pack-checks/*.sql')].toSorted();
}

/** Returns the checksum of a file as `sha256sum` prints it; line ends may be those of a checkout on Windows. */
export function checksum(path: string): string {
  return createHash('sha256').update(readFileSync(path, 'utf8').replaceAll('\r\n', '\n')).digest('hex');
}
