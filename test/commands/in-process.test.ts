/** The program within another one: what a call was given is all it knows, and nothing of it stays. */
import { expect, test } from 'vitest';
import { useExport } from '../e2e/export.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal, startProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';

const exported = useExport({ orgs: 2 });

const readListeners = () => process.eventNames().map((name) => [name, process.listenerCount(name)]);

const readSessions = () =>
  exported.place.query(
    `select application_name from pg_stat_activity
     where datname = current_database() and application_name like 'losant-usage%'`,
  );

/** A session of the database ends a moment after its connection. */
const hasNoSession = () => until('no session is left', async () => (await readSessions()).length === 0);

test('a run leaves no listener on the process and no session of the database', async () => {
  const before = readListeners();
  expect((await exported.run(['run', '--json'])).code).toBe(0);
  expect(readListeners()).toEqual(before);
  await hasNoSession();
});

test('a worker ends when its signal aborts, and leaves as little', async () => {
  const before = readListeners();
  const worker = exported.start(['worker'], { HTTP_PORT: '0', SCHEDULE: '0 0 1 1 *' });
  await until('it waits', () => worker.stderr().includes('waiting for the next wake-up'));
  expect((await readSessions()).length).toBeGreaterThan(0);
  worker.kill('SIGTERM');
  expect((await worker.ended).code).toBe(0);
  expect(readListeners()).toEqual(before);
  await hasNoSession();
});

test('two runs at once keep their output, their variables and their interruption apart', async () => {
  const first = startProgram(['simulator', '--json', '--token', 'one'], {});
  const second = startProgram(['simulator', '--json', '--token', 'two'], {});
  await until('both listen', () => [first, second].every((each) => each.stdout() !== ''));
  first.kill('SIGINT');
  expect(jsonOf<{ token: string }>(await first.ended).token).toBe('one');
  const { url } = JSON.parse(second.stdout()) as { url: string };
  expect((await fetch(`${url}/control/config`)).status).toBe(200);
  second.kill('SIGTERM');
  expect(jsonOf<{ token: string }>(await second.ended).token).toBe('two');
});

test('an interruption says what it leaves behind, and is one document with --json', async () => {
  const { platform } = exported;
  const faults = { kinds: ['hang'], actions: ['deviceCounts'], forever: true, slowMs: 600_000 };
  await platform.control('config', { faults });
  const hangs = async () => {
    const stats = (await platform.control('stats')) as { faults: Record<string, number> };
    return stats.faults['hang'] ?? 0;
  };
  for (const [args, hint] of [
    [
      ['backfill', '--json', '--from', daysAgo(3)],
      'its days stay due: the next run reads them, and so does the same command',
    ],
    [['check', '--json'], 'start it again at any time'],
  ] as const) {
    const before = await hangs();
    const running = exported.start(args);
    await until('an answer hangs', async () => (await hangs()) > before);
    running.kill('SIGINT');
    const ended = await running.ended;
    expect(jsonOf<Refusal>(ended).error).toEqual({
      code: 'interrupted',
      message: 'Interrupted by SIGINT',
      hint,
    });
    expect(ended.code).toBe(130);
  }
});
