import { createRequire } from 'node:module';
import {
  type Bindings,
  type ChildLoggerOptions,
  type DestinationStream,
  type Logger,
  pino,
  stdTimeFunctions,
} from 'pino';
import type * as PinoPretty from 'pino-pretty';
import { ExportError } from './errors.ts';
import { escapeControls, escapeJson } from './terminal/text.ts';

export type { Logger } from 'pino';

export interface LoggerOptions {
  /** One of pino's levels, or `silent`. */
  readonly level: string;
  /** Lines for people instead of JSON: for a terminal. */
  readonly pretty: boolean;
  /** Where lines go: stderr, as stdout carries results. */
  readonly destination: DestinationStream;
}

const load = createRequire(import.meta.url);

const CENSOR = '[redacted]';

/** Keys whose value is never printed, without their `_` and `-` and in lower case. */
const SECRET_KEY =
  /(token|password|passwd|secret|authorization|cookie|apikey|databaseurl|heartbeaturl|connectionstring)$/;

/** Deeper than what is logged on purpose, and an end to what is not. */
const DEEPEST = 6;

/**
 * One JSON line per event, with an ISO time in UTC. Nothing that is logged
 * shows a secret: not under a secret's key, not in an error's properties, not
 * in an object of a class (a request, a pool), not in a URL or a bearer header.
 */
export function createLogger({ level, pretty, destination }: LoggerOptions): Logger {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: (fields) => showMap(fields, 0) },
      // In place of pino's own, as the formatter above has seen the error already.
      serializers: { err: (shown: unknown) => shown },
      hooks: { streamWrite: scrubLine },
    },
    pretty ? prettyDestination(destination) : destination,
  );
  // pino formats a child's fields only where that child asks for it; children of children inherit this.
  const createChild = Reflect.get(logger, 'child') as unknown as CreateChild;
  return Object.assign(logger, {
    child(this: Logger, bindings: Bindings, options?: ChildLoggerOptions<never>) {
      return createChild.call(this, showMap(bindings, 0), options);
    },
  });
}

/** Without pino's generics for levels of one's own. */
type CreateChild = (this: Logger, bindings: Bindings, options?: ChildLoggerOptions<never>) => Logger;

/** In the same call, not through a worker or a stream: the last lines before an exit must not get lost. */
function prettyDestination(destination: DestinationStream): DestinationStream {
  // Loaded here: most processes have no terminal.
  const { prettyFactory } = load('pino-pretty') as typeof PinoPretty;
  const format = prettyFactory({ colorize: true, translateTime: "UTC:HH:MM:ss'Z'" });
  // What is logged may hold anything, and is shown as it is: only the colours may be control characters.
  const escape = (_key: string, value: unknown) =>
    typeof value === 'string' ? escapeControls(value) : value;
  return { write: (line) => destination.write(format(JSON.stringify(JSON.parse(line, escape)))) };
}

/**
 * What may be shown of an error: of ours the kind and the next step; of a defect
 * where it happened; of all the chain of causes. Never another property: those
 * hold requests with their headers, or URLs with their passwords.
 */
function describeError(error: Error): Record<string, unknown> {
  return { ...describeCause(error, 0), ...(error instanceof ExportError ? {} : { stack: frames(error) }) };
}

function describeCause(error: Error, depth: number): Record<string, unknown> {
  const { name, message, cause } = error;
  const code = 'code' in error && (typeof error.code === 'string' || typeof error.code === 'number');
  return {
    name,
    message,
    ...(code ? { code: error.code } : {}),
    ...(error instanceof ExportError ? { kind: error.kind, hint: error.hint } : {}),
    ...(cause instanceof Error && depth < DEEPEST ? { cause: describeCause(cause, depth + 1) } : {}),
  };
}

/** The places alone: the first lines of a stack repeat the message, and may go on with properties. */
function frames(error: Error): string[] {
  return (error.stack ?? '')
    .split('\n')
    .filter((line) => /^ {4}at /.test(line))
    .map((line) => line.trim());
}

function show(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint' || typeof value === 'symbol') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return describeError(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (depth >= DEEPEST) return '[too deep]';
  if (Array.isArray(value)) return value.map((item: unknown) => show(item, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return showMap(value, depth);
  return `[${value.constructor.name}]`;
}

function showMap(map: object, depth: number): Record<string, unknown> {
  const fields = Object.entries(map).map(([key, value]: [string, unknown]) => {
    const isSecret = value != null && SECRET_KEY.test(key.replaceAll(/[_-]/g, '').toLowerCase());
    return [key, isSecret ? CENSOR : show(value, depth + 1)] as const;
  });
  return Object.fromEntries(fields);
}

/**
 * The last net, for what a message quotes: a bearer token, or what precedes the
 * host of a URL. Characters that could steer a terminal are escaped.
 */
function scrubLine(line: string): string {
  return `${escapeJson(line.trimEnd())}\n`
    .replaceAll(/\bBearer\s+[\w.~+/=-]{8,}/gi, `Bearer ${CENSOR}`)
    .replaceAll(/:\/\/(?:[^\s"\\/]|\\["\\])*@/g, `://${CENSOR}@`);
}
