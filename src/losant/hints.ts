import type { LosantErrorKind } from '../errors.ts';

/** Returns the operator's next step after a request for `action` that failed. */
export function hintFor(action: string, kind: LosantErrorKind): string {
  const isChange = action === 'instanceOrg.patch' || action === 'instanceOrg.delete';
  const hint = isChange ? (OF_CHANGES[kind] ?? UNCLEAR) : OF_READS[kind];
  return hint.replace('ACTION', action);
}

const OF_READS: Readonly<Record<LosantErrorKind, string>> = {
  unauthorized:
    'The token is unknown, expired or revoked: create a new instance API token, and set LOSANT_API_TOKEN or write it ' +
    'into the file of LOSANT_API_TOKEN_FILE.',
  forbidden: 'The token lacks a scope: add ACTION to it, or all.Instance.read, which opens every read.',
  not_found:
    'Check LOSANT_INSTANCE_ID, the organization id and the path of LOSANT_API_URL, which mostly has none; the token ' +
    'may belong to another instance.',
  not_supported:
    'This Losant install is too old for the endpoint: update it, or leave the stream out of STREAMS.',
  refused: 'Losant will refuse the same request again: its answer says why.',
  rate_limited:
    'Lower REQUESTS_PER_SECOND, or ask Losant for a higher limit; the next run takes up what is missing.',
  server_error: 'Losant has a problem of its own: the next run tries again; if it lasts, ask Losant support.',
  unreachable:
    'Check LOSANT_API_URL and the network; behind a proxy set NODE_USE_ENV_PROXY=1 and HTTPS_PROXY, ' +
    'for a private certificate authority set NODE_EXTRA_CA_CERTS.',
  timeout: 'Raise REQUEST_TIMEOUT_MS if Losant is only slow; the next run tries again.',
  wrong_date:
    'Something between here and Losant keeps answers, or a clock is wrong: let it pass on requests that say ' +
    'Cache-Control: no-cache, and set the clocks (NTP).',
  bad_body: 'Check that LOSANT_API_URL is the API itself and no proxy or login page answers in its place.',
};

const UNCLEAR = 'The change may have been made: look with losant-usage org show before you start again.';

const OF_CHANGES: Readonly<Partial<Record<LosantErrorKind, string>>> = {
  unauthorized:
    'The token of LOSANT_ADMIN_TOKEN is unknown, expired or revoked: nothing was changed; create a new one.',
  forbidden:
    'The token of LOSANT_ADMIN_TOKEN lacks a scope: nothing was changed; add ACTION to it, or all.Instance.',
  not_found:
    'The token that reads knows the organization: check that LOSANT_ADMIN_TOKEN belongs to the same instance.',
  not_supported: 'This Losant install does not support the request: nothing was changed; use its own pages.',
  refused: "Nothing was changed: correct what Losant's answer names, and start again.",
  rate_limited:
    'Nothing was changed, and the request is not repeated by itself: wait a minute and start again.',
};
