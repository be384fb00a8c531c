import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSimulator } from '../../simulator/server.ts';
import { makeFastFolder } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { CLOCK, type Ended, type Env, runProgram, startProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';

/** What the user has set already, all of it wrong or out of reach. */
const SETTINGS: Env = {
  LOSANT_API_URL: 'not a url',
  LOSANT_INSTANCE_ID: 'x',
  LOSANT_SOMETHING: 'unknown',
  DATABASE_URL: 'postgres://nobody:nothing@127.0.0.1:1/none',
  HTTP_PORT: '-1',
  REQUESTS_PER_SECOND: 'slow',
};

/** The first of the month before yesterday's: from there on the demo loads every day. */
const FROM = new Date(Date.UTC(Number(daysAgo(1).slice(0, 4)), Number(daysAgo(1).slice(5, 7)) - 2, 1));
const FROM_DAY = FROM.toISOString().slice(0, 10);
const DAYS = (Date.parse(daysAgo(1)) - FROM.getTime()) / 86_400_000 + 1;

/** Ends what hangs. How long a demo computes is up to the machine. */
const LIMIT_MS = 300_000;

let temp: string;
let env: Env;
beforeAll(() => {
  temp = makeFastFolder('losant-usage-demo-test-');
  env = { ...SETTINGS, TMPDIR: temp };
});
afterAll(() => rmSync(temp, { recursive: true, force: true }));

describe('demo on a terminal', { timeout: LIMIT_MS }, () => {
  let shown: string;
  let page: string;
  let folder: string;
  let ended: Ended;
  beforeAll(async () => {
    const demo = startProgram(['demo', '--no-color'], env, { columns: 200 });
    const address = () => /The console shows the same on (\S+) until/.exec(demo.stdout())?.[1];
    await until('the console is served', () => address() !== undefined, LIMIT_MS);
    shown = demo.stdout();
    folder = /All of it is in (\S+),/.exec(shown)?.[1] ?? '';
    page = await (await fetch(address() ?? '')).text();
    // As Ctrl-C does.
    demo.kill('SIGINT');
    ended = await demo.ended;
  }, LIMIT_MS);

  it('tells what it does in four plain lines, whatever is set', () => {
    const steps = shown.split('\n').filter((line) => /^\d\/\d/.test(line));
    expect(steps.map((step) => step.replaceAll(/http\S+|\/\S*demo-\S+/g, '…'))).toEqual([
      '1/4  A simulated Losant with 25 organizations listens on …',
      '2/4  An embedded Postgres is created in …',
      `3/4  The first run creates the tables and exports yesterday, ${daysAgo(1)}.`,
      `4/4  A backfill loads the days before, from ${FROM_DAY}: this month and the one before it.`,
    ]);
  });

  it('shows how far the numbers reach, and where those of an organization come from', () => {
    for (const stream of ['device_counts', 'notebook_minutes', 'payload_totals', 'payload_sources']) {
      expect(shown).toMatch(new RegExp(`^ {2}${stream} +25 {2}${daysAgo(1)} {2}${daysAgo(1)} +none$`, 'm'));
    }
    expect(shown).toMatch(new RegExp(`^.+ \\([0-9a-f]{24}, instance [0-9a-f]{24}\\), ${daysAgo(1)}$`, 'm'));
    expect(shown).toMatch(/^ {2}devices_total +[\d,]+$/m);
  });

  it('serves the console until Ctrl-C, which is no failure, and only then says how to go on', () => {
    expect(page).toContain('<h1>Yesterday: <span class="good">complete</span></h1>');
    expect(shown).not.toContain('To go on:');
    expect(ended.stdout).toContain('npx losant-usage status');
    expect(ended.code).toBe(0);
  });

  it('leaves its folder where it says', () => {
    expect(existsSync(join(folder, 'pgdata'))).toBe(true);
  });

  it('has stored the numbers that the simulated Losant holds to be true', async () => {
    await using simulator = await startSimulatorAgain();
    const url = `${simulator.url}/control/truth?from=${FROM_DAY}&to=${daysAgo(1)}`;
    const truth = (await (await fetch(url)).json()) as {
      orgs: { days: { day: string; payload_totals: { all_count: number } }[] }[];
    };
    const sums = new Map<string, number>();
    for (const { days } of truth.orgs) {
      for (const { day, payload_totals: totals } of days) {
        sums.set(day, (sums.get(day) ?? 0) + totals.all_count);
      }
    }
    const days = ['--from', FROM_DAY, '--to', daysAgo(1), '--format', 'ndjson'];
    const exported = await runProgram(['export', '--view', 'daily_usage', ...days], {
      DATABASE_URL: `embedded:${folder}`,
    });
    const stored = new Map<string, number>();
    for (const line of exported.stdout.trimEnd().split('\n')) {
      const { usage_date: day, payload_all_count: payloads } = JSON.parse(line) as Record<
        string,
        string | number
      >;
      stored.set(String(day), (stored.get(String(day)) ?? 0) + Number(payloads));
    }
    expect([...stored]).toEqual([...sums]);
    expect(stored.size).toBe(DAYS);
  });

  it('names next steps that work pasted as a whole', async () => {
    const said = ended.stdout.slice(ended.stdout.indexOf('To go on:')).split('\n');
    const lines = said.map((line) => line.trim()).filter((line) => /^(export|npx) /.test(line));
    const verbs = lines.flatMap((line) => /^npx losant-usage (\w+)/.exec(line)?.[1] ?? []);
    expect(verbs).toEqual(['status', 'explain', 'simulator', 'check', 'run']);
    const npx = `npx() { shift; '${process.execPath}' bin/losant-usage.js "$@"; }`;
    const shell = spawn('bash', ['-ec', [npx, ...lines].join('\n')], {
      env: { ...CLOCK, PATH: process.env['PATH'], REQUESTS_PER_SECOND: '500' },
      stdio: ['ignore', 'ignore', 'ignore'],
      detached: true,
    });
    const [code] = await once(shell, 'exit');
    // The simulator, which the shell has left in its process group.
    process.kill(-(shell.pid ?? 0), 'SIGTERM');
    expect(code).toBe(0);
  });
});

it('ends at once with exit code 130 on Ctrl-C', async () => {
  const folder = mkdtempSync(join(temp, 'interrupted-'));
  const demo = startProgram(['demo'], { TMPDIR: folder });
  await until('the first step is told', () => demo.stderr().includes('1/4'));
  demo.kill('SIGINT');
  const { code, stderr } = await demo.ended;
  expect(stderr).toContain('losant-usage: Interrupted by SIGINT');
  expect(code).toBe(130);
  expect(readdirSync(folder)).toHaveLength(1);
});

async function startSimulatorAgain() {
  const simulator = await startSimulator({ orgs: 25 });
  return { url: simulator.url, [Symbol.asyncDispose]: () => simulator.close() };
}
