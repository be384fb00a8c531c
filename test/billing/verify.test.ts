/** Packs in a folder, and `verify`: bytes, signatures, chain and completeness, and all of it against the database. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { checkPacks } from '../../src/billing/check-pack.ts';
import { type Manifest, parseManifest } from '../../src/billing/manifest.ts';
import { writePacks } from '../../src/billing/pack.ts';
import { readPacks } from '../../src/billing/read-packs.ts';
import { matchesRow, readStatements } from '../../src/billing/statements.ts';
import { createTestFolder } from '../support/folders.ts';
import { type Ended, jsonOf, runProgram } from '../support/program.ts';
import { matching } from '../support/texts.ts';
import { INSTANCE, SIGNAL, useBooks } from './books.ts';
import { ADJUSTMENT, Copy, closeMarch, MONTH } from './copies.ts';
import { OVERFLOW, TAMPERINGS } from './tamperings.ts';

const books = useBooks();
const [first, second] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
/** March is unsigned; April was closed with one key and adjusted with another. */
let march: string;
let april: string;

/** Root can read every folder. */
const NOBODY = 65_534;

const pemOf = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }) as string;

beforeAll(async () => {
  march = await closeMarch(books);
  const orgId = await books.addFinalOrg({ from: '2026-04-10', to: '2026-04-12' });
  await books.close('2026-04', { signingKey: first.privateKey });
  await books.restate(orgId, '2026-04-11', { old: { devices_created: 4 }, numbers: { devices_created: 9 } });
  await books.adjust('2026-04', { signingKey: second.privateKey });
  april = (await books.verifyMonth('2026-04')).out;
  await writeFile(join(books.folder, 'first.pub'), pemOf(first.publicKey));
  await writeFile(join(books.folder, 'second.pub'), pemOf(second.publicKey));
});

interface Verified {
  readonly ok: boolean;
  readonly rows: number;
  readonly problems: readonly { readonly file: string; readonly problem: string }[];
  readonly notes: readonly string[];
}

const verifyIn = async (out: string, ...more: readonly string[]): Promise<Ended> =>
  await runProgram(['verify', out, '--json', ...more], {});
const withDatabase = async (out: string): Promise<Ended> =>
  await runProgram(['verify', out, '--json'], { DATABASE_URL: books.url });
const keyOption = (...names: readonly string[]) =>
  names.flatMap((name) => ['--key', join(books.folder, `${name}.pub`)]);

async function expectValid(ending: Promise<Ended>): Promise<Verified> {
  const ended = await ending;
  const verified = jsonOf<Verified>(ended);
  expect([ended.code, verified]).toMatchObject([0, { ok: true, problems: [] }]);
  return verified;
}

async function expectProblem(ending: Promise<Ended>, file: string, problem: RegExp): Promise<void> {
  const ended = await ending;
  expect([ended.code, ended.stderr]).toEqual([3, '']);
  const { problems, ok } = jsonOf<Verified>(ended);
  expect(ok).toBe(false);
  expect(problems).toContainEqual({ file, problem: matching(problem) });
  expect(new Set(problems.map((each) => JSON.stringify(each))).size).toBe(problems.length);
}

describe('packs that nobody changed', () => {
  test('are valid, offline and against the database, with the number of rows that were checked', async () => {
    const { rows, ...offline } = await expectValid(verifyIn(march));
    const notes = ['Not signed: anyone who can write these files could have replaced all of them.'];
    expect(offline.notes).toEqual(notes);
    expect(rows).toBeGreaterThan(50);
    await expectValid(withDatabase(march));
  });

  test('are valid if Losant reported more billable payloads than payloads, which a note mentions', async () => {
    const days = { from: '2026-01-10', to: '2026-01-11' };
    const orgId = await books.addOrg(days);
    const numbers = { payload_billable_count: 13, payload_all_count: 12, payload_all_bytes: 1_200 };
    await books.addCells({ orgId, ...days, stream: 'payload_totals', numbers });
    await books.close('2026-01');
    const { notes } = await expectValid(verifyIn((await books.verifyMonth('2026-01')).out));
    const bothDays = `${orgId} 2026-01-10, ${orgId} 2026-01-11`;
    expect(notes).toContain(`days.csv has more billable payloads than payloads on ${bothDays}`);
  });

  test('are valid if a final number could not be read again', async () => {
    const orgId = await books.addFinalOrg({ from: '2025-12-10', to: '2025-12-10' });
    await books.asProgram(sql`update losant_usage.coverage set reason = 'forbidden', failed_reads = 1
      where org_id = ${orgId}`);
    await books.close('2025-12');
    await expectValid(verifyIn((await books.verifyMonth('2025-12')).out));
  });

  // Guarantee (Billing): A proof pack has the same bytes whenever it is written.
  test('have the same bytes whenever they are written', async () => {
    const { out } = await books.verifyMonth(MONTH);
    for (const name of await readdir(march)) {
      if (name === ADJUSTMENT) continue;
      expect(await readFile(join(out, name))).toEqual(await readFile(join(march, name)));
    }
  });
});

type Change = (copy: Copy) => Promise<unknown>;
type ManifestText = Parameters<Parameters<Copy['editManifest']>[0]>[0];
const edit = (name: string, change: (text: string) => string) => (copy: Copy) => copy.edit(name, change);
const forge = (name: string, change: (text: string) => string) => (copy: Copy) => copy.forge(name, change);
const editManifest = (change: (manifest: ManifestText) => unknown, folder?: string) => (copy: Copy) =>
  copy.editManifest((manifest) => void change(manifest), folder);
const setStatement = (facts: object, folder?: string) =>
  editManifest(({ statement }) => Object.assign(statement, facts), folder);
const closedByCfo = setStatement({ closedBy: 'cfo' });
const EVIL = { name: '../evil.txt', bytes: 0, sha256: '0'.repeat(64) };
const DEEP = '['.repeat(100_000) + ']'.repeat(100_000);
const OF_ADJUSTMENT = `${ADJUSTMENT}/manifest.json`;

const CHANGES: readonly (readonly [file: string, change: Change, problem: RegExp])[] = [
  ['lines.csv', edit('lines.csv', (text) => `${text} `), /was changed: it has \d+ bytes instead of \d+/],
  ['lines.csv', edit('lines.csv', (text) => text.replace('Acme', 'Acne')), /its SHA-256 does not match/],
  ['cells.csv', (copy) => rm(copy.path('cells.csv')), /^is missing$/],
  [OF_ADJUSTMENT, (copy) => rm(copy.path(OF_ADJUSTMENT)), /^is missing$/],
  ['notes.txt', (copy) => writeFile(copy.path('notes.txt'), ''), /^is not listed in the manifest$/],
  ['manifest.json', (copy) => writeFile(copy.path('manifest.json'), '{'), /^is not valid JSON$/],
  ['manifest.json', edit('manifest.json', (text) => text.replace('"rules": {', `$&"a": ${DEEP},`)), /not valid JSON$/],
  ['manifest.json', edit('manifest.json', (text) => `${text}\n`), /^was changed: it is not formatted the way close/],
  ['manifest.json', editManifest(({ files }) => files.push(EVIL)), /^files/],
  ['manifest.json', editManifest(({ files }) => files.pop()), /^files: does not list every file of a pack exactly/],
  ['manifest.json', editManifest((manifest) => (manifest.checks = 99)), /^needs version 99 of pack-checks.sql/],
  ['manifest.json', (copy) => truncate(copy.path('manifest.json'), 3e9), /^is too large \(3000000000 bytes\)$/],
  ['cells.csv', (copy) => truncate(copy.path('cells.csv'), 30e9), /has 30000000000 bytes instead of/],
  ['lines.csv', forge('lines.csv', (text) => `${text}"`), /is not valid CSV|is not a valid line/],
  ['lines.csv', forge('lines.csv', (text) => text.replace('Acme', 'Acme\0')), /is not valid CSV: it has a NUL/],
  [
    'lines.csv',
    forge('lines.csv', (text) => text.replace('Acme', 'Ac""me')),
    /^is not valid CSV: bad quoting in Ac""me$/,
  ],
  [
    'lines.csv',
    forge('lines.csv', (text) => text.replace('Acme', '"Ac"m"e"')),
    /^is not valid CSV: bad quoting in "Ac"m/,
  ],
  [
    'lines.csv',
    forge('lines.csv', (text) => `${text}"${'x\n'.repeat(2 ** 24)}`),
    /^is not valid CSV: a line is too long/,
  ],
  ['days.csv', forge('days.csv', (text) => text.replace(/\r\n$/, ',1\r\n')), /has \d+ fields instead of \d+/],
  // A closing that was replaced after its adjustment was made.
  [OF_ADJUSTMENT, closedByCfo, /^refers to statement 1 with SHA-256 \w+, but manifest.json has \w+$/],
  // An adjustment without its closing.
  [
    OF_ADJUSTMENT,
    async (copy) => {
      for (const name of await readdir(copy.out)) if (name !== ADJUSTMENT) await rm(copy.path(name));
    },
    /^refers to statement 1 of 2026-03, which is missing$/,
  ],
  // A statement twice.
  ['copy/manifest.json', (copy) => cp(march, copy.path('copy'), { recursive: true }), /^has the same number \(1\) as/],
  [OF_ADJUSTMENT, setStatement({ previousSha256: null }, ADJUSTMENT), /^refers to statement 1 with SHA-256 none, but/],
  // A month that was billed twice, with an adjustment called a closing.
  [OF_ADJUSTMENT, setStatement({ kind: 'closing', earlier: [] }, ADJUSTMENT), /^does not refer to manifest.json, an/],
  [OF_ADJUSTMENT, setStatement({ kind: 'closing' }, ADJUSTMENT), /^is a closing, which does not match the earlier/],
  ['manifest.json', setStatement({ kind: 'adjustment' }), /^is an adjustment, which does not match the earlier/],
  [
    OF_ADJUSTMENT,
    async (copy) => {
      await setStatement({ month: '2026-02' })(copy);
      await copy.chain();
    },
    /^refers to manifest.json as a statement of 2026-03, but it is not one$/,
  ],
];

test.for(CHANGES)('a change is a problem of %s: change %#', async ([file, change, problem]) => {
  const copy = await Copy.of(march);
  await change(copy);
  await expectProblem(verifyIn(copy.out), file, problem);
});

test.for(TAMPERINGS)('a tampered pack has a problem in the file that contradicts: tampering %#', async (tampering) => {
  const [change, problem, file = change.file] = tampering;
  const copy = await Copy.of(march, { isChain: file.startsWith(ADJUSTMENT) });
  await change.make(copy);
  const verification = await readPacks(copy.out, []);
  expect(verification.problems).toEqual([]);
  await checkPacks(verification, SIGNAL);
  const expected = { file, problem: matching(problem) };
  expect(verification.problems).toContainEqual(expected);
});

test('a pack whose checks fail has a problem', async () => {
  const copy = await Copy.of(march);
  await OVERFLOW.make(copy);
  await expectProblem(verifyIn(copy.out), 'lines.csv', /^could not run the checks: integer overflow$/);
});

describe('files of a pack', () => {
  test.for(['manifest.json', 'cells.csv'])('%s is not read if it is a pipe, a link or a device', async (name) => {
    const copy = await Copy.of(march);
    const path = copy.path(name);
    for (const make of [
      () => Promise.resolve(execFileSync('mkfifo', [path])),
      () => symlink('/dev/zero', path),
      () => symlink(path, path),
      () => symlink(join(march, name), path),
    ]) {
      await rm(path);
      await make();
      await expectProblem(verifyIn(copy.out), name, /^is not a regular file$/);
    }
  });

  test('a new pack has the newest checks, which src/billing/pack.ts names', async () => {
    const manifest = parseManifest(await readFile(join(march, 'manifest.json'), 'utf8')) as Manifest;
    expect(manifest.checks).toBe(readdirSync('pack-checks').length);
  });

  test('checks that differ from the release are not used, and a note says so', async () => {
    const copy = await Copy.of(march);
    await copy.forge('pack-checks.sql', () => `select 'checked 1 rows of 1 files';\n`);
    const { notes, rows } = await expectValid(verifyIn(copy.out));
    expect(notes).toContain('pack-checks.sql differs from the released version, which was used instead.');
    expect(rows).toBeGreaterThan(50);
  });

  test('a folder that a killed process has left unfinished is not checked, and a note says so', async () => {
    const archive = await mkdtemp(join(books.folder, 'archive-'));
    for (const name of ['march', 'march.unfinished-1']) await cp(march, join(archive, name), { recursive: true });
    const { notes } = await expectValid(verifyIn(archive));
    const note = 'Not checked, because it is not finished: march.unfinished-1. Delete it if nothing is writing it.';
    expect(notes).toContain(note);
  });

  test('a folder below it that this user cannot read is named', async () => {
    const folder = createTestFolder();
    await mkdir(join(folder, 'private'), { mode: 0 });
    await chmod(folder, 0o755);
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(NOBODY);
    const { code, stderr } = await verifyIn(folder).finally(() => isRoot && process.seteuid?.(0));
    await chmod(join(folder, 'private'), 0o700);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`${folder}/private is not a readable folder (EACCES)`)]);
  });

  test('a path that is not a folder, or has no pack, is a usage error', async () => {
    const empty = await mkdtemp(join(books.folder, 'empty-'));
    for (const dir of [join(books.folder, 'none'), empty, join(march, 'lines.csv'), '']) {
      expect((await verifyIn(dir)).code).toBe(2);
    }
  });
});

describe('the chain', () => {
  test('without its beginning is valid, with a note', async () => {
    const { notes } = await expectValid(verifyIn(april, ...keyOption('first', 'second')));
    const begins =
      /^Statement 2 of instance \w+ is not in this folder, so the chain before number 3 was not checked\.$/;
    expect(notes).toEqual([expect.stringMatching(begins)]);
  });

  test('of an archive without a later adjustment is valid, and the database has a note about it', async () => {
    const copy = await Copy.of(march);
    await rm(copy.path(ADJUSTMENT), { recursive: true });
    await expectValid(verifyIn(copy.out));
    const { notes } = await expectValid(withDatabase(copy.out));
    const missing =
      /^The database also has the adjustment of 2026-03, number 2, created .*; it is not in this folder\.$/;
    expect(notes).toContainEqual(expect.stringMatching(missing));
  });
});

describe('signatures', () => {
  test('are made with the key of STATEMENT_KEY_FILE', async () => {
    await books.addFinalOrg({ from: '2026-05-10', to: '2026-05-11' });
    const [STATEMENT_KEY_FILE, out] = [join(books.folder, 'first.pem'), join(books.folder, 'may')];
    await writeFile(STATEMENT_KEY_FILE, first.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const settings = { DATABASE_URL: books.url, STATEMENT_KEY_FILE };
    const { code, stdout } = await runProgram(['close', '--month', '2026-05'], settings);
    expect([code, stdout]).toEqual([0, expect.not.stringContaining('not signed')]);
    expect(await runProgram(['statement', '--month', '2026-05', '--out', out], settings)).toMatchObject({ code: 0 });
    const { notes } = await expectValid(verifyIn(out, ...keyOption('first')));
    expect(notes.join()).not.toMatch(/sign/i);
  });

  test('by two keys are valid in one call, and signatures that were not checked have notes', async () => {
    await expectValid(verifyIn(april, ...keyOption('first', 'second')));
    const { notes } = await expectValid(verifyIn(april));
    const unchecked = /^Signed with key [0-9a-f]{64}; the signature was not checked \(give --key FILE\)\.$/;
    expect(notes.filter((note) => unchecked.test(note))).toHaveLength(2);
  });

  test('that some packs lack have a note that names these', async () => {
    const both = await mkdtemp(join(books.folder, 'both-'));
    await cp(march, join(both, 'march'), { recursive: true });
    await cp(april, join(both, 'april'), { recursive: true });
    const { notes } = await expectValid(verifyIn(both));
    const names = `march/manifest.json, march/${ADJUSTMENT}/manifest.json`;
    expect(notes).toContain(`Not signed (${names}): anyone who can write these files could have replaced all of them.`);
  });

  const SIGNED = 'manifest.json.sig';
  const OTHER_KEY = /^was signed with key \w+, but the given key is \w+$/;
  test.for<readonly [what: string, keys: readonly string[], change: Change | null, file: string, problem: RegExp]>([
    ['by another key', ['first'], null, `${ADJUSTMENT}/${SIGNED}`, OTHER_KEY],
    ['missing', ['first', 'second'], (copy) => rm(copy.path(SIGNED)), SIGNED, /^is missing$/],
    ['too long', [], (copy) => writeFile(copy.path(SIGNED), 'x'.repeat(65)), SIGNED, /^is too large \(65 bytes\)$/],
    ['of another manifest', ['first', 'second'], closedByCfo, SIGNED, /^does not match the manifest/],
  ])('are a problem if they are %s', async ([, keys, change, file, problem]) => {
    const copy = await Copy.of(april);
    await change?.(copy);
    await expectProblem(verifyIn(copy.out, ...keyOption(...keys)), file, problem);
  });

  test('are required of every pack when a key is given', async () => {
    const verified = verifyIn(march, ...keyOption('first'));
    await expectProblem(verified, 'manifest.json', /^is not signed, but --key was given$/);
  });

  const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 });
  test.for([
    ['a file without a key', 'x', 'contains no unencrypted PEM key'],
    ['an RSA key', pemOf(RSA.publicKey), 'contains a key of type rsa, not Ed25519'],
  ] as const)('cannot be checked with %s', async ([name, pem, problem]) => {
    const path = join(books.folder, `${name}.pub`);
    await writeFile(path, pem);
    const ended = await runProgram(['verify', april, '--key', path], {});
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining(problem)]);
  });
});

test('the error of a private key in place of its file does not show it', async () => {
  const pem = first.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  for (const STATEMENT_KEY_FILE of [pem, pem.replaceAll(/-.*-|\n/g, '')]) {
    const settings = { DATABASE_URL: books.url, STATEMENT_KEY_FILE };
    const { code, stderr } = await runProgram(['close', '--month', MONTH, '--adjust'], settings);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^losant-usage: cannot read STATEMENT_KEY_FILE \(E\w+\)\n/m);
  }
});

describe('against the database', () => {
  test('a pack without contradictions that differs is a problem', async () => {
    const copy = await Copy.of(march);
    await copy.forgeRows('waivers.csv', (rows) =>
      rows.map((row) => (row['kind'] === 'person' ? { ...row, reason: 'forged' } : row)),
    );
    await expectValid(verifyIn(copy.out));
    const differs = /^differs from the copy in the database$/;
    await expectProblem(withDatabase(copy.out), 'waivers.csv', differs);
  });

  test('a pack of another installation is unknown', async () => {
    const copy = await Copy.of(march);
    const id = '00000000-0000-4000-8000-000000000000';
    await setStatement({ id })(copy);
    await copy.chain();
    const unknown = /^the database has no statement 00000000/;
    await expectProblem(withDatabase(copy.out), 'manifest.json', unknown);
    // The database may have lost the statement in a restore.
    const { stdout } = await runProgram(['verify', copy.out], { DATABASE_URL: books.url });
    expect(stdout).toMatch(/\nKeep the pack [^\n]+\n$/);
  });

  test('a line that was changed in the database is a problem', async () => {
    const isGamma = `org_name = 'Gamma' and metric = 'devices_total'`;
    await books.force(`update losant_usage.statement_lines set plan_id = 'gold' where ${isGamma}`);
    await expectProblem(withDatabase(march), 'lines.csv', /^does not match the statement's rows in the database$/);
    await books.force('update losant_usage.statement_lines set plan_id = null');
  });

  test('another value of the statement in the database is a problem', async () => {
    const manifest = parseManifest(await readFile(join(march, 'manifest.json'), 'utf8')) as Manifest;
    const { id } = manifest.statement;
    const setMarch = (column: string, value: string) =>
      books.force(`update losant_usage.statements set ${column} = ${value} where statement_id = '${id}'`);
    for (const [column, value] of [
      ['closed_by', `'cfo'`],
      ['closed_at', `closed_at - interval '1 day'`],
      ['reason', `'agreed with nobody'`],
      ['orgs', 'orgs + 1'],
      ['rules', `rules || '{"finalAfterHours": 1}'`],
      ['reconciliation', `'[]'`],
    ] as const) {
      const [original] = await books.list(sql`select quote_nullable(${sql.ref(column)}::text)
        from losant_usage.statements where statement_id = ${id}`);
      await setMarch(column, value);
      expect([column, await matchesRow(books.closer.db, manifest.statement)]).toEqual([column, false]);
      if (column === 'orgs')
        await expectProblem(withDatabase(march), 'manifest.json', /^does not match the statement's row/);
      await setMarch(column, original ?? '');
    }
    await expectValid(withDatabase(march));
  });
});

describe('writing packs', () => {
  const write = async (out: string, signal = SIGNAL) => {
    const statements = await readStatements(books.closer.db, { month: MONTH, instanceIds: [INSTANCE] });
    await writePacks(books.closer, statements, { out, signal });
  };

  test('removes its own files and never the user’s', async () => {
    const out = await mkdtemp(join(books.folder, 'taken-'));
    await writeFile(join(out, 'mine'), '');
    await expect(write(out)).rejects.toThrow('the folder is not empty');
    const aborted = AbortSignal.abort(new Error('interrupted'));
    const target = join(books.folder, 'torn');
    await mkdir(`${target}.partial-1`);
    await expect(write(target, aborted)).rejects.toThrow('interrupted');
    const torn = (await readdir(books.folder)).filter((name) => name.startsWith('torn'));
    expect(torn).toEqual(['torn.partial-1']);
  });

  test('writes only files of a pack, whatever the database has', async () => {
    await books.force(`alter table losant_usage.statement_files drop constraint statement_files_name_check;
       insert into losant_usage.statement_files
         select statement_id, '../../evil.txt', 0, '' from losant_usage.statements where kind = 'closing'`);
    await write(join(books.folder, 'evil'));
    expect((await readdir(books.folder, { recursive: true })).filter((name) => name.includes('evil.txt'))).toEqual([]);
  });
});
