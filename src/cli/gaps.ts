import type { Instant } from '../database/schema.ts';
import { readNowMs } from '../database/session.ts';
import { EXIT } from '../errors.ts';
import { withoutIdsAndDays } from '../loading/report.ts';
import { type Gap, selectGaps } from '../queries/gaps.ts';
import { readInstanceHealth } from '../queries/health.ts';
import { streamRows } from '../queries/view-rows.ts';
import { JsonList } from '../terminal/output.ts';
import { formatTable, MAX_TABLE_ROWS } from '../terminal/text.ts';
import { count, showCode, showDays, showInstant, showWhen } from '../terminal/words.ts';
import { addDays, type UsageDay } from '../usage/day.ts';
import { isGap } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { openSchema } from './database.ts';
import { flagOption } from './options.ts';

export const gaps = defineCommand({
  needs: ['database'],
  options: { all: flagOption('also list unavailable and waived cells, which are not gaps') },
  async run(context, { all }) {
    const { output, signal } = context;
    await using handle = await openSchema(context);
    const nowMs = await readNowMs(handle);
    const { neverReadSince = null, lastError = null } = (await readInstanceHealth(handle.db)) ?? {};
    const summary = new GapSummary();
    const list = new JsonList(output);
    if (neverReadSince !== null) await list.add([{ ...NEVER_READ, detail: lastError }]);
    const scope = { includesResolved: all, isByStream: !output.json };
    for await (const cells of streamRows(handle, selectGaps(handle.db, scope), signal)) {
      for (const cell of cells) summary.add(cell, nowMs);
      await list.add(cells.map(({ orgName: _, ...gap }) => gap));
    }
    await list.end();
    const lines = summary.render();
    return {
      lines:
        neverReadSince === null
          ? lines
          : [...formatNeverRead(neverReadSince, lastError), ...(summary.isEmpty ? [] : lines)],
      exitCode: neverReadSince !== null || summary.hasGaps ? EXIT.incomplete : EXIT.ok,
    };
  },
});

/** The gap of an instance that runs have tried to read, and of which no cell is tracked. */
const NEVER_READ = {
  standing: 'missing',
  reason: 'never_read',
  detail: null,
  orgId: null,
  stream: null,
  day: null,
  nextReadAt: null,
};

export function formatNeverRead(firstAttemptAt: Instant, lastError: string | null): string[] {
  return [
    `The instance was never read; the first attempt was ${showInstant(firstAttemptAt)}.`,
    `  ${lastError === null ? 'No run has read anything yet.' : `The last run failed: ${lastError}`}`,
    '  To see what is wrong: losant-usage check',
  ];
}

/** Consecutive days of a stream of an organization, with the same cause and retry. */
interface GapRange {
  readonly text: readonly string[];
  from: UsageDay;
  readonly to: UsageDay;
}

/** The cells of one part of the list, by cause with its first ranges. */
class CauseList {
  cells = 0;
  orgs = 0;
  readonly #causes = new Map<
    string,
    { cells: number; rangeCount: number; ranges: GapRange[]; last: GapRange | null }
  >();
  #lastOrgId = '';

  add(gap: Gap, nowMs: number): void {
    const { orgId, orgName, stream, day } = gap;
    this.cells += 1;
    if (orgId !== this.#lastOrgId) this.orgs += 1;
    this.#lastOrgId = orgId;
    const name = describeGap(gap);
    const cause = this.#causes.get(name) ?? { cells: 0, rangeCount: 0, ranges: [], last: null };
    this.#causes.set(name, cause);
    cause.cells += 1;
    const text = [stream, describeRetry(gap, nowMs), orgId, orgName];
    const { last } = cause;
    if (last?.from === addDays(day, 1) && last.text.join() === text.join()) last.from = day;
    else {
      cause.last = { text, from: day, to: day };
      cause.rangeCount += 1;
      if (cause.ranges.length < MAX_TABLE_ROWS) cause.ranges.push(cause.last);
    }
  }

  render(state: string): string[] {
    if (this.cells === 0) return [];
    const causes = [...this.#causes].toSorted(([, a], [, b]) => b.cells - a.cells);
    const tables = causes.flatMap(([name, { cells, ranges, rangeCount: total }]) => {
      const rows = ranges.map(({ text, ...range }) => [showDays(range), ...text]);
      return ['', `${name} (${count(cells, 'cell')})`, ...formatTable({ rows, total })];
    });
    const verb = this.cells === 1 ? 'is' : 'are';
    return [`${count(this.cells, 'cell')} of ${count(this.orgs, 'organization')} ${verb} ${state}.`, ...tables];
  }
}

/** Sums up cells that come by organization and stream, the newest day first, however many they are. */
export class GapSummary {
  readonly #gaps = new CauseList();
  readonly #resolved = new CauseList();
  #example: Gap | null = null;

  get hasGaps(): boolean {
    return this.#gaps.cells > 0;
  }

  get isEmpty(): boolean {
    return this.#gaps.cells + this.#resolved.cells === 0;
  }

  add(gap: Gap, nowMs: number): void {
    (isGap(gap.standing) ? this.#gaps : this.#resolved).add(gap, nowMs);
    if (gap.standing !== 'waived') this.#example ??= gap;
  }

  render(): string[] {
    const lines = this.hasGaps ? this.#gaps.render('missing or in doubt') : ['No gaps.'];
    const resolved = this.#resolved.render('waived or unavailable');
    if (resolved.length > 0) lines.push('', ...resolved);
    if (this.#example !== null) {
      const { orgId, stream: name, day } = this.#example;
      lines.push('', 'To see one in detail, with commands that help:');
      lines.push(`  losant-usage explain --org ${orgId} --day ${day} --stream ${name}`);
    }
    return lines;
  }
}

/** Describes the cause of a gap. Details that differ only in IDs and days are one; a person's reason is unchanged. */
function describeGap({ standing, reason: code, detail }: Gap): string {
  if (code === 'waived' && detail !== null) return `${showCode(standing)}: ${detail}`;
  const shared = detail && withoutIdsAndDays(detail);
  return `${showCode(standing)}: ${shared === null ? code : `${code}, ${shared}`}`;
}

function describeRetry({ standing, nextReadAt }: Gap, nowMs: number): string {
  if (!isGap(standing)) return '';
  if (nextReadAt === null) return 'no automatic retry';
  return Date.parse(nextReadAt) <= nowMs ? 'next run' : `next retry ${showWhen(nextReadAt, nowMs)}`;
}
