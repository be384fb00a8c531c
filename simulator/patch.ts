import type { OrgAttributes } from './attributes.ts';
import { isoMs } from './calendar.ts';

/** A problem of a patch, by the API's own rules for each key. */
export interface PatchProblem {
  readonly path: string;
  readonly message: string;
}

export type PatchResult =
  | { readonly attributes: OrgAttributes }
  | { readonly problems: readonly PatchProblem[] };

const LIMIT_KEYS = new Set([
  ...[
    'apitoken',
    'application',
    'applicationcertificate',
    'applicationcertificateauthority',
    'applicationkey',
  ],
  ...[
    'credential',
    'dashboard',
    'datatable',
    'device',
    'devicerecipe',
    'experiencedomain',
    'experienceendpoint',
  ],
  ...[
    'experiencegroup',
    'experienceslug',
    'experienceuser',
    'experienceversion',
    'experienceview',
    'file',
    'flow',
  ],
  ...[
    'integration',
    'notebook',
    'privatefile',
    'resourcejob',
    'webhook',
    'dataTTL',
    'member',
    'payload',
    'storage',
  ],
  ...['notebookMinutesPerRun', 'notebookMinutesPerMonth', 'notebookInParallel', 'experienceFlowSlots'],
  ...['applicationFlowSlots', 'systemInterval'],
]);

/** The rule of each key, which returns the problem of its value, or null. */
const RULES: Readonly<Record<string, (value: unknown) => string | null>> = {
  name: textOf(1, 255),
  description: textOf(0, 32_767),
  iconColor: textOf(0, 64),
  limits: limitsProblem,
  whitelistedEmailDomains: (value) =>
    Array.isArray(value) && value.every((domain) => textOf(3, 45)(domain) === null)
      ? null
      : 'must be domains',
  auditLogEnabled: flag,
  disabledAt: (value) => (typeof value === 'boolean' || isDate(value) ? null : 'must be a date or a boolean'),
  isReadOnly: flag,
  tags: tagsProblem,
  referralId: textOf(0, 1024),
  mfaMode: (value) =>
    ['notRequired', 'adminRequired', 'required'].includes(value as string) ? null : 'must be a known mode',
  banner: bannerProblem,
};

/** Returns the attributes after the patch. Every key unknown to the schema is a problem. */
export function applyPatch(attributes: OrgAttributes, patch: unknown, nowMs: number): PatchResult {
  if (!isObject(patch)) return { problems: [{ path: '', message: 'must be an object' }] };
  const problems = Object.entries(patch).flatMap(([path, value]) => {
    const rule = Object.hasOwn(RULES, path) ? RULES[path] : undefined;
    const message = rule === undefined ? 'is not allowed' : rule(value);
    return message === null ? [] : [{ path, message }];
  });
  if (problems.length > 0) return { problems };
  const disabled = disabledAt(patch['disabledAt'], nowMs);
  return { attributes: { ...attributes, ...patch, ...disabled, lastUpdated: isoMs(nowMs) } };
}

/** Returns the time from which the organization is disabled; `true` means from now on. */
function disabledAt(value: unknown, nowMs: number): { disabledAt?: string | false } {
  if (value === undefined) return {};
  if (typeof value === 'string') return { disabledAt: isoMs(Date.parse(value)) };
  return { disabledAt: value === true ? isoMs(nowMs) : false };
}

function textOf(min: number, max: number): (value: unknown) => string | null {
  return (value) =>
    typeof value === 'string' && value.length >= min && value.length <= max
      ? null
      : `must be text of ${min} to ${max} characters`;
}

function flag(value: unknown): string | null {
  return typeof value === 'boolean' ? null : 'must be a boolean';
}

function limitsProblem(value: unknown): string | null {
  if (!isObject(value)) return 'must be an object';
  const bad = Object.entries(value).find(([key, limit]) => !LIMIT_KEYS.has(key) || !limitFits(key, limit));
  return bad === undefined ? null : `${bad[0]} is not allowed or not a whole number in its bounds`;
}

function limitFits(key: string, limit: unknown): boolean {
  if (!Number.isSafeInteger(limit)) return false;
  const value = limit as number;
  if (key === 'systemInterval') return value >= 5 && value <= 3600;
  return value >= (key === 'dataTTL' ? 86_400 : 0);
}

function tagsProblem(value: unknown): string | null {
  if (!Array.isArray(value) || value.length > 100) return 'must be an array of at most 100 tags';
  const fits = value.every(
    (tag) =>
      isObject(tag) &&
      Object.keys(tag).length === 2 &&
      typeof tag['key'] === 'string' &&
      /^[0-9a-zA-Z_-]{1,255}$/.test(tag['key']) &&
      textOf(1, 255)(tag['value']) === null,
  );
  return fits ? null : 'must be pairs of a key of letters, digits, _ and - and a value';
}

function bannerProblem(value: unknown): string | null {
  if (!isObject(value)) return 'must be an object';
  const { message, level, ...rest } = value;
  const fits =
    Object.keys(rest).length === 0 &&
    (message === undefined || textOf(0, 2048)(message) === null) &&
    (level === undefined || ['info', 'warning', 'critical'].includes(level as string));
  return fits ? null : 'must be a message and a known level';
}

function isDate(value: unknown): boolean {
  return typeof value === 'string' && /^\d{4}-\d{2}-\d{2}T/.test(value) && !Number.isNaN(Date.parse(value));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
