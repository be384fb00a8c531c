/** What passes by itself, on real parts: a disk without room, a server that is a standby for now. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Simulator, startSimulator } from '../../simulator/server.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { DebianPostgres } from '../support/debian-postgres.ts';
import { freePort } from '../support/ports.ts';
import { runProgram } from '../support/program.ts';

let simulator: Simulator;
let folder: string;

beforeAll(async () => {
  simulator = await startSimulator({ orgs: 30 });
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-passing-'));
});

afterAll(async () => {
  rmSync(folder, { recursive: true });
  await simulator.close();
});

const envFor = (databaseUrl: string) => ({
  LOSANT_API_URL: simulator.url,
  LOSANT_INSTANCE_ID: simulator.instanceId,
  LOSANT_API_TOKEN: simulator.token,
  DATABASE_URL: databaseUrl,
  REQUESTS_PER_SECOND: '2000',
});

test('a disk that fills while the embedded database is loaded ends the run at once, with a sentence', async () => {
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  // Room for the schema, which takes 41 MB; the load stops while there is still some for a segment of the log.
  const script = 'mount -t tmpfs -o size=107m tmpfs "$0" && exec "$1" "$2" backfill --from "$3"';
  const program = [process.execPath, resolve('bin/losant-usage.js'), daysAgo(60)];
  const running = spawn('unshare', ['-rm', 'sh', '-c', script, disk, ...program], {
    env: envFor(`embedded:${join(disk, 'usage')}`),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [stderr, [code]] = await Promise.all([text(running.stderr), once(running, 'exit')]);
  expect(stderr).toMatch(/^losant-usage: The disk of the embedded database in \S+ is full: \d+ MB are free/m);
  expect(code).toBe(1);
});

test('a standby ends what writes with exit code 1, answers what reads, and takes runs once it is promoted', async () => {
  const server = await DebianPostgres.start();
  try {
    const run = async (role: string, ...args: readonly string[]) =>
      await runProgram(args, { ...envFor(server.urlOf(role)), HTTP_PORT: `${await freePort()}` });
    expect(await run('losant_usage_migrator', 'migrate')).toMatchObject({ code: 0 });
    expect(await run('losant_usage_writer', 'run')).toMatchObject({ code: 0 });
    await server.becomeStandby();
    for (const command of ['run', 'worker']) {
      expect(await run('losant_usage_writer', command)).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('is a standby, which only reads') as string,
      });
    }
    expect(await run('losant_usage_reader', 'status')).toMatchObject({ code: 0 });
    await queryOnce(server.url, 'select pg_promote()');
    expect(await run('losant_usage_writer', 'run')).toMatchObject({ code: 0 });
  } finally {
    await server.stop();
  }
});
