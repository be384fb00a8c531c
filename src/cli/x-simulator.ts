import { defineCommand } from './command.ts';
import { numberOption, textOption } from './options.ts';

export const simulator = defineCommand({
  name: 'simulator',
  summary: 'a Losant API on loopback, for trying out',
  group: 'Try out',
  needs: 'none',
  options: {
    port: numberOption('PORT', 'port; 0 takes a free one', { min: 0, max: 65_535, initial: 0 }),
    orgs: numberOption('N', 'organizations', { min: 0, max: 1_000_000, initial: 25 }),
    seed: { ...textOption('TEXT', 'everything is computed from it'), shownDefault: '1' },
    token: textOption('TOKEN', 'the token that has access, instead of one made from the seed'),
  },
  examples: [{ args: 'simulator --port 8080 --orgs 200', does: 'the same 200 organizations each time' }],
  async run(context, { port, orgs, seed, token }) {
    const { serveSimulator } = await import('./simulator.ts');
    return await serveSimulator(context, { port, orgs, seed: seed ?? '1', token: token ?? undefined });
  },
});
