import { type Logger as CronLogger, schedule } from 'node-cron';

/** How often it looks whether the clock was set back. */
const CLOCK_CHECK_INTERVAL_MS = 60_000;

export type Schedule = ReturnType<typeof scheduleWakeUps>;

/**
 * Calls `onWake`, which must not throw, at the times of a cron expression, in UTC. Times that passed while the process
 * was suspended or blocked are counted, and make one call together. Due days are read from the ledger, so a missed or
 * doubled wake-up loses nothing. A task waits for a time that it has computed; after a clock that was ahead is set
 * back, that time may be days away, so the task is started again.
 */
export function scheduleWakeUps(expression: string, onWake: (missedWakeUps: number) => void) {
  let missedWakeUps = 0;
  let isCallPending = false;
  // A process that resumes gets an event for each missed time and for the current one, all at once.
  const callOnce = () => {
    expectedAt = task.getNextRun();
    if (isCallPending) return;
    isCallPending = true;
    setImmediate(() => {
      onWake(missedWakeUps);
      missedWakeUps = 0;
      isCallPending = false;
    });
  };
  const task = schedule(expression, callOnce, { name: 'load', timezone: 'UTC', logger: silentLogger });
  task.on('execution:missed', () => {
    missedWakeUps += 1;
    callOnce();
  });
  let expectedAt = task.getNextRun();
  const clockCheck = setInterval(() => {
    const nextWakeAt = task.getNextRun();
    if (expectedAt !== null && nextWakeAt !== null && nextWakeAt < expectedAt) {
      Promise.resolve(task.stop())
        .then(() => task.start())
        .catch(callOnce);
    }
    expectedAt = nextWakeAt;
  }, CLOCK_CHECK_INTERVAL_MS);
  return {
    nextWakeAt: () => task.getNextRun(),
    stop: async () => {
      clearInterval(clockCheck);
      await task.destroy();
    },
  };
}

/** node-cron's logger would print to stdout; `onWake` reports what matters. */
const silentLogger: CronLogger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };
