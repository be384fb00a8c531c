import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

/** A response that is sent without faults. */
export interface HttpResponse {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

export function createJsonResponse(status: number, body: unknown, headers: Record<string, string> = {}): HttpResponse {
  return {
    status,
    text: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json; charset=utf-8', ...headers },
  };
}

/** Sends the complete response. */
export function deliver(res: ServerResponse, response: HttpResponse): void {
  const isBodyless = response.status === 204 || response.status === 304;
  const length = isBodyless ? {} : { 'Content-Length': Buffer.byteLength(response.text) };
  res.writeHead(response.status, { ...response.headers, ...length });
  res.end(response.text);
}

/** The input of a fault. */
export interface FaultContext {
  readonly nowMs: number;
  /** The simulator's own address. */
  readonly url: string;
  readonly acceptsGzip: boolean;
  /** Selects one of the forms of the fault. */
  readonly pick: number;
  readonly retryAfterSeconds: number;
  readonly slowMs: number;
  readonly hugeBytes: number;
}

/** Faults of delivery: the response itself is good. */
export const DELIVERIES = {
  cut_body: cutBody,
  slow_body: sendSlowly,
  reset: (res) => res.socket?.resetAndDestroy(),
  hang: (res, _, { slowMs }) => runLater(res, slowMs, () => res.socket?.destroy()),
  not_json: (res, response, { pick }) =>
    deliver(res, { ...response, text: response.text.slice(0, 1 + (pick % (response.text.length - 1))) }),
  empty_body: (res, response) => deliver(res, { ...response, text: '' }),
  huge_body: sendHuge,
} satisfies Record<string, (res: ServerResponse, response: HttpResponse, context: FaultContext) => void>;

/** Announces the complete body, sends half of it and closes the connection. */
function cutBody(res: ServerResponse, response: HttpResponse): void {
  const bytes = Buffer.from(response.text);
  res.writeHead(response.status, { ...response.headers, 'Content-Length': bytes.length + 1 });
  res.write(bytes.subarray(0, Math.ceil(bytes.length / 2)), () => res.socket?.destroy());
}

/** Sends the complete body in twenty pieces. */
function sendSlowly(res: ServerResponse, response: HttpResponse, { slowMs }: FaultContext): void {
  const bytes = Buffer.from(response.text);
  const size = Math.ceil(bytes.length / 20);
  res.writeHead(response.status, { ...response.headers, 'Content-Length': bytes.length });
  const send = (from: number) => {
    if (from >= bytes.length) return void res.end();
    res.write(bytes.subarray(from, from + size));
    runLater(res, slowMs / 20, () => send(from + size));
  };
  send(0);
}

/** Sends a JSON text far larger than any real one. With gzip it is small on the wire. */
function sendHuge(res: ServerResponse, response: HttpResponse, { hugeBytes, acceptsGzip }: FaultContext): void {
  const encoding = acceptsGzip ? { 'Content-Encoding': 'gzip' } : {};
  res.writeHead(response.status, { ...response.headers, ...encoding });
  const body = Readable.from(hugeText(hugeBytes));
  // The pipeline usually fails, because the client stops reading.
  const sending = acceptsGzip ? pipeline(body, createGzip({ level: 1 }), res) : pipeline(body, res);
  sending.catch(() => res.destroy());
}

function* hugeText(bytes: number): Generator<Buffer> {
  const block = Buffer.alloc(2 ** 20, ' ');
  yield Buffer.from('{"counts":[]');
  for (let sent = 0; sent < bytes; sent += block.length) yield block;
  yield Buffer.from('}');
}

/** Runs `run` after `ms`, unless the connection has closed by then. */
export function runLater(res: ServerResponse, ms: number, run: () => void): void {
  const cancel = () => clearTimeout(timer);
  const timer = setTimeout(() => {
    res.off('close', cancel);
    run();
  }, ms);
  res.once('close', cancel);
}
