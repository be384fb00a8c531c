import { EXIT, SettingsError } from '../errors.ts';
import type { CellStory, StoredValue } from '../queries/explain.ts';
import {
  type DayStory,
  describeAuthor,
  describeCell,
  describeChange,
  describeSeen,
  describeWaiver,
  ledgerFacts,
  readDayStory,
  showAdvice,
  showStored,
} from '../queries/story.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { showDays, showInstant } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { isGap } from '../usage/standing.ts';
import { streamNamed } from '../usage/streams/catalog.ts';
import type { Stream } from '../usage/streams/stream.ts';

import { defineCommand } from './command.ts';
import { streamsOption } from './export-options.ts';
import { withDatabase } from './open-database.ts';
import { dayOption, idOption, required } from './options.ts';

export const explain = defineCommand({
  needs: ['database'],
  options: {
    org: required(idOption('organization', 'the organization')),
    day: required(dayOption('the day')),
    stream: streamsOption('only these streams'),
  },
  examples: ({ yesterday }) => ({
    [`explain --org 575ec8687ae143cd83dc4a97 --day ${yesterday}`]: 'every number of that day',
  }),
  async run(context, { org: orgId, day, stream: streams }) {
    const { output, config, hostNow } = context;
    const at = { nowMs: hostNow(), policy: config.policy };
    const query = { orgId, day, streams };
    const story = await withDatabase(context, async ({ db }) => await readDayStory(db, query, at));
    if (!story) {
      throw new SettingsError(`--org ${orgId}: this database has never seen that organization`, {
        hint: 'check the id; losant_usage.organizations lists those it knows',
      });
    }
    const cells = story.cells.map(({ advice, ...cell }) => ({ ...cell, nextStep: showAdvice(advice) }));
    output.printJson({ ...story.org, day, cells });
    output.print(...renderStory(story.org, day, cells, at.nowMs));
    return EXIT.ok;
  },
});

interface Explained extends CellStory {
  readonly nextStep: string;
}

function renderStory(
  org: DayStory['org'],
  day: UsageDay,
  cells: readonly Explained[],
  nowMs: number,
): Line[] {
  const removed = org.removedAt === null ? '' : `, found deleted ${showInstant(org.removedAt)}`;
  return [
    line`${styled('bold', org.orgName)} (${org.orgId}, instance ${org.instanceId}${removed}), ${day}`,
    ...cells.flatMap((cell) => {
      const text = describeCell(cell);
      const shown = cell.standing !== null && isGap(cell.standing) ? styled('red', text) : text;
      return ['', line`${styled('bold', cell.stream)}: ${shown}`, ...renderDetails(cell, nowMs)];
    }),
  ];
}

function renderDetails(cell: Explained, nowMs: number): Line[] {
  const { ledger, values, revisions, waivers, quarantine, nextStep } = cell;
  const lines = renderValues(values, streamNamed(cell.stream));
  if (ledger) lines.push(...ledgerFacts(ledger, nowMs).map(([name, value]) => `  ${name}: ${value}`));
  for (const change of revisions) {
    const { revision, changedAt } = change;
    const made = `revision ${revision}, ${showInstant(changedAt)}, ${describeAuthor(change)}`;
    lines.push(`  ${made}: ${describeChange(change)}`);
  }
  for (const waiver of waivers) lines.push(`  waived ${describeWaiver(waiver)}: ${waiver.reason}`);
  for (const answer of quarantine) {
    const { code, problem } = answer;
    lines.push(`  quarantine ${showDays(answer)}: ${code}: ${problem} (${describeSeen(answer)})`);
  }
  return [...lines, line`  next: ${nextStep}`];
}

function renderValues(values: readonly StoredValue[], { keyColumns, columns }: Stream): Line[] {
  if (values.length === 0) return [];
  const head = [...keyColumns, ...columns, 'revision'];
  const rows = values.map((row) => [
    ...keyColumns.map((column) => row.key[column] ?? ''),
    ...columns.map((column) => showStored(row.values[column])),
    `${row.revision}`,
  ]);
  const right = head.map((_, column) => column).slice(keyColumns.length);
  return renderTable({ head, rows, right });
}
