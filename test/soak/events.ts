/** What happens in the year beside the wake-ups: what fails by itself, and what operator and clerk do. */
import { join } from 'node:path';
import { useClockInFunctions } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';
import { documentedOptions, tool } from '../support/debian-postgres.ts';
import { type Release, releases } from '../support/releases.ts';
import { expectGood, hourOf, type World } from './world.ts';

/** Something that is done before the wake-up of an hour. */
export interface SoakEvent {
  readonly at: number;
  readonly act: (world: World) => Promise<void>;
}

const control = async ({ platform }: World, path: string, body: object) => {
  await platform.control(path, body);
};

const faults = (plans: object[] | null) => (world: World) => control(world, 'config', { faults: plans });
const OUTAGE = [{ kinds: ['reset'], rate: 1, forever: true }];

async function orgOf({ platform }: World, nth: number): Promise<string> {
  const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
  return orgs[nth]?.orgId ?? '';
}

/** Answers of one organization to one question are spoiled until further notice. */
const spoil = (nth: number, kind: string) => async (world: World) => {
  const orgIds = [await orgOf(world, nth)];
  await faults([{ kinds: [kind], rate: 1, forever: true, orgIds, actions: ['deviceCounts'] }])(world);
};

const restate = (day: string) => async (world: World) => {
  await control(world, 'restate', { orgId: await orgOf(world, 0), day, counter: 'payload_totals' });
};

const token = (isGood: boolean) => async (world: World) => {
  const { token: text } = world.platform;
  if (isGood) await control(world, 'tokens', { token: text, scopes: ['all.Instance'] });
  else await control(world, 'tokens/revoke', { token: text });
};

const database = (isThere: boolean) => (world: World) => {
  for (const wire of world.wires) {
    if (isThere) wire.mend();
    else wire.cut();
  }
  return Promise.resolve();
};

async function deleteOrganization(world: World): Promise<void> {
  await faults(null)(world);
  await world.platform.send('DELETE', `/orgs/${await orgOf(world, 2)}`, undefined);
}

/** Of the days that the deleted organization took along, two are accepted. */
async function waiveSome(world: World): Promise<void> {
  const days = ['--day', '2024-08-07..2024-08-08', '--stream', 'device_counts'];
  const reason = ['--reason', 'agreed with the customer'];
  expectGood(await world.run('writer', 'waive', '--org', await orgOf(world, 2), ...days, ...reason));
}

/** The next version is installed: the database is migrated under a worker, which refuses it until it is replaced. */
const upgrade = (install: (release: Release) => void, release: Release) => async (world: World) => {
  await world.query('vacuum analyze');
  const [old] = world.replicas;
  install(release);
  expectGood(await world.run('migrator', 'migrate'));
  install(releases.before(release));
  await old?.runAll();
  const trouble = old?.loop.statuses[0]?.trouble?.code;
  if (trouble !== 'database_too_new') throw new Error(`the old version went on: ${trouble}`);
  await world.stopWorkers();
  install(release);
  await world.startWorkers();
};

const dumpFile = ({ server }: World) => join(server.folder, 'losant-usage.dump');

/** As docs/install.md says. */
async function backUp(world: World): Promise<void> {
  tool('pg_dump', ...documentedOptions('pg_dump'), `--file=${dumpFile(world)}`, world.url('migrator'));
}

/** Into a new database, as docs/install.md says: the dump is of the version before, so that it is migrated again. */
async function restore(world: World): Promise<void> {
  await world.stopWorkers();
  await world.disconnect();
  const before = world.database;
  await queryOnce(world.server.url, 'create database restored');
  world.database = 'restored';
  await world.addClock();
  world.server.makeRoles(world.database);
  const target = `--dbname=${world.url('postgres')}`;
  tool('pg_restore', ...documentedOptions('pg_restore'), target, dumpFile(world));
  world.server.makeRoles(world.database);
  expectGood(await world.run('migrator', 'migrate'));
  await useClockInFunctions(world.url('postgres'));
  await queryOnce(world.server.url, `drop database ${before}`);
  await world.startWorkers();
}

async function copyData(world: World): Promise<void> {
  await world.disconnect();
  await world.server.copyData();
}

async function failOver(world: World): Promise<void> {
  await world.disconnect();
  await world.server.failOver();
  await world.setDatabaseClock();
}

/** A month is closed, and what was restated in the one before is settled. */
const close = (month: string, before: string | null) => async (world: World) => {
  await closeAnyway(world, month);
  if (before !== null) await closeAnyway(world, before, '--adjust');
};

/** Says why, where a month is blocked: as it stands, by the days of the deleted organization. */
async function closeAnyway(world: World, month: string, ...options: readonly string[]): Promise<void> {
  const args = ['close', '--json', '--period', month, ...options];
  const closed = await world.run('closer', ...args);
  if (closed.code !== 3) return expectGood(closed);
  if (month !== '2024-08') throw new Error(closed.stdout);
  const hash = /"blockersHash":"([0-9a-f]+)"/.exec(closed.stdout)?.[1] ?? '';
  const reason = 'the last days of a deleted organization are lost';
  expectGood(await world.run('closer', ...args, '--incomplete', reason, '--blockers', hash));
}

/** The sixth of each month at noon: all days of the month before are final. */
const closings: readonly SoakEvent[] = Array.from({ length: 11 }, (_, nth): SoakEvent => {
  const monthOf = (month: number) => new Date(Date.UTC(2024, month, 1)).toISOString().slice(0, 7);
  const day = (Date.UTC(2024, nth + 6, 6) - Date.UTC(2024, 5, 1)) / 86_400_000;
  return { at: hourOf(day, 12), act: close(monthOf(nth + 5), nth === 0 ? null : monthOf(nth + 4)) };
});

export const eventsOfYear = (install: (release: Release) => void): readonly SoakEvent[] => [
  { at: 6, act: faults(OUTAGE) },
  { at: 7, act: faults(null) },
  { at: 54, act: database(false) },
  { at: 55, act: database(true) },
  { at: 100, act: token(false) },
  { at: 103, act: token(true) },
  { at: 132, act: faults(OUTAGE) },
  { at: 180, act: faults(null) },
  { at: 264, act: spoil(0, 'no_counts') },
  { at: 336, act: faults(null) },
  { at: 420, act: database(false) },
  { at: 423, act: database(true) },
  { at: 480, act: restate('2024-06-15') },
  // Seen a month after its end, when June is closed.
  { at: hourOf(45), act: restate('2024-06-20') },
  { at: hourOf(68), act: spoil(2, 'server_error') },
  { at: hourOf(74), act: deleteOrganization },
  { at: hourOf(76, 5), act: waiveSome },
  { at: hourOf(90, 7), act: (world) => control(world, 'orgs', {}) },
  { at: hourOf(100, 9), act: upgrade(install, 'second') },
  // The copy lacks what the wake-up after midnight reads, and the list of organizations of the day.
  { at: hourOf(130), act: copyData },
  { at: hourOf(130, 9), act: failOver },
  { at: hourOf(180, 9), act: backUp },
  { at: hourOf(181, 9), act: upgrade(install, 'third') },
  { at: hourOf(183, 9), act: restore },
  ...closings,
];
