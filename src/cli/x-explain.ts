import { defineCommand } from './command.ts';
import { dayOption, idOption, required, streamsOption } from './options.ts';

export const explain = defineCommand({
  name: 'explain',
  summary: 'where a number comes from, and what became of it',
  group: 'Look',
  needs: 'database',
  options: {
    org: required(idOption('organization', 'the organization')),
    day: required(dayOption('the day')),
    stream: streamsOption('only these streams'),
  },
  examples: [
    { args: 'explain --org 575ec8687ae143cd83dc4a97 --day 2026-11-20', does: 'every number of that day' },
  ],
  async run(context, { org, day, stream }) {
    const { explainDay } = await import('./x-explain-story.ts');
    return await explainDay(context, { orgId: org, day, streams: stream });
  },
});
