/** Defects in the worker: who waits for whom, what a monitor hears, and how it begins and ends. */
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
    { file: 'src/worker/instance-loop.ts', test: 'test/worker/loop.test.ts', only: 'a standby looks again' },
    {
      'An instance whose lease has lapsed is taken over within a minute and a half': [
        'const LOOK_AGAIN_MS = 20_000;',
        'const LOOK_AGAIN_MS = 2_000_000;',
      ],
    },
  ),
  plant(
    { file: 'src/worker/instance-loop.ts', test: 'test/worker/heartbeat.test.ts', only: 'a monitor' },
    {
      'A run in progress that hangs is no success at the next wake-up': [
        'done > doneAtWakeUp',
        'done >= doneAtWakeUp',
      ],
      'A backfill of another process is no standby': [
        'if (end.backfill) this.#noteProgress(end.backfill);',
        'if (end.backfill) this.#runUnderWay = null;',
      ],
    },
  ),
  plant(
    { file: 'src/worker/heartbeat.ts', test: 'test/worker/heartbeat.test.ts' },
    {
      'A monitor that hangs holds nothing up for minutes': ['timeout: 5_000,', 'timeout: 500_000,'],
      'A monitor hears of a wake-up once its last run has ended': ['(isUnderWay && !isWakeUp)', 'false'],
      'A monitor hears nothing before the first run has ended': ['!hasEndedRun || ', ''],
      'A process that only stands by tells a monitor nothing': ['active.length === 0 || ', ''],
      'A run in progress a read of which failed is no success': [
        'if (runUnderWay?.hasFailedReads === true) return false;',
        '',
      ],
      'A run that left something missing is no success': [`result === 'complete');`, `result !== 'failed');`],
    },
  ),
  plant(
    { file: 'src/worker/schedule.ts', test: 'test/worker/schedule.test.ts' },
    {
      'The wake-ups that a pause has missed are one': ['if (isCalled) return;', ''],
    },
  ),
  plant(
    { file: 'src/worker/instance-run.ts', test: 'test/worker/loop.test.ts', only: 'an outage does not tell' },
    {
      'A run that Losant did not answer says nothing of its token': [
        'else if (isAnswered) metrics',
        'else metrics',
      ],
      'A run that broke off says nothing of its token': [
        `signal.aborted);
    if (end.result === 'refused') metrics.showTokenRefused(instanceId, true);`,
        `signal.aborted);
    metrics.showTokenRefused(instanceId, end.result === 'refused');`,
      ],
    },
  ),
  plant(
    { file: 'src/server/metrics.ts', test: 'test/server/metrics.test.ts' },
    {
      'A look at the lease of another process is timed as no run': [
        `if (result !== 'standby') work.runSeconds`,
        'work.runSeconds',
      ],
      'An instance that was never read is shown by its age': ['neverReadSince === null ? 0', 'true ? 0'],
    },
  ),
  plant(
    { file: 'src/server/app.ts', test: 'test/worker/ending.test.ts', only: 'is not ready' },
    {
      'A worker that is ending is not ready': [
        `signal.aborted ? ['the worker is shutting down'] : []`,
        `[''].slice(1)`,
      ],
    },
  ),
  plant(
    { file: 'src/cli/worker.ts', test: 'test/worker/ending.test.ts', only: 'waits for work' },
    {
      'A worker ends before an orchestrator kills it': [
        'const SHUTDOWN_MS = 25_000;',
        'const SHUTDOWN_MS = 250_000;',
      ],
    },
  ),
  plant(
    {
      file: 'src/cli/run.ts',
      test: 'test/commands/running.test.ts',
      only: 'a run by hand tells the monitor',
    },
    {
      'A run by hand that breaks off tells the monitor': ['if (!isBusy) await heartbeat.send(false);', ''],
      'A run by hand tells nothing of an instance that another process has': [
        'if (!isBusy) await heartbeat',
        'await heartbeat',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/lease.ts', test: 'test/loading/run.test.ts', only: 'a lease is renewed' },
    {
      'Several renewals of a lease may fail before it lapses': [
        'export const RENEW_MS = 15_000;',
        'export const RENEW_MS = 55_000;',
      ],
    },
  ),
  plant(
    { file: 'src/loading/session.ts', test: 'test/loading/run.test.ts', only: 'a lease is renewed' },
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
      'Reads keep failing after the second that failed in a row': [
        'c.is_stored and c.attempts > 1)',
        'c.is_stored and c.attempts > 0)',
      ],
      'An instance that was retired is not one that was never read': [
        'where i.retired_at is null\n    and not exists',
        'where not exists',
      ],
      'An instance whose list has the instance has the instance has the instance has no organizationsss is not one that was never read':
        ['and (i.listed_at is null or i.new_orgs_from is null or exists (', 'and (true or exists ('],
    },
  ),
  plant(
    { file: 'src/ledger/instances.ts', test: 'test/ledger/runs.test.ts', only: 'an instance' },
    {
      'Only a response that confirmed an instance pins its API': [
        'eb.val(isConfirmed ? apiUrl : null)',
        'eb.val(apiUrl)',
      ],
      'An API that another process has pinned meanwhile counts': [
        'await requireApiUrl(trx, { instanceId, apiUrl });',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/loading/run.ts', test: 'test/commands/never-read.test.ts' },
    {
      'The reason why a run broke off is kept with its instance': [
        'await recordAttemptEnd(handle.db, instanceId, message)',
        'await recordAttemptEnd(handle.db, instanceId, null)',
      ],
    },
  ),
  plant(
    { file: 'src/cli/status.ts', test: 'test/commands/never-read.test.ts' },
    {
      'status exits with 3 for an instance that was never read': [' && each.neverReadSince === null', ''],
    },
  ),
  plant(
    { file: 'src/cli/gaps.ts', test: 'test/commands/never-read.test.ts' },
    {
      'gaps exits with 3 for an instance that was never read': ['neverRead.length > 0 || found', 'found'],
    },
  ),
  plant(
    { file: 'src/loading/report.ts', test: 'test/e2e/bad-answers.test.ts', only: 'names the command' },
    {
      'A command that shows nothing is not named': [
        'if (!isGap(standing)) this.#gaps.delete(cellId(loaded));\n    else if (',
        'if (',
      ],
    },
  ),
  plant(
    { file: 'src/losant/orgs.ts', test: 'test/losant/orgs.test.ts' },
    {
      'The name of an instance can be stored, whatever it has': ['name && storable(name)', 'name'],
    },
  ),
].flat();
