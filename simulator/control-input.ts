import { parseDayText } from './calendar.ts';
import { COUNTER_ACTIONS, type CounterAction } from './edits.ts';
import { type FaultPlan, isFaultKind } from './faults.ts';
import type { Config } from './world.ts';

/** A control request that makes no sense: answered 400, so that no check runs on a world it did not ask for. */
export class ControlError extends Error {
  override readonly name = 'ControlError';
}

export type Input = Record<string, unknown>;

/** The object, if it has no other keys than these. */
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

/** A value if the key is there, else undefined. */
export function optional<T>(
  input: Input,
  key: string,
  read: (input: Input, key: string) => T,
): T | undefined {
  return input[key] === undefined ? undefined : read(input, key);
}

/** A day number from `YYYY-MM-DD`. */
export function dayIn(input: Input, key: string): number {
  const day = parseDayText(textIn(input, key));
  if (day === null) throw new ControlError(`${key} must be a day, YYYY-MM-DD`);
  return day;
}

/** Counter actions by their own name or that of the stream built on them. */
const STREAM_ACTIONS: Readonly<Record<string, CounterAction>> = {
  device_counts: 'deviceCounts',
  notebook_minutes: 'notebookMinuteCounts',
  payload_sources: 'payloadCounts',
  payload_totals: 'payloadCountsBreakdown',
};

/** The counters named; all four when none is. */
export function countersIn(input: Input, key: string): readonly CounterAction[] {
  if (input[key] === undefined) return COUNTER_ACTIONS;
  const name = textIn(input, key);
  const action = STREAM_ACTIONS[name] ?? COUNTER_ACTIONS.find((known) => known === name);
  if (action === undefined) throw new ControlError(`${key}: ${name} is no counter`);
  return [action];
}

/** Changes the settings named in the input; `clock` is the caller's. */
export function applyConfig(config: Config, input: Input): void {
  const next: Config = { ...config };
  next.latencyMs = optional(input, 'latencyMs', numberIn) ?? config.latencyMs;
  next.pageSizeMax = optional(input, 'pageSizeMax', numberIn) ?? config.pageSizeMax;
  next.omitZeroDays = optional(input, 'omitZeroDays', booleanIn) ?? config.omitZeroDays;
  next.echoWindow = optional(input, 'echoWindow', booleanIn) ?? config.echoWindow;
  next.detailDays = optional(input, 'detailDays', numberIn) ?? config.detailDays;
  const retention = optional(input, 'retention', textIn);
  if (retention !== undefined) {
    if (retention !== 'zeros' && retention !== 'empty' && retention !== 'refuse') {
      throw new ControlError('retention must be zeros, empty or refuse');
    }
    next.retention = retention;
  }
  if (input['maxRangeDays'] === null) next.maxRangeDays = null;
  else next.maxRangeDays = optional(input, 'maxRangeDays', numberIn) ?? config.maxRangeDays;
  if (input['faults'] !== undefined) next.faults = faultsIn(input['faults']);
  Object.assign(config, next);
}

const PLAN_KEYS = [
  ...['kinds', 'rate', 'every', 'maxPerRequest', 'forever', 'orgIds', 'actions'],
  ...['retryAfterSeconds', 'slowMs', 'hugeBytes', 'redirectTo'],
];

/** One plan, a list of plans, or null for none. */
function faultsIn(value: unknown): FaultPlan[] {
  const plans = value === null ? [] : Array.isArray(value) ? value : [value];
  return plans.map((plan, index) => {
    const input = inputOf(plan, PLAN_KEYS, `faults[${index}]`);
    const kinds = textsIn(input, 'kinds');
    if (!kinds.every(isFaultKind))
      throw new ControlError(`faults[${index}]: unknown kind in ${kinds.join(', ')}`);
    return {
      kinds,
      rate: optional(input, 'rate', numberIn),
      every: optional(input, 'every', numberIn),
      maxPerRequest: optional(input, 'maxPerRequest', numberIn),
      forever: optional(input, 'forever', booleanIn),
      orgIds: optional(input, 'orgIds', textsIn),
      actions: optional(input, 'actions', textsIn),
      retryAfterSeconds: optional(input, 'retryAfterSeconds', numberIn),
      slowMs: optional(input, 'slowMs', numberIn),
      hugeBytes: optional(input, 'hugeBytes', numberIn),
      redirectTo: optional(input, 'redirectTo', textIn),
    };
  });
}
