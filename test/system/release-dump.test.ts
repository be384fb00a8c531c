/**
 * The dump with which a release is tested after it: every later version must migrate it. `npm run release:dump` stores
 * it with the checksums of what is released; without it, this only shows that a dump can be made.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checksum, RELEASES, releasedFiles } from '../database/releases.ts';
import { usePlatform } from '../simulator/platform.ts';
import { asProgram } from '../support/by-hand.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { DebianPostgres, documentedOptions, tool } from '../support/debian-postgres.ts';
import { runProgram, VERSION } from '../support/program.ts';
import { settingsOf } from '../worker/process.ts';

const { RELEASE_DUMP } = process.env;
/** A month that has ended, and that is final. */
const MONTH = daysAgo(35).slice(0, 7);
const MAX_BYTES = 300_000;

const platform = usePlatform({ orgs: 3, now: Date.now, hostile: false });
let server: DebianPostgres;
beforeAll(async () => {
  server = await DebianPostgres.start();
});
afterAll(() => server.stop());

async function runAs(role: string, ...args: readonly string[]): Promise<void> {
  const settings = settingsOf(platform, { url: server.urlOf(`losant_usage_${role}`) });
  expect(await runProgram(args, settings)).toMatchObject({ code: 0 });
}

/** Has a closed month with an adjustment, an organization's stream with two spans, and a waiver. */
async function fillDatabase(): Promise<void> {
  await runAs('migrator', 'migrate');
  await runAs('writer', 'run');
  // A day without payloads has no sources, which the zero of its totals confirms; otherwise a run an hour later does.
  await runAs('writer', 'backfill', '--from', `${MONTH}-01`, '--stream', 'payload_totals');
  await runAs('writer', 'backfill', '--from', `${MONTH}-01`);
  const writerUrl = server.urlOf('losant_usage_writer');
  const [org] = await queryOnce(writerUrl, 'select min(org_id) as id from losant_usage.organizations');
  const [orgId, from, to] = [String(org?.['id']), daysAgo(125), daysAgo(120)];
  // Nobody can wait until a span that ended is older than the horizon.
  const track = `('${orgId}', 'device_counts', '${from}', '${from}', '${to}')`;
  await queryOnce(
    writerUrl,
    asProgram(`insert into losant_usage.tracks (org_id, stream, first_day, next_day, last_day) values ${track}`),
  );
  await runAs('writer', 'run');
  const waived = ['--org', orgId, '--stream', 'device_counts', '--day', to, '--reason', 'the customer agreed'];
  await runAs('writer', 'waive', ...waived);
  await runAs('closer', 'close', '--month', MONTH);
  const day = `${MONTH}-15`;
  await platform.control('restate', { orgId, day });
  await runAs('writer', 'backfill', '--from', day, '--to', day, '--force');
  await runAs('closer', 'close', '--month', MONTH, '--adjust');
}

test('a dump of this version is small SQL with an adjusted month, two spans of a stream and a waiver', async () => {
  await fillDatabase();
  const file = join(server.folder, 'release.sql');
  const options = documentedOptions('pg_dump').filter((option) => !option.startsWith('--format'));
  const more = ['--inserts', '--clean', '--if-exists', `--file=${file}`];
  tool('pg_dump', ...options, ...more, server.urlOf('losant_usage_migrator'));
  // Later pg_dumps begin and end with a command of psql.
  const dump = readFileSync(file, 'utf8').replaceAll(/^\\.*\n/gm, '');
  expect(dump.match(/^INSERT INTO losant_usage\.statements /gm)).toHaveLength(2);
  expect(dump.match(/^INSERT INTO losant_usage\.waivers /gm)).toHaveLength(1);
  expect(dump.match(/^INSERT INTO losant_usage\.tracks /gm)).toHaveLength(13);
  expect(dump).not.toMatch(/^(\\|COPY )/m);
  const compressed = gzipSync(dump, { level: 9 });
  expect(compressed.length).toBeLessThan(MAX_BYTES);
  expect(gunzipSync(compressed).toString()).toBe(dump);
  if (RELEASE_DUMP !== undefined) saveRelease(compressed);
});

/** Throws if this version is released already. */
function saveRelease(compressed: Buffer): void {
  expect(execFileSync('pg_dump', ['--version'], { encoding: 'utf8' })).toMatch(/ 15\./);
  const tag = `v${VERSION}`;
  if (execFileSync('git', ['tag', '--list', tag], { encoding: 'utf8' }) !== '') {
    throw new Error(`${tag} is released: its dump and checksums stay. Raise the version in package.json.`);
  }
  mkdirSync(RELEASES, { recursive: true });
  writeFileSync(join(RELEASES, `${VERSION}.sql.gz`), compressed);
  const lines = releasedFiles().map((path) => `${checksum(path)}  ${path}\n`);
  writeFileSync(join(RELEASES, `${VERSION}.sha256`), lines.join(''));
}
