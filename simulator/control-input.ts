import { parseDayText } from './calendar.ts';
import { COUNTER_ACTIONS, type CounterAction } from './edits.ts';

/**
 * A control request that cannot be understood. It is answered 400, so that no check runs on a world it
 * did not ask for.
 */
export class ControlError extends Error {
  override readonly name = 'ControlError';
}

export type Input = Record<string, unknown>;

/** Returns the object; throws if it has other keys than these. */
export function inputOf(value: unknown, keys: readonly string[], where = 'body'): Input {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ControlError(`${where} must be an object`);
  }
  for (const key of Object.keys(value)) {
    if (!keys.includes(key)) throw new ControlError(`${where}: ${key} is unknown; known: ${keys.join(', ')}`);
  }
  return value as Input;
}

export function textIn(input: Input, key: string): string {
  const value = input[key];
  if (typeof value !== 'string' || value === '') throw new ControlError(`${key} must be text`);
  return value;
}

export function numberIn(input: Input, key: string): number {
  const value = input[key];
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new ControlError(`${key} must be a number`);
  return value;
}

export function booleanIn(input: Input, key: string): boolean {
  const value = input[key];
  if (typeof value !== 'boolean') throw new ControlError(`${key} must be true or false`);
  return value;
}

export function textsIn(input: Input, key: string): string[] {
  const value = input[key];
  if (!Array.isArray(value) || value.some((one) => typeof one !== 'string')) {
    throw new ControlError(`${key} must be an array of text`);
  }
  return value as string[];
}

/** Returns the value if the key is given, else undefined. */
export function optional<T>(
  input: Input,
  key: string,
  read: (input: Input, key: string) => T,
): T | undefined {
  return input[key] === undefined ? undefined : read(input, key);
}

/** Returns a day number from `YYYY-MM-DD`. */
export function dayIn(input: Input, key: string): number {
  const day = parseDayText(textIn(input, key));
  if (day === null) throw new ControlError(`${key} must be a day, YYYY-MM-DD`);
  return day;
}

/** The counter actions by their own name or by that of the stream built on them. */
const STREAM_ACTIONS: Readonly<Record<string, CounterAction>> = {
  device_counts: 'deviceCounts',
  notebook_minutes: 'notebookMinuteCounts',
  payload_sources: 'payloadCounts',
  payload_totals: 'payloadCountsBreakdown',
  payload_hours: 'payloadCountsBreakdown',
};

/** Returns the counters named, or all four if none is. */
export function countersIn(input: Input, key: string): readonly CounterAction[] {
  if (input[key] === undefined) return COUNTER_ACTIONS;
  const name = textIn(input, key);
  const action = STREAM_ACTIONS[name] ?? COUNTER_ACTIONS.find((known) => known === name);
  if (action === undefined) throw new ControlError(`${key}: ${name} is no counter`);
  return [action];
}

/** Returns the text, which must be one of the choices. */
export function choiceIn<C extends string>(input: Input, key: string, choices: readonly C[]): C {
  const value = textIn(input, key);
  const choice = choices.find((one) => one === value);
  if (choice === undefined) throw new ControlError(`${key} must be one of: ${choices.join(', ')}`);
  return choice;
}
