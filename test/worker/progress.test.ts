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
  const log = logProgress({ logger, hostNow: () => nowMs }, { instance_id: 'i', run_id: 'r' });
  const progress = (done: number) => log({ planned: 400, done });
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
      level: 'info',
      instance_id: 'i',
      run_id: 'r',
      cells_planned: 400,
      cells_done: 20,
      msg: 'run under way',
    },
  ]);
});
