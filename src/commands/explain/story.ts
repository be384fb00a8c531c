import { type CellStory, type OrgName, readCellStory, readOrgName } from '../../database/read/explain.ts';
import { SettingsError } from '../../errors.ts';
import { EXIT } from '../../exit.ts';
import { dayEndMs, type UsageDay } from '../../usage/day.ts';
import { horizonStart } from '../../usage/policy.ts';
import { streams } from '../../usage/streams/catalog.ts';
import type { CommandContext } from '../command.ts';
import { withDatabase } from '../open/database.ts';
import { adviseCell } from './advice.ts';
import { renderStory } from './render.ts';

export interface ExplainOptions {
  readonly orgId: string;
  readonly day: UsageDay;
  /** Null: all streams. */
  readonly streams: readonly string[] | null;
}

/** Tells where the numbers of one organization and day come from, and what became of them. */
export async function explainDay(
  context: CommandContext,
  { orgId, day, streams: wanted }: ExplainOptions,
): Promise<number> {
  const { output, config } = context;
  const { org, stories } = await withDatabase(context, async ({ db }) => {
    const known = requireOrg(await readOrgName(db, orgId), orgId);
    const cells: CellStory[] = [];
    for (const stream of streams) {
      if (wanted && !wanted.includes(stream.name)) continue;
      cells.push(await readCellStory(db, stream, { orgId, day }));
    }
    return { org: known, stories: cells };
  });
  const nowMs = context.hostNow();
  const place = {
    orgId,
    day,
    isOver: dayEndMs(day) <= nowMs,
    isRemoved: org.removedAt !== null,
    isPastHorizon: day < horizonStart(nowMs, config.policy),
    nowMs,
  };
  const cells = stories.map((story) => ({ ...story, nextStep: adviseCell(story, place) }));
  if (output.json) output.printJson({ ...org, day, cells });
  else output.print(...renderStory(org, day, { cells, nowMs }));
  return EXIT.ok;
}

function requireOrg(org: OrgName | null, orgId: string): OrgName {
  if (org) return org;
  throw new SettingsError(`--org ${orgId}: this database has never seen that organization`, {
    hint: 'check the id; losant_usage.organizations lists those it knows',
  });
}
