import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

/** The reply on a connection without faults. */
export interface Reply {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

export function jsonReply(status: number, body: unknown, headers: Record<string, string> = {}): Reply {
  return {
    status,
    text: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json; charset=utf-8', ...headers },
  };
}

/** Sends the complete reply. */
export function deliver(res: ServerResponse, reply: Reply): void {
  const isBodyless = reply.status === 204 || reply.status === 304;
  const length = isBodyless ? {} : { 'Content-Length': Buffer.byteLength(reply.text) };
  res.writeHead(reply.status, { ...reply.headers, ...length });
  res.end(reply.text);
}

/** What a fault may depend on. */
export interface FaultContext {
  readonly nowMs: number;
  /** The simulator's own address. */
  readonly url: string;
  readonly acceptsGzip: boolean;
  /** Selects among the ways in which a fault can come. */
  readonly pick: number;
  readonly retryAfterSeconds: number;
  readonly slowMs: number;
  readonly hugeBytes: number;
}

/** Faults in how a good reply is sent. */
export const DELIVERIES = {
  cut_body: cutBody,
  slow_body: dribble,
  reset: (res) => res.socket?.resetAndDestroy(),
  hang: (res, _, { slowMs }) => later(res, slowMs, () => res.socket?.destroy()),
  not_json: (res, reply, { pick }) =>
    deliver(res, { ...reply, text: reply.text.slice(0, 1 + (pick % (reply.text.length - 1))) }),
  empty_body: (res, reply) => deliver(res, { ...reply, text: '' }),
  huge_body: sendHuge,
} satisfies Record<string, (res: ServerResponse, reply: Reply, context: FaultContext) => void>;

/** Announces the complete body, sends half of it and drops the connection. */
function cutBody(res: ServerResponse, reply: Reply): void {
  const bytes = Buffer.from(reply.text);
  res.writeHead(reply.status, { ...reply.headers, 'Content-Length': bytes.length + 1 });
  res.write(bytes.subarray(0, Math.ceil(bytes.length / 2)), () => res.socket?.destroy());
}

/** Sends the complete body in twenty pieces. */
function dribble(res: ServerResponse, reply: Reply, { slowMs }: FaultContext): void {
  const bytes = Buffer.from(reply.text);
  const size = Math.ceil(bytes.length / 20);
  res.writeHead(reply.status, { ...reply.headers, 'Content-Length': bytes.length });
  const send = (from: number) => {
    if (from >= bytes.length) return void res.end();
    res.write(bytes.subarray(from, from + size));
    later(res, slowMs / 20, () => send(from + size));
  };
  send(0);
}

/** Sends a JSON text far larger than any real one, small on the wire if the client takes gzip. */
function sendHuge(res: ServerResponse, reply: Reply, { hugeBytes, acceptsGzip }: FaultContext): void {
  const encoding = acceptsGzip ? { 'Content-Encoding': 'gzip' } : {};
  res.writeHead(reply.status, { ...reply.headers, ...encoding });
  const body = Readable.from(hugeText(hugeBytes));
  // The client is expected to give up in the middle, so a failure of the pipeline is normal.
  const sent = acceptsGzip ? pipeline(body, createGzip({ level: 1 }), res) : pipeline(body, res);
  sent.catch(() => res.destroy());
}

function* hugeText(bytes: number): Generator<Buffer> {
  const block = Buffer.alloc(2 ** 20, ' ');
  yield Buffer.from('{"counts":[]');
  for (let sent = 0; sent < bytes; sent += block.length) yield block;
  yield Buffer.from('}');
}

/** Runs `run` after `ms`, unless the connection has closed by then. */
export function later(res: ServerResponse, ms: number, run: () => void): void {
  const cancel = () => clearTimeout(timer);
  const timer = setTimeout(() => {
    res.off('close', cancel);
    run();
  }, ms);
  res.once('close', cancel);
}
