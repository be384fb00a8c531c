import { type Logger as CronLogger, createTask } from 'node-cron';

export type Schedule = Awaited<ReturnType<typeof armSchedule>>;

/**
 * Calls `onWake`, which must not throw, at the times of a cron expression, in UTC. Times that passed while the process
 * was suspended or blocked are counted, and make one call together. Due days are read from the ledger, so a missed or
 * doubled wake-up loses nothing.
 */
export async function armSchedule(expression: string, onWake: (missedWakeUps: number) => void) {
  let missedWakeUps = 0;
  let isCallPending = false;
  // A process that resumes gets an event for each missed time and for the current one, all at once.
  const callOnce = () => {
    if (isCallPending) return;
    isCallPending = true;
    setImmediate(() => {
      onWake(missedWakeUps);
      missedWakeUps = 0;
      isCallPending = false;
    });
  };
  const task = createTask(expression, callOnce, { name: 'load', timezone: 'UTC', logger: silentLogger });
  task.on('execution:missed', () => {
    missedWakeUps += 1;
    callOnce();
  });
  await task.start();
  return { nextWakeAt: () => task.getNextRun(), stop: async () => await task.destroy() };
}

/** node-cron's logger would print to stdout; `onWake` reports what matters. */
const silentLogger: CronLogger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };
