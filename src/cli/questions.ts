import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { InterruptedError, type SettingsError } from '../errors.ts';
import type { BaseContext } from './command.ts';

export interface Question {
  readonly text: string;
  readonly initial?: string;
  readonly isSecret?: boolean;
  /** `problemOf` returns the problem of an answer, which is then asked for again; null without one. */
  readonly problemOf: (answer: string) => string | null;
}

export interface Questions {
  /** `ask` returns the answer, trimmed. Throws InterruptedError on Ctrl-C or at the end of input. */
  readonly ask: (question: Question) => Promise<string>;
  readonly confirm: (text: string) => Promise<boolean>;
  readonly close: () => void;
}

export function canAsk({ stdin, stderr }: Pick<BaseContext, 'stdin' | 'stderr'>): boolean {
  return stderr.isTTY === true && stdin().isTTY === true;
}

/** `openQuestions` opens the questions. Throws `refusal` if nobody can answer. */
export function openQuestions(context: BaseContext, refusal: SettingsError): Questions {
  if (!canAsk(context)) throw refusal;
  const { stdin, stderr } = context;
  let isMasked = false;
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (!isMasked) stderr.write(chunk);
      done();
    },
  });
  const reader = createInterface({ input: stdin(), output, terminal: true });
  const read = async (text: string, isSecret: boolean) => {
    const stop = new AbortController();
    const end = () => stop.abort(new InterruptedError('SIGINT'));
    reader.once('SIGINT', end).once('close', end);
    try {
      const answer = reader.question(text, { signal: stop.signal });
      isMasked = isSecret;
      return (await answer).trim();
    } catch (error) {
      throw stop.signal.aborted ? (stop.signal.reason as Error) : error;
    } finally {
      isMasked = false;
      // The line break of a hidden answer was not shown either.
      if (isSecret || stop.signal.aborted) stderr.write('\n');
      reader.off('SIGINT', end).off('close', end);
    }
  };
  return {
    async ask({ text, initial = '', isSecret = false, problemOf }) {
      const prompt = initial === '' ? `${text}: ` : `${text} [${initial}]: `;
      for (;;) {
        const answer = (await read(prompt, isSecret)) || initial;
        const problem = problemOf(answer);
        if (problem === null) return answer;
        context.output.remark(`  ${problem}`);
      }
    },
    confirm: async (text) => /^y(es)?$/i.test(await read(`${text} [y/N]: `, false)),
    close: () => reader.close(),
  };
}
