import ky from 'ky';
import { LosantError, type LosantErrorKind } from '../errors.ts';
import { type Answer, type AttemptResult, KEPT_BODY_BYTES, readReply } from './attempt.ts';
import type { Reply } from './exchange.ts';
import { type Asked, errorWithoutToken, refuseEcho } from './failure.ts';
import { headersFor, QUERY_FOR_ALL } from './http.ts';
import type { OrgPatch } from './org-patch.ts';
import { type OrgResource, readOrgAnswer } from './orgs.ts';
import { createTransport, type SentRequest } from './transport.ts';

export interface AdminClientOptions {
  /** E.g. `https://api.losant.com`; may have a path. */
  readonly apiUrl: string;
  /** May change organizations; the token that reads usage need not. */
  readonly token: string;
  readonly domain: string | null;
  /** Bound on each request, the body included. */
  readonly timeoutMs: number;
  /** `losant-usage-export/VERSION`. */
  readonly userAgent: string;
  readonly now: () => number;
}

export interface OrgPlace {
  readonly instanceId: string;
  readonly orgId: string;
}

/**
 * Changes organizations in Losant: the only code of this program that can. Each
 * request is sent once and never again, and what is under way is waited for, even
 * if the process was asked to end. Throws a `LosantError` that never holds the
 * token; after one for which {@link mayHaveHappened} only reading back can tell
 * whether the change was made.
 */
export interface AdminClient {
  /** The organization as Losant answers it; whether it has the change is not looked at. */
  patchOrg(place: OrgPlace, patch: OrgPatch): Promise<OrgResource>;
  deleteOrg(place: OrgPlace): Promise<void>;
}

/** An organization is a few kilobytes. */
const MAX_BODY_BYTES = 1024 * 1024;

export function createAdminClient(options: AdminClientOptions): AdminClient {
  const { token, now, timeoutMs } = options;
  const exchange = createExchange(options);
  const send = async (asked: Asked, request: SentRequest): Promise<Answer> => {
    const sentAtMs = now();
    const judged = { timeoutMs, maxBodyBytes: MAX_BODY_BYTES, readDate: Date.parse };
    const received = { reply: await exchange(request), sentAtMs, receivedAtMs: now() };
    const result: AttemptResult = refuseEcho(token, await readReply(received, judged));
    if (result.ok) return result.answer;
    throw errorWithoutToken(token, asked, result.failure, hintFor(result.failure.kind, asked.action));
  };
  return {
    async patchOrg(place, patch) {
      const asked = { action: 'instanceOrg.patch', ids: { org: place.orgId } };
      const body = JSON.stringify(patch);
      const answer = await send(asked, { method: 'PATCH', path: pathOf(place), body });
      return readOrgAnswer(asked, answer, place.orgId);
    },
    async deleteOrg(place) {
      const asked = { action: 'instanceOrg.delete', ids: { org: place.orgId } };
      const { body, text } = await send(asked, { method: 'DELETE', path: pathOf(place) });
      if ((body as { success?: unknown } | null)?.success === true) return;
      const failure = { kind: 'bad_body', status: 200, isFinal: true, retryAfterMs: null } as const;
      const detail = 'the answer does not say that it was deleted';
      throw errorWithoutToken(token, asked, { ...failure, detail, body: text }, hintFor('bad_body', ''));
    },
  };
}

/** Whether the change may have been made in spite of the error: its answer was lost, or says nothing. */
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
  return `instances/${encodeURIComponent(instanceId)}/orgs/${encodeURIComponent(orgId)}?${QUERY_FOR_ALL}`;
}

/** Sends a request through ky, which is given a fetch of our own as for reading; ky never sees the token. */
function createExchange(options: AdminClientOptions): (request: SentRequest) => Promise<Reply> {
  const { apiUrl, timeoutMs, token, userAgent } = options;
  const { origin, protocol } = new URL(apiUrl);
  const base = apiUrl.replace(/\/+$/, '');
  const headers = headersFor({ token, userAgent, domain: options.domain ?? undefined }, protocol);
  const transport = createTransport({
    origin,
    headers: { ...headers, 'content-type': 'application/json' },
    timeoutMs,
    bounds: { ofAnswer: MAX_BODY_BYTES, ofError: KEPT_BODY_BYTES },
    connections: 1,
  });
  const { signal } = new AbortController();
  const send = ky.create({ retry: 0, timeout: false, throwHttpErrors: false });
  return async ({ method, path, ...body }) => {
    let reply: Reply | null = null;
    const fetch = async (input: unknown) => {
      reply = await transport.send(
        { method, path: (input as Request).url.slice(origin.length), ...body },
        signal,
      );
      // ky hands on what it does not take for a Response.
      return reply as unknown as Response;
    };
    await send(`${base}/${path}`, { method, fetch, ...body });
    return reply as unknown as Reply;
  };
}

function hintFor(kind: LosantErrorKind, action: string): string {
  switch (kind) {
    case 'unauthorized':
      return 'The token of LOSANT_ADMIN_TOKEN is unknown, expired or revoked: nothing was changed; create a new one.';
    case 'forbidden':
      return `The token of LOSANT_ADMIN_TOKEN lacks a scope: nothing was changed; add ${action} to it, or all.Instance.`;
    case 'not_found':
      return 'The token that reads knows the organization: check that LOSANT_ADMIN_TOKEN belongs to the same instance.';
    case 'not_supported':
      return 'This Losant install does not take the request: nothing was changed; use its own pages.';
    case 'refused':
      return "Nothing was changed: correct what Losant's answer names, and start again.";
    case 'rate_limited':
      return 'Nothing was changed, and the request is not repeated by itself: wait a minute and start again.';
    case 'server_error':
    case 'unreachable':
    case 'timeout':
    case 'bad_body':
      return 'It may have been done all the same: losant-usage org show tells; look before you start again.';
  }
}
