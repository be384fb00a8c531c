/** Defects in requests to Losant: attempts, pauses, times, bodies, and the list of organizations. */
import { plant } from './mutant.ts';

export const losantMutants = [
  plant(
    { file: 'src/losant/attempt.ts', test: 'test/losant/failures.test.ts' },
    {
      'A missing scope (403) is distinguished from an unknown organization (404)': [
        `403: 'forbidden',`,
        `403: 'not_found',`,
      ],
      'A 404 means that Losant does not know what was requested': [`  404: 'not_found',`, ''],
      'A rejected token (401) is distinguished from a missing scope': [`401: 'unauthorized',`, `401: 'forbidden',`],
      'A 503 asks for a pause only with Retry-After; otherwise it is a server error': [
        '(status === 503 && retryAfterMs !== null)',
        '(status === 503)',
      ],
      'No error contains the token': [`text.replaceAll(token, '[token]')`, 'text'],
      'No error contains a part of the token, where its text was cut': [
        'if (scrubbed.endsWith(token.slice(0, length)))',
        'if (length < 0)',
      ],
      'The token is removed from a message before that is cut, and no header makes it long': [
        '.slice(0, PROBLEM_LENGTH_MAX)',
        '',
      ],
      'No error contains control characters of a response': [".replaceAll(/\\p{Cc}/gu, '\\uFFFD')", ''],
    },
  ),
  plant(
    { file: 'src/losant/attempt.ts', test: 'test/losant/client.test.ts' },
    {
      'A response whose Date is not from now is rejected': [
        'if (Math.abs(aheadMs) > RESPONSE_SKEW_MAX_MS) {',
        'if (aheadMs > RESPONSE_SKEW_MAX_MS) {',
      ],
      'A response that is minutes old by its Age is rejected': [
        'if (ageMs > RESPONSE_SKEW_MAX_MS) {',
        'if (ageMs < 0) {',
      ],
      'A cached response from before the end of the requested days is rejected': [
        'ageMs > 0 && receivedAtMs - ageMs < notBeforeMs',
        'ageMs > 0 && receivedAtMs < notBeforeMs',
      ],
      'A Retry-After that is a date is compared with the clock of the API': [
        'dateMs - (parseDateHeader(headers) ?? receivedAtMs)',
        'dateMs - receivedAtMs',
      ],
      'A Retry-After that is a number means seconds': ['return Number(text) * 1000;', 'return Number(text);'],
      'A Retry-After with any other text is invalid, not a date': [
        "text.endsWith('GMT') ? Date.parse(text) : Number.NaN",
        'Date.parse(text)',
      ],
    },
  ),
  plant(
    { file: 'src/errors.ts', test: 'test/losant/failures.test.ts' },
    {
      'A request that timed out is retried': ['timeout: { isRetried: true,', 'timeout: { isRetried: false,'],
      'A request whose response cannot be parsed is retried': [
        'bad_body: { isRetried: true,',
        'bad_body: { isRetried: false,',
      ],
    },
  ),
  plant(
    { file: 'src/losant/transport.ts', test: 'test/losant/failures.test.ts' },
    {
      'A body that is not UTF-8 is rejected, not repaired': [
        `new TextDecoder('utf-8', { fatal: true })`,
        `new TextDecoder('utf-8')`,
      ],
      'A body beyond the bound is not read to its end': [
        'if (size > (status === 200 ? MAX_BODY_BYTES : ERROR_BODY_BYTES)) stop(null);',
        '',
      ],
      'A body that contains the token is rejected and never stored': [
        'if (!text.includes(token)) return { body, text };',
        'if (text !== token) return { body, text };',
      ],
      'A body that is cut is a failure of the connection, and never parsed as if it were complete': [
        'const content = raw.failure ?? parseContent(raw, token);',
        `const content = raw.failure?.kind === 'timeout' ? raw.failure : parseContent(raw, token);`,
      ],
    },
  ),
  plant(
    { file: 'src/losant/transport.ts', test: 'test/losant/admin.test.ts' },
    {
      'A change may have been made despite a 503 that asks for a pause': [
        "method === 'GET' ? parseRetryAfter(raw.headers, receivedAtMs) : null",
        'parseRetryAfter(raw.headers, receivedAtMs)',
      ],
    },
  ),
  plant(
    { file: 'src/losant/transport.ts', test: 'test/losant/client.test.ts' },
    {
      'Every request tells caches not to respond': [`'cache-control': 'no-cache',`, ''],
    },
  ),
  plant(
    { file: 'src/losant/client.ts', test: 'test/losant/client.test.ts' },
    {
      'A wait that Losant asks for (429) does not count as an attempt': ['tally.waits += 1;', ''],
      'A pause that Losant requests applies to all requests of the token': ['gate.rate.pauseFor(pauseMs);', ''],
      'A pause lasts at least a second, so that an endless Retry-After: 0 reaches the bound': [
        'return Math.max(PAUSE_BASE_MS, retryAfterMs);',
        'return retryAfterMs;',
      ],
      'Pauses without Retry-After grow': ['Math.min(60_000, PAUSE_BASE_MS * 2 ** waits)', 'PAUSE_BASE_MS'],
      'Each further attempt waits twice as long, up to a limit': [
        'Math.min(20_000, baseMs * 2 ** (attempt - 1))',
        'baseMs',
      ],
    },
  ),
  plant(
    { file: 'src/losant/client.ts', test: 'test/losant/failures.test.ts' },
    {
      'A request that Losant rejects is not retried': [
        'return FAILURES[kind].isRetried && tally.attempts',
        'return tally.attempts',
      ],
      'A request is sent as often as configured and not more': [
        'tally.attempts - tally.waits < attempts',
        'tally.attempts - tally.waits <= attempts',
      ],
    },
  ),
  plant(
    { file: 'src/losant/rate.ts', test: 'test/losant/gate.test.ts' },
    {
      'No more requests run at the same time than allowed': [
        'if (gate.running >= gate.concurrency) continue;',
        'if (gate.running > gate.concurrency) continue;',
      ],
      'A request that releases its place twice makes room for one': ['if (!isRunning) return;', ''],
    },
  ),
  plant(
    { file: 'src/losant/rate.ts', test: 'test/losant/gate.test.ts' },
    {
      'An instance whose requests hang delays no other one with its token': [
        'if (gate.running >= gate.concurrency) continue;',
        'if (gate.running >= gate.concurrency) return;',
      ],
      'No more requests start in a second than allowed': [
        'nowMs - CATCH_UP_MS) + this.#spacingMs;',
        'nowMs - CATCH_UP_MS);',
      ],
      'A pause is at most an hour long': ['const pauseMs = Math.min(ms, LONGEST_PAUSE_MS);', 'const pauseMs = ms;'],
      'A pause longer than 15 minutes fails all requests instead of letting the run sleep': [
        'if (pauseLeftMs > LONGEST_WAIT_MS) throw createPauseError(request, pauseLeftMs);',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/losant/org-list.ts', test: 'test/losant/org-list.test.ts' },
    {
      'A list of organizations with fewer than its total is not complete': [
        'if (isSorted && listedOrgs + unidentified !== totalCount) {',
        'if (totalCount < 0) {',
      ],
      'A list with an item without a readable ID is not complete': [
        'if (unidentified > 0) reasons',
        'if (unidentified < 0) reasons',
      ],
      'A list whose pages repeat is not read on, however large its total is': ['if (isStuck || (', 'if (('],
      'A response with another page than requested is rejected': [
        'if (otherPage != null && otherPage !== page)',
        'if (otherPage === -1)',
      ],
    },
  ),
  plant(
    {
      file: 'src/losant/org-list.ts',
      test: 'test/losant/org-list.test.ts',
      only: 'a list that shifts while it is read',
    },
    {
      'A deletion while the list is read does not lose another organization': [
        'first.hasShifted ? yield* readList(client, options) : first',
        'first',
      ],
    },
  ),
  plant(
    {
      file: 'src/losant/org-list.ts',
      test: 'test/losant/org-list.test.ts',
      only: 'when it lists an organization twice',
    },
    {
      'A list that repeats some organizations, and so may lack others, is not complete': [
        'else if (orgId <= lastId) isSorted = false;',
        'else if (orgId < lastId) isSorted = false;',
      ],
    },
  ),
  plant(
    { file: 'src/losant/endpoints.ts', test: 'test/losant/orgs.test.ts' },
    {
      'A response about another organization than requested is rejected': [
        'if (organization.orgId !== orgId.toLowerCase()) {',
        `if (organization.orgId === '') {`,
      ],
      'A response about another instance than requested is rejected': [
        'if (responseId.toLowerCase() !== instanceId.toLowerCase()) {',
        `if (responseId === '') {`,
      ],
    },
  ),
  plant(
    { file: 'src/losant/endpoints.ts', test: 'test/losant/orgs.test.ts' },
    {
      'A request ends with the last millisecond of its last day': [
        'end: String(dayEndMs(to) - 1)',
        'end: String(dayEndMs(to))',
      ],
    },
  ),
  plant(
    { file: 'src/losant/attempt.ts', test: 'test/losant/gate.test.ts' },
    {
      'A signal without requests has no listener': ['if (all.size > 0) return;', 'return;'],
    },
  ),
].flat();
