import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useExport } from '../e2e/export.ts';
import { daysAgo } from '../support/days.ts';
import { type Env, jsonOf, type Refusal } from '../support/program.ts';
import { type RecordingProxy, startRecordingProxy } from '../support/recording-proxy.ts';
import { typeIntoTerminal } from '../support/terminal.ts';

const yesterday = daysAgo(1);
const ADMIN = 'admin-token';
const READER = 'reader-token';

const exported = useExport({ orgs: 0, hostile: false });
let proxy: RecordingProxy;
let env: Env;

/** An organization with this name, which the first run knows. */
async function addOrg(name: string): Promise<string> {
  const attributes = {
    name,
    limits: { device: 100, payload: 5_000 },
    tags: [{ key: 'region', value: 'eu' }],
    referralId: 'C-1',
  };
  const creationDate = '2026-01-01T00:00:00.000Z';
  const { orgId } = (await exported.platform.control('orgs', { attributes, creationDate, size: 0.5 })) as {
    orgId: string;
  };
  return orgId;
}

const ids: Record<string, string> = {};

beforeAll(async () => {
  const { platform } = exported;
  proxy = await startRecordingProxy(platform.url);
  await platform.control('tokens', { token: ADMIN, scopes: ['instanceOrg.patch', 'instanceOrg.delete'] });
  await platform.control('tokens', { token: READER, scopes: ['all.Instance.read'] });
  env = { LOSANT_API_URL: proxy.url, LOSANT_API_TOKEN: READER, LOSANT_ADMIN_TOKEN: ADMIN };
  for (const name of ['Shown \x1b[31m', 'Changed', 'Shared', 'Ended', 'Gappy', 'Typed', 'Lost']) {
    ids[name] = await addOrg(name);
  }
  const gappy = { orgId: ids['Gappy'], day: yesterday, action: 'deviceCounts' };
  await platform.control('omit', gappy);
  const { code, stderr } = await exported.run(['run'], env);
  if (code !== 3 && code !== 0) throw new Error(stderr);
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
});

const org = (verb: string, name: string, args: readonly string[] = [], changes: Env = {}) =>
  exported.run(['org', verb, '--org', ids[name] ?? '', ...args], { ...env, ...changes });

/** What was sent to change anything, since the last time. */
const changesSent = () => proxy.seen.splice(0).filter((each) => !each.startsWith('GET '));

const removedOn = async (name: string) => {
  const [row] = await exported.place.query(
    `select removed_on::text from losant_usage.organizations where org_id = '${ids[name]}'`,
  );
  return row?.['removed_on'] ?? null;
};

/** Somebody else changes an organization, past the proxy. */
async function changeElsewhere(name: string, patch: object): Promise<void> {
  const { url, instanceId } = exported.platform;
  const { status } = await fetch(`${url}/instances/${instanceId}/orgs/${ids[name]}`, {
    method: 'PATCH',
    headers: { authorization: `Bearer ${ADMIN}`, 'content-type': 'application/json' },
    body: JSON.stringify(patch),
  });
  if (status !== 200) throw new Error(`HTTP ${status}`);
}

const GET_ORG = /^GET \/instances\/\w+\/orgs\/\w+(\?|$)/;

const isThere = async (name: string) => (await exported.platform.get(`/orgs/${ids[name]}`)).status === 200;

describe('org show', () => {
  it('prints name, state, period, limits and tags, and no control character', async () => {
    const { code, stdout } = await org('show', 'Shown \x1b[31m');
    expect(code).toBe(0);
    const lines = stdout.split('\n').map((line) => line.trim().replaceAll(/ {2,}/g, ' | '));
    expect(lines[0]).toBe('Shown \\x1b[31m');
    expect(lines).toEqual(
      expect.arrayContaining([
        `id | ${ids['Shown \x1b[31m']}`,
        'referral id | C-1',
        'state | active',
        'Limits:',
        'payload | 5,000',
        'Tags:',
        'region | eu',
      ]),
    );
    expect(lines.some((line) => /^period \| .* 00:00 UTC until .* 00:00 UTC$/.test(line))).toBe(true);
  });

  it("prints Losant's complete answer as JSON", async () => {
    const { code, ...ended } = await org('show', 'Changed', ['--json']);
    expect(code).toBe(0);
    expect(jsonOf<object>({ code, ...ended })).toMatchObject({
      name: 'Changed',
      limits: { device: 100, payload: 5_000 },
      summary: { memberCount: 3 },
    });
  });
});

describe('org set', () => {
  const set = (name: string, patch: object, ...more: string[]) =>
    org('set', name, ['--json', JSON.stringify(patch), ...more]);
  const CHANGE = {
    limits: { device: 5 },
    tags: [
      { key: 'region', value: 'eu' },
      { key: 'tier', value: 'gold' },
    ],
    auditLogEnabled: true,
  };

  it('shows old and new, and sends nothing in a dry run', async () => {
    changesSent();
    const { code, stdout } = await set('Changed', CHANGE, '--dry-run');
    expect(code).toBe(0);
    const lines = stdout.split('\n').map((line) => line.trim().replaceAll(/ {2,}/g, ' | '));
    expect(lines.slice(0, 2)).toEqual([`Changed (${ids['Changed']})`, 'field | now | new']);
    expect(lines).toEqual(
      expect.arrayContaining([
        'limits.device | 100 | 5',
        'tags.tier | not set | gold',
        'Nothing was sent (--dry-run).',
      ]),
    );
    expect(changesSent()).toEqual([]);
  });

  it('sends one patch, keeps what was not named, and then has nothing to change', async () => {
    const ended = await set('Changed', CHANGE);
    expect(ended.code).toBe(0);
    expect(ended.stderr).toContain('"msg":"organization changed"');
    expect(ended.stdout).toContain('Changed: Losant has it so now.');
    expect(jsonOf(await org('show', 'Changed', ['--json']))).toMatchObject({
      ...CHANGE,
      limits: { device: 5, payload: 5_000 },
    });
    expect(changesSent()).toEqual([
      `PATCH /instances/${exported.platform.instanceId}/orgs/${ids['Changed']}`,
    ]);
    const again = await set('Changed', CHANGE);
    expect(again.code).toBe(0);
    expect(again.stdout).toContain('nothing to change, it is so already; nothing was sent.');
    expect(changesSent()).toEqual([]);
  });

  it('reads back what is so when the answer is lost, and sends nothing again', async () => {
    proxy.losesAnswersTo.add('PATCH');
    const { code, stdout, stderr } = await set('Changed', { name: 'Renamed' });
    proxy.losesAnswersTo.clear();
    expect(code).toBe(0);
    expect(stderr).toContain('connection failed');
    expect(stdout).toContain('Changed: Losant has it so now.');
    expect(changesSent()).toHaveLength(1);
  });

  it('reads back what an answer without the optional fields does not say', async () => {
    proxy.emptiesAnswersTo.add('PATCH');
    const ended = await set('Changed', { limits: { device: 7 } });
    proxy.emptiesAnswersTo.clear();
    expect(ended.code).toBe(0);
    expect(ended.stdout).toContain('Changed: Losant has it so now.');
    expect(changesSent()).toHaveLength(1);
  });

  // Promise (Losant): A change in Losant is checked, shown, sent once and read back, and not sent over one that
  // somebody else made.
  it('sends nothing over a change by somebody else, shows it, and takes the command again', async () => {
    const patch = { limits: { device: 5 } };
    proxy.afterAnswerTo(GET_ORG, () => changeElsewhere('Shared', { limits: { device: 50, payload: 5_000 } }));
    const refused = await set('Shared', patch);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain(
      `Nothing was sent: organization ${ids['Shared']} was changed by somebody else meanwhile; limits.device is 50 and not 100; lastUpdated is `,
    );
    expect(changesSent()).toEqual([]);
    const again = await set('Shared', patch);
    expect(again.code).toBe(0);
    expect(again.stdout).toMatch(/limits\.device +50 +5\n/);
    expect(changesSent()).toHaveLength(1);
  });

  it('says what changed beside it, and not by it', async () => {
    proxy.afterAnswerTo(GET_ORG, () => Promise.resolve());
    proxy.afterAnswerTo(GET_ORG, () => changeElsewhere('Shared', { referralId: 'C-2' }));
    const { code, stderr } = await set('Shared', { limits: { device: 6 } });
    expect(code).toBe(0);
    expect(stderr).toContain('Changed meanwhile, not by this command: referralId is C-2 and not C-1');
  });
});

describe('org delete', () => {
  const again = (name: string) => ['--name-again', name];

  it('wants the name repeated exactly, and before that does nothing', async () => {
    changesSent();
    expect((await org('delete', 'Ended')).stderr).toContain('The name of the organization was not repeated');
    const { code, stderr } = await org('delete', 'Ended', again('ended'));
    expect(code).toBe(2);
    expect(stderr).toContain(`--name-again ended: organization ${ids['Ended']} is called Ended`);
    expect(changesSent()).toEqual([]);
  });

  it('shows what would end, and in a dry run neither exports nor deletes', async () => {
    const { code, stdout } = await org('delete', 'Ended', ['--dry-run']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/devices? at the end of yesterday/);
    expect(stdout).toMatch(new RegExp(`stored +payload_totals +${yesterday} +1 day`));
    expect(stdout).toContain(`Lost for good: the usage of today, ${daysAgo(0)}`);
    expect(changesSent()).toEqual([]);
    expect(await isThere('Ended')).toBe(true);
  });

  it('does not delete with a token that may not, and marks nothing', async () => {
    const { code, stderr } = await org('delete', 'Ended', again('Ended'), { LOSANT_ADMIN_TOKEN: READER });
    expect(code).toBe(5);
    expect(stderr).toContain('add instanceOrg.delete to it');
    expect(await removedOn('Ended')).toBeNull();
  });

  // Promise (Losant): An organization is deleted only once its last readable days are stored or accepted, and its
  // name is repeated.
  it('reads the last days once more, deletes, confirms and marks it removed', async () => {
    const stored = () =>
      exported.place.query(
        `select all_count from losant_usage.payload_totals where org_id = '${ids['Ended']}' and usage_date = '${yesterday}'`,
      );
    const before = await stored();
    await exported.platform.control('restate', {
      orgId: ids['Ended'],
      day: yesterday,
      counter: 'payloadCountsBreakdown',
    });
    changesSent();
    const ended = await org('delete', 'Ended', [...again('Ended'), '--json']);
    expect(ended.code).toBe(0);
    expect(jsonOf(ended)).toMatchObject({ isDeleted: true, missing: 0, name: 'Ended' });
    expect(changesSent()).toEqual([`DELETE /instances/${exported.platform.instanceId}/orgs/${ids['Ended']}`]);
    expect(await stored()).not.toEqual(before);
    expect(await isThere('Ended')).toBe(false);
    expect(await removedOn('Ended')).not.toBeNull();
    const noMore = await org('delete', 'Ended', [...again('Ended'), '--json']);
    expect(noMore.code).toBe(2);
    expect(jsonOf<Refusal>(noMore).error.message).toBe(
      `--org ${ids['Ended']}: Losant knows no such organization of instance ${exported.platform.instanceId}`,
    );
  });

  it('is refused while a tracked number is missing, unless a reason is given, which waives it', async () => {
    changesSent();
    const refused = await org('delete', 'Gappy', again('Gappy'));
    expect(refused.code).toBe(3);
    expect(refused.stderr).toContain('Not deleted: 1 number is missing');
    expect(refused.stdout).toMatch(/(missing|waiting|in doubt) +device_counts/);
    expect(changesSent()).toEqual([]);
    expect(await isThere('Gappy')).toBe(true);

    const ended = await org('delete', 'Gappy', [...again('Gappy'), '--incomplete', 'Acme agreed']);
    expect(ended.code).toBe(0);
    expect(ended.stdout).toContain('4 numbers waived: Acme agreed');
    expect(await isThere('Gappy')).toBe(false);
    expect(
      await exported.place.query(
        `select stream, usage_date::text as day, reason from losant_usage.waivers
         where org_id = '${ids['Gappy']}' and stream = 'device_counts'`,
      ),
    ).toEqual([{ stream: 'device_counts', day: yesterday, reason: 'Acme agreed' }]);
    expect(await removedOn('Gappy')).not.toBeNull();
  });

  it('does not delete what somebody else has changed meanwhile, and shows the difference', async () => {
    changesSent();
    proxy.afterAnswerTo(GET_ORG, () => changeElsewhere('Shared', { name: 'Kept' }));
    const { code, stderr } = await org('delete', 'Shared', again('Shared'));
    expect(code).toBe(2);
    expect(stderr).toContain(
      'changed by somebody else meanwhile; name is Kept and not Shared; lastUpdated is ',
    );
    expect(changesSent()).toEqual([]);
    expect(await removedOn('Shared')).toBeNull();
  });

  it('asks for the name in a terminal', async () => {
    const { code, stdout } = await typeIntoTerminal(
      ['org', 'delete', '--org', ids['Typed'] ?? ''],
      { ...exported.env, ...env },
      [
        ['type its name', 'typed'],
        ['That is not its name.', 'Typed'],
      ],
    );
    expect(code).toBe(0);
    expect(stdout).toContain('Deleted: ');
    expect(await isThere('Typed')).toBe(false);
  });

  it('finds out by reading back when the answer is lost', async () => {
    changesSent();
    proxy.losesAnswersTo.add('DELETE');
    const { code, stderr } = await org('delete', 'Lost', again('Lost'));
    proxy.losesAnswersTo.clear();
    expect(code).toBe(0);
    expect(stderr).toContain('reading the organization back');
    expect(changesSent()).toHaveLength(1);
    expect(await removedOn('Lost')).not.toBeNull();
  });
});
