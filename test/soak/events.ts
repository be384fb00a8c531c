/** What happens in the year beside the wake-ups: what fails by itself, and what operator and clerk do. */
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
  expectGood(await world.run('waive', '--org', await orgOf(world, 2), ...days, ...reason));
}

async function failOver(world: World): Promise<void> {
  await world.database.failOver();
  await world.database.stopClock(world.nowMs);
}

/** A month is closed, and what was restated in the one before is settled. */
const close = (month: string, before: string | null) => async (world: World) => {
  await closeAnyway(world, month);
  if (before !== null) await closeAnyway(world, before, '--adjust');
};

/** Says why, where a month is blocked: as it stands, by the days of the deleted organization. */
async function closeAnyway(world: World, month: string, ...options: readonly string[]): Promise<void> {
  const args = ['close', '--json', '--period', month, ...options];
  const closed = await world.run(...args);
  if (closed.code !== 3) return expectGood(closed);
  if (month !== '2024-08') throw new Error(closed.stdout);
  const hash = /"blockersHash":"([0-9a-f]+)"/.exec(closed.stdout)?.[1] ?? '';
  const reason = 'the last days of a deleted organization are lost';
  expectGood(await world.run(...args, '--incomplete', reason, '--blockers', hash));
}

/** The sixth of each month at noon: all days of the month before are final. */
const closings: readonly SoakEvent[] = Array.from({ length: 11 }, (_, nth): SoakEvent => {
  const monthOf = (month: number) => new Date(Date.UTC(2024, month, 1)).toISOString().slice(0, 7);
  const day = (Date.UTC(2024, nth + 6, 6) - Date.UTC(2024, 5, 1)) / 86_400_000;
  return { at: hourOf(day, 12), act: close(monthOf(nth + 5), nth === 0 ? null : monthOf(nth + 4)) };
});

export const EVENTS: readonly SoakEvent[] = [
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
  // The copy lacks what the wake-up after midnight reads, and the list of organizations of the day.
  { at: hourOf(130), act: ({ database }) => database.makeStandby() },
  { at: hourOf(130, 9), act: failOver },
  ...closings,
];
