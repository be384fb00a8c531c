import ky from 'ky';
import { z } from 'zod';
import { LosantError, type LosantErrorKind } from '../errors.ts';
import { type Answer, type Asked, AttemptError, losantError } from './attempt.ts';
import {
  AnswerResponse,
  createTransport,
  headersFor,
  QUERY_FOR_ALL,
  type RequestOptions,
} from './transport.ts';

export interface OrgPlace {
  readonly instanceId: string;
  readonly orgId: string;
}

/**
 * AdminClient changes organizations in Losant and is the only code of this program that can. Each
 * request is sent once and never repeated, and a request under way is waited for even if the process
 * was asked to end. Methods throw a `LosantError` that never contains the token. After an error for
 * which {@link mayHaveHappened} is true, only reading the organization back shows whether the change
 * was made.
 */
export interface AdminClient {
  /** `patchOrg` sends the patch. What the answer contains is not looked at: read the organization back. */
  patchOrg(place: OrgPlace, patch: OrgPatch): Promise<void>;
  deleteOrg(place: OrgPlace): Promise<void>;
}

/** The bound on an answer: an organization is a few kilobytes. */
const MAX_BODY_BYTES = 1024 * 1024;

/** `createAdminClient` needs a token that may change organizations; the one that reads needs no such right. */
export function createAdminClient(options: RequestOptions): AdminClient {
  const { token, apiUrl } = options;
  const transport = createTransport({ ...options, maxBodyBytes: MAX_BODY_BYTES, connections: 1 });
  const { signal } = new AbortController();
  const api = ky.create({
    prefix: apiUrl,
    headers: headersFor(options),
    searchParams: QUERY_FOR_ALL,
    timeout: false,
    retry: 0,
    fetch: async (input, init) => new AnswerResponse(await transport(new Request(input, init), signal)),
  });
  const send = async (asked: Asked, request: () => Promise<Response>): Promise<Answer> => {
    try {
      return ((await request()) as AnswerResponse).answer;
    } catch (error) {
      if (!(error instanceof AttemptError)) throw error;
      throw losantError(asked, error, { token, hint: hintsFor(asked.action)[error.kind] });
    }
  };
  return {
    async patchOrg(place, patch) {
      const asked = { action: 'instanceOrg.patch', ids: { org: place.orgId } };
      await send(asked, () => api.patch(pathOf(place), { json: patch }));
    },
    async deleteOrg(place) {
      const asked = { action: 'instanceOrg.delete', ids: { org: place.orgId } };
      const { body, text } = await send(asked, () => api.delete(pathOf(place)));
      if (deleted.safeParse(body).success) return;
      const message = 'the answer does not say that it was deleted';
      const error = new AttemptError('bad_body', message, { status: 200, body: text });
      throw losantError(asked, error, { token, hint: hintsFor(asked.action).bad_body });
    },
  };
}

const deleted = z.object({ success: z.literal(true) });

/** `mayHaveHappened` returns whether the change may have been made although its answer was lost. */
export function mayHaveHappened(error: unknown): error is LosantError {
  return error instanceof LosantError && UNCERTAIN.has(error.kind);
}

const UNCERTAIN: ReadonlySet<LosantErrorKind> = new Set([
  'server_error',
  'unreachable',
  'timeout',
  'bad_body',
]);

function pathOf({ instanceId, orgId }: OrgPlace): string {
  return `instances/${encodeURIComponent(instanceId)}/orgs/${encodeURIComponent(orgId)}`;
}

/** `hintsFor` returns the next step for each kind of error of a request for `action`. */
function hintsFor(action: string): Readonly<Record<LosantErrorKind, string>> {
  const unclear = 'The change may have been made: look with losant-usage org show before you start again.';
  return {
    unauthorized:
      'The token of LOSANT_ADMIN_TOKEN is unknown, expired or revoked: nothing was changed; create a new one.',
    forbidden: `The token of LOSANT_ADMIN_TOKEN lacks a scope: nothing was changed; add ${action} to it, or all.Instance.`,
    not_found:
      'The token that reads knows the organization: check that LOSANT_ADMIN_TOKEN belongs to the same instance.',
    not_supported:
      'This Losant install does not support the request: nothing was changed; use its own pages.',
    refused: "Nothing was changed: correct what Losant's answer names, and start again.",
    rate_limited:
      'Nothing was changed, and the request is not repeated by itself: wait a minute and start again.',
    server_error: unclear,
    unreachable: unclear,
    timeout: unclear,
    wrong_date: unclear,
    bad_body: unclear,
  };
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

/** `namesAt` returns the names that are known at a path, for suggesting which one was meant. */
export function namesAt(path: readonly PropertyKey[]): readonly string[] {
  const [first] = path;
  if (first === undefined) return Object.keys(SHAPE);
  if (first === 'limits') return Object.keys(LIMITS);
  return Object.keys(first === 'banner' ? BANNER : TAG);
}

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
