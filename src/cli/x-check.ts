import { defineCommand } from './command.ts';
import { switchOption } from './options.ts';

export const check = defineCommand({
  name: 'check',
  summary: 'check settings, database, clock, token and scopes; changes nothing',
  group: 'Set up',
  needs: 'losant',
  options: {
    allOrgs: switchOption('ask for every organization, not only the first'),
    probe: switchOption('also find out what the documentation of the API leaves open'),
  },
  examples: [
    { args: 'check', does: 'is everything ready for the first run?' },
    { args: 'check --all-orgs', does: 'may the token read every organization?' },
  ],
  async run(context, options) {
    const { checkEverything } = await import('./check.ts');
    return await checkEverything(context, options);
  },
});
