import { addDays } from '../usage/day.ts';
import { EXIT } from '../exit.ts';
import { type Gap, readGaps, readKnownMissing } from '../database/read/gaps.ts';
import { type CommandContext, printJson } from './command.ts';
import { withDatabase } from './read.ts';

/** Lines shown to people; `--json` has all. */
const LINES_MAX = 200;

/** `gaps`: every promised number that is missing; with `all`, also those known to be missing for good. */
export async function gapsCommand(context: CommandContext, { all }: { all: boolean }): Promise<number> {
  const { output } = context;
  const { gaps, known } = await withDatabase(context, async ({ db }) => ({
    gaps: await readGaps(db),
    known: all ? await readKnownMissing(db) : [],
  }));
  if (output.json) printJson(output, [...gaps, ...known].map(toDocument));
  else output.write(render(gaps, all ? known : null));
  return gaps.length > 0 ? EXIT.incomplete : EXIT.ok;
}

function toDocument({ instanceId, orgId, stream, day, state, reason }: Gap) {
  return { instanceId, orgId, stream, day, state, reason };
}

function render(gaps: readonly Gap[], known: readonly Gap[] | null): string {
  const lines: string[] = [];
  if (gaps.length === 0) lines.push('No gaps.');
  else {
    lines.push(`${gaps.length} missing:`, ...renderGaps(gaps));
    lines.push(
      'Next: the next run tries again what is due; losant-usage backfill --from DAY --to DAY tries at once,',
      'losant-usage explain --org ID --day DAY tells more, losant-usage waive accepts what will not come.',
    );
  }
  if (known && known.length > 0) lines.push(`${known.length} known to be missing:`, ...renderGaps(known));
  if (known?.length === 0) lines.push('Nothing is waived or unavailable.');
  return `${lines.join('\n')}\n`;
}

/** One line for neighbouring days that are alike. */
function renderGaps(gaps: readonly Gap[]): string[] {
  const groups = Map.groupBy(gaps, ({ orgId, stream, state, reason }) =>
    JSON.stringify([orgId, stream, state, reason]),
  );
  const lines = [...groups.values()].flatMap(renderGroup);
  if (lines.length <= LINES_MAX) return lines;
  return [...lines.slice(0, LINES_MAX), `  and ${lines.length - LINES_MAX} lines more (--json lists all)`];
}

function renderGroup(group: readonly Gap[]): string[] {
  const [first] = group;
  if (!first) return [];
  const ranges: { from: string; to: string }[] = [];
  for (const { day } of group) {
    const last = ranges.at(-1);
    if (last && addDays(day, 1) === last.from) last.from = day;
    else ranges.push({ from: day, to: day });
  }
  return ranges.map(({ from, to }) => {
    const days = from === to ? from : `${from}..${to}`;
    return `  ${days}  ${first.orgId}  ${first.stream}  ${first.state}: ${first.reason} (${first.orgName})`;
  });
}
