import { hash } from 'node:crypto';
import type { QuarantinedBody } from '../ledger/quarantine.ts';
import type { UsageDay } from '../usage/day.ts';
import type { Slice } from '../usage/plan.ts';
import { ageOfRead, type Policy } from '../usage/policy.ts';
import type { CellAnswer, CellOutcome } from '../usage/settlement.ts';
import { type Stream, UnplaceableBodyError, type WindowReading } from '../usage/streams/stream.ts';

/** What a slice came to: one answer per cell, and the bodies worth keeping. */
export interface SliceVerdict {
  readonly answers: readonly CellAnswer[];
  readonly quarantined: readonly QuarantinedBody[];
  readonly outsideBuckets: number;
  readonly unknownKeys: number;
  /** The bodies as received, should Postgres refuse their numbers. */
  readonly texts: readonly string[];
}

export interface Bodies {
  /** Parsed, in request order. */
  readonly parsed: readonly unknown[];
  /** As received, in request order. */
  readonly texts: readonly string[];
  readonly sentAtMs: number;
}

/** Judges the bodies of a slice: a verdict for each of its days, and for no other day of the window. */
export function judgeBodies(
  slice: Slice,
  stream: Stream,
  { parsed, texts, sentAtMs }: Bodies,
  policy: Policy,
): SliceVerdict {
  const sha256 = hashOf(texts);
  let reading: WindowReading;
  try {
    reading = stream.readBodies(parsed, slice.window);
  } catch (error) {
    if (!(error instanceof UnplaceableBodyError)) throw error;
    return quarantineSlice(slice, stream, { problem: error.message, texts, sentAtMs }, policy);
  }
  const quarantined: QuarantinedBody[] = [];
  const answers = slice.days.map(({ day }) => {
    const outcome = judgeDay(reading, day);
    if (outcome.kind === 'quarantined') {
      const { code, message } = outcome;
      quarantined.push({ ...cellOf(slice), from: day, to: day, code, problem: message, bodies: texts });
    }
    return answerOf(slice, stream, { day, sentAtMs, sha256, outcome }, policy);
  });
  const { outsideBuckets, unknownKeys } = reading;
  return { answers, quarantined, outsideBuckets, unknownKeys, texts };
}

/** The verdict on an answer that cannot be assigned to days: each of the slice's cells is quarantined. */
export function quarantineSlice(
  slice: Slice,
  stream: Stream,
  { problem, texts, sentAtMs }: { problem: string; texts: readonly string[]; sentAtMs: number },
  policy: Policy,
): SliceVerdict {
  const code = 'unplaceable_body';
  const verdict = sameForAll(
    slice,
    stream,
    { sentAtMs, outcome: { kind: 'quarantined', code, message: problem } },
    policy,
  );
  const asked = slice.days.map(({ day }) => day);
  return {
    ...verdict,
    quarantined: [{ ...cellOf(slice), ...slice.window, asked, code, problem, bodies: texts }],
  };
}

/** The same outcome for every cell of a slice. */
export function sameForAll(
  slice: Slice,
  stream: Stream,
  { sentAtMs, outcome }: { sentAtMs: number; outcome: CellOutcome },
  policy: Policy,
): SliceVerdict {
  const answers = slice.days.map(({ day }) =>
    answerOf(slice, stream, { day, sentAtMs, sha256: null, outcome }, policy),
  );
  return { answers, quarantined: [], outsideBuckets: 0, unknownKeys: 0, texts: [] };
}

function judgeDay(reading: WindowReading, day: UsageDay): CellOutcome {
  const found = reading.days.get(day);
  if (!found) return { kind: 'missing' };
  if (found.kind === 'invalid') return { kind: 'quarantined', code: 'invalid_value', message: found.problem };
  return found;
}

function answerOf(
  { orgId }: Slice,
  stream: Stream,
  answer: Pick<CellAnswer, 'day' | 'sentAtMs' | 'sha256' | 'outcome'>,
  policy: Policy,
): CellAnswer {
  return { orgId, stream, ...answer, age: ageOfRead(answer.day, answer.sentAtMs, policy) };
}

function cellOf({ orgId, stream }: Slice) {
  return { orgId, stream };
}

function hashOf(texts: readonly string[]): string {
  return hash('sha256', texts.join(''), 'hex');
}
