import { defineCommand } from './command.ts';
import { pathOption } from './options.ts';

export const init = defineCommand({
  name: 'init',
  summary: 'ask for instance, token and database, check them and write a file of settings',
  group: 'Set up',
  needs: 'none',
  json: false,
  options: { file: pathOption('where the settings go; only you may read it', 'losant-usage.env') },
  examples: [{ args: 'init', does: 'the first thing to do' }],
  async run(context, { file }) {
    const { askForSettings } = await import('./init.ts');
    return await askForSettings(context, { file: file ?? 'losant-usage.env' });
  },
});
