/** Defects in a run: who is exported, what is believed, what is loaded, and how it ends. */
import { plant } from './mutant.ts';

export const loadingMutants = [
  plant(
    {
      file: 'src/loading/discover.ts',
      test: 'test/loading/run.test.ts',
      only: 'while the list is incomplete',
    },
    {
      'A list that is not complete is a failure of every run until a complete one has come': [
        'if (reason !== null) {',
        'if (listed < 0) {',
      ],
      'Every run says that organizations may be missing until a complete list has come': [
        'if (listProblem !== null) {',
        `if (listProblem === '') {`,
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/discover.ts',
      test: 'test/loading/deletions.test.ts',
      only: 'more removals at once',
    },
    {
      'More deletions at once than can be believed are refused and reported': [
        'gone.length <= allowed ? gone : gone.filter(isOld)',
        'gone',
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
      'A configured organization that the instance does not know fails the run, every time': [
        'listProblem === null ? await readUnknown(d) : []',
        '[]',
      ],
    },
  ),
  plant(
    { file: 'src/loading/discover.ts', test: 'test/loading/deletions.test.ts', only: 'that is listed again' },
    {
      'Organizations are listed again on each UTC day': [
        '|| dayAt(Date.parse(listedAt)) < dayAt(d.now())) return true;',
        ') return true;',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/discover.ts',
      test: 'test/loading/run.test.ts',
      only: 'an organization that cannot be read',
    },
    {
      'An organization whose attributes cannot be read is a failure of every run': [
        'of await readUnreadable(db, instanceId)) {',
        'of (await readUnreadable(db, instanceId)).slice(0, 0)) {',
      ],
      'An organization whose attributes cannot be read is exported nevertheless': [
        'upsertOrganizations(ledger, items.filter(isSelected))',
        `upsertOrganizations(ledger, items.filter((item) => isSelected(item) && !('problem' in item)))`,
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/extract.ts',
      test: 'test/e2e/bad-responses.test.ts',
      only: 'of twelve organizations',
    },
    {
      'A body that cannot be read is kept whose last response was quarantined as it came': [
        `giveAll(slice, { kind: 'quarantined', code: UNPLACEABLE, message }`,
        `giveAll(slice, { kind: 'failed', code: UNPLACEABLE, message }`,
      ],
    },
  ),
  plant(
    { file: 'src/loading/report.ts', test: 'test/loading/run.test.ts', only: 'a run by hand tries' },
    {
      'A run with a failure is not complete': [
        'return this.#ofCells.size > 0 || this.#unkept > 0;',
        'return this.#unkept > 0;',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/report.ts',
      test: 'test/e2e/bad-responses.test.ts',
      only: 'a device count that is left out',
    },
    {
      'A run that leaves a late number missing is not complete, although no read failed': [
        ` && standing !== 'missing'`,
        '',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/run.ts',
      test: 'test/loading/run.test.ts',
      only: 'a scope that is refused where nothing is required',
    },
    {
      'A run with a refused scope is not complete': ['refusal !== null ||\n', ''],
    },
  ),
  plant(
    { file: 'src/errors.ts', test: 'test/e2e/refusals.test.ts', only: 'refuses the token' },
    {
      'A refused token or scope ends with exit code 5': [
        'unauthorized: EXIT.refused,',
        'unauthorized: EXIT.failure,',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/report.ts',
      test: 'test/loading/control-totals.test.ts',
      only: 'are asked for again',
    },
    {
      'A final number that was restated is counted in the report of its run': [
        'if (differences !== null && before.wasFinal) this.restatedFinal += 1;',
        '',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/control-totals.ts',
      test: 'test/loading/control-totals.test.ts',
      only: 'of a stream that is refused',
    },
    {
      'Control totals that cannot be read are shown as a problem, with the reason': [
        'await updateInstance(session.ledger, { totals_problem: problem });',
        '',
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
      'No organization is removed that Get organization still knows': [
        'if (each.isUnknown) gone.push(each.orgId);',
        'gone.push(each.orgId);',
      ],
      'No organization is removed unless Get instance answers: the token may be of another one': [
        'await getInstance(client, { instanceId, signal });',
        '',
      ],
      'No organization is removed that the list still names': ['{ unseenSince: startedAt }', '{}'],
      'No organization is removed by a list that is not complete': [
        'if (reason !== null) {',
        'if (listed < 0) {',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/discover.ts',
      test: 'test/loading/deletions.test.ts',
      only: 'a list without any organization',
    },
    {
      'The list of the day removes the instance has the instance has the instance has no organizationsss where it has none':
        ['if (listed === 0) return', 'if (listed < 0) return'],
    },
  ),
  plant(
    { file: 'src/loading/context.ts', test: 'test/loading/run.test.ts', only: 'does not go back' },
    {
      'What was set due stays due where the clock of the host is set back': [
        'Math.max(latestMs, hostNow() + offsetMs)',
        'hostNow() + offsetMs',
      ],
    },
  ),
  plant(
    { file: 'src/loading/pipeline.ts', test: 'test/loading/run.test.ts', only: 'a stream that all refuse' },
    {
      'A refused scope is no failure of its cells, whose next attempt it does not delay': [
        'if (refusals.isOfAll(result)) tally',
        'if (refusals.isTotal) tally',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/pipeline.ts',
      test: 'test/loading/run.test.ts',
      only: 'quarantines numbers that the database rejects',
    },
    {
      'Numbers that the database refuses cost the others of their batch nothing': [
        'if (slices.length > 1) {',
        'if (slices.length < 0) {',
      ],
    },
  ),
  plant(
    { file: 'src/loading/pipeline.ts', test: 'test/loading/run.test.ts', only: 'a load that met a deadlock' },
    {
      'A load that met a conflict is tried again': [
        '(isRetryable(error) || isConnectionLost(error))',
        'isConnectionLost(error)',
      ],
    },
  ),
  plant(
    {
      file: 'src/loading/extract.ts',
      test: 'test/loading/run.test.ts',
      only: 'a window that is refused for its length',
    },
    {
      'A window that is refused for its length is asked for in shorter ones': [
        'isTooMuch(error) ? halve(slice) : null;',
        'null;',
      ],
    },
  ),
  plant(
    { file: 'src/cli/run.ts', test: 'test/e2e/refusals.test.ts', only: 'refuses one scope' },
    {
      'A run that loads some streams and is refused another ends with exit code 5': [
        'if (refusal) return EXIT.refused;',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/cli/run.ts', test: 'test/commands/several-instances.test.ts' },
    {
      'A run over several instances ends with the worst exit code of any': [
        'worstExitCode(ends.map((',
        'worstExitCode(ends.slice(-1).map((',
      ],
    },
  ),
].flat();
