/**
 * kill -9, or the connection to the database cut, at every kind of moment, each followed
 * by a second run: what is stored then equals what a run leaves that nobody disturbed.
 * CRASH_POINTS sets how many moments; a failure names its point, which CRASH_ONLY repeats.
 */
import { afterAll, expect, test } from 'vitest';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import type { Ended } from '../support/program.ts';
import { spawnWith, startWith } from './program.ts';
import { countFrom, inLanes, rollFrom } from './seeds.ts';
import { differences, type Snapshot, takeSnapshot } from './snapshot.ts';
import { portOf, startWire, through, type Wire } from './wire.ts';

const POINTS = countFrom('CRASH_POINTS', 5);
/** Only this point, to look into a failure. */
const ONLY = process.env['CRASH_ONLY'];
/** In a full campaign so many reruns wait for the dead process's lease to lapse by itself. */
const REAL_WAITS = POINTS >= 100 ? 2 : 0;
const LANES = 2;

const FROM = daysAgo(14);
const TO = daysAgo(3);

interface Scenario {
  readonly name: string;
  readonly args: readonly string[];
  /** Without the schema: the kill may come while it is created. */
  readonly isEmpty?: boolean;
  /** Numbers are stored already, and Losant has restated them since. */
  readonly isRestated?: boolean;
}

const SCENARIOS: readonly Scenario[] = [
  { name: 'a first run', args: ['run'] },
  { name: 'a first run on an empty database', args: ['run'], isEmpty: true },
  { name: 'a backfill', args: ['backfill', '--from', FROM, '--to', TO] },
  { name: 'a forced backfill', args: ['backfill', '--from', FROM, '--to', TO, '--force'], isRestated: true },
  { name: 'a day read again', args: ['run', '--date', TO], isRestated: true },
];

/** A scenario's world: it does not change while the points are tried. */
interface Stage {
  readonly scenario: Scenario;
  readonly platform: Platform;
  readonly start: (databaseUrl: string, apiUrl: string, more?: readonly string[]) => Promise<Ended>;
  readonly newDatabase: (apiUrl: string) => Promise<TestDatabase>;
  /** What an undisturbed run leaves, and how much it sends. */
  readonly undisturbed: Snapshot;
  readonly sent: { readonly api: number; readonly database: number };
}

interface Point {
  readonly id: number;
  readonly stage: Stage;
  readonly waits: boolean;
}

const open: AsyncDisposable[] = [];
const tally = {
  killed: 0,
  cut: 0,
  finished: 0,
  api: 0,
  database: 0,
  dropped: 0,
  interrupted: 0,
  givenUp: 0,
  waits: 0,
};

afterAll(async () => {
  for (const each of open.reverse()) await each[Symbol.asyncDispose]();
});

test(
  `${POINTS} kills across runs and backfills leave no trace once they are run again`,
  async () => {
    const stages: Stage[] = [];
    for (const scenario of SCENARIOS) stages.push(await setStage(scenario));
    const points = Array.from({ length: POINTS }, (_, id): Point => {
      const stage = stages[id % stages.length] as Stage;
      return { id, stage, waits: id < REAL_WAITS };
    }).filter(({ id }) => ONLY === undefined || id === Number(ONLY));
    const wrong: string[] = [];
    await inLanes(LANES + REAL_WAITS, points, async (point) => {
      for (const line of await killAndRunAgain(point)) wrong.push(`point ${point.id}: ${line}`);
    });
    process.stdout.write(`crash campaign: ${JSON.stringify({ points: points.length, ...tally })}\n`);
    expect(wrong).toEqual([]);
    expect(tally.killed + tally.cut).toBeGreaterThanOrEqual(points.length * 0.8);
  },
  // Generous: on a busy machine all of it takes several times as long.
  120_000 + POINTS * 8_000,
);

async function setStage(scenario: Scenario): Promise<Stage> {
  const platform = await startPlatform({ now: Date.now, orgs: 16, seed: 'crash' });
  const { token, instanceId } = platform;
  const start = (databaseUrl: string, apiUrl: string, args: readonly string[] = scenario.args) =>
    startWith([...args, '--json'], { apiUrl, token, instanceId, databaseUrl }).ended;
  const model = await createTestDatabase({ template: scenario.isEmpty !== true });
  open.push(platform, { [Symbol.asyncDispose]: () => model.drop() });
  if (scenario.isRestated) {
    const before = await start(model.url, platform.url, ['backfill', '--from', FROM, '--to', TO]);
    expect(before).toMatchObject({ code: 0 });
    await restateSome(platform);
  }
  const newDatabase = async (apiUrl: string) => {
    const database = await createTestDatabase({ template: model.name });
    if (scenario.isRestated)
      await queryOnce(database.url, `update losant_usage.instances set api_url = '${apiUrl}'`);
    return database;
  };
  const stage = { scenario, platform, start, newDatabase, undisturbed: {}, sent: { api: 0, database: 0 } };
  return { ...stage, ...(await runUndisturbed(stage)) };
}

async function restateSome(platform: Platform): Promise<void> {
  const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
  for (const [index, { orgId }] of orgs.entries()) {
    await platform.control('restate', { orgId, day: TO });
    if (index % 3 === 0) await platform.control('restate', { orgId, day: daysAgo(7), times: 2 });
    if (index % 4 === 0) await platform.control('restate', { orgId, day: FROM, counter: 'device_counts' });
  }
}

async function runUndisturbed(stage: Stage): Promise<Pick<Stage, 'undisturbed' | 'sent'>> {
  await using wires = await openWires(stage);
  const { api, database, databaseWire } = wires;
  const ended = await stage.start(through(databaseWire, database.url), api.url);
  expect({ name: stage.scenario.name, ...ended }).toMatchObject({ code: 0 });
  const undisturbed = await takeSnapshot(database.url);
  if (stage.scenario.isRestated) expect(undisturbed['revisions']?.length).toBeGreaterThan(30);
  return { undisturbed, sent: { api: api.wire.sent, database: databaseWire.sent } };
}

interface Wires extends AsyncDisposable {
  readonly api: { readonly wire: Wire; readonly url: string };
  readonly databaseWire: Wire;
  readonly database: TestDatabase;
}

async function openWires({ platform, newDatabase }: Stage): Promise<Wires> {
  const wire = await startWire(portOf(platform.url));
  const url = through(wire, platform.url);
  const database = await newDatabase(url);
  const databaseWire = await startWire(portOf(database.url));
  return {
    api: { wire, url },
    database,
    databaseWire,
    [Symbol.asyncDispose]: async () => {
      await wire[Symbol.asyncDispose]();
      await databaseWire[Symbol.asyncDispose]();
      await database.drop();
    },
  };
}

/** Kills the program at a moment drawn from the point's id, runs it again, and tells what is wrong then. */
async function killAndRunAgain({ id, stage, waits }: Point): Promise<string[]> {
  const { scenario, platform, sent, undisturbed } = stage;
  await using wires = await openWires(stage);
  const { api, database, databaseWire } = wires;
  const dice = rollFrom(id + 1);
  const side = dice.chance(0.65) ? 'database' : 'api';
  const nth = 1 + dice.below(sent[side]);
  const isDropped = dice.chance(0.5);
  const isCut = side === 'database' && !waits && dice.chance(0.25);
  const { token, instanceId } = platform;
  const program = spawnWith([...scenario.args, '--json'], {
    ...{ apiUrl: api.url, token, instanceId, databaseUrl: through(databaseWire, database.url) },
  });
  const wire = side === 'api' ? api.wire : databaseWire;
  wire.onSent = (count) => {
    if (isCut) return count === nth ? 'cut' : 'pass';
    if (count === nth) program.kill('SIGKILL');
    return count >= nth && isDropped ? 'drop' : 'pass';
  };
  const first = await program.ended;
  wire.onSent = () => 'pass';
  const how = isCut ? ', cut' : isDropped ? ', not passed on' : '';
  const where = `${scenario.name}, ${side} piece ${nth} of ${sent[side]}${how}`;
  const isKilled = first.signal === 'SIGKILL';
  tally[isKilled ? 'killed' : isCut ? 'cut' : 'finished'] += 1;
  tally[side] += 1;
  if (isDropped && isKilled) tally.dropped += 1;
  // A run that loses its connection goes on with another, or says that it could not.
  const isFair = isKilled || first.code === 0 || (isCut && first.code === 1);
  if (!isFair) return [`${where}: ${JSON.stringify(first)}`];
  if (isCut && first.code === 1) tally.givenUp += 1;

  const dead = await countRuns(database.url, 'running');
  if (waits) tally.waits += 1;
  else await letTheDeadBeOver(database.url);
  const again = await stage.start(database.url, api.url, [
    ...scenario.args,
    ...(waits ? ['--wait', '90'] : []),
  ]);
  if (again.code !== 0) return [`${where}: the second run: ${JSON.stringify(again)}`];
  const interrupted = await countRuns(database.url, 'interrupted');
  tally.interrupted += interrupted;
  const lines = differences(undisturbed, await takeSnapshot(database.url));
  if (interrupted !== dead) lines.push(`${dead} runs died and ${interrupted} are interrupted`);
  if ((await countRuns(database.url, 'running')) > 0) lines.push('a run is still running');
  return lines.slice(0, 5).map((line) => `${where}: ${line}`);
}

async function hasSchema(url: string): Promise<boolean> {
  const [row] = await queryOnce(url, `select to_regclass('losant_usage.runs') is not null as has`);
  return row?.['has'] === true;
}

async function countRuns(url: string, status: string): Promise<number> {
  if (!(await hasSchema(url))) return 0;
  const [row] = await queryOnce(
    url,
    `select count(*)::integer as n from losant_usage.runs where status = '${status}'`,
  );
  return Number(row?.['n']);
}

/** Stands for the minute after which a process without a sign of life counts as dead. */
async function letTheDeadBeOver(url: string): Promise<void> {
  if (!(await hasSchema(url))) return;
  await queryOnce(url, 'update losant_usage.leases set until = now()');
  await queryOnce(
    url,
    `update losant_usage.runs set heartbeat_at = heartbeat_at - interval '1 minute' where status = 'running'`,
  );
}
