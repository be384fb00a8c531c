import { z } from 'zod';
import { FAILURES, LosantError } from '../errors.ts';
import { unexpectedBody } from './attempt.ts';
import { orgPath } from './orgs.ts';
import { createTransport, type TransportOptions } from './transport.ts';

type AdminOptions = Omit<TransportOptions, 'connections'>;

/**
 * Sends the patch of an organization, or deletes it where that is null: the only code of this program that changes
 * anything in Losant. The token that reads needs no such right. The request is sent once and never repeated, and
 * waited for even if the process was asked to end. What a patch is answered is not looked at: read the organization
 * back. Throws a `LosantError` that never contains the token. After one for which {@link mayHaveHappened} is true, only
 * reading the organization back shows whether the change was made.
 */
export async function sendChange(
  options: AdminOptions,
  { instanceId, orgId }: { readonly instanceId: string; readonly orgId: string },
  patch: OrgPatch | null,
): Promise<void> {
  const send = createTransport({ ...options, connections: 1 });
  const url = `${options.apiUrl.replace(/\/+$/, '')}/${orgPath(instanceId, orgId)}`;
  const { signal } = new AbortController();
  const ask = (action: string) => ({ action: `instanceOrg.${action}`, ids: { org: orgId }, signal });
  if (patch !== null) {
    await send('PATCH', url, ask('patch'), JSON.stringify(patch));
    return;
  }
  const answer = await send('DELETE', url, ask('delete'));
  if (deleted.safeParse(answer.body).success) return;
  throw unexpectedBody(ask('delete'), answer, 'it does not confirm the deletion');
}

const deleted = z.object({ success: z.literal(true) });

/** Returns whether the change may have been made although its answer was lost. */
export function mayHaveHappened(error: unknown): error is LosantError {
  return error instanceof LosantError && !FAILURES[error.kind].isDefinitive && error.kind !== 'rate_limited';
}

/** The limits that can be changed, by the schema of the API's Patch, version 1.30.0: counts but for the last two. */
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

const NO_DATE = 'must be false or a date such as 2026-11-25T00:00:00Z';
const NO_KEY = 'must be 1 to 255 letters, digits, _ or -';
const MODES = ['notRequired', 'adminRequired', 'required'] as const;
const LEVELS = ['info', 'warning', 'critical'] as const;
const TAG = { key: z.string(NO_KEY).regex(/^[0-9a-zA-Z_-]{1,255}$/, NO_KEY), value: text(1, 255) };
const BANNER = {
  message: text(0, 2048).optional(),
  level: z.enum(LEVELS, `must be one of ${LEVELS.join(', ')}`).optional(),
};

const booleanField = z.boolean('must be true or false');

/** A message completes the sentence that its path begins. */
const SHAPE = {
  name: text(1, 255),
  description: text(0, 32_767),
  iconColor: text(0, 64),
  limits: z.strictObject(LIMITS, 'is not a map of limits').partial(),
  whitelistedEmailDomains: z.array(text(3, 45), 'is not a list of domains'),
  auditLogEnabled: booleanField,
  /** Losant also takes `true`; a date records since when, and can be compared with the answer. */
  disabledAt: z.union([z.literal(false), z.iso.datetime({ offset: true, error: NO_DATE })], NO_DATE),
  isReadOnly: booleanField,
  tags: z
    .array(z.strictObject(TAG, 'is not a pair of key and value'), 'is not a list of tags')
    .max(100, 'has more than 100 tags'),
  referralId: text(0, 1024),
  mfaMode: z.enum(MODES, `must be one of ${MODES.join(', ')}`),
  banner: z.strictObject(BANNER, 'is not a map of message and level'),
};

export const orgPatch = z.strictObject(SHAPE, 'is not a map of attributes').partial();

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
