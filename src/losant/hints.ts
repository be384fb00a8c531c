import type { LosantErrorKind } from '../errors.ts';

/** Returns the operator's next step after a failed request. */
export function getHint(action: string, kind: LosantErrorKind): string {
  const isChange = action === 'instanceOrg.patch' || action === 'instanceOrg.delete';
  const hint = isChange ? (CHANGE_HINTS[kind] ?? UNCLEAR_CHANGE_HINT) : READ_HINTS[kind];
  return hint.replace('ACTION', action);
}

const READ_HINTS: Readonly<Record<LosantErrorKind, string>> = {
  unauthorized:
    'The token is unknown, expired or revoked. Create a new instance API token and put it in LOSANT_API_TOKEN, or ' +
    'in the file that LOSANT_API_TOKEN_FILE names.',
  forbidden: 'The token lacks a scope: add ACTION, or all.Instance.read, which allows every read.',
  not_found:
    'Check LOSANT_INSTANCE_ID, the organization ID, and LOSANT_API_URL, which usually has no path; the token ' +
    'may belong to another instance.',
  not_supported:
    'Check LOSANT_API_URL, which usually has no path. If it is right, this Losant install is too old for the ' +
    'endpoint: update it, or leave the stream out of STREAMS.',
  refused: 'Losant rejects this request, and its response says why; sending it again will not help.',
  rate_limited: 'Lower REQUESTS_PER_SECOND, or ask Losant for a higher limit; the next run catches up.',
  server_error:
    'Losant reported an internal error. The next run tries again; if it persists, contact Losant support.',
  unreachable:
    'Check LOSANT_API_URL and the network; behind a proxy set NODE_USE_ENV_PROXY=1 and HTTPS_PROXY, ' +
    'for a private certificate authority set NODE_EXTRA_CA_CERTS.',
  timeout: 'Raise REQUEST_TIMEOUT_MS if Losant is only slow; the next run tries again.',
  wrong_date:
    'A cache between here and Losant serves old responses, or a clock is wrong. Make the cache honor ' +
    'Cache-Control: no-cache, and synchronize the clocks (NTP).',
  bad_body: 'Check that LOSANT_API_URL reaches the API itself, not a proxy or login page.',
};

const UNCLEAR_CHANGE_HINT =
  'The change may have been made; check with losant-usage org show before you try again.';

const CHANGE_HINTS: Readonly<Partial<Record<LosantErrorKind, string>>> = {
  unauthorized: 'LOSANT_ADMIN_TOKEN is unknown, expired or revoked. Nothing was changed; create a new token.',
  forbidden: 'LOSANT_ADMIN_TOKEN lacks a scope. Nothing was changed; add ACTION, or all.Instance.',
  not_found:
    'LOSANT_API_TOKEN can see the organization; check that LOSANT_ADMIN_TOKEN belongs to the same instance.',
  not_supported:
    'This Losant install does not support the request: nothing was changed; use the Losant web UI.',
  refused: "Nothing was changed; fix what Losant's response names, then try again.",
  rate_limited: 'Nothing was changed, and the request is not retried; wait a minute and try again.',
};
