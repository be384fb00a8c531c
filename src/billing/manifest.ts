/** The manifest of a proof pack, and the keys that sign it. */
import { createPrivateKey, createPublicKey, hash, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { codeOf, SettingsError } from '../errors.ts';
import { parseMonth } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';

/** The file that lists every other file of a proof pack with its hash. */
export const MANIFEST_NAME = 'manifest.json';

/** The Ed25519 signature of the manifest's bytes, 64 bytes; only in a signed pack. */
export const SIGNATURE_NAME = 'manifest.json.sig';

/** The checks of the release that created the pack. */
export const CHECKS_NAME = 'pack-checks.sql';

/** The files with rows, in the order in which they are created. */
export const CSV_NAMES = [
  'totals.csv',
  'lines.csv',
  'sources.csv',
  'days.csv',
  'cells.csv',
  'revisions.csv',
  'waivers.csv',
  'blockers.csv',
] as const;
export type CsvName = (typeof CSV_NAMES)[number];

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const instanceId = z.string().refine(isLosantId);
const count = z.int().min(0);
const number = z.int().min(1);

const statementSchema = z.strictObject({
  id: z.uuid(),
  instanceId,
  month: z.string().refine((text) => parseMonth(text) !== null),
  /** Sequence number among all statements of the instance, from 1. */
  number,
  kind: z.enum(['closing', 'adjustment']),
  reason: z.string().nullable(),
  /** Organizations with a line. */
  orgs: number,
  /** UTC, in microseconds. */
  closedAt: z.string(),
  closedBy: z.string(),
  /** The policy in force, with `controlTotals`. */
  rules: z.record(z.string(), z.unknown()),
  /** The reconciliation of the month: days by metric, comparison and outcome. */
  reconciliation: z.array(
    z.strictObject({
      stream: z.string(),
      compared_with: z.string(),
      outcome: z.string(),
      reason: z.string().nullable(),
      days: count,
    }),
  ),
  /** The SHA-256 of the manifest of the instance's previous statement; null for the first. */
  previousSha256: sha256.nullable(),
  /** The earlier statements of the month. */
  earlier: z.array(z.strictObject({ instanceId, number, sha256 })),
});

/** A statement as it is in its manifest; the database computes it. */
export type StatementDocument = z.infer<typeof statementSchema>;

/** The SHA-256 of the manifest itself is in `statements.manifest_sha256`. */
export const manifestSchema = z.strictObject({
  format: z.literal(2),
  /** The version of `pack-checks.sql`. */
  checks: number,
  statement: statementSchema,
  /** The SHA-256 of the public key (SPKI, DER); null if the pack is not signed. */
  signedBy: sha256.nullable(),
  files: z
    .array(z.strictObject({ name: z.enum([...CSV_NAMES, CHECKS_NAME]), bytes: count, sha256 }))
    .length(CSV_NAMES.length + 1, 'does not list every file of a pack exactly once')
    .refine((files) => new Set(files.map(({ name }) => name)).size === files.length, 'lists a file twice'),
});

export type Manifest = z.infer<typeof manifestSchema>;

export function renderManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** Parses a manifest. Returns the problem as a string if it is not valid. */
export function parseManifest(text: string): Manifest | string {
  try {
    const { success, data, error } = manifestSchema.safeParse(JSON.parse(text));
    if (!success) {
      const [issue] = error.issues;
      return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is invalid'}`;
    }
    return text === renderManifest(data) ? data : 'was changed: it is not formatted the way close writes it';
  } catch {
    // It is no JSON, or nested too deep to be rendered.
    return 'is not valid JSON';
  }
}

export function hashOf(content: string | Uint8Array): string {
  return hash('sha256', content);
}

/** Returns the SHA-256 of a public key, or of that of a private key, in hex. */
export function fingerprintOf(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return hashOf(publicKey.export({ type: 'spki', format: 'der' }));
}

const KEYS = {
  private: {
    parse: createPrivateKey,
    option: 'STATEMENT_KEY_FILE',
    hint: 'create one with: openssl genpkey -algorithm ed25519 -out FILE',
  },
  public: {
    parse: createPublicKey,
    option: '--key',
    hint: 'derive one from the private key with: openssl pkey -pubout -in PRIVATE -out FILE',
  },
};

/** Reads a PEM file. Throws SettingsError if it has no Ed25519 key. */
export async function readKey(path: string, kind: keyof typeof KEYS): Promise<KeyObject> {
  const { parse, option, hint } = KEYS[kind];
  // By mistake the private key itself, which does not begin like a path.
  const label = kind === 'public' || isAbsolute(path) ? `${option} ${path}` : option;
  const pem = await readFile(path).catch((error: unknown) => {
    const problem = `cannot read ${label} (${codeOf(error) ?? 'unknown error'})`;
    throw new SettingsError(problem, { hint: 'give a file that this user can read' });
  });
  let problem = 'contains no unencrypted PEM key';
  try {
    const key = parse(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
    problem = `contains a key of type ${key.asymmetricKeyType}, not Ed25519`;
  } catch {
    // The cause is dropped because it may quote the key.
  }
  throw new SettingsError(`${label} ${problem}`, { hint });
}
