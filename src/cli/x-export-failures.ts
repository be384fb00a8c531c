import type { Failure } from '../export/report.ts';
import { renderTable } from '../terminal/table.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import { count, showDays } from '../terminal/words.ts';
import { daysFrom } from '../usage/day.ts';
import { withoutPlaces } from './x-causes.ts';

/** Causes and examples of each that are shown to people; the document of `--json` has all. */
const CAUSES_SHOWN = 10;
const EXAMPLES_SHOWN = 3;

/** By cause, each with how often and a few examples: one refused scope does not hide another org's trouble. */
export function renderFailures(failures: readonly Failure[]): Line[] {
  const causes = [...Map.groupBy(failures, causeOf).values()];
  const sorted = causes.toSorted((a, b) => countNumbers(b) - countNumbers(a));
  const lines = sorted.slice(0, CAUSES_SHOWN).flatMap(renderCause);
  const hidden = sorted.length - CAUSES_SHOWN;
  if (hidden > 0) lines.push(`  and ${count(hidden, 'cause')} more (--json lists all failures)`);
  return lines;
}

/** Failures with the same text but for ids and days. */
function causeOf({ code, message }: Failure): string {
  return `${code}: ${withoutPlaces(message)}`;
}

function renderCause(failures: readonly Failure[]): Line[] {
  const [first] = failures;
  if (!first) return [];
  const days = ({ from, to }: Failure) => (from === null || to === null ? [] : [showDays({ from, to })]);
  if (first.orgId === null) {
    return [line`  ${styled('red', first.code)}: ${[first.message, ...days(first)].join(', ')}`];
  }
  const orgs = new Set(failures.map(({ orgId }) => orgId)).size;
  const text = failures.length === 1 ? first.message : withoutPlaces(first.message);
  const rows = failures
    .slice(0, EXAMPLES_SHOWN)
    .map((each): Line[] => [each.orgId ?? '', each.stream ?? 'all streams', ...days(each)]);
  const hidden = failures.length - EXAMPLES_SHOWN;
  const howMany = `${count(countNumbers(failures), 'failure')} in ${count(orgs, 'organization')}`;
  return [
    line`  ${styled('red', howMany)}: ${first.code}: ${text}`,
    ...renderTable({ rows, indent: 4 }),
    ...(hidden > 0 ? [`    and ${count(hidden, 'more', 'more')}`] : []),
  ];
}

function countNumbers(failures: readonly Failure[]): number {
  return failures.reduce(
    (sum, { from, to }) => sum + (from === null || to === null ? 1 : daysFrom(from, to) + 1),
    0,
  );
}
