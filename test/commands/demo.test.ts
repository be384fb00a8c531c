import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSimulator } from '../../simulator/server.ts';
import { makeFastFolder } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { type Ended, type Env, jsonOf, runProgram, startProgram } from '../support/program.ts';

/** What the user has set already, all of it wrong or out of reach. */
const SETTINGS: Env = {
  LOSANT_API_URL: 'not a url',
  LOSANT_INSTANCE_ID: 'x',
  LOSANT_SOMETHING: 'unknown',
  DATABASE_URL: 'postgres://nobody:nothing@127.0.0.1:1/none',
  HTTP_PORT: '-1',
  REQUESTS_PER_SECOND: 'slow',
};

let temp: string;
let env: Env;
beforeAll(() => {
  temp = makeFastFolder('losant-usage-demo-test-');
  env = { ...SETTINGS, TMPDIR: temp };
});
afterAll(() => rmSync(temp, { recursive: true, force: true }));

describe('demo', () => {
  let ended: Ended;
  beforeAll(async () => {
    ended = await runProgram(['demo'], env);
  });

  it('ends by itself with exit code 0, whatever is set', () => {
    expect(ended.stderr).not.toContain('losant-usage:');
    expect(ended.code).toBe(0);
  });

  it('tells what it does in four plain lines', () => {
    const steps = ended.stderr.split('\n').filter((line) => /^\d\/\d/.test(line));
    expect(steps.map((step) => step.replaceAll(/http\S+|\/\S*demo-\S+/g, '…'))).toEqual([
      '1/4  A simulated Losant with 25 organizations listens on …',
      '2/4  An embedded Postgres is created in …',
      `3/4  The first run creates the tables and exports yesterday, ${daysAgo(1)}.`,
      '4/4  A backfill loads the 14 days before.',
    ]);
  });

  it('shows the rows of each table, an organization’s day and 15 days of payloads', () => {
    expect(ended.stdout).toMatch(/losant_usage\.device_counts +375\n/);
    expect(ended.stdout).toMatch(/losant_usage\.coverage +1,500\n/);
    expect(ended.stdout).toMatch(new RegExp(`^${daysAgo(1)} of .+ \\([0-9a-f]{24}\\):$`, 'm'));
    expect(ended.stdout).toMatch(/ {2}device_counts +created +[\d,]+\n +deleted +[\d,]+\n +total +[\d,]+\n/);
    expect(ended.stdout.match(/^ {2}\d{4}-\d\d-\d\d \w{3} +[\d,]+ +█*$/gm)).toHaveLength(15);
  });

  it('leaves its folder where it says', () => {
    const folder = /They are in (\S+),/.exec(ended.stdout)?.[1] ?? '';
    expect(existsSync(join(folder, 'pgdata'))).toBe(true);
  });
});

interface Document {
  readonly folder: string;
  readonly databaseUrl: string;
  readonly instanceId: string;
  readonly from: string;
  readonly to: string;
  readonly tables: Record<string, number>;
  readonly cells: Record<string, number>;
  readonly orgDay: { readonly orgId: string; readonly numbers: readonly unknown[] };
  readonly payloadsByDay: readonly { readonly day: string; readonly payloads: number }[];
  readonly next: readonly { readonly commands: readonly string[] }[];
}

describe('demo --json', () => {
  let ended: Ended;
  let document: Document;
  beforeAll(async () => {
    ended = await runProgram(['demo', '--json'], env);
    document = jsonOf<Document>(ended);
  });

  it('prints one document and nothing else', () => {
    expect(ended.stderr).toBe('');
    expect(ended.code).toBe(0);
    expect(document).toMatchObject({
      databaseUrl: `embedded:${document.folder}`,
      from: daysAgo(15),
      to: daysAgo(1),
      tables: {
        device_counts: 375,
        notebook_minutes: 375,
        payload_totals: 375,
        organizations: 25,
        coverage: 1500,
        revisions: 0,
        runs: 2,
      },
    });
    expect(document.payloadsByDay).toHaveLength(15);
    expect(Object.keys(document.cells).sort()).toEqual(['final', 'loaded']);
  });

  it('shows the numbers that the simulated Losant holds to be true', async () => {
    await using simulator = await startSimulatorAgain();
    const url = `${simulator.url}/control/truth?from=${document.from}&to=${document.to}`;
    const truth = (await (await fetch(url)).json()) as {
      orgs: { days: { day: string; payload_totals: { all_count: number } }[] }[];
    };
    const sums = new Map<string, number>();
    for (const { days } of truth.orgs) {
      for (const { day, payload_totals: totals } of days) {
        sums.set(day, (sums.get(day) ?? 0) + totals.all_count);
      }
    }
    expect(document.payloadsByDay).toEqual([...sums].map(([day, payloads]) => ({ day, payloads })));
  });

  it('names next steps that work as they are', async () => {
    const lines = document.next.flatMap(({ commands }) => commands);
    const commands = lines
      .filter((line) => line.startsWith('npx losant-usage '))
      .map((line) => line.split(' ').slice(2));
    expect(commands.map(([verb]) => verb)).toEqual(['status', 'explain', 'simulator', 'check', 'run']);
    const settings = { ...exportsOf(lines), REQUESTS_PER_SECOND: '500' };
    const simulator = startProgram(commands[2] ?? [], {});
    try {
      await expect.poll(() => canReach(settings), { timeout: 15_000 }).toBe(true);
      for (const command of commands.filter(([verb]) => verb !== 'simulator')) {
        const { code, stderr } = await runProgram(command, settings);
        expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: expect.any(String) as string });
      }
    } finally {
      simulator.process.kill('SIGINT');
    }
    expect((await simulator.ended).code).toBe(0);
  }, 60_000);
});

it('ends at once with exit code 130 on Ctrl-C', async () => {
  const folder = mkdtempSync(join(temp, 'interrupted-'));
  const demo = startProgram(['demo'], { TMPDIR: folder });
  await expect.poll(() => demo.stderr(), { timeout: 15_000 }).toContain('3/4');
  demo.process.kill('SIGINT');
  const { code, stderr } = await demo.ended;
  expect(stderr).toContain('losant-usage: Interrupted by SIGINT');
  expect(code).toBe(130);
  expect(readdirSync(folder)).toHaveLength(1);
});

async function startSimulatorAgain() {
  const simulator = await startSimulator({ orgs: 25 });
  return { url: simulator.url, [Symbol.asyncDispose]: () => simulator.close() };
}

/** Variables that the lines export. */
function exportsOf(lines: readonly string[]): Env {
  const exported = lines.filter((line) => line.startsWith('export '));
  const pairs = exported.flatMap((line) => line.replace('export ', '').split(' '));
  return Object.fromEntries(pairs.map((pair) => [pair.split('=')[0], pair.slice(pair.indexOf('=') + 1)]));
}

async function canReach({ LOSANT_API_URL: url = '' }: Env): Promise<boolean> {
  return await fetch(`${url}/control/config`).then(
    (response) => response.ok,
    () => false,
  );
}
