import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { Sink } from '../../src/terminal/output.ts';

/** A stream whose writes end as the test says. */
function stream() {
  const events = new EventEmitter();
  const written: string[] = [];
  const waiting: ((error?: Error | null) => void)[] = [];
  const write = (text: string, done: (error?: Error | null) => void) => {
    written.push(text);
    waiting.push(done);
  };
  const fail = (code: string) => {
    const error = Object.assign(new Error(`write ${code}`), { code });
    for (const done of waiting.splice(0)) done(error);
    events.emit('error', error);
  };
  const sink = new Sink({ write, on: (event, listener) => events.on(event, listener) });
  return { sink, written, finish: () => waiting.splice(0).forEach((done) => done()), fail };
}

test('drains once all is written', async () => {
  const { sink, finish } = stream();
  sink.write('a');
  sink.write('b');
  let isDrained = false;
  const drained = sink.drain().then(() => (isDrained = true));
  await Promise.resolve();
  expect(isDrained).toBe(false);
  finish();
  await drained;
  await sink.drain();
  expect(sink.failure).toBeNull();
});

test('a reader that is gone ends the writing, and is no failure', async () => {
  const { sink, written, fail } = stream();
  sink.write('a');
  fail('EPIPE');
  await sink.drain();
  sink.write('b');
  expect(written).toEqual(['a']);
  expect(sink.failure).toBeNull();
});

test('a full disk is kept as the failure, the first one', async () => {
  const { sink, written, fail } = stream();
  sink.write('a');
  fail('ENOSPC');
  fail('EPIPE');
  await sink.drain();
  sink.write('b');
  expect(written).toEqual(['a']);
  expect(sink.failure).toMatchObject({ code: 'ENOSPC' });
});
