import { defineCommand } from './command.ts';

export const worker = defineCommand({
  name: 'worker',
  summary: 'the unattended service: exports by schedule, serves health, metrics and the console',
  group: 'Export',
  needs: 'losant',
  // It may have given up on a run whose connections would keep the process from ending.
  endsProcess: true,
  options: {},
  examples: [
    { args: 'worker', does: 'until SIGTERM; by default every hour at :15, and on http://127.0.0.1:9464' },
  ],
  async run(context) {
    const { workerCommand } = await import('./worker.ts');
    return await workerCommand(context);
  },
});
