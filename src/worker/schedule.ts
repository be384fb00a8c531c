import { type Logger as CronLogger, createTask } from 'node-cron';

export type Schedule = Awaited<ReturnType<typeof armSchedule>>;

/**
 * Calls `onWake`, which must not throw, at the times of a cron expression, in UTC, with the number of times before that
 * passed while the process was paused or blocked: they are one wake-up together. It decides nothing: due days are read
 * from the ledger, so no missed or doubled wake-up can lose a day.
 */
export async function armSchedule(expression: string, onWake: (missed: number) => void) {
  let missed = 0;
  let isCalled = false;
  // A process that goes on is told of each time that it missed, and of the one that has come, all at once.
  const callOnce = () => {
    if (isCalled) return;
    isCalled = true;
    setImmediate(() => {
      onWake(missed);
      missed = 0;
      isCalled = false;
    });
  };
  const task = createTask(expression, callOnce, { name: 'export', timezone: 'UTC', logger: silent });
  task.on('execution:missed', () => {
    missed += 1;
    callOnce();
  });
  await task.start();
  return {
    nextWakeAt: () => task.getNextRun(),
    stop: async () => await task.destroy(),
  };
}

/** node-cron's own logger would print to stdout; `onWake` reports what matters. */
const silent: CronLogger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };
