import { type Line, line, styled } from '../terminal/text.ts';
import { count } from '../terminal/words.ts';
import type { Verified } from './verify.ts';

/** Problems shown to people; `--json` has all. */
const PROBLEMS_MAX = 50;

export function renderVerified({ dir, packs, problems, database }: Verified & { dir: string }): Line[] {
  if (problems.length > 0) {
    const more = problems.length - PROBLEMS_MAX;
    return [
      line`${styled('red', `${dir} does not hold`)}: ${count(problems.length, 'problem')}.`,
      ...problems.slice(0, PROBLEMS_MAX).map(({ file, problem }) => `  ${file}: ${problem}`),
      ...(more > 0 ? [`  and ${count(more, 'more', 'more')}: --json has all`] : []),
      'To write the pack anew from the database: losant-usage statement',
    ];
  }
  return [
    line`${styled('green', `${dir} holds`)}: hashes, sums and completeness of ${count(packs.length, 'statement')}.`,
    ...packs.map(
      ({ manifest: { statement }, manifestSha256 }) =>
        `  ${statement.kind} of ${statement.month}, instance ${statement.instanceId}: manifest SHA-256 ${manifestSha256}`,
    ),
    database === null
      ? 'Not compared with a database: DATABASE_URL is not set.'
      : `The same as in the database ${database}, and as its record of changes says was known then.`,
  ];
}
