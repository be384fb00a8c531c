import { defineCommand } from './command.ts';
import { placeOptions } from './x-org-options.ts';

export const orgShow = defineCommand({
  name: 'org show',
  summary: 'an organization as Losant has it now',
  group: 'Decide',
  needs: 'api',
  options: placeOptions,
  examples: [
    { args: 'org show --org 575ec8687ae143cd83dc4a97', does: 'name, state, period, limits and tags' },
    { args: 'org show --org 575ec8687ae143cd83dc4a97 --json', does: "Losant's whole answer" },
  ],
  async run(context, asked) {
    const { showOrg } = await import('./org-show.ts');
    return await showOrg(context, asked);
  },
});
