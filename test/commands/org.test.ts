import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { completePatch, parsePatch } from '../../src/cli/org.ts';
import { useInstallation } from '../e2e/installation.ts';
import { useDisposable } from '../opened.ts';
import { daysAgo } from '../support/days.ts';
import { type Env, jsonOf, resultOf } from '../support/program.ts';
import { startRecordingProxy } from '../support/recording-proxy.ts';
import { containing, matching } from '../support/texts.ts';

const yesterday = daysAgo(1);
const ADMIN = 'admin-token';
const READER = 'reader-token';

const installation = useInstallation({ orgs: 0, hostile: false });
const proxy = useDisposable(() => startRecordingProxy(installation.platform.url));
let env: Env;

async function addOrg(name: string): Promise<string> {
  const limits = { device: 100, payload: 5_000 };
  const attributes = { name, limits, tags: [{ key: 'region', value: 'eu' }], referralId: 'C-1' };
  const org = { attributes, creationDate: '2026-01-01T00:00:00.000Z', size: 0.5 };
  const { orgId } = (await installation.platform.control('orgs', org)) as { orgId: string };
  return orgId;
}

const ids: Record<string, string> = {};

beforeAll(async () => {
  const { platform } = installation;
  await platform.control('tokens', { token: ADMIN, scopes: ['instanceOrg.patch', 'instanceOrg.delete'] });
  await platform.control('tokens', { token: READER, scopes: ['all.Instance.read'] });
  env = { LOSANT_API_URL: proxy.url, LOSANT_API_TOKEN: READER, LOSANT_ADMIN_TOKEN: ADMIN, REQUEST_ATTEMPTS: '1' };
  for (const name of ['Shown \x1b[31m', 'Changed', 'Shared', 'Ended', '-Gappy', 'Lost']) {
    ids[name] = await addOrg(name);
  }
  await platform.control('omit', { orgId: ids['-Gappy'], day: daysAgo(2), action: 'deviceCounts' });
  const { code, stderr } = await installation.run(['run'], env);
  if (code !== 0) throw new Error(stderr);
});

const org = (verb: string, name: string, args: readonly string[] = [], changes: Env = {}) =>
  installation.run(['org', verb, '--org', ids[name] ?? '', ...args], { ...env, ...changes });

/** Returns the requests other than GET since the last call. */
const changesSent = () => proxy.seen.splice(0).filter((each) => !each.startsWith('GET '));

const deletedOn = async (name: string) => {
  const deletion = `select deleted_on::text from losant_usage.organizations where org_id = '${ids[name]}'`;
  return (await installation.store.query(deletion))[0]?.['deleted_on'] ?? null;
};

/** Changes an organization (null: deletes it) as somebody else would, not through the proxy. */
async function changeElsewhere(name: string, patch: object | null): Promise<void> {
  const { url, instanceId } = installation.platform;
  const { status } = await fetch(`${url}/instances/${instanceId}/orgs/${ids[name]}`, {
    method: patch === null ? 'DELETE' : 'PATCH',
    headers: { authorization: `Bearer ${ADMIN}`, 'content-type': 'application/json' },
    body: patch && JSON.stringify(patch),
  });
  if (status !== 200) throw new Error(`HTTP ${status}`);
}

/** Fails a hook, so that the proxy loses the response. */
const lose = (): Promise<void> => Promise.reject(new Error('lost'));

/** Lets all further requests for an organization fail; the minute in which one is read back takes half a second. */
async function failReads(kind: string): Promise<void> {
  await installation.platform.control('config', { faults: { kinds: [kind], forever: true } });
  const startTimeout = AbortSignal.timeout.bind(AbortSignal);
  const timeout = vi.spyOn(AbortSignal, 'timeout');
  onTestFinished(() => timeout.mockRestore());
  timeout.mockImplementation((ms) => startTimeout(ms === 60_000 ? 500 : ms));
}

/** The lines of a table, with a bar between columns. */
const rowsOf = (stdout: string) => stdout.split('\n').map((line) => line.trim().replaceAll(/ {2,}/g, ' | '));

const GET_ORG = /^GET \/instances\/\w+\/orgs\/\w+(\?|$)/;

const isThere = async (name: string) => (await installation.platform.get(`/orgs/${ids[name]}`)).status === 200;

it.each<[unknown, ...problems: string[]]>([
  ['no object', '- the patch is not a JSON object'],
  [{ nam: 'x', limits: { devise: 1, gold: 2 } }, '- limits has no field devise, gold', '- the patch has no field nam'],
  [{ limits: { device: '5' } }, '- limits.device must be a whole number of 0 or more'],
  [{ limits: { dataTTL: 60 } }, '- limits.dataTTL must be a whole number of 86400 or more'],
  [{ disabledAt: '2026-02-30' }, '- disabledAt must be false or a date such as 2026-11-25T00:00:00Z'],
  [
    { tags: [{ key: 'a b', value: '', extra: 1 }], mfaMode: 'never' },
    '- tags[0].key must be 1 to 255 letters, digits, _ or -',
    '- tags[0].value must have 1 to 255 characters',
    '- tags[0] has no field extra',
    '- mfaMode must be one of notRequired, adminRequired, required',
  ],
])('the patch %j is rejected with all its problems', (patch, ...problems) => {
  const read = () => parsePatch(JSON.stringify(patch));
  expect(read).toThrow(['--patch is not valid:', ...problems].join('\n'));
});

it('a patch gets dates as Losant writes them, and all limits of the organization', () => {
  expect(() => parsePatch('{')).toThrow('- the patch is not a JSON object');
  expect(parsePatch('{"disabledAt":"2026-01-01T01:00:00+01:00"}')).toEqual({ disabledAt: '2026-01-01T00:00:00.000Z' });
  const limits = { device: 100, payload: 1_000, unheardOf: 3 };
  expect(completePatch({ limits: { device: 5 } }, { limits })).toEqual({ limits: { device: 5, payload: 1_000 } });
});

it('org show prints the fields without control characters, and Losant’s complete response as JSON', async () => {
  const name = 'Shown \x1b[31m';
  const { code, stdout } = await org('show', name);
  expect(code).toBe(0);
  const lines = rowsOf(stdout);
  expect(lines[0]).toBe('Shown \\x1b[31m');
  const shown = [`id | ${ids[name]}`, 'referralId | C-1', 'limits.payload | 5000', 'tags | region=eu'];
  expect(lines).toEqual(expect.arrayContaining(shown));
  const limits = { device: 100, payload: 5_000 };
  expect(jsonOf(await org('show', name, ['--json']))).toMatchObject({ name, limits, summary: { memberCount: 3 } });
});

describe('org set', () => {
  const set = (name: string, patch: object, ...more: string[]) =>
    org('set', name, ['--patch', JSON.stringify(patch), ...more]);
  const tier = { key: 'tier', value: 'gold' };
  const CHANGE = { limits: { device: 5 }, tags: [{ key: 'region', value: 'eu' }, tier], auditLogEnabled: true };

  it('shows old and new, and sends nothing in a dry run', async () => {
    changesSent();
    const { code, stdout } = await set('Changed', CHANGE, '--dry-run');
    const lines = rowsOf(stdout);
    expect([code, ...lines.slice(0, 2)]).toEqual([0, `Changed (${ids['Changed']})`, 'field | current | new']);
    const tags = 'tags | region=eu | region=eu, tier=gold';
    expect(lines).toEqual(expect.arrayContaining(['limits.device | 100 | 5', tags, 'Dry run: nothing was sent.']));
    const document = jsonOf<object>(await set('Changed', CHANGE, '--dry-run', '--json'));
    expect(document).toMatchObject({
      orgId: ids['Changed'],
      name: 'Changed',
      isChanged: false,
      changes: expect.arrayContaining([{ field: 'limits.device', old: '100', new: '5' }]) as unknown,
    });
    expect(changesSent()).toEqual([]);
  });

  it('sends one patch, keeps other fields, and then has nothing to change', async () => {
    const ended = await set('Changed', CHANGE);
    expect(ended).toMatchObject({ code: 0, stdout: containing('Changed in Losant.') });
    expect(ended.stderr).toContain('"msg":"organization changed"');
    const limits = { device: 5, payload: 5_000 };
    expect(jsonOf(await org('show', 'Changed', ['--json']))).toMatchObject({ ...CHANGE, limits });
    expect(changesSent()).toEqual([`PATCH /instances/${installation.platform.instanceId}/orgs/${ids['Changed']}`]);
    const again = { code: 0, stdout: containing('already up to date; nothing was sent.') };
    expect(await set('Changed', CHANGE)).toMatchObject(again);
    expect(jsonOf<object>(await set('Changed', CHANGE, '--json'))).toMatchObject({ changes: [], isChanged: false });
    expect(changesSent()).toEqual([]);
  });

  it('names the fields that changed although the patch does not have them', async () => {
    proxy.afterAnswerTo(/^PATCH /, () => changeElsewhere('Changed', { referralId: 'C-2' }));
    const problem = 'fields that were not sent have changed too: referralId is C-2 instead of C-1\n';
    const ended = await set('Changed', { description: 'patched' });
    expect(ended).toMatchObject({ code: 0, stdout: containing('Changed in Losant.') });
    expect(ended.stderr).toContain(`Organization ${ids['Changed']}: ${problem}`);
    expect(ended.stderr).toContain(`someone else has changed it; see losant-usage org show --org ${ids['Changed']}\n`);
    expect(changesSent()).toHaveLength(1);
  });

  it('sends nothing over a change by somebody else, shows it, and can be repeated', async () => {
    const patch = { limits: { device: 5 } };
    proxy.afterAnswerTo(GET_ORG, () => changeElsewhere('Shared', { limits: { device: 50, payload: 5_000 } }));
    const rejected = await set('Shared', patch);
    const reason = 'nothing was sent, because someone changed it in the meantime: ';
    expect(rejected).toMatchObject({ code: 2, stderr: containing(`Organization ${ids['Shared']}: ${reason}`) });
    expect(rejected.stderr).toContain('; limits.device is 50 instead of 100\n');
    expect(changesSent()).toEqual([]);
    const changes = [{ field: 'limits.device', old: '50', new: '5' }];
    expect(await resultOf(set('Shared', patch, '--json'))).toMatchObject([0, { changes, isChanged: true }]);
    expect(changesSent()).toHaveLength(1);
  });

  const undo = () => changeElsewhere('Shared', { referralId: 'C-1' });
  const unconfirmed = 'the change may have been made, but this could not be confirmed: ';

  it.each<[what: string, meanwhile: () => Promise<void>, message: string]>([
    ['took effect', lose, ''],
    ['was undone', undo, 'the change is not in effect: referralId is C-1 instead of C-3'],
    ['cannot be read back', () => failReads('server_error'), `${unconfirmed}instanceOrg.get (org `],
    ['is not read back in a minute', () => failReads('hang'), `${unconfirmed}no response within 60 s`],
    ['was followed by a deletion', () => changeElsewhere('Shared', null), 'the change is not in effect: the'],
  ])('says what is known of a change that %s after its response was lost', async (_, meanwhile, message) => {
    proxy.afterAnswerTo(/^PATCH /, () => meanwhile().then(lose));
    const ended = await set('Shared', { referralId: 'C-3' });
    await installation.platform.control('config', { faults: null });
    expect(ended.stderr).toContain('; reading the organization back to check\n');
    const hint = `  check with losant-usage org show --org ${ids['Shared']}; a slow request may still take effect\n`;
    expect(ended.code).toBe(message === '' ? 0 : 1);
    expect(ended.stderr).toContain(message && `losant-usage: instanceOrg.patch (org ${ids['Shared']}): ${message}`);
    expect(ended.stderr).toContain(message && hint);
    await installation.platform.control('orgs/restore', { orgId: ids['Shared'] });
    await undo();
  });
});

describe('org delete', () => {
  const confirm = (name: string) => [`--confirm=${name}`];

  it('does nothing unless the name is confirmed exactly', async () => {
    changesSent();
    expect((await org('delete', 'Ended')).stderr).toContain('Deleting an organization requires --confirm NAME');
    const mismatch = `--confirm ended does not match: organization ${ids['Ended']} is named Ended`;
    const ended = await org('delete', 'Ended', confirm('ended'));
    expect(ended).toMatchObject({ code: 2, stderr: containing(mismatch) });
    expect(changesSent()).toEqual([]);
  });

  it('shows in a dry run what would be lost, and neither loads nor deletes', async () => {
    const { code, stdout } = await org('delete', 'Ended', ['--dry-run']);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`stored +payload_totals +${yesterday} +1 day`));
    expect(stdout).toContain(`Lost for good: today's usage (${daysAgo(0)})`);
    expect(stdout).toContain(`  losant-usage org delete --org ${ids['Ended']} --confirm=Ended\n`);
    expect(changesSent()).toEqual([]);
    expect(await isThere('Ended')).toBe(true);
  });

  it('deletes and marks nothing with a token that lacks the scope', async () => {
    const ended = await org('delete', 'Ended', confirm('Ended'), { LOSANT_ADMIN_TOKEN: READER });
    expect(ended).toMatchObject({ code: 5, stderr: containing('add instanceOrg.delete, or all.Instance') });
    expect(await deletedOn('Ended')).toBeNull();
  });

  it('reads the last days once more, deletes, confirms and marks the deletion', async () => {
    const stored = () =>
      installation.store.query(`select payload_all_count from losant_usage.daily_usage
        where org_id = '${ids['Ended']}' and usage_date = '${yesterday}'`);
    const before = await stored();
    const restatement = { orgId: ids['Ended'], day: yesterday, counter: 'payloadCountsBreakdown' };
    await installation.platform.control('restate', restatement);
    changesSent();
    const deleteEnded = () => resultOf(org('delete', 'Ended', [...confirm('Ended'), '--json']));
    const deletion = { isDeleted: true, missing: 0, name: 'Ended', run: { status: 'complete' } };
    expect(await deleteEnded()).toMatchObject([0, deletion]);
    expect(changesSent()).toEqual([`DELETE /instances/${installation.platform.instanceId}/orgs/${ids['Ended']}`]);
    expect(await stored()).not.toEqual(before);
    expect(await isThere('Ended')).toBe(false);
    expect(await deletedOn('Ended')).not.toBeNull();
    const message = containing(`--org ${ids['Ended']}: not found in instance `);
    expect(await deleteEnded()).toMatchObject([2, { error: { message } }]);
  });

  it('deletes nothing while an expected cell is missing, until that is waived', async () => {
    changesSent();
    const from = daysAgo(2);
    const gappy = ['--org', ids['-Gappy'] ?? ''];
    expect((await installation.run(['backfill', ...gappy, '--from', from], env)).code).toBe(3);
    const rejected = await org('delete', '-Gappy', confirm('-Gappy'));
    const stdout = matching(new RegExp(`missing +device_counts +${from}`));
    expect(rejected).toMatchObject({ code: 3, stderr: containing('not deleted: 1 cell is missing'), stdout });
    expect(changesSent()).toEqual([]);
    expect(await isThere('-Gappy')).toBe(true);

    await installation.run(['waive', ...gappy, '--day', from, '--reason', 'Acme agreed'], env);
    const ended = await org('delete', '-Gappy', confirm('-Gappy'));
    expect(ended.code).toBe(0);
    expect(await deletedOn('-Gappy')).not.toBeNull();
    const [, command = ''] = /as they stand:\n {2}losant-usage (waive .*) --reason TEXT\n$/.exec(ended.stdout) ?? [];
    const waived = await installation.run([...command.split(' '), '--reason', 'Acme agreed'], env);
    expect([waived.code, waived.stderr]).toEqual([0, '']);
    const rest = await installation.store.query(
      `select from losant_usage.cells where org_id = '${ids['-Gappy']}' and standing not in ('final', 'waived')`,
    );
    expect(rest).toEqual([]);
  });

  it.each([
    ['server_error', 3],
    ['forbidden', 5],
  ])('deletes nothing while a day that is stored cannot be read again: %s', async (kind, code) => {
    changesSent();
    await installation.platform.control('config', {
      faults: { kinds: [kind], forever: true, actions: ['payloadCounts'] },
    });
    const rejected = await org('delete', 'Shared', confirm('Shared'));
    await installation.platform.control('config', { faults: null });
    expect(rejected).toMatchObject({ code, stderr: containing('not deleted: some days could not be read, and') });
    expect(rejected.stderr).toContain(
      '  the failures of the run say why; fix them or waive the cells, then run this again\n',
    );
    expect(changesSent()).toEqual([]);
  });

  it('sends nothing if somebody else has deleted it in the meantime', async () => {
    proxy.afterAnswerTo(/payloadCountsBreakdown/, () => changeElsewhere('Shared', null));
    const rejected = await org('delete', 'Shared', confirm('Shared'));
    const reason =
      'nothing was sent, because someone changed it in the meantime: it was deleted\n  the next run marks it';
    expect(rejected).toMatchObject({ code: 2, stderr: containing(reason) });
    expect(changesSent()).toEqual([]);
  });

  it('reads back whether the deletion took effect if the response is lost', async () => {
    changesSent();
    proxy.losesAnswersTo.add('DELETE');
    const ended = await org('delete', 'Lost', confirm('Lost'));
    proxy.losesAnswersTo.clear();
    expect(ended).toMatchObject({ code: 0, stderr: containing('reading the organization back') });
    expect(changesSent()).toHaveLength(1);
    expect(await deletedOn('Lost')).not.toBeNull();
  });

  it('leaves a deletion that cannot be confirmed to the next run', async () => {
    proxy.afterAnswerTo(/^DELETE /, () => failReads('server_error').then(lose));
    const ended = await org('delete', 'Changed', confirm('Changed'));
    await installation.platform.control('config', { faults: null });
    expect(ended).toMatchObject({ code: 1, stderr: containing('the change may have been made, but this could not') });
    expect(await deletedOn('Changed')).toBeNull();
    const stderr = containing('not found in instance');
    expect(await org('delete', 'Changed', confirm('Changed'))).toMatchObject({ code: 2, stderr });
    expect((await installation.run(['run'], env)).code).toBe(0);
    expect(await deletedOn('Changed')).not.toBeNull();
  });
});
