/** Defects in requests to Losant: attempts, pauses, times, bodies, and the list of organizations. */
import { plant } from './mutant.ts';

export const losantMutants = [
  plant(
    { file: 'src/losant/attempt.ts', test: 'test/losant/failures.test.ts' },
    {
      'A missing scope (403) is distinguished from a deleted organization (404)': [
        `403: 'forbidden',`,
        `403: 'not_found',`,
      ],
      'A 404 means that Losant does not know the resource': [`  404: 'not_found',`, ''],
      'A rejected token (401) is distinguished from a missing scope': [
        `401: 'unauthorized',`,
        `401: 'forbidden',`,
      ],
      'A 503 requests a pause only with Retry-After; otherwise it is a server error': [
        '(status === 503 && retryAfterMs !== null)',
        '(status === 503)',
      ],
      'No error contains the token': [`text.replaceAll(token, '[token]')`, 'text'],
      'No error contains control characters from a response': [".replaceAll(/\\p{Cc}/gu, '\\uFFFD')", ''],
    },
  ),
  plant(
    { file: 'src/losant/response.ts', test: 'test/losant/client.test.ts' },
    {
      'A response whose Date is not now is rejected': [
        'if (Math.abs(aheadMs) > ANSWER_SKEW_MAX_MS) {',
        'if (aheadMs > ANSWER_SKEW_MAX_MS) {',
      ],
      'A response that was cached for minutes, by its Age, is rejected': [
        'if (ageMs > ANSWER_SKEW_MAX_MS) {',
        'if (ageMs < 0) {',
      ],
      'A response from before the end of the requested days is rejected': [
        'ageMs > 0 && receivedAtMs - ageMs < notBeforeMs',
        'ageMs > 0 && receivedAtMs < notBeforeMs',
      ],
      "A Retry-After date is measured by the API's clock": [
        'dateMs - (readDate(headers) ?? receivedAtMs)',
        'dateMs - receivedAtMs',
      ],
      'A Retry-After that is a number means seconds': [
        'return Number.parseInt(text, 10) * 1000;',
        'return Number.parseInt(text, 10);',
      ],
    },
  ),
  plant(
    { file: 'src/errors.ts', test: 'test/losant/failures.test.ts' },
    {
      'A request without a response in time is retried': [
        'timeout: { isRepeated: true,',
        'timeout: { isRepeated: false,',
      ],
      'A request with an unreadable response is retried': [
        'bad_body: { isRepeated: true,',
        'bad_body: { isRepeated: false,',
      ],
    },
  ),
  plant(
    { file: 'src/losant/transport.ts', test: 'test/losant/failures.test.ts' },
    {
      'A body that is not UTF-8 is rejected, and its text is not replaced': [
        `new TextDecoder('utf-8', { fatal: true })`,
        `new TextDecoder('utf-8')`,
      ],
      'A body above the size limit is aborted while it is read': [
        'if (size > (status === 200 ? MAX_BODY_BYTES : KEPT_BODY_BYTES)) break;',
        '',
      ],
      'A body that contains the token is rejected and never stored': [
        'if (!answer.text.includes(token)) return null;',
        'if (answer.text !== token) return null;',
      ],
      'A truncated body is a connection failure and never treated as complete': [
        'if (failure !== null) return failure;',
        `if (failure?.kind === 'timeout') return failure;`,
      ],
    },
  ),
  plant(
    { file: 'src/losant/transport.ts', test: 'test/losant/client.test.ts' },
    {
      'Every request asks caches to forward it': [`'cache-control': 'no-cache',`, ''],
    },
  ),
  plant(
    { file: 'src/losant/client.ts', test: 'test/losant/client.test.ts' },
    {
      'A pause that Losant requests (429) does not count as an attempt': ['spent.waits += 1;', ''],
      'A pause that Losant requests applies to all requests of the token': ['gate.pauseFor(pauseMs);', ''],
      'A pause lasts at least a second, so that endless Retry-After: 0 reaches the limit': [
        'return Math.max(PAUSE_BASE_MS, retryAfterMs);',
        'return retryAfterMs;',
      ],
      'Pauses without a time from Losant grow': [
        'Math.min(60_000, PAUSE_BASE_MS * 2 ** waits)',
        'PAUSE_BASE_MS',
      ],
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
        'return FAILURES[kind].isRepeated && spent.sent',
        'return spent.sent',
      ],
      'A request is sent at most as often as configured': [
        'spent.sent - spent.waits < attempts',
        'spent.sent - spent.waits <= attempts',
      ],
    },
  ),
  plant(
    { file: 'src/losant/gate.ts', test: 'test/losant/gate.test.ts' },
    {
      'No more requests are in flight than allowed': [
        'if (this.#underWay >= this.concurrency) return;',
        'if (this.#underWay > this.concurrency) return;',
      ],
      'No more requests start in a second than allowed': [
        'nowMs - CATCH_UP_MS) + this.#spacingMs;',
        'nowMs - CATCH_UP_MS);',
      ],
      'No pause is longer than an hour': [
        'const pauseMs = Math.min(ms, LONGEST_PAUSE_MS);',
        'const pauseMs = ms;',
      ],
      'A pause longer than 15 minutes fails all requests instead of holding the run': [
        'if (pauseLeftMs > LONGEST_WAIT_MS) throw pausedTooLong(question, pauseLeftMs);',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/losant/org-list.ts', test: 'test/losant/org-list.test.ts' },
    {
      'A list with fewer organizations than its total is incomplete': [
        'if (isSorted && listed + unidentified !== totalCount) {',
        'if (totalCount < 0) {',
      ],
      'A list with an item without a readable ID is incomplete': [
        'if (unidentified > 0) reasons',
        'if (unidentified < 0) reasons',
      ],
      'A response with another page than the requested one is rejected': [
        'if (echoed != null && echoed !== page) throw',
        'if (echoed === -1) throw',
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
      only: 'when it has the same organization twice',
    },
    {
      'A list that repeats organizations and so lacks others is incomplete': [
        'else if (orgId <= lastId) isSorted = false;',
        'else if (orgId < lastId) isSorted = false;',
      ],
    },
  ),
  plant(
    { file: 'src/losant/orgs.ts', test: 'test/losant/orgs.test.ts' },
    {
      'A response for another organization is rejected': [
        'if (organization.orgId !== orgId.toLowerCase()) {',
        `if (organization.orgId === '') {`,
      ],
      'A response for another instance is rejected': [
        'if (answeredId.toLowerCase() !== instanceId.toLowerCase()) {',
        `if (answeredId === 'unnamed') {`,
      ],
    },
  ),
  plant(
    { file: 'src/losant/usage.ts', test: 'test/losant/orgs.test.ts' },
    {
      'A request ends with the last millisecond of its last day': [
        'end: String(dayEndMs(to) - 1)',
        'end: String(dayEndMs(to))',
      ],
    },
  ),
].flat();
