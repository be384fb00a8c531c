import { type Logger as CronLogger, createTask } from 'node-cron';

export interface ScheduleOptions {
  /** Called at each wake-up, and late for one that was missed. Must not throw. */
  readonly onWake: (wake: Wake) => void;
}

/** `missed`: the process was paused or blocked when the wake-up was due. */
export type Wake = 'on_time' | 'missed';

export interface Schedule {
  /** False before it is armed and after it is stopped. */
  readonly isArmed: () => boolean;
  readonly nextWakeAt: () => Date | null;
  readonly stop: () => Promise<void>;
}

/**
 * Wakes up at the times of a cron expression, in UTC. It decides nothing: which
 * days are due is read from the ledger, so that no pattern of wake-ups, missed
 * or doubled ones among them, can lose a day.
 */
export async function armSchedule(expression: string, { onWake }: ScheduleOptions): Promise<Schedule> {
  let isArmed = true;
  const task = createTask(expression, () => onWake('on_time'), {
    name: 'export',
    timezone: 'UTC',
    logger: silent,
  });
  task.on('execution:missed', () => onWake('missed'));
  await task.start();
  return {
    isArmed: () => isArmed,
    nextWakeAt: () => (isArmed ? task.getNextRun() : null),
    stop: async () => {
      isArmed = false;
      await task.destroy();
    },
  };
}

/** It would print to stdout; what matters is reported by `onWake`. */
const silent: CronLogger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };
