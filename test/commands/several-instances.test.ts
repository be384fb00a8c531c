import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { orgIdsOf } from '../e2e/installation.ts';
import { createStore } from '../e2e/usage.ts';
import { startServer } from '../losant/server.ts';
import { useOpened } from '../opened.ts';
import { type Platform, usePlatform } from '../simulator/platform.ts';
import { holdLease } from '../support/by-hand.ts';
import { asWriter } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { useTestFolder } from '../support/folders.ts';
import { jsonOf, type Report, resultOf, runProgram } from '../support/program.ts';
import { containing } from '../support/texts.ts';
import { settingsOf } from '../worker/process.ts';

const day = daysAgo(1);
const SKIPPED = 'skipped: the instance was never read';
const UNKNOWN = 'ffffffffffffffffffffffff';

const folder = useTestFolder();
const store = useOpened(createStore, (opened) => opened.remove());
const east = usePlatform({ now: Date.now, orgs: 3, seed: 'east' });
const west = usePlatform({ now: Date.now, orgs: 2, seed: 'west' });
let eastOrg: string;
let westOrg: string;

beforeAll(async () => {
  [eastOrg = ''] = await orgIdsOf(east);
  [westOrg = ''] = await orgIdsOf(west);
});

const idOf = ({ instanceId }: Platform) => instanceId.toLowerCase();

/** Writes a settings file for both instances and returns its path. */
function settings(changes: { readonly west?: string } = {}): string {
  const instance = ({ instanceId, url, token }: Platform, name: string, more = '') => {
    writeFileSync(join(folder, name), token);
    return `  - LOSANT_INSTANCE_ID: ${instanceId}
    LOSANT_API_URL: ${url}
    LOSANT_API_TOKEN_FILE: ${name}
    REQUESTS_PER_SECOND: 2000
${more}`;
  };
  const path = join(folder, 'usage.yaml');
  writeFileSync(path, `instances:\n${instance(east, 'east')}${instance(west, 'west', changes.west)}`);
  return path;
}

const usage = (args: readonly string[], changes = {}) =>
  runProgram([...args, '--config', settings(changes), '--json'], { DATABASE_URL: store.url });

describe('--org', () => {
  it.each([[['run', '--dry-run']], [['backfill', '--from', daysAgo(3), '--to', day]]])(
    'of %j is refused with exit code 2 if no instance has the organization',
    async (args) => {
      const message = `--org ${eastOrg}, ${UNKNOWN}: not found in any of 2 configured instances`;
      const refused = await resultOf(usage([...args, '--org', `${eastOrg},${UNKNOWN}`]));
      expect(refused).toMatchObject([2, { error: { message } }]);
    },
  );

  it('runs only the instances that have the organizations, and months of the others are skipped', async () => {
    const complete = { status: 'complete', orgs: 1, cells: { planned: 4, loaded: 4 } };
    const run = await resultOf(usage(['run', '--org', westOrg, '--instance', idOf(west)]));
    expect(run).toMatchObject([0, complete]);
    const instances = await store.query('select instance_id from losant_usage.instances');
    expect(instances).toEqual([{ instance_id: idOf(west) }]);

    const files = ['--config', settings()];
    const digest = await runProgram(['digest', ...files], { DATABASE_URL: store.url });
    expect(digest.stdout).toMatch(new RegExp(`^${idOf(east)}: not known yet, because nothing has been read\n`));

    const months = await usage(['close']);
    expect(months).toMatchObject({ code: 0, stderr: containing(SKIPPED) });
    const listed = jsonOf<{ months: { instanceId: string }[] }>(months).months;
    expect(new Set(listed.map(({ instanceId }) => instanceId))).toEqual(new Set([idOf(west)]));
    const requested = await resultOf(usage(['close', '--instance', `${idOf(west)},${idOf(east)}`]));
    const message = `The database has no data for instance ${idOf(east)}`;
    expect(requested).toMatchObject([2, { error: { message } }]);

    await usage(['run', '--org', eastOrg, '--instance', idOf(east)]);
    const again = await usage(['run', '--day', day, '--org', eastOrg]);
    expect(jsonOf<Report>(again)).toMatchObject({ orgs: 1, cells: { planned: 4 } });
    const both = await usage(['run', '--day', day, '--org', eastOrg, westOrg]);
    const [ofEast, ofWest] = [idOf(east), idOf(west)].map((instanceId) => ({ instanceId, orgs: 1 }));
    expect(jsonOf<Report[]>(both)).toMatchObject([ofEast, ofWest]);
  });

  it('bills only configured instances by default, and names the others', async () => {
    const env = { ...settingsOf(west, store), LOSANT_INSTANCE_ID: idOf(west) };
    const months = await runProgram(['close'], env);
    expect(months.stderr).toContain('skipped: the instance is not in the settings');
    expect(months.stderr).toContain(`add --instance ${idOf(east)} to include it`);
    expect(months.stdout).not.toContain(idOf(east));
    const all = await runProgram(['close', '--instance', `${idOf(west)},${idOf(east)}`], env);
    expect(all).toMatchObject({ stdout: containing(idOf(east)), stderr: '' });
  });

  it('fails only for the instance that rejects the token', async () => {
    await east.control('tokens/revoke', { token: east.token });
    const refused = await resultOf(usage(['run', '--day', day, '--org', eastOrg, westOrg]));
    const shown = await resultOf(usage(['org', 'show', '--org', westOrg]));
    const notShown = await resultOf(usage(['org', 'show', '--org', UNKNOWN]));
    await east.control('tokens', { token: east.token, scopes: ['all.Instance'] });
    const rejected = { instanceId: idOf(east), error: { code: 'unauthorized' } };
    expect(refused).toMatchObject([5, [rejected, { instanceId: idOf(west), status: 'complete' }]]);
    expect(shown).toMatchObject([0, { orgId: westOrg }]);
    expect(notShown).toMatchObject([5, { error: { code: 'unauthorized' } }]);
  });
});

it('--stream runs only the instances that load the stream, and is refused if no track has it', async () => {
  const changes = { west: '    STREAMS: [device_counts]\n' };
  const run = await resultOf(usage(['run', '--day', day, '--stream', 'payload_totals'], changes));
  expect(run).toMatchObject([0, { orgs: 3, cells: { planned: 3 } }]);
  const refused = await resultOf(usage(['run', '--stream', 'payload_hours', '--instance', idOf(west)], changes));
  expect(refused).toMatchObject([2, { error: { message: containing('--stream payload_hours') } }]);
  // As explain prints it for a track that has ended.
  const cell = ['--from', day, '--to', day, '--org', westOrg, '--stream', 'payload_totals', '--force'];
  const ended = await resultOf(usage(['backfill', ...cell], changes));
  expect(ended).toMatchObject([0, { instanceId: idOf(west), orgs: 1, cells: { planned: 1 } }]);
});

it('a manual run reports to the monitor only the instances that no other process runs', async () => {
  await using monitor = await startServer((_request, response) => void response.end());
  const env = { DATABASE_URL: store.url, HEARTBEAT_URL: `${monitor.url}/ping` };
  const pingsOfRun = async (code: number) => {
    monitor.received.length = 0;
    expect((await runProgram(['run', '--config', settings()], env)).code).toBe(code);
    return monitor.received.map(({ path }) => path);
  };
  expect(await pingsOfRun(0)).toEqual(['/ping']);
  await asWriter(store.url, holdLease(idOf(east)));
  expect(await pingsOfRun(4)).toEqual(['/ping']);
  await asWriter(store.url, holdLease(idOf(west)));
  expect(await pingsOfRun(4)).toEqual([]);
  await asWriter(store.url, 'delete from losant_usage.leases');
});

it('check says which instance each of its lines is about', async () => {
  await west.control('tokens/revoke', { token: west.token });
  const ended = await usage(['check']);
  const { stdout } = await runProgram(['check', '--config', settings()], { DATABASE_URL: store.url });
  await west.control('tokens', { token: west.token, scopes: ['all.Instance'] });
  const { checks } = jsonOf<{ checks: { name: string; instanceId: string | null; ok: boolean }[] }>(ended);
  const ofName = (wanted: string) => checks.filter(({ name }) => name === wanted).map(({ instanceId }) => instanceId);
  expect(checks.filter(({ ok }) => !ok)).toMatchObject([{ name: 'instance.get', instanceId: idOf(west) }]);
  expect([ofName('database'), ofName('sums')]).toEqual([[null], [idOf(east), idOf(west)]]);
  const isOfSums = (line: string) => line.includes('sums:');
  expect(stdout.split('\n').filter(isOfSums)).toEqual([
    `ok      sums: our sums match the stored numbers (instance ${idOf(east)})`,
    `ok      sums: our sums match the stored numbers (instance ${idOf(west)})`,
  ]);
});
