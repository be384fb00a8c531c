import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeFastFolder } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { CLOCK, type Ended, type Env, startProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';

/** What the user has set already, all of it wrong or out of reach. */
const SETTINGS: Env = {
  LOSANT_API_URL: 'not a url',
  LOSANT_INSTANCE_ID: 'x',
  LOSANT_SOMETHING: 'unknown',
  DATABASE_URL: 'postgres://nobody:nothing@127.0.0.1:1/none',
};

/** The first of the month before yesterday's: from there on the demo loads every day. */
const [year = 0, month = 0] = daysAgo(1).split('-').map(Number);
const FROM_DAY = new Date(Date.UTC(year, month - 2, 1)).toISOString().slice(0, 10);

/** Ends what hangs. How long a demo computes is up to the machine. */
const LIMIT_MS = 300_000;

let temp: string;
beforeAll(() => {
  temp = makeFastFolder('losant-usage-demo-test-');
});
afterAll(() => rmSync(temp, { recursive: true, force: true }));

describe('demo on a terminal', { timeout: LIMIT_MS }, () => {
  let shown: string;
  let page: string;
  let ended: Ended;
  beforeAll(async () => {
    const demo = startProgram(['demo'], { ...SETTINGS, TMPDIR: temp, NO_COLOR: '1' }, { isTerminal: true });
    const address = () => /The console shows the same on (\S+) until/.exec(demo.stdout())?.[1];
    await until('the console is served', () => address() !== undefined, LIMIT_MS);
    shown = demo.stdout();
    page = await (await fetch(address() ?? '')).text();
    // As Ctrl-C does.
    demo.kill('SIGINT');
    ended = await demo.ended;
  }, LIMIT_MS);

  it('tells what it does in four steps, whatever is set, and leaves its folder where it says', () => {
    const folder = / an embedded Postgres in (\S+), which stays/.exec(shown)?.[1] ?? '';
    const steps = shown.split('\n').filter((line) => /^\d\/\d/.test(line));
    expect(steps.map((step) => step.replaceAll(/http\S+/g, '…'))).toEqual([
      '1/4  A simulated Losant with 25 organizations listens on …',
      `2/4  The first run creates an embedded Postgres in ${folder}, which stays, and exports yesterday, ${daysAgo(1)}.`,
      `3/4  A backfill loads the days before, from ${FROM_DAY}: this month and the one before it.`,
      '4/4  How far the numbers reach, and where those of an organization come from:',
    ]);
    expect(existsSync(join(folder, 'pgdata'))).toBe(true);
  });

  it('shows how far the numbers reach, and where those of an organization come from', () => {
    for (const stream of ['device_counts', 'notebook_minutes', 'payload_totals', 'payload_sources']) {
      expect(shown).toMatch(new RegExp(`^ {2}${stream} +25 {2}${daysAgo(1)} {2}${daysAgo(1)} +none$`, 'm'));
    }
    expect(shown).toMatch(/^ {2}devices_total +[\d,]+$/m);
  });

  it('serves the console until Ctrl-C, which is no failure, and only then says how to go on', () => {
    expect(page).toContain('<h1>Yesterday: <span class="good">complete</span></h1>');
    expect(shown).not.toContain('To go on:');
    expect(ended.code).toBe(0);
  });

  it('names next steps that work pasted as a whole', async () => {
    const said = ended.stdout.slice(ended.stdout.indexOf('To go on:')).split('\n');
    const lines = said.filter((line) => /^(export|npx) /.test(line));
    const verbs = lines.flatMap((line) => /^npx losant-usage (\w+)/.exec(line)?.[1] ?? []);
    expect(verbs).toEqual(['status', 'explain', 'simulator', 'check', 'run']);
    const npx = `npx() { shift; '${process.execPath}' bin/losant-usage.js "$@"; }`;
    const shell = spawn('bash', ['-ec', [npx, ...lines].join('\n')], {
      env: { ...CLOCK, PATH: process.env['PATH'], REQUESTS_PER_SECOND: '500' },
      stdio: 'ignore',
      detached: true,
    });
    const [code] = await once(shell, 'exit');
    // The simulator, which the shell has left in its process group.
    process.kill(-(shell.pid ?? 0), 'SIGTERM');
    expect(code).toBe(0);
  });
});

it('ends at once with exit code 130 on Ctrl-C', async () => {
  const before = readdirSync(temp).length;
  const demo = startProgram(['demo'], { TMPDIR: temp });
  await until('the first step is told', () => demo.stdout().includes('1/4'));
  demo.kill('SIGINT');
  const { code, stderr } = await demo.ended;
  expect(stderr).toContain('losant-usage: Interrupted by SIGINT');
  expect(code).toBe(130);
  expect(readdirSync(temp)).toHaveLength(before + 1);
});
