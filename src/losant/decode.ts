import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';

/** What `accept-encoding` says, as Node's fetch says it: without TLS nobody compresses with brotli. */
export function acceptedEncodings(protocol: string): string {
  return protocol === 'https:' ? 'br, gzip, deflate' : 'gzip, deflate';
}

export interface Decoded {
  readonly bytes: Buffer;
  /** False: the body goes on, and only its beginning is here. */
  readonly isWhole: boolean;
}

/** Up to this size a body is decoded at once: a few microseconds, where a thread costs some fifty. */
const AT_ONCE_BYTES = 64 * 1024;

/** Most codings in a row; nobody sends more than one. */
const CODINGS_MAX = 5;

interface Coding {
  readonly sync: (body: Buffer, options: zlib.ZlibOptions) => Buffer;
  readonly async: (body: Buffer, options: zlib.ZlibOptions) => Promise<Buffer>;
  readonly stream: () => NodeJS.ReadWriteStream;
}

const GZIP: Coding = {
  sync: zlib.gunzipSync,
  async: promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip),
  stream: zlib.createGunzip,
};
const DEFLATE: Coding = {
  sync: zlib.inflateSync,
  async: promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.inflate),
  stream: zlib.createInflate,
};
const RAW_DEFLATE: Coding = {
  sync: zlib.inflateRawSync,
  async: promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.inflateRaw),
  stream: zlib.createInflateRaw,
};
const BROTLI: Coding = {
  sync: zlib.brotliDecompressSync,
  async: promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress),
  stream: zlib.createBrotliDecompress,
};

/**
 * The body without its `content-encoding`; as it is if that is not known. Of a
 * body larger than `maxBytes` its beginning. Throws zlib's error for one that is
 * cut or damaged.
 */
export async function decodeBody(body: Buffer, encoding: string, maxBytes: number): Promise<Decoded> {
  const names = encoding.toLowerCase().split(',', CODINGS_MAX + 1);
  let decoded: Decoded = { bytes: body, isWhole: true };
  if (names.length > CODINGS_MAX) return decoded;
  for (const name of names.reverse()) {
    const coding = codingOf(name.trim(), decoded.bytes);
    if (coding === null || !decoded.isWhole) return decoded;
    decoded = await decode(decoded.bytes, coding, maxBytes);
  }
  return decoded;
}

function codingOf(name: string, body: Buffer): Coding | null {
  if (name === 'gzip' || name === 'x-gzip') return GZIP;
  if (name === 'br') return BROTLI;
  // With a header, as the standard says, or without, as some servers send it.
  if (name === 'deflate') return ((body[0] ?? 0) & 0x0f) === 0x08 ? DEFLATE : RAW_DEFLATE;
  return null;
}

async function decode(body: Buffer, coding: Coding, maxBytes: number): Promise<Decoded> {
  const options = { maxOutputLength: maxBytes };
  try {
    const isSmall = body.length <= AT_ONCE_BYTES;
    const bytes = isSmall ? coding.sync(body, options) : await coding.async(body, options);
    return { bytes, isWhole: true };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') throw error;
    return { bytes: await decodeBeginning(body, coding), isWhole: false };
  }
}

/** The first piece that the decoder gives: enough to see what it was. */
async function decodeBeginning(body: Buffer, coding: Coding): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of Readable.from([body]).pipe(coding.stream())) {
    pieces.push(piece as Buffer);
    size += (piece as Buffer).length;
    if (size >= AT_ONCE_BYTES) break;
  }
  return Buffer.concat(pieces);
}
