import { z } from 'zod';
import { FAILURES, LosantError } from '../errors.ts';
import { AttemptError, badBody } from './attempt.ts';
import { orgPath } from './orgs.ts';
import { createTransport, QUERY_FOR_ALL, type TransportOptions } from './transport.ts';

export interface OrgPlace {
  readonly instanceId: string;
  readonly orgId: string;
}

/**
 * Changes organizations in Losant and is the only code of this program that can. Each
 * request is sent once and never repeated, and a request under way is waited for even if the process
 * was asked to end. Methods throw a `LosantError` that never contains the token. After an error for
 * which {@link mayHaveHappened} is true, only reading the organization back shows whether the change
 * was made.
 */
export interface AdminClient {
  /** Sends the patch. What the answer contains is not looked at: read the organization back. */
  patchOrg(place: OrgPlace, patch: OrgPatch): Promise<void>;
  deleteOrg(place: OrgPlace): Promise<void>;
}

type AdminOptions = Omit<TransportOptions, 'maxBodyBytes' | 'connections' | 'takesAnyTime'>;

/** The bound on an answer: an organization is a few kilobytes. */
const MAX_BODY_BYTES = 1024 * 1024;

/** Returns a client whose token may change organizations; the token that reads needs no such right. */
export function createAdminClient(options: AdminOptions): AdminClient {
  const bounds = { maxBodyBytes: MAX_BODY_BYTES, connections: 1, takesAnyTime: true };
  const send = createTransport({ ...options, ...bounds });
  const { signal } = new AbortController();
  const base = options.apiUrl.replace(/\/+$/, '');
  const urlOf = ({ instanceId, orgId }: OrgPlace) => `${base}/${orgPath(instanceId, orgId)}?${QUERY_FOR_ALL}`;
  return {
    async patchOrg(place, patch) {
      const question = { action: 'instanceOrg.patch', ids: { org: place.orgId }, signal };
      await send('PATCH', urlOf(place), question, JSON.stringify(patch));
    },
    async deleteOrg(place) {
      const question = { action: 'instanceOrg.delete', ids: { org: place.orgId }, signal };
      const { body, text } = await send('DELETE', urlOf(place), question);
      if (deleted.safeParse(body).success) return;
      throw new AttemptError(
        question,
        badBody('the answer does not say that it was deleted', Buffer.from(text)),
      );
    },
  };
}

const deleted = z.object({ success: z.literal(true) });

/** Returns whether the change may have been made although its answer was lost. */
export function mayHaveHappened(error: unknown): error is LosantError {
  return error instanceof LosantError && !FAILURES[error.kind].isAnswer && error.kind !== 'rate_limited';
}

/**
 * The limits that can be changed, each with its least value, by the schema of the API's Patch, version 1.30.0. A
 * message completes the sentence that its path begins.
 */
const LIMITS = {
  ...atLeast(0, ['apitoken', 'application', 'applicationcertificate', 'applicationcertificateauthority']),
  ...atLeast(0, ['applicationkey', 'credential', 'dashboard', 'datatable', 'device', 'devicerecipe']),
  ...atLeast(0, ['experiencedomain', 'experienceendpoint', 'experiencegroup', 'experienceslug']),
  ...atLeast(0, ['experienceuser', 'experienceversion', 'experienceview', 'file', 'flow', 'integration']),
  ...atLeast(0, ['notebook', 'privatefile', 'resourcejob', 'webhook', 'member', 'payload', 'storage']),
  ...atLeast(0, ['notebookMinutesPerRun', 'notebookMinutesPerMonth', 'notebookInParallel']),
  ...atLeast(0, ['experienceFlowSlots', 'applicationFlowSlots']),
  /** In seconds. */
  ...atLeast(86_400, ['dataTTL']),
  /** In seconds. */
  systemInterval: whole(5, 3600),
};

const NO_DATE = 'is neither false nor a date such as 2026-11-25T00:00:00Z';
const TAG = { key: tagKey(), value: text(1, 255) };
const BANNER = {
  message: text(0, 2048).optional(),
  level: choice(['info', 'warning', 'critical']).optional(),
};

const SHAPE = {
  name: text(1, 255),
  description: text(0, 32_767),
  iconColor: text(0, 64),
  limits: z.strictObject(LIMITS, 'is not a map of limits').partial(),
  whitelistedEmailDomains: z.array(text(3, 45), 'is not a list of domains'),
  auditLogEnabled: flag(),
  /** Losant also takes `true`; a date records since when, and can be compared with the answer. */
  disabledAt: z.union([z.literal(false), z.iso.datetime({ offset: true, error: NO_DATE })], NO_DATE),
  isReadOnly: flag(),
  tags: z
    .array(z.strictObject(TAG, 'is not a pair of key and value'), 'is not a list of tags')
    .max(100, 'has more than 100 tags'),
  referralId: text(0, 1024),
  mfaMode: choice(['notRequired', 'adminRequired', 'required']),
  banner: z.strictObject(BANNER, 'is not a map of message and level'),
};

export const orgPatch = z.strictObject(SHAPE, 'is not a map of attributes').partial();

export type OrgPatch = z.infer<typeof orgPatch>;

function atLeast<N extends string>(min: number, names: readonly N[]): Record<N, z.ZodType<number>> {
  const limit = whole(min, Number.MAX_SAFE_INTEGER);
  return Object.fromEntries(names.map((name) => [name, limit])) as Record<N, z.ZodType<number>>;
}

function whole(min: number, max: number): z.ZodType<number> {
  const bound = max === Number.MAX_SAFE_INTEGER ? `of ${min} or more` : `from ${min} to ${max}`;
  const error = `is not a whole number ${bound}`;
  return z.int(error).min(min, error).max(max, error);
}

function text(min: number, max: number): z.ZodType<string> {
  const error = min === 0 ? `is longer than ${max} characters` : `has not ${min} to ${max} characters`;
  return z.string('is not a text').min(min, error).max(max, error);
}

function tagKey(): z.ZodType<string> {
  const error = 'is not made of 1 to 255 letters, digits, _ and -';
  return z.string('is not a text').regex(/^[0-9a-zA-Z_-]{1,255}$/, error);
}

function flag(): z.ZodType<boolean> {
  return z.boolean('is neither true nor false');
}

function choice<T extends string>(choices: readonly T[]): z.ZodType<T> {
  return z.enum(choices as readonly [T, ...T[]], `is none of ${choices.join(', ')}`);
}
