import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeFastFolder } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { type Env, runProgram, startProgram } from '../support/program.ts';
import { containing } from '../support/texts.ts';
import { until } from '../support/wait.ts';

/** Settings that the user may have, all of them invalid or unreachable. */
const SETTINGS: Env = {
  LOSANT_API_URL: 'not a url',
  LOSANT_INSTANCE_ID: 'x',
  LOSANT_SOMETHING: 'unknown',
  DATABASE_URL: 'postgres://nobody:nothing@127.0.0.1:1/none',
};

/** The first day that the demo loads: that of a month whose days are all final. */
const [year = 0, month = 0] = daysAgo(4).split('-').map(Number);
const FROM_DAY = new Date(Date.UTC(year, month - 2, 1)).toISOString().slice(0, 10);

/** A bound for a demo that hangs; the machine determines how long one takes. */
const LIMIT_MS = 300_000;

let temp: string;
beforeAll(() => {
  temp = makeFastFolder('losant-usage-demo-test-');
});
afterAll(() => rmSync(temp, { recursive: true, force: true }));

it(
  'demo shows the product in four steps, ignores settings, serves the console until Ctrl-C, and nothing blocks its month',
  async () => {
    const folder = join(temp, "it's kept");
    const demo = startProgram(['demo', '--dir', folder], SETTINGS, { isTerminal: true });
    const address = () => /The console is at (\S+)\. Press Ctrl-C/.exec(demo.stdout())?.[1];
    await until('the console is served', () => address() !== undefined, LIMIT_MS);
    const printed = demo.stdout();
    const steps = printed.split('\n').filter((line) => /^\d\/\d/.test(line));
    expect(steps.map((step) => step.replaceAll(/http\S+/g, '…'))).toEqual([
      '1/4  Started a simulated Losant with 25 organizations at …',
      `2/4  The first run creates an embedded Postgres in ${folder} and loads yesterday, ${daysAgo(1)}.`,
      `3/4  A backfill loads the days before, from ${FROM_DAY}.`,
      '4/4  Status:',
    ]);
    expect(existsSync(join(folder, 'pgdata'))).toBe(true);
    const streams = ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals'];
    const reach = new RegExp(`^ {2}(\\S+) +25 {2}${daysAgo(1)} {2}${daysAgo(1)} +none$`, 'gm');
    expect([...printed.matchAll(reach)].map(([, stream = '']) => stream).toSorted()).toEqual(streams);
    const page = await (await fetch(address() ?? '')).text();
    expect(page).toMatch(/<h1>Yesterday, [^<]+ <span class="pill good">complete<\/span><\/h1>/);
    expect(printed).not.toContain('npx');
    demo.kill('SIGINT');
    const { code, stdout } = await demo.ended;
    expect(code).toBe(0);
    const [, setting = '', command = ''] = /^ {2}DATABASE_URL=(.*) losant-usage (close .*)$/m.exec(stdout) ?? [];
    const url = execFileSync('bash', ['--norc', '-c', `printf %s ${setting}`], { encoding: 'utf8' });
    const preview = await runProgram([...command.split(' '), '--json'], { DATABASE_URL: url });
    expect(preview.code).toBe(0);
    const { blockers, totals } = JSON.parse(preview.stdout) as { blockers: unknown[]; totals: unknown[] };
    expect(blockers).toEqual([]);
    expect(totals).toHaveLength(12);
  },
  LIMIT_MS,
);

it('demo ends at once with exit code 130 on Ctrl-C, and leaves no files', async () => {
  const before = readdirSync(temp).length;
  const demo = startProgram(['demo'], { TMPDIR: temp });
  await until('the first step is printed', () => demo.stdout().includes('1/4'));
  demo.kill('SIGINT');
  expect(await demo.ended).toMatchObject({ code: 130, stderr: containing('losant-usage: Interrupted by SIGINT') });
  expect(readdirSync(temp)).toHaveLength(before);
});

it('demo does not take an empty folder for the current one', async () => {
  const ended = await runProgram(['demo', '--dir', ''], {});
  expect(ended).toMatchObject({ code: 2, stderr: containing('--dir="" is empty; give a folder') });
});
