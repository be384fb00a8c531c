/** Defects in asking Losant: attempts, pauses, times, bodies, and the list of organizations. */
import { plant } from './mutant.ts';

export const losantMutants = [
  plant(
    { file: 'src/losant/attempt.ts', test: 'test/losant/failures.test.ts' },
    {
      'A missing scope (403) is told apart from an organization that is gone (404)': [
        `403: 'forbidden',`,
        `403: 'not_found',`,
      ],
      'A 404 says that Losant does not know what was asked for': [`  404: 'not_found',`, ''],
      'A refused token (401) is told apart from a refused scope': [
        `401: 'unauthorized',`,
        `401: 'forbidden',`,
      ],
      'A 503 asks for a pause only with Retry-After; otherwise it is a failure of the server': [
        '(status === 503 && retryAfterMs !== null)',
        '(status === 503)',
      ],
      'No error contains the token': [`text.replaceAll(token, '[token]')`, 'text'],
      'No error contains control characters of an answer': [".replaceAll(/\\p{Cc}/gu, '\\uFFFD')", ''],
    },
  ),
  plant(
    { file: 'src/losant/response.ts', test: 'test/losant/client.test.ts' },
    {
      'An answer whose Date is another time than now is not believed': [
        'if (Math.abs(aheadMs) > ANSWER_SKEW_MAX_MS) {',
        'if (aheadMs > ANSWER_SKEW_MAX_MS) {',
      ],
      'An answer that a cache has kept for minutes, by its Age, is not believed': [
        'if (ageMs > ANSWER_SKEW_MAX_MS) {',
        'if (ageMs < 0) {',
      ],
      'An answer that a cache made before the days asked for were over is not believed': [
        'ageMs > 0 && receivedAtMs - ageMs < notBeforeMs',
        'ageMs > 0 && receivedAtMs < notBeforeMs',
      ],
      'A Retry-After that is a date is measured by the clock of the API': [
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
      'A request without an answer in time is sent again': [
        'timeout: { isRepeated: true,',
        'timeout: { isRepeated: false,',
      ],
      'A request whose answer cannot be read is sent again': [
        'bad_body: { isRepeated: true,',
        'bad_body: { isRepeated: false,',
      ],
    },
  ),
  plant(
    { file: 'src/losant/transport.ts', test: 'test/losant/failures.test.ts' },
    {
      'A body that is not UTF-8 is refused and its text not replaced': [
        `new TextDecoder('utf-8', { fatal: true })`,
        `new TextDecoder('utf-8')`,
      ],
      'A body larger than the bound is given up while it is read': [
        'if (size > (status === 200 ? MAX_BODY_BYTES : KEPT_BODY_BYTES)) break;',
        '',
      ],
      'A body that repeats the token is refused and never kept': [
        'if (!answer.text.includes(token)) return null;',
        'if (answer.text !== token) return null;',
      ],
      'A body that is cut is a failure of the connection and never read as if it were complete': [
        'if (failure !== null) return failure;',
        `if (failure?.kind === 'timeout') return failure;`,
      ],
    },
  ),
  plant(
    { file: 'src/losant/transport.ts', test: 'test/losant/client.test.ts' },
    {
      'Every request asks caches to pass it on': [`'cache-control': 'no-cache',`, ''],
    },
  ),
  plant(
    { file: 'src/losant/client.ts', test: 'test/losant/client.test.ts' },
    {
      'A wait that Losant asks for (429) spends no attempt': ['spent.waits += 1;', ''],
      'A wait that Losant asks for pauses all requests of the token': ['gate.pauseFor(pauseMs);', ''],
      'A pause lasts at least a second, so that Retry-After: 0 for ever reaches the bound': [
        'return Math.max(PAUSE_BASE_MS, retryAfterMs);',
        'return retryAfterMs;',
      ],
      'Pauses for which Losant names no time grow': [
        'Math.min(60_000, PAUSE_BASE_MS * 2 ** waits)',
        'PAUSE_BASE_MS',
      ],
      'Each further attempt waits twice as long, up to a bound': [
        'Math.min(20_000, baseMs * 2 ** (attempt - 1))',
        'baseMs',
      ],
    },
  ),
  plant(
    { file: 'src/losant/client.ts', test: 'test/losant/failures.test.ts' },
    {
      'A request that Losant refuses is not sent again': [
        'return FAILURES[kind].isRepeated && spent.sent',
        'return spent.sent',
      ],
      'A request is sent as often as is set and not more': [
        'spent.sent - spent.waits < attempts',
        'spent.sent - spent.waits <= attempts',
      ],
    },
  ),
  plant(
    { file: 'src/losant/gate.ts', test: 'test/losant/gate.test.ts' },
    {
      'No more requests are under way than allowed': [
        'if (this.#underWay >= this.concurrency) return;',
        'if (this.#underWay > this.concurrency) return;',
      ],
      'No more requests start in a second than allowed': [
        'nowMs - CATCH_UP_MS) + this.#spacingMs;',
        'nowMs - CATCH_UP_MS);',
      ],
      'No pause longer than an hour is believed': [
        'const pauseMs = Math.min(ms, LONGEST_PAUSE_MS);',
        'const pauseMs = ms;',
      ],
      'A pause longer than 15 minutes ends all requests instead of keeping the run asleep': [
        'if (pauseLeftMs > LONGEST_WAIT_MS) throw pausedTooLong(question, pauseLeftMs);',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/losant/org-list.ts', test: 'test/losant/org-list.test.ts' },
    {
      'A list of organizations with fewer than its own count is not complete': [
        'if (isSorted && listed + unidentified !== totalCount) {',
        'if (totalCount < 0) {',
      ],
      'A list with an item whose id cannot be read is not complete': [
        'if (unidentified > 0) reasons',
        'if (unidentified < 0) reasons',
      ],
      'An answer with another page of the list than the one asked for is refused': [
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
      'A deletion while the list is read loses no other organization': [
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
      'A list that repeats some organizations and so leaves others out is not complete': [
        'else if (orgId <= lastId) isSorted = false;',
        'else if (orgId < lastId) isSorted = false;',
      ],
    },
  ),
  plant(
    { file: 'src/losant/orgs.ts', test: 'test/losant/orgs.test.ts' },
    {
      'An answer for another organization than the one asked for is refused': [
        'if (organization.orgId !== orgId.toLowerCase()) {',
        `if (organization.orgId === '') {`,
      ],
      'An answer that does not name the instance asked for is refused': [
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
