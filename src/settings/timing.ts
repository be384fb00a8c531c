import { validateDetailed } from 'node-cron';
import type { Problem, Setting } from './problems.ts';
import { pick, type Sources } from './sources.ts';
import { readList, readNumber } from './values.ts';

/** When usage days are read, and until when they can be. */
export interface PolicyConfig {
  /** Hours after a day's end at which it is read, ascending and distinct. */
  readonly readAtHours: readonly number[];
  /** Hours after a day's end from which a read makes it final. */
  readonly finalAtHours: number;
  /** Days for which Losant keeps the detail. */
  readonly horizonDays: number;
}

const SCHEDULE = '15 * * * *';
const READ_AT_HOURS = [0, 6, 24, 48, 72, 168, 720];
const FINAL_AT_HOURS = 72;

/** https://docs.losant.com/references/data-retention */
const HORIZON_DAYS = 90;
const LONGEST_HORIZON_DAYS = 3650;

export function readPolicy(sources: Sources): PolicyConfig {
  const { problems } = sources;
  const before = problems.length;
  const readAt = pick('READ_AT_HOURS', 'readAtHours', sources);
  const finalAt = pick('FINAL_AT_HOURS', 'finalAtHours', sources);
  const horizon = pick('HORIZON_DAYS', 'horizonDays', sources);
  const hours = {
    min: 0,
    max: LONGEST_HORIZON_DAYS * 24,
    remedy: 'use hours after the end of a day, e.g. 72',
  };
  const days = { min: 1, max: LONGEST_HORIZON_DAYS, remedy: 'use days, e.g. 90' };
  const readAtHours = readHours(readAt, problems) ?? READ_AT_HOURS;
  const finalAtHours = readNumber(finalAt, hours, problems) ?? FINAL_AT_HOURS;
  const horizonDays = readNumber(horizon, days, problems) ?? HORIZON_DAYS;
  if (problems.length > before) return { readAtHours, finalAtHours, horizonDays };

  const lastHours = readAtHours.at(-1) ?? 0;
  if (finalAtHours > lastHours) {
    problems.push({
      ...named(finalAt, finalAtHours),
      problem: `is later than the last checkpoint, ${lastHours} hours: no day would become final`,
      remedy: `use at most ${lastHours}, or add ${finalAtHours} to ${readAt.name}`,
    });
  }
  // The day must still be inside the horizon on the date on which the checkpoint comes.
  const neededDays = Math.floor(lastHours / 24) + 1;
  if (horizonDays < neededDays) {
    problems.push({
      ...named(horizon, horizonDays),
      problem: `ends before the last checkpoint, ${lastHours} hours`,
      remedy: `use at least ${neededDays}, or remove checkpoints from ${readAt.name}`,
    });
  }
  return { readAtHours, finalAtHours, horizonDays };
}

/** A day that is not held this long after its end is a gap. */
const GAP_AFTER_HOURS = 6;

/** What to tell of checkpoints that begin so late that each day is a gap at first; null otherwise. */
export function warnOfLateReads({ readAtHours: [first = 0] }: PolicyConfig): string | null {
  if (first <= GAP_AFTER_HOURS) return null;
  return `READ_AT_HOURS begins at ${first}: each day shows as a gap from ${GAP_AFTER_HOURS} hours after its end until it is read`;
}

/** The name and value of a number that may be the default. */
function named({ name, text = '' }: Setting, number: number): Pick<Problem, 'name' | 'value'> {
  return text.trim() === '' ? { name: `${name} (not set: ${number})` } : { name, value: text };
}

function readHours(setting: Setting, problems: Problem[]): number[] | null {
  const remedy = 'list hours after the end of a day, e.g. 0,6,24,48,72,168,720';
  const entries = readList(setting, remedy, problems);
  if (entries === null) return null;
  const rule = { min: 0, max: LONGEST_HORIZON_DAYS * 24, remedy };
  const hours = entries.map((text) => readNumber({ name: setting.name, text }, rule, problems));
  return [...new Set(hours.filter((hour) => hour !== null))].sort((a, b) => a - b);
}

/** A cron expression of five fields, in UTC; with a warning if it leaves out whole months. */
export function readSchedule(sources: Sources): { schedule: string; warning: string | null } {
  const { name, text = '' } = pick('SCHEDULE', 'schedule', sources);
  const schedule = text.trim().replace(/\s+/g, ' ');
  if (schedule === '') return { schedule: SCHEDULE, warning: null };
  const wrong = describeSchedule(schedule);
  if (wrong !== null) sources.problems.push({ name, value: schedule, ...wrong });
  const months = validateDetailed(schedule).fields?.month.length ?? 12;
  const warning = `${name}="${schedule}" leaves out whole months: a day is lost if none wakes within the horizon`;
  return { schedule, warning: months < 12 ? warning : null };
}

function describeSchedule(text: string): Pick<Problem, 'problem' | 'remedy'> | null {
  const example = '"15 * * * *": a quarter past every hour, UTC';
  if (/(^| )(CRON_)?TZ=/i.test(text)) {
    return {
      problem: 'has a time zone, but wake-ups are in UTC: a local zone skips or repeats an hour each year',
      remedy: 'remove it and write the hours in UTC',
    };
  }
  if (!text.startsWith('@') && text.split(' ').length === 6) {
    return { problem: 'has six fields, but there are no seconds', remedy: `use five, e.g. ${example}` };
  }
  const { valid, errors } = validateDetailed(text);
  if (valid) return null;
  const fields = [...new Set(errors.map((error) => error.field))].join(', ');
  const where = text.split(' ').length === 5 && fields !== '' ? `: see ${fields}` : '';
  return { problem: `is not a cron expression of five fields${where}`, remedy: `use e.g. ${example}` };
}
