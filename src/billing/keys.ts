/** The Ed25519 keys with which manifests are signed and checked, as PEM files. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { SettingsError } from '../errors.ts';
import { codeOf } from '../files/whole-file.ts';

/** `readSigningKey` reads the private key of STATEMENT_KEY_FILE. Throws SettingsError if the file has none. */
export async function readSigningKey(path: string): Promise<KeyObject> {
  return await readKey(path, createPrivateKey, {
    what: `STATEMENT_KEY_FILE ${path}`,
    hint: 'make one with: openssl genpkey -algorithm ed25519 -out FILE',
  });
}

/** `readPublicKey` reads a public key, also out of a private one. Throws SettingsError if the file has none. */
export async function readPublicKey(path: string): Promise<KeyObject> {
  return await readKey(path, createPublicKey, {
    what: `--key ${path}`,
    hint: 'make one from the private key with: openssl pkey -pubout -in PRIVATE -out FILE',
  });
}

async function readKey(
  path: string,
  parse: (pem: Buffer) => KeyObject,
  { what, hint }: { readonly what: string; readonly hint: string },
): Promise<KeyObject> {
  let pem: Buffer;
  try {
    pem = await readFile(path);
  } catch (error) {
    const problem = `${what} cannot be read (${codeOf(error) ?? 'unknown'})`;
    throw new SettingsError(problem, { hint: 'name a file that this user may read', cause: error });
  }
  const key = tryParse(pem, parse);
  if (key?.asymmetricKeyType === 'ed25519') return key;
  const problem =
    key === null
      ? 'has no key in PEM that is not encrypted'
      : `has a key of type ${key.asymmetricKeyType}, not Ed25519`;
  throw new SettingsError(`${what} ${problem}`, { hint });
}

/** The error of the parser is not kept: it may quote the file. */
function tryParse(pem: Buffer, parse: (pem: Buffer) => KeyObject): KeyObject | null {
  try {
    return parse(pem);
  } catch {
    return null;
  }
}
