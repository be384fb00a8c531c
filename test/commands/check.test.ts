import { existsSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createEmbeddedFolder, createTestDatabase, queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { type Env, runProgram } from '../support/program.ts';
import { failedOf, namesOf, useCheckBench } from './check-bench.ts';

const bench = useCheckBench();

const DATABASE = ['settings', 'database', 'schema', 'rights', 'clock.database'];
const INSTANCE = ['instance.get', 'clock.losant', 'api_url', 'instanceOrgs.get'];
const USAGE = ['deviceCounts', 'notebookMinuteCounts', 'payloadCountsBreakdown', 'payloadCounts'];
const ORG = ['instanceOrg.get', ...USAGE.map((action) => `instanceOrg.${action}`)];

async function withScopes(...scopes: readonly string[]): Promise<Env> {
  await bench.platform.control('tokens', { token: 'narrow-token', scopes });
  return { LOSANT_API_TOKEN: 'narrow-token' };
}

describe('when everything is fine', () => {
  it('checks settings, database, clocks and each endpoint, and exits 0', async () => {
    const { code, document } = await bench.check();
    expect(failedOf(document)).toEqual([]);
    expect(namesOf(document.checks)).toEqual([...DATABASE, ...INSTANCE, ...ORG, 'reconcile']);
    expect(document.checks.every(({ hint }) => hint === null)).toBe(true);
    expect(document.ok).toBe(true);
    expect(code).toBe(0);
  });

  it('asks for the newest day that is over', async () => {
    const { document } = await bench.check();
    const devices = document.checks.find(({ name }) => name === 'instanceOrg.deviceCounts');
    expect(devices?.message).toMatch(new RegExp(`^${daysAgo(1)}: created \\d+, deleted \\d+, total \\d+$`));
  });

  it('prints a line for each check to people', async () => {
    const { code, stdout } = await runProgram(['check'], bench.env);
    expect(stdout).toMatch(/^ +HORIZON_DAYS +90 +default$/m);
    expect(stdout).toMatch(/^ +DATABASE_URL +set +environment$/m);
    expect(stdout).toMatch(/^ok {6}database: .*, not encrypted, on this machine$/m);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .filter((line) => !line.startsWith(' '));
    expect(lines).toHaveLength(DATABASE.length + INSTANCE.length + ORG.length + 2);
    expect(lines.slice(0, -1).every((line) => line.startsWith('ok      '))).toBe(true);
    expect(lines.at(-1)).toBe('Everything works.');
    expect(code).toBe(0);
  });

  it('sums up every organization with --all-orgs', async () => {
    const { code, document } = await bench.check({}, '--all-orgs');
    const devices = document.checks.find(({ name }) => name === 'instanceOrg.deviceCounts');
    expect(devices?.message).toBe('3 of 3 organizations answered');
    expect(code).toBe(0);
  });

  it('leaves out the endpoints of streams that are not exported', async () => {
    const { document } = await bench.check({ STREAMS: 'device_counts' });
    expect(namesOf(document.checks).filter((name) => ORG.includes(name))).toEqual([
      'instanceOrg.get',
      'instanceOrg.deviceCounts',
    ]);
  });
});

describe('writes nothing', () => {
  it('leaves an empty database empty, and says that run creates the tables', async () => {
    const empty = await createTestDatabase({ template: false });
    try {
      const { code, document } = await bench.check({ DATABASE_URL: empty.url });
      const schema = document.checks.find(({ name }) => name === 'schema');
      expect(schema).toEqual({
        name: 'schema',
        ok: true,
        message: 'no tables yet: run creates them',
        hint: null,
      });
      expect(code).toBe(0);
      expect(await queryOnce(empty.url, `select from pg_namespace where nspname = 'losant_usage'`)).toEqual(
        [],
      );
    } finally {
      await empty.drop();
    }
  });

  it('does not make the folder of an embedded database', async () => {
    const place = createEmbeddedFolder();
    place.remove();
    const { url, folder } = place;
    const { code, document } = await bench.check({ DATABASE_URL: url });
    expect(document.checks[1]?.message).toBe(`${folder} has no embedded database yet: run creates it`);
    expect(code).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });

  it('registers no instance', async () => {
    await bench.check();
    expect(await queryOnce(bench.database.url, 'select from losant_usage.instances')).toEqual([]);
  });
});

describe('the token', () => {
  it('when revoked fails once, with exit code 5 and what to do', async () => {
    await bench.platform.control('tokens/revoke', { token: bench.platform.token });
    const { code, document, stdout, stderr } = await bench.check();
    expect(namesOf(failedOf(document))).toEqual(['instance.get']);
    expect(failedOf(document)[0]).toMatchObject({
      message: expect.stringContaining('HTTP 401') as string,
      hint: expect.stringContaining('create a new instance API token') as string,
    });
    expect(code).toBe(5);
    expect(stdout + stderr).not.toContain(bench.platform.token);
  });

  it('without a scope fails at that endpoint alone, which the hint names', async () => {
    const scopes = ['instance.get', 'instanceOrgs.get', ...ORG].filter(
      (scope) => scope !== 'instanceOrg.notebookMinuteCounts',
    );
    const { code, document } = await bench.check(await withScopes(...scopes));
    expect(namesOf(failedOf(document))).toEqual(['instanceOrg.notebookMinuteCounts']);
    expect(failedOf(document)[0]?.hint).toContain('add instanceOrg.notebookMinuteCounts to it');
    expect(namesOf(document.checks)).toContain('instanceOrg.payloadCounts');
    expect(code).toBe(5);
  });

  it('without a scope exits 5 with --all-orgs too', async () => {
    const { code, document } = await bench.check(
      await withScopes('instance.get', 'instanceOrgs.get', 'instanceOrg.get'),
      '--all-orgs',
    );
    expect(document.checks.at(-1)).toEqual({
      name: 'instanceOrg.payloadCounts',
      ok: false,
      message: '0 of 3 organizations answered',
      hint: 'the lines above say what failed',
    });
    expect(code).toBe(5);
  });

  it('that may not list organizations leaves nothing to ask, unless they are named', async () => {
    const changes = await withScopes('instance.get', ...ORG);
    const without = await bench.check(changes);
    expect(namesOf(failedOf(without.document))).toEqual(['instanceOrgs.get', 'instanceOrg']);
    expect(without.code).toBe(5);

    const orgId = (await bench.platform.orgWith('large')).slice('/orgs/'.length);
    const named = await bench.check({ ...changes, LOSANT_ORG_IDS: orgId });
    expect(namesOf(failedOf(named.document))).toEqual(['instanceOrgs.get']);
    expect(namesOf(named.document.checks)).toContain('instanceOrg.payloadCounts');
    expect(named.code).toBe(5);
  });
});

it('exits 2 for an instance that Losant does not know', async () => {
  const { code, document } = await bench.check({ LOSANT_INSTANCE_ID: '575ec8687ae143cd83dc4a97' });
  expect(namesOf(failedOf(document))).toEqual(['instance.get']);
  expect(failedOf(document)[0]?.hint).toContain('Check LOSANT_INSTANCE_ID');
  expect(code).toBe(2);
});

describe('the database', () => {
  it('that is down exits 1, and Losant is checked all the same', async () => {
    const { code, document } = await bench.check({
      DATABASE_URL: `postgres://me:secret@127.0.0.1:${await closedPort()}/usage`,
    });
    expect(failedOf(document)).toMatchObject([
      { name: 'database', hint: expect.stringContaining('host and port') as string },
    ]);
    expect(namesOf(document.checks)).toContain('instanceOrg.payloadCounts');
    expect(code).toBe(1);
  });

  it('that refuses the password exits 2 and does not show it', async () => {
    const role = `${bench.database.name}_reader`;
    await queryOnce(bench.database.url, `create role ${role} login password 'right-password'`);
    try {
      const { code, document, stdout, stderr } = await bench.check({
        DATABASE_URL: as(role, 'wrong-password'),
      });
      expect(failedOf(document)).toMatchObject([
        { name: 'database', hint: 'check user and password in DATABASE_URL' },
      ]);
      expect(code).toBe(2);
      expect(stdout + stderr).not.toContain('wrong-password');

      const poor = await bench.check({ DATABASE_URL: as(role, 'right-password') });
      expect(namesOf(failedOf(poor.document))).toContain('rights');
      expect(poor.code).toBe(2);
    } finally {
      await queryOnce(bench.database.url, `drop role ${role}`);
    }
  });

  it('that a newer program migrated exits 2', async () => {
    const newer = await createTestDatabase();
    try {
      await queryOnce(
        newer.url,
        `insert into losant_usage.migrations (name, sha256) values ('9999_later', '')`,
      );
      const { code, document } = await bench.check({ DATABASE_URL: newer.url });
      expect(failedOf(document)).toMatchObject([
        { name: 'schema', message: expect.stringContaining('it has 9999_later') as string },
      ]);
      expect(code).toBe(2);
    } finally {
      await newer.drop();
    }
  });
});

it('exits 1 when the clock is more than five minutes from Losant’s', async () => {
  await bench.platform.control('config', { clock: { offsetMs: 360_000 } });
  const { code, document } = await bench.check();
  expect(failedOf(document)).toMatchObject([
    {
      name: 'clock.losant',
      message: expect.stringMatching(/^This host's clock is 3(59|60) s behind/) as string,
    },
  ]);
  expect(code).toBe(1);
});

function as(role: string, password: string): string {
  const url = new URL(bench.database.url);
  url.username = role;
  url.password = password;
  return url.href;
}

/** A port on which nobody listens any more. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
