import { defineCommand } from './command.ts';

export const demo = defineCommand({
  name: 'demo',
  summary: 'the whole product on the simulator, in a fresh folder',
  group: 'Try out',
  needs: 'none',
  options: {},
  examples: [
    {
      args: 'demo',
      does: 'reads none of your settings; on a terminal it ends with the console, until Ctrl-C',
    },
  ],
  async run(context) {
    const { demoCommand } = await import('./demo.ts');
    return await demoCommand(context);
  },
});
