import ky from 'ky';
import { z } from 'zod';
import { LosantError, type LosantErrorKind } from '../errors.ts';
import { type Answer, answerOf, failureOf } from './attempt.ts';
import { type Asked, losantError } from './failure.ts';
import type { OrgPatch } from './org-patch.ts';
import { createTransport, headersFor, QUERY_FOR_ALL, type RequestOptions } from './transport.ts';

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
    fetch: (input, init) => transport(new Request(input, init), signal),
  });
  const send = async (asked: Asked, request: () => Promise<Response>): Promise<Answer> => {
    try {
      return answerOf(await request());
    } catch (error) {
      const failure = failureOf(error);
      if (failure === null) throw error;
      throw losantError(asked, failure, { token, hint: hintsFor(asked.action)[failure.kind] });
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
      const failure = { kind: 'bad_body', status: 200, body: text } as const;
      const detail = 'the answer does not say that it was deleted';
      throw losantError(asked, { ...failure, detail }, { token, hint: hintsFor(asked.action).bad_body });
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
