import { parseJson } from '../usage/body.ts';
import { badBody, type Failure, lateResponse, lostConnection } from './failure.ts';

/**
 * A year of all counters has less than 1 MiB, as has a page of organizations. Parsed, a body takes up to 40 times its
 * size, and several at once must not exhaust the memory of the image.
 */
const MAX_BODY_BYTES = 4 * 1024 * 1024;

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

interface BodyLimits {
  /** What remains of the time of the attempt. */
  readonly leftMs: number;
  /** The time of the whole attempt, for the message. */
  readonly timeoutMs: number;
  readonly token: string;
}

/** Reads and parses the body of a response with status 200. A body that is slow, cut, huge or not JSON is a failure. */
export async function readJson(
  response: Response,
  { leftMs, timeoutMs, token }: BodyLimits,
): Promise<Failure | { readonly body: unknown; readonly text: string }> {
  const content = await readBytes(response, leftMs).catch(lostConnection);
  if (content === null) return lateResponse(timeoutMs);
  if ('kind' in content) return content;
  if (content.length > MAX_BODY_BYTES) {
    const failure = badBody(`the body is larger than ${MAX_BODY_BYTES} bytes`, content.toString('utf8'));
    return { ...failure, isFinal: true };
  }
  try {
    const text = strictUtf8.decode(content);
    const body = parseJson(text);
    // Bodies may be quarantined for people to read, so one that repeats the request's headers is rejected.
    if (!text.includes(token)) return { body, text };
    return badBody('the body contains the token, as if a proxy had echoed the request', text);
  } catch {
    const type = response.headers.get('content-type') ?? 'unknown';
    return badBody(`the body is not JSON (content type ${type})`, content.toString('utf8'));
  }
}

/** Returns the decompressed body, or more than {@link MAX_BODY_BYTES} of it; null if it takes longer than `leftMs`. */
async function readBytes({ body }: Response, leftMs: number): Promise<Buffer | null> {
  if (body === null) return Buffer.alloc(0);
  const reader = body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  // Cancelling ends the read. It resolves only once ky has cancelled its copy of the body, too.
  const cancel = () => void reader.cancel().catch(() => undefined);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    cancel();
  }, leftMs);
  const chunks: Uint8Array[] = [];
  try {
    for (let size = 0; size <= MAX_BODY_BYTES; ) {
      const { value: chunk } = await reader.read();
      if (isLate) return null;
      if (chunk === undefined) break;
      chunks.push(chunk);
      size += chunk.length;
    }
    return Buffer.concat(chunks);
  } finally {
    clearTimeout(timer);
    cancel();
  }
}
