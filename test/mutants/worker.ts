/** Defects in the worker: what it waits for, what it reports to a monitor, and how it starts and stops. */
import { plant } from './mutant.ts';

export const workerMutants = [
  plant(
    { file: 'src/worker/loop.ts', test: 'test/worker/loop.test.ts', only: 'a slow, a hanging and a broken' },
    {
      'No instance waits for the run of another one': [
        'await Promise.all(this.#loops.map((loop) => loop.run()));',
        'for (const loop of this.#loops) await loop.run();',
      ],
    },
  ),
  plant(
    {
      file: 'src/worker/instance-loop.ts',
      test: 'test/worker/loop.test.ts',
      only: 'a standby process retries',
    },
    {
      'An expired lease is acquired within a minute and a half': [
        'const RETRY_INTERVAL_MS = 20_000;',
        'const RETRY_INTERVAL_MS = 2_000_000;',
      ],
    },
  ),
  plant(
    { file: 'src/worker/instance-loop.ts', test: 'test/worker/heartbeat.test.ts', only: 'a monitor' },
    {
      'A run that hangs is not a success at the next wake-up': [
        'readCells > readCellsAtWakeUp',
        'readCells >= readCellsAtWakeUp',
      ],
      'A backfill of another process counts as a run in progress': [
        'if (run.backfill) this.#recordProgress(run.backfill);',
        'if (run.backfill) this.#currentRun = null;',
      ],
    },
  ),
  plant(
    { file: 'src/worker/heartbeat.ts', test: 'test/worker/heartbeat.test.ts' },
    {
      'A monitor that hangs delays nothing for minutes': ['timeout: 5_000,', 'timeout: 500_000,'],
      'A wake-up is reported once its last run has ended': ['(isRunning && !isWakeUp)', 'false'],
      'Nothing is reported before the first run has ended': ['!hasFinishedRun || ', ''],
      'A standby process reports nothing': ['activeInstances.length === 0 || ', ''],
      'A run in progress with a failed read is not a success': [
        'if (currentRun?.hasFailedReads === true) return false;',
        '',
      ],
      'A run that left something missing is not a success': [`result === 'complete');`, `result !== 'failed');`],
    },
  ),
  plant(
    { file: 'src/worker/loop.ts', test: 'test/worker/schedule.test.ts' },
    {
      'Wake-ups that were missed make one call': ['if (isCallPending) return;', ''],
      'A clock that is set back delays no wake-up': ['.then(() => task.start())', ''],
      'A clock that was ahead at the start is noticed': ['  armedFor = task.getNextRun();\n  const', '  const'],
    },
  ),
  plant(
    {
      file: 'src/worker/instance-loop.ts',
      test: 'test/worker/loop.test.ts',
      only: 'an outage changes nothing',
    },
    {
      'A run without a response does not show that the token is accepted': [
        'else if (hasResponse) metrics',
        'else metrics',
      ],
      'A failed run does not show that the token is accepted': [
        `signal.aborted);
    if (end.result === 'refused') metrics.showTokenRejected(instanceId, true);`,
        `signal.aborted);
    metrics.showTokenRejected(instanceId, end.result === 'refused');`,
      ],
    },
  ),
  plant(
    { file: 'src/server/metrics.ts', test: 'test/server/metrics.test.ts' },
    {
      'A standby process measures no duration of a run': [
        `if (result !== 'standby') work.runSeconds`,
        'work.runSeconds',
      ],
      'An instance that was never read has an age': ['neverReadSince === null ? 0', 'true ? 0'],
    },
  ),
  plant(
    { file: 'src/server/app.ts', test: 'test/worker/ending.test.ts', only: 'is not ready' },
    {
      'A worker that is shutting down is not ready': [
        `signal.aborted ? ['the worker is shutting down'] : []`,
        `[''].slice(1)`,
      ],
    },
  ),
  plant(
    { file: 'src/cli/worker.ts', test: 'test/worker/ending.test.ts', only: 'a worker waits for work' },
    {
      'A worker stops before an orchestrator kills it': ['const SHUTDOWN_MS = 25_000;', 'const SHUTDOWN_MS = 250_000;'],
    },
  ),
  plant(
    {
      file: 'src/cli/load-instances.ts',
      test: 'test/commands/running.test.ts',
      only: 'a manual run reports',
    },
    {
      'A manual run that fails is reported to the monitor': ['if (!isBusy(error)) await heartbeat.send(false);', ''],
      'A manual run reports nothing while another process runs the instance': [
        'if (!isBusy(error)) await heartbeat',
        'await heartbeat',
      ],
    },
  ),
  plant(
    {
      file: 'src/cli/load-instances.ts',
      test: 'test/commands/several-instances.test.ts',
      only: 'a manual run reports',
    },
    {
      'A manual run does not report an instance that another process runs': ['if (!isRunElsewhere) ', ''],
      'A manual run of which other processes run all instances reports nothing': ['if (reportedCodes.length > 0) ', ''],
    },
  ),
  plant(
    { file: 'src/ledger/lease.ts', test: 'test/loading/lease.test.ts', only: 'a lease is renewed' },
    {
      'Several renewals of a lease may fail before it expires': [
        'export const RENEWAL_INTERVAL_MS = 15_000;',
        'export const RENEWAL_INTERVAL_MS = 55_000;',
      ],
    },
  ),
  plant(
    { file: 'src/loading/session.ts', test: 'test/loading/lease.test.ts', only: 'a lease is renewed' },
    {
      'The renewal of a lease waits for no load': [
        'await renewLease(handle.leaseDb, this.#lease);',
        'await renewLease(handle.db, this.#lease);',
      ],
    },
  ),
  plant(
    { file: 'migrations/0008_health.sql', test: 'test/views/views.test.ts', only: 'health' },
    {
      'A cell is failing after its second failed read in a row': [
        'c.is_stored and c.failed_reads > 1)',
        'c.is_stored and c.failed_reads > 0)',
      ],
      'A retired instance is not reported as never read': [
        'where i.retired_at is null\n  and not exists',
        'where not exists',
      ],
      'An instance without organizations is not reported as never read': [
        'and (i.listed_at is null or i.new_orgs_from is null or exists (',
        'and (true or exists (',
      ],
    },
  ),
  plant(
    {
      file: 'migrations/0008_health.sql',
      test: 'test/views/views.test.ts',
      only: 'health has the newest day',
    },
    {
      'The newest day that was read is looked for among ten days': [
        'c.last_read_at is not null and c.usage_date >= losant_usage_internal.today() - 10',
        'c.last_read_at is not null and c.usage_date >= losant_usage_internal.today() - 1',
      ],
    },
  ),
  plant(
    { file: 'src/errors.ts', test: 'test/usage/policy.test.ts' },
    {
      'An endpoint that an install lacks is not requested at every wake-up': [
        "not_supported: { isRetried: false, retryWhen: 'after_backoff'",
        "not_supported: { isRetried: false, retryWhen: 'at_next_wake_up'",
      ],
    },
  ),
  plant(
    { file: 'src/database/postgres.ts', test: 'test/database/connections.test.ts', only: 'silent' },
    {
      'A server that falls silent is not waited for': [
        'getConnection(this).stream.destroy(), silenceMs);',
        'getConnection(this).stream.destroy(), 200 * silenceMs);',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/instances.ts', test: 'test/ledger/runs.test.ts', only: 'an instance' },
    {
      'Only a response that confirmed an instance pins its API': [
        'eb.val(isConfirmed ? apiUrl : null)',
        'eb.val(apiUrl)',
      ],
      'An API that another process has pinned in the meantime counts': [
        'await requireApiUrl(trx, { instanceId, apiUrl });',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/loading/run.ts', test: 'test/commands/never-read.test.ts' },
    {
      'The reason why a run failed is stored with its instance': [
        'await recordAttemptError(handle.db, instanceId, message)',
        'await recordAttemptError(handle.db, instanceId, null)',
      ],
    },
  ),
  plant(
    { file: 'src/cli/status.ts', test: 'test/commands/never-read.test.ts' },
    {
      'The status shows why the last run failed': [
        'neverReadSince === null &&\n      lastAttemptAt !== null',
        'neverReadSince !== null &&\n      lastAttemptAt !== null',
      ],
      'status exits with 3 for an instance that was never read': [' && each.neverReadSince === null', ''],
    },
  ),
  plant(
    { file: 'src/cli/gaps.ts', test: 'test/commands/never-read.test.ts' },
    {
      'gaps exits with 3 for an instance that was never read': ['neverRead.length > 0 || summary', 'summary'],
    },
  ),
  plant(
    { file: 'src/loading/report.ts', test: 'test/e2e/bad-responses.test.ts', only: 'names the command' },
    {
      'A command that shows nothing is not suggested': [
        'if (!isGap(standing)) this.#gaps.delete(id);\n    else if (',
        'if (',
      ],
    },
  ),
  plant(
    { file: 'src/losant/endpoints.ts', test: 'test/losant/orgs.test.ts' },
    {
      'The name of an instance can be stored, whatever it contains': ['name && toStorableText(name)', 'name'],
    },
  ),
  plant(
    { file: 'src/worker/digest.ts', test: 'test/worker/digest.test.ts' },
    {
      'A clock of the host that is ahead names no day': [
        'const day = this.#findDueDay(Date.parse(at));',
        'const day = this.#findDueDay(nowMs);',
      ],
    },
  ),
  plant(
    { file: 'migrations/0010_attention.sql', test: 'test/worker/digest.test.ts' },
    {
      'At midnight yesterday need not have been read': [
        'between losant_usage_internal.late_before() - 1 and',
        'between losant_usage_internal.today() - 1 and',
      ],
    },
  ),
  plant(
    { file: 'src/cli/worker.ts', test: 'test/worker/ending.test.ts' },
    {
      'The connections of a run that cannot end are not waited for as long as the run': [
        ', signal, CLOSE_MS)',
        ', signal)',
      ],
    },
  ),
].flat();
