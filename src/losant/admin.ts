import { z } from 'zod';
import { FAILURES, LosantError } from '../errors.ts';
import { type ApiOptions, createApi } from './api.ts';
import { readJson } from './body.ts';
import { badBody, createLosantError, failureOfStatus, toLosantError } from './failure.ts';

/**
 * Patches an organization, or deletes it if the patch is null. No other code of this program changes anything in
 * Losant, so the token that reads needs no right to change it. The request is sent once and never retried, and an
 * interruption does not cancel it. The response to a patch is ignored: read the organization back. Throws a
 * `LosantError` that never contains the token. After one for which {@link mayHaveChanged} is true, only reading the
 * organization back shows whether the change was made.
 */
export async function sendChange(options: ApiOptions, orgId: string, patch: OrgPatch | null): Promise<void> {
  const { instanceId, token, timeoutMs } = options;
  const { signal } = new AbortController();
  const request = { action: `instanceOrg.${patch === null ? 'delete' : 'patch'}`, ids: { org: orgId }, signal };
  const url = `${encodeURIComponent(instanceId)}/orgs/${encodeURIComponent(orgId)}`;
  try {
    const change = patch === null ? { method: 'delete' } : { method: 'patch', json: patch };
    const response = await createApi(options)(url, change);
    if (response.status !== 200) throw createLosantError(request, failureOfStatus(response.status));
    const content = await readJson(response, { leftMs: timeoutMs, timeoutMs, token });
    if ('kind' in content) throw createLosantError(request, content, token);
    if (patch !== null || deletionBody.safeParse(content.body).success) return;
    const failure = badBody('unexpected body: it does not confirm the deletion', content.text);
    throw createLosantError(request, failure, token);
  } catch (error) {
    throw toLosantError(error, request, options);
  }
}

const deletionBody = z.object({ success: z.literal(true) });

/** Returns whether the change may have been made despite the error, for example because the response was lost. */
export function mayHaveChanged(error: unknown): error is LosantError {
  return error instanceof LosantError && !FAILURES[error.kind].isDefinitive && error.kind !== 'rate_limited';
}

/** The limits of the API's schema of Patch, version 1.30.0. All but the last two are counts. */
const LIMITS = {
  ...counts('apitoken', 'application', 'applicationcertificate', 'applicationcertificateauthority'),
  ...counts('applicationkey', 'credential', 'dashboard', 'datatable', 'device', 'devicerecipe'),
  ...counts('experiencedomain', 'experienceendpoint', 'experiencegroup', 'experienceslug'),
  ...counts('experienceuser', 'experienceversion', 'experienceview', 'file', 'flow', 'integration'),
  ...counts('notebook', 'privatefile', 'resourcejob', 'webhook', 'member', 'payload', 'storage'),
  ...counts('notebookMinutesPerRun', 'notebookMinutesPerMonth', 'notebookInParallel'),
  ...counts('experienceFlowSlots', 'applicationFlowSlots'),
  /** In seconds. */
  dataTTL: whole(86_400, Number.MAX_SAFE_INTEGER),
  systemInterval: whole(5, 3600),
};

const DATE_PROBLEM = 'must be false or a date such as 2026-11-25T00:00:00Z';
const KEY_PROBLEM = 'must be 1 to 255 letters, digits, _ or -';
const MODES = ['notRequired', 'adminRequired', 'required'] as const;
const LEVELS = ['info', 'warning', 'critical'] as const;
const TAG = { key: z.string(KEY_PROBLEM).regex(/^[0-9a-zA-Z_-]{1,255}$/, KEY_PROBLEM), value: text(1, 255) };
const BANNER = {
  message: text(0, 2048).optional(),
  level: z.enum(LEVELS, `must be one of ${LEVELS.join(', ')}`).optional(),
};

const booleanField = z.boolean('must be true or false');

/** Each message completes a sentence that begins with the path. */
const SHAPE = {
  name: text(1, 255),
  description: text(0, 32_767),
  iconColor: text(0, 64),
  limits: z.strictObject(LIMITS, 'is not a map of limits').partial(),
  whitelistedEmailDomains: z.array(text(3, 45), 'is not a list of domains'),
  auditLogEnabled: booleanField,
  /** Losant also takes `true`; a date can be compared with the organization that is read back. */
  disabledAt: z.union([z.literal(false), z.iso.datetime({ offset: true, error: DATE_PROBLEM })], DATE_PROBLEM),
  isReadOnly: booleanField,
  tags: z
    .array(z.strictObject(TAG, 'is not a pair of key and value'), 'is not a list of tags')
    .max(100, 'has more than 100 tags'),
  referralId: text(0, 1024),
  mfaMode: z.enum(MODES, `must be one of ${MODES.join(', ')}`),
  banner: z.strictObject(BANNER, 'is not a map of message and level'),
};

export const orgPatch = z.strictObject(SHAPE, 'is not a JSON object').partial();

export type OrgPatch = z.infer<typeof orgPatch>;

function counts<N extends string>(...names: readonly N[]): Record<N, z.ZodType<number>> {
  const count = whole(0, Number.MAX_SAFE_INTEGER);
  return Object.fromEntries(names.map((name) => [name, count])) as Record<N, z.ZodType<number>>;
}

function whole(min: number, max: number): z.ZodType<number> {
  const bound = max === Number.MAX_SAFE_INTEGER ? `of ${min} or more` : `from ${min} to ${max}`;
  const error = `must be a whole number ${bound}`;
  return z.int(error).min(min, error).max(max, error);
}

function text(min: number, max: number): z.ZodType<string> {
  const error = min === 0 ? `is longer than ${max} characters` : `must have ${min} to ${max} characters`;
  return z.string('is not a string').min(min, error).max(max, error);
}
