import type { OrgName } from '../database/read/explain.ts';
import { SettingsError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import { showAdvice } from '../explain/advice.ts';
import { readDayStory, type StoryQuery } from '../explain/story.ts';
import type { CommandContext } from './command.ts';
import { renderStory } from './explain.ts';
import { withDatabase } from './open-database.ts';

/** Tells where the numbers of one organization and day come from, and what became of them. */
export async function explainDay(context: CommandContext, query: StoryQuery): Promise<number> {
  const { output, config } = context;
  const nowMs = context.hostNow();
  const story = await withDatabase(
    context,
    async ({ db }) => await readDayStory(db, query, { nowMs, policy: config.policy }),
  );
  if (!story) throw unknownOrg(query);
  const cells = story.cells.map(({ advice, ...cell }) => ({ ...cell, nextStep: showAdvice(advice) }));
  const org: OrgName = story.org;
  if (output.json) output.printJson({ ...org, day: query.day, cells });
  else output.print(...renderStory(org, query.day, { cells, nowMs }));
  return EXIT.ok;
}

function unknownOrg({ orgId }: StoryQuery): SettingsError {
  return new SettingsError(`--org ${orgId}: this database has never seen that organization`, {
    hint: 'check the id; losant_usage.organizations lists those it knows',
  });
}
