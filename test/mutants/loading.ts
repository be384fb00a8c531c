/** Defects in a run: discovery, deletions, what is loaded, and how it ends. */
import { plant } from './mutant.ts';

export const loadingMutants = [
  plant(
    {
      file: 'src/loading/discover.ts',
      test: 'test/loading/run.test.ts',
      only: 'while the list is incomplete',
    },
    {
      'An incomplete list is a failure of every run until a complete one arrives': [
        'if (reason !== null) {',
        'if (listedOrgs < 0) {',
      ],
      'Every run reports that organizations may be missing until a complete list arrives': [
        'if (listProblem !== null) {',
        `if (listProblem === '') {`,
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/discover.ts',
      test: 'test/loading/deletions.test.ts',
      only: 'more deletions at once',
    },
    {
      'Too many deletions at once are not confirmed and are reported': [
        'deletedIds.length <= allowed ? deletedIds : deletedIds.filter(isLongUnlisted)',
        'deletedIds',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/discover.ts',
      test: 'test/loading/run.test.ts',
      only: 'a configured organization that the instance does not know',
    },
    {
      'A configured organization that the instance does not know fails every run': [
        'listProblem === null ? await readUnknownOrgIds(context) : []',
        '[]',
      ],
    },
  ),
  plant(
    { file: 'src/loading/discover.ts', test: 'test/loading/deletions.test.ts', only: 'that is listed again' },
    {
      'Organizations are listed again on each UTC day': [
        '|| dayAt(Date.parse(listedAt)) < dayAt(now())) return true;',
        ') return true;',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/discover.ts',
      test: 'test/loading/run.test.ts',
      only: 'an unreadable organization is a failure',
    },
    {
      'An organization whose attributes cannot be read is a failure of every run': [
        'of await readUnreadableOrgs(db, instanceId)) {',
        'of (await readUnreadableOrgs(db, instanceId)).slice(0, 0)) {',
      ],
      'An organization whose attributes cannot be read is loaded nevertheless': [
        'upsertOrganizations(ledger, items.filter(isSelected))',
        `upsertOrganizations(ledger, items.filter((item) => isSelected(item) && !('problem' in item)))`,
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/extract.ts',
      test: 'test/e2e/bad-responses.test.ts',
      only: 'eight of twelve organizations',
    },
    {
      'An unreadable body is stored in the quarantine as received': [
        `const verdict = { kind: 'quarantined', code: UNPLACEABLE, detail } as const;`,
        `const verdict = { kind: 'failed', code: UNPLACEABLE, detail } as const;`,
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/report.ts',
      test: 'test/loading/run.test.ts',
      only: 'a manual run retries failed reads',
    },
    {
      'A run with a failure is not complete': [
        'return this.#cellFailures.size > 0 || this.#droppedFailures > 0;',
        'return this.#droppedFailures > 0;',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/report.ts',
      test: 'test/e2e/bad-responses.test.ts',
      only: 'an omitted device count',
    },
    {
      'A run that leaves a late cell missing is not complete, even if no read failed': [
        "cell.standing === 'waiting' && isLate(cell.day, this.#context.now())",
        'false',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/run.ts',
      test: 'test/loading/run.test.ts',
      only: 'a rejected scope is reported',
    },
    {
      'A run without a scope is not complete': ['refusal !== null ||\n', ''],
    },
  ),
  plant(
    { file: 'src/errors.ts', test: 'test/e2e/refusals.test.ts', only: 'rejects the token' },
    {
      'A rejected token or scope ends with exit code 5': ['unauthorized: EXIT.refused,', 'unauthorized: EXIT.failure,'],
    },
  ),
  plant(
    {
      file: 'src/loading/report.ts',
      test: 'test/loading/control-totals.test.ts',
      only: 'are read again after a restatement',
    },
    {
      'A final restatement is counted in the report of its run': [
        'if (differences !== null && previous.wasFinal) this.restatedFinal += 1;',
        '',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/control-totals.ts',
      test: 'test/loading/control-totals.test.ts',
      only: 'control totals of a rejected stream',
    },
    {
      'Control totals that cannot be read are reported as a problem, with the reason': [
        'const columns = { totals_problem: problem, ',
        'const columns = { ',
      ],
    },
  ),
  plant(
    { file: 'src/loading/control-totals.ts', test: 'test/loading/control-totals.test.ts' },
    {
      'A total of numbers that have changed since is not kept when Losant omits it': [
        'case when t.last_read_at is not null then t.quantity end',
        't.quantity',
      ],
      'A total that differed before a deletion is not replaced by one that could not be compared': [
        "and c.compared_with = 'losant' and c.result = 'differs'",
        'and false',
      ],
      'A deletion that is not confirmed yet counts too': ['coalesce(o.deleted_on, o.unlisted_on)', 'o.deleted_on'],
      'A total that differed before a deletion is replaced by one that is equal': [
        'n.quantity = t.our_sum or not',
        'not',
      ],
      'A total that differs is kept when Losant omits it': [
        'case when t.last_read_at is not null then t.quantity end',
        'null',
      ],
      'Control totals that may be read at the next wake-up are pending': [
        '(isFailure(code) && FAILURES[code].isDefinitive);',
        'isFailure(code);',
      ],
      'Control totals hold up a run for two minutes at most': [
        'AbortSignal.any([session.signal, AbortSignal.timeout(TOTALS_TIMEOUT_MS)])',
        'session.signal',
      ],
      'Control totals past the horizon are not requested': [
        'and c.usage_date >= ${horizonStart(nowMs, policy)}::date',
        'and c.usage_date <> ${horizonStart(nowMs, policy)}::date',
      ],
      'Control totals that differ are requested again once a day': [
        "(c.last_read_at < ${at} - interval '1 day'",
        '(false',
      ],
      'Control totals that differ are requested only once a day': [
        "c.last_read_at < ${at} - interval '1 day'",
        'c.last_read_at < ${at}',
      ],
      'Control totals of forced days are requested again': [
        "or (${isWithin('c.usage_date', getForcedRange(options))}",
        "or (false and ${isWithin('c.usage_date', getForcedRange(options))}",
      ],
      'Sums of forced days are computed again': [
        "(t.our_sum is null or ${isWithin('t.usage_date', getForcedRange(options))})",
        't.our_sum is null',
      ],
      'Control totals are requested of streams that are no longer configured': [
        "where c.instance_id = ${instanceId} and c.compared_with = 'losant'",
        "where c.instance_id = ${instanceId} and c.compared_with = 'losant' and ${isAmong('c.stream', context.streams)}",
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/discover.ts',
      test: 'test/loading/deletions.test.ts',
      only: 'an organization counts as deleted if list, lookup and instance agree',
    },
    {
      'No organization that can be read is marked as deleted': [
        '((await isOrgNotFound(context, orgId)) ? [orgId] : [])',
        '((await isOrgNotFound(context, orgId)) ? [orgId] : [orgId])',
      ],
      'No organization is marked as deleted unless the instance can be read': [
        'await getInstance(client, { instanceId, signal });',
        '',
      ],
      'No organization that is listed is marked as deleted': ['{ unseenSince: startedAt }', '{}'],
      'No organization is marked as deleted by an incomplete list': ['if (reason !== null) {', 'if (listedOrgs < 0) {'],
      'An empty list marks no organization as deleted': ['if (listedOrgs === 0) return', 'if (listedOrgs < 0) return'],
    },
  ),
  plant(
    { file: 'src/loading/context.ts', test: 'test/loading/run.test.ts', only: 'does not go back' },
    {
      "Due cells stay due if the host's clock is set back": [
        'Math.max(latestMs, hostNow() + offsetMs)',
        'hostNow() + offsetMs',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/pipeline.ts',
      test: 'test/loading/run.test.ts',
      only: 'a stream that all organizations reject',
    },
    {
      'A missing scope is not a failure of its cells and does not delay their next read': [
        'if (error !== null && refusals.isGlobal(result)) tally',
        'if (error !== null && refusals.isTokenRefused) tally',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/pipeline.ts',
      test: 'test/loading/run.test.ts',
      only: 'quarantines the day whose numbers the database rejects',
    },
    {
      'Numbers that the database rejects do not affect the rest of the batch': [
        'if (responses.length > 1) {',
        'if (responses.length < 1) {',
      ],
    },
  ),
  plant(
    { file: 'src/database/sqlstate.ts', test: 'test/loading/run.test.ts', only: 'violates a check' },
    {
      'A violated check is a bug, and not quarantined as if Losant were wrong': ['/^(22|23505|54)/', '/^(22|23|54)/'],
    },
  ),
  plant(
    {
      file: 'src/database/sqlstate.ts',
      test: 'test/loading/run.test.ts',
      only: 'a load that ends in a deadlock',
    },
    { 'A load with a conflict is retried': ['if (!canRetry(error)) throw error;', 'throw error;'] },
  ),
  plant(
    {
      file: 'src/loading/extract.ts',
      test: 'test/loading/run.test.ts',
      only: 'long ranges',
    },
    {
      'A slice that is rejected for its length is requested in shorter ones': [
        `kind === 'refused' || result.isCutShort`,
        'result.isCutShort',
      ],
      'A slice that Losant cuts short is halved': [`kind === 'refused' || result.isCutShort`, `kind === 'refused'`],
    },
  ),
  plant(
    { file: 'src/cli/load-instances.ts', test: 'test/e2e/refusals.test.ts', only: 'rejects one scope' },
    {
      'A run that loads some streams and lacks the scope of another ends with exit code 5': [
        'refusal ? EXIT.refused : exitCode',
        'exitCode',
      ],
    },
  ),
  plant(
    { file: 'src/cli/database.ts', test: 'test/commands/several-instances.test.ts' },
    {
      'An instance that was never read does not stop the others from being billed': [' || requestedIds === null)', ')'],
      'An instance that is asked for must have data': ['(unknown.length === 0 || requestedIds === null)', '(true)'],
    },
  ),
  plant(
    { file: 'src/cli/load-instances.ts', test: 'test/commands/several-instances.test.ts' },
    {
      'A run over several instances ends with the worst exit code of any': [
        'worstExitCode(results.map((',
        'worstExitCode(results.slice(-1).map((',
      ],
    },
  ),
].flat();
