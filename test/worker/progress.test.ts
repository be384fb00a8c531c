import { expect, test } from 'vitest';
import { createLogger } from '../../src/logger.ts';
import { logProgress } from '../../src/worker/instance-run.ts';

test('the beginning of a run is logged, and then how far it is, once a minute', () => {
  const logged: unknown[] = [];
  const write = (line: string) => {
    const { time: _time, level, ...fields } = JSON.parse(line) as Record<string, unknown>;
    logged.push({ level, ...fields });
  };
  let nowMs = 0;
  const logger = createLogger({ level: 'info', pretty: false, destination: { write } });
  const log = logProgress({ logger, hostNow: () => nowMs }, { instanceId: 'i', runId: 'r' });
  const startedAt = '2026-11-24T00:15:00.000Z';
  const progress = (done: number) =>
    log({
      ...{ startedAt, planned: 400, done, requests: 2 * done },
      plan: { startedAt, total: 600, done: 2 * done, rate: 20 },
    });
  progress(0);
  nowMs = 59_999;
  progress(10);
  nowMs = 60_000;
  progress(20);
  nowMs = 61_000;
  progress(30);
  expect(logged).toEqual([
    { level: 'info', instance_id: 'i', run_id: 'r', msg: 'run started' },
    {
      ...{ level: 'info', instance_id: 'i', run_id: 'r', cells_done: 20, cells_planned: 400 },
      ...{ requests: 40, msg: 'run under way' },
    },
  ]);
});
