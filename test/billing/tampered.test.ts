/** Proof packs that somebody changed, with the sums written anew where that helps them: each is told its place. */
import { generateKeyPairSync } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { waiveCells } from '../../src/ledger/waive.ts';
import { answer, closed, FINAL, values } from '../database/answers.ts';
import { addTracking } from '../database/ledger.ts';
import { type Ended, jsonOf, runProgram } from '../support/program.ts';
import { devices } from '../views/loads.ts';
import { useBooks } from './books.ts';
import { ADJUSTMENT, Copy, org } from './copies.ts';
import { TAMPERED_FILES } from './tampered-files.ts';
import { TAMPERED_NUMBERS } from './tampered-numbers.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const PUBLIC_PEM = publicKey.export({ type: 'spki', format: 'pem' }) as string;

const books = useBooks();
/** The closing of March, and its adjustment below it; the same signed; and those of April, which follow. */
let march: string;
let signed: string;

async function closeTwice(month: string, key: typeof privateKey | null): Promise<string> {
  const day = (number: number) => `${month}-${number}`;
  const range = { from: day(10), to: day(12) };
  const [acme, beta, gamma] = [
    await books.orgOf(range),
    await books.orgOf(range, { without: [day(11)] }),
    await books.orgOf(range, { without: [day(12)] }),
  ];
  Object.assign(org, { acme, beta, gamma });
  await addTracking(books.ledger.db, acme, {
    streams: ['payload_sources'],
    days: `{[${day(10)},${day(12)}]}`,
  });
  const count = (date: string, sentAt: string, ...each: readonly (readonly [string, number])[]) =>
    answer(values(...each.map(([source, number]) => ({ key: ['timer', source], values: [number] }))), {
      ...{ orgId: acme, day: date, stream: 'payload_sources', age: FINAL, sentAtMs: Date.parse(sentAt) },
    });
  const [noon, one] = ['2026-11-22T12:00:00Z', '2026-11-22T13:00:00Z'];
  await books.ledger.load([
    count(day(10), noon, ['a', 5], ['b', 6]),
    count(day(11), noon, ['a', 7]),
    count(day(12), noon, ['b', 8]),
    answer(closed, { orgId: beta, day: day(11), age: FINAL }),
  ]);
  await books.ledger.load([{ ...devices(acme, day(11), 6, 1, 17), sentAtMs: Date.parse(one) }]);
  const accepted = { orgId: beta, stream: 'device_counts', range: { from: day(11), to: day(11) } };
  await waiveCells(books.ledger.db, { ...accepted, reason: 'agreed', asZero: false });
  expect((await books.closeMonth(month, { reason: 'Gamma is late', signingKey: key })).kind).toBe('closed');
  await books.ledger.load([devices(gamma, day(12), 4, 1, 17), count(day(12), one, ['b', 9])]);
  expect((await books.closeMonth(month, { isAdjustment: true, signingKey: key })).kind).toBe('closed');
  const { out, problems } = await books.verifyMonth(month);
  expect(problems).toEqual([]);
  return out;
}

beforeAll(async () => {
  signed = await closeTwice('2026-02', privateKey);
  march = await closeTwice('2026-03', null);
});

const verifyIn = async (out: string, ...more: readonly string[]): Promise<Ended> =>
  await runProgram(['verify', out, '--json', ...more], {});

interface Verified {
  readonly ok: boolean;
  readonly problems: readonly { readonly file: string; readonly problem: string }[];
  readonly notes: readonly string[];
}

describe('a pack that was tampered with', () => {
  test.for([...TAMPERED_FILES, ...TAMPERED_NUMBERS])(
    'is told its place: %s',
    async ([, change, file, problem]) => {
      const copy = await Copy.of(march);
      await change(copy);
      const ended = await verifyIn(copy.out);
      expect([ended.code, ended.stderr]).toEqual([3, '']);
      const { problems } = jsonOf<Verified>(ended);
      expect(problems).toContainEqual({ file, problem: expect.stringMatching(problem) as string });
    },
  );

  test('in a way that agrees with itself does not agree with the database', async () => {
    const copy = await Copy.of(march);
    await copy.editManifest(({ statement }) => {
      statement['closedBy'] = 'cfo';
    });
    await copy.chain();
    expect(jsonOf<Verified>(await verifyIn(copy.out)).problems).toEqual([]);
    const ended = await runProgram(['verify', copy.out, '--json'], { DATABASE_URL: books.ledger.url });
    expect(ended.code).toBe(3);
    expect(jsonOf<Verified>(ended).problems.map(({ file }) => file)).toEqual([
      'manifest.json',
      'adjustment-1/manifest.json',
      'adjustment-1/manifest.json',
    ]);
  });

  test('by leaving out its newest statement does not agree with the database', async () => {
    const copy = await Copy.of(march);
    await rm(copy.path(ADJUSTMENT), { recursive: true });
    expect(jsonOf<Verified>(await verifyIn(copy.out)).problems).toEqual([]);
    const ended = await runProgram(['verify', copy.out, '--json'], { DATABASE_URL: books.ledger.url });
    expect([ended.code, jsonOf<Verified>(ended).problems]).toEqual([
      3,
      [
        {
          file: 'manifest.json',
          problem: expect.stringMatching(
            /^the adjustment of 2026-03 with the number 4 is missing; the database has it, closed /,
          ) as string,
        },
      ],
    ]);
  });
});

describe('a signature', () => {
  const keyFile = async (name: string, pem: string): Promise<string> => {
    const path = join(books.folder, name);
    await writeFile(path, pem);
    return path;
  };

  test('fits its key, and is said not to be checked without one', async () => {
    const withKey = await verifyIn(signed, '--key', await keyFile('right.pub', PUBLIC_PEM));
    expect([withKey.code, jsonOf<Verified>(withKey)]).toEqual([
      0,
      expect.objectContaining({ ok: true, notes: [] }),
    ]);
    const without = jsonOf<Verified>(await verifyIn(signed));
    expect([without.ok, without.notes]).toEqual([
      true,
      [expect.stringMatching(/^Signed with the key [0-9a-f]{64}, which was not checked: give --key FILE\.$/)],
    ]);
  });

  test('of another key, of another manifest, and one that is missing are told their place', async () => {
    const right = await keyFile('right.pub', PUBLIC_PEM);
    const other = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }) as string;
    const wrong = await verifyIn(signed, '--key', await keyFile('wrong.pub', other));
    expect([wrong.code, jsonOf<Verified>(wrong).problems[0]]).toEqual([
      3,
      {
        file: 'manifest.json.sig',
        problem: expect.stringMatching(/^is of the key \w+, the one given is \w+$/) as string,
      },
    ]);
    const unsigned = await verifyIn(march, '--key', right);
    expect(jsonOf<Verified>(unsigned).problems[0]).toEqual({
      file: 'manifest.json',
      problem: 'is not signed, and --key was given',
    });
    const copy = await Copy.of(signed);
    await copy.editManifest(({ statement }) => {
      statement['closedBy'] = 'cfo';
    });
    await rm(copy.path(ADJUSTMENT, 'manifest.json.sig'));
    expect(jsonOf<Verified>(await verifyIn(copy.out, '--key', right)).problems).toEqual(
      expect.arrayContaining([
        { file: 'manifest.json.sig', problem: 'does not fit the manifest: one of the two was changed' },
        {
          file: 'adjustment-1/manifest.json.sig',
          problem: 'is missing, and the manifest says that it is signed',
        },
      ]),
    );
  });

  test('a chain that begins in the middle is said', async () => {
    expect(jsonOf<Verified>(await verifyIn(march)).notes).toEqual([
      'Not signed: whoever can write the files can write all of them anew.',
      expect.stringMatching(
        /^Statements 1 to 2 of instance \w+ are not here: the chain before number 3 was not checked\.$/,
      ),
    ]);
  });

  test.each([
    ['no key', 'x', 'has no key in PEM that is not encrypted'],
    [
      'a key of RSA',
      generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({
        type: 'spki',
        format: 'pem',
      }) as string,
      'has a key of type rsa, not Ed25519',
    ],
  ])('is not checked with a file that has %s', async (name, pem, problem) => {
    const ended = await runProgram(['verify', signed, '--key', await keyFile(`${name}.pub`, pem)], {});
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining(problem)]);
  });
});
