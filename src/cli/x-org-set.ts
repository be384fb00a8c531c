import { defineCommand } from './command.ts';
import { pathOption, switchOption, textOption } from './options.ts';
import { limitOption, onOffOption, placeOptions, tagOption } from './x-org-options.ts';

export const orgSet = defineCommand({
  name: 'org set',
  summary: 'change an organization in Losant; needs LOSANT_ADMIN_TOKEN',
  group: 'Decide',
  needs: 'admin',
  options: {
    ...placeOptions,
    name: textOption('TEXT', 'its name'),
    description: textOption('TEXT', 'its description'),
    referralId: textOption('TEXT', 'your own customer number'),
    limit: limitOption,
    tag: tagOption,
    disable: switchOption('disable it from now on'),
    enable: switchOption('enable it again'),
    auditLog: onOffOption('whether it keeps an audit log'),
    body: pathOption('a file with a patch in JSON, for everything else'),
    dryRun: switchOption('show what would change and send no change'),
  },
  examples: [
    {
      args: 'org set --org 575ec8687ae143cd83dc4a97 --limit device=500 --limit payload=1000000 --dry-run',
      does: 'what two new limits would change',
    },
    {
      args: 'org set --org 575ec8687ae143cd83dc4a97 --tag region=eu --disable',
      does: 'tag it, and disable it',
    },
  ],
  async run(context, options) {
    const { setOrg } = await import('./org-set.ts');
    return await setOrg(context, options);
  },
});
