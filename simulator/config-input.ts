import type { TotalBias } from './bias.ts';
import { dayText } from './calendar.ts';
import {
  booleanIn,
  ControlError,
  choiceIn,
  countersIn,
  dayIn,
  type Input,
  inputOf,
  numberIn,
  optional,
  textIn,
  textsIn,
} from './control-input.ts';
import { type FaultPlan, isFaultKind } from './faults.ts';
import { type ListFaults, ODD_ITEMS, type OddItem } from './list-faults.ts';
import type { ClockJump, Config, Retention } from './world.ts';

const RETENTIONS: readonly Retention[] = ['zeros', 'empty', 'refuse'];

/** The keys that `/control/config` takes. */
export const CONFIG_KEYS = [
  ...[
    'latencyMs',
    'requestsPerSecond',
    'pageSizeMax',
    'omitZeroDays',
    'omitZeroHours',
    'echoWindow',
    'detailDays',
  ],
  ...[
    'retention',
    'maxRangeDays',
    'faults',
    'list',
    'dateOffsetMs',
    'sendsDate',
    'clockJump',
    'bias',
    'clock',
  ],
];

/** Changes the settings named in the input, except for `clock`, which the caller handles. */
export function applyConfig(config: Config, input: Input): void {
  const next: Config = { ...config };
  next.latencyMs = optional(input, 'latencyMs', numberIn) ?? config.latencyMs;
  next.pageSizeMax = optional(input, 'pageSizeMax', numberIn) ?? config.pageSizeMax;
  next.omitZeroDays = optional(input, 'omitZeroDays', booleanIn) ?? config.omitZeroDays;
  next.omitZeroHours = optional(input, 'omitZeroHours', booleanIn) ?? config.omitZeroHours;
  next.echoWindow = optional(input, 'echoWindow', booleanIn) ?? config.echoWindow;
  next.detailDays = optional(input, 'detailDays', numberIn) ?? config.detailDays;
  next.retention =
    optional(input, 'retention', (from, key) => choiceIn(from, key, RETENTIONS)) ?? config.retention;
  next.maxRangeDays = numberOrNone(input, 'maxRangeDays', config.maxRangeDays);
  next.requestsPerSecond = numberOrNone(input, 'requestsPerSecond', config.requestsPerSecond);
  if (input['faults'] !== undefined) next.faults = faultsIn(input['faults']);
  if (input['list'] !== undefined) next.list = listFaultsIn(input['list']);
  next.dateOffsetMs = optional(input, 'dateOffsetMs', numberIn) ?? config.dateOffsetMs;
  next.sendsDate = optional(input, 'sendsDate', booleanIn) ?? config.sendsDate;
  if (input['clockJump'] !== undefined) next.clockJump = clockJumpIn(input['clockJump']);
  if (input['bias'] !== undefined) next.bias = biasIn(input['bias']);
  Object.assign(config, next);
}

/** Returns the number, null for none, or `current` if the key is not given. */
function numberOrNone(input: Input, key: string, current: number | null): number | null {
  return input[key] === null ? null : (optional(input, key, numberIn) ?? current);
}

const PLAN_KEYS = [
  ...['kinds', 'rate', 'every', 'maxPerRequest', 'forever', 'orgIds', 'actions'],
  ...['retryAfterSeconds', 'ageSeconds', 'slowMs', 'hugeBytes', 'redirectTo'],
];

/** Returns the plans of a single plan, of a list, or of null for none. */
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
      ageSeconds: optional(input, 'ageSeconds', numberIn),
      slowMs: optional(input, 'slowMs', numberIn),
      hugeBytes: optional(input, 'hugeBytes', numberIn),
      redirectTo: optional(input, 'redirectTo', textIn),
    };
  });
}

const LIST_KEYS = ['emptyPages', 'ignorePage', 'ignoreSort', 'hide', 'totalCount', 'deleteAfter', 'items'];

/** Returns the list faults; null stands for none. */
function listFaultsIn(value: unknown): ListFaults {
  if (value === null) return {};
  const input = inputOf(value, LIST_KEYS, 'list');
  return {
    emptyPages: optional(input, 'emptyPages', numbersIn),
    ignorePage: optional(input, 'ignorePage', booleanIn),
    ignoreSort: optional(input, 'ignoreSort', booleanIn),
    hide: optional(input, 'hide', textsIn)?.map((orgId) => orgId.toLowerCase()),
    totalCount: optional(input, 'totalCount', numberIn),
    deleteAfter: optional(input, 'deleteAfter', (from, key) => {
      const after = inputOf(from[key], ['page', 'orgId'], 'list.deleteAfter');
      return { page: numberIn(after, 'page'), orgId: textIn(after, 'orgId') };
    }),
    items: optional(input, 'items', oddItemsIn),
  };
}

function oddItemsIn(input: Input, key: string): Record<string, OddItem> {
  const items = inputOf(input[key], Object.keys(input[key] ?? {}), 'list.items');
  const odd = Object.keys(items).map((orgId) => [orgId.toLowerCase(), choiceIn(items, orgId, ODD_ITEMS)]);
  return Object.fromEntries(odd) as Record<string, OddItem>;
}

function numbersIn(input: Input, key: string): number[] {
  const value = input[key];
  if (!Array.isArray(value) || value.some((one) => typeof one !== 'number')) {
    throw new ControlError(`${key} must be an array of numbers`);
  }
  return value as number[];
}

function clockJumpIn(value: unknown): ClockJump | null {
  if (value === null) return null;
  const input = inputOf(value, ['afterRequests', 'byMs'], 'clockJump');
  return { afterRequests: numberIn(input, 'afterRequests'), byMs: numberIn(input, 'byMs') };
}

/** Returns the biases; null stands for none. */
function biasIn(value: unknown): TotalBias[] {
  if (value === null) return [];
  if (!Array.isArray(value)) throw new ControlError('bias must be a list');
  return value.flatMap((one, index) => {
    const input = inputOf(one, ['counter', 'day', 'month', 'orgId', 'by'], `bias[${index}]`);
    const orgKey = optional(input, 'orgId', textIn)?.toLowerCase() ?? null;
    const isMonth = input['day'] === undefined;
    const when = isMonth ? textIn(input, 'month') : dayText(dayIn(input, 'day'));
    if (isMonth && !/^\d{4}-\d{2}$/.test(when)) throw new ControlError('month must be YYYY-MM');
    const by = numberIn(input, 'by');
    return countersIn(input, 'counter').map((action) => ({ action, when, orgKey, by }));
  });
}
