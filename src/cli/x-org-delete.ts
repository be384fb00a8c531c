import { defineCommand } from './command.ts';
import { switchOption, textOption } from './options.ts';
import { waitOption } from './x-export-options.ts';
import { placeOptions } from './x-org-options.ts';

export const orgDelete = defineCommand({
  name: 'org delete',
  summary: 'export the last days of an organization and delete it in Losant; needs LOSANT_ADMIN_TOKEN',
  group: 'Decide',
  needs: 'admin_export',
  options: {
    ...placeOptions,
    nameAgain: textOption('NAME', 'its name, repeated exactly; asked for on a terminal'),
    incomplete: textOption(
      'REASON',
      'delete it although numbers are missing, which are waived with this reason',
    ),
    dryRun: switchOption('show what would end; export and delete nothing'),
    wait: waitOption,
  },
  examples: [
    { args: 'org delete --org 575ec8687ae143cd83dc4a97 --dry-run', does: 'what would end' },
    { args: 'org delete --org 575ec8687ae143cd83dc4a97 --name-again "Acme Metering"', does: 'for good' },
  ],
  async run(context, options) {
    const { deleteOrg } = await import('./org-delete.ts');
    return await deleteOrg(context, options);
  },
});
